//! Streamed connections by their secret, and the commands that come for them by other requests.

use super::connection::Connection;
use super::sink::Sink;
use super::{ConnectionKey, Shard, commands};
use meridian_core::reorder::Placement;
use meridian_proto::json;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

/// Owned by the shard.
#[derive(Default)]
pub(crate) struct Sessions {
    by_secret: RefCell<HashMap<u128, ConnectionKey>>,
}

/// What a client calls its stream by: where it is, and the proof that it is its own. Spelled
/// `<edge>.<shard>.<32 hex digits>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionId {
    pub(crate) node: String,
    pub(crate) shard: usize,
    /// 128 random bits.
    pub(crate) secret: u128,
}

/// What became of commands that came for a stream. The spelling goes from edge to edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Carried out, now or before.
    Taken,
    /// They wait for those before them.
    Kept,
    /// Too much waits already.
    TooFarAhead,
    /// There is no such stream here.
    Gone,
}

impl Delivery {
    const ALL: [Self; 4] = [Self::Taken, Self::Kept, Self::TooFarAhead, Self::Gone];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Kept => "kept",
            Self::TooFarAhead => "ahead",
            Self::Gone => "gone",
        }
    }

    pub(crate) fn of_word(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|delivery| delivery.word().as_bytes() == word)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{:032x}", self.node, self.shard, self.secret)
    }
}

impl FromStr for SessionId {
    type Err = &'static str;

    /// The node becomes a subject token of NATS, so it must be a name and nothing else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = "not a session's id";
        let mut parts = text.split('.');
        let (node, shard, secret) = (parts.next(), parts.next(), parts.next());
        let (Some(node), Some(shard), Some(secret), None) = (node, shard, secret, parts.next())
        else {
            return Err(malformed);
        };
        let is_hex = secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
        let shard = shard.parse::<u16>().map_err(|_| malformed)?;
        if !is_hex || !crate::config::is_name(node) {
            return Err(malformed);
        }
        let secret = u128::from_str_radix(secret, 16).map_err(|_| malformed)?;
        Ok(Self { node: node.into(), shard: shard.into(), secret })
    }
}

impl Sessions {
    /// Notes a stream.
    pub(super) fn insert(&self, secret: u128, key: ConnectionKey) {
        self.by_secret.borrow_mut().insert(secret, key);
    }

    /// Forgets the stream of a connection that ends.
    pub(super) fn remove(&self, connection: &Connection) {
        if let Sink::Pumped(pump) = &connection.sink
            && let Some(secret) = pump.secret
        {
            self.by_secret.borrow_mut().remove(&secret);
        }
    }
}

impl Shard {
    /// Takes commands for a stream of this shard. `number` says in which order they count.
    pub(super) fn deliver_commands(
        self: &Rc<Self>,
        secret: u128,
        number: u64,
        commands: &str,
    ) -> Delivery {
        let key = self.sessions.by_secret.borrow().get(&secret).copied();
        let Some(connection) = key.and_then(|key| self.connection(key)) else {
            return Delivery::Gone;
        };
        let Sink::Pumped(pump) = &connection.sink else { return Delivery::Gone };
        if !connection.is_open() {
            return Delivery::Gone;
        }
        if connection.is_asking() {
            return Delivery::TooFarAhead;
        }
        let bytes_max = self.limits.guard.message_bytes_max as usize;
        let placement = pump.order.borrow_mut().place(number, commands, bytes_max);
        match placement {
            Placement::Due => {}
            Placement::Repeated => return Delivery::Taken,
            Placement::Kept => return Delivery::Kept,
            Placement::TooFarAhead => return Delivery::TooFarAhead,
        }
        commands::perform(self, &connection, json::commands(commands));
        loop {
            // Taken by itself: what is performed may not find it borrowed.
            let Some(commands) = pump.order.borrow_mut().take_due() else { break };
            commands::perform(self, &connection, json::commands(&commands));
        }
        Delivery::Taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_comes_out_as_it_went_in_and_nothing_else_is_one() {
        let id = SessionId { node: "eu-1".into(), shard: 3, secret: u128::MAX - 5 };
        assert_eq!(id.to_string().parse(), Ok(id));
        let secret = "0".repeat(32);
        for wrong in [
            String::new(),
            format!("eu-1.3.{}", "0".repeat(31)),
            format!("eu-1.3.{}", "0".repeat(33)),
            format!("eu-1.3.+{}", "0".repeat(31)),
            format!("eu-1.3.{secret}.x"),
            format!("eu-1.x.{secret}"),
            format!("eu-1.70000.{secret}"),
            format!("eu>.3.{secret}"),
            format!(".3.{secret}"),
            format!("a b.3.{secret}"),
            format!("*.3.{secret}"),
        ] {
            assert!(wrong.parse::<SessionId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn deliveries_have_words_of_their_own() {
        for delivery in Delivery::ALL {
            assert_eq!(Delivery::of_word(delivery.word().as_bytes()), Some(delivery));
        }
        assert_eq!(Delivery::of_word(b"other"), None);
    }
}
