//! How to speak to a target over one socket: what to say to be subscribed, and what is a message
//! among what comes.
//!
//! Sans-I/O: a dialect makes and reads bytes, the handshake and the receivers move them. Three
//! targets, three dialects; each is generic in the receivers, so that a message costs no dynamic
//! call.

mod floor;
mod meridian;
mod nats;

pub use floor::Floor;
pub use meridian::Meridian;
pub use nats::NatsWebSocket;

use crate::Endpoint;
use crate::payload::Stamp;

/// What a piece of a frame told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// One message of ours.
    Message(Stamp),
    /// The server admits that messages were dropped.
    Gap,
    /// The server wants to hear [`Dialect::pong`].
    Ping,
}

/// The ways in which targets differ. Cloned into each receiving thread.
pub trait Dialect: Clone + Send + 'static {
    /// Where the sockets go.
    fn endpoint(&self) -> &Endpoint;

    /// The subprotocol to ask for in the HTTP upgrade; `None` when frames flow without an upgrade.
    fn upgrade(&self) -> Upgrade;

    /// Masked frames that subscribe to `subject`; empty when connecting is enough.
    fn opening(&self, subject: &str) -> Vec<u8>;

    /// Reads the text so far after the opening: true once the server has proved the subscription.
    ///
    /// # Errors
    /// The server's own words when it refuses.
    fn is_open(&self, text: &[u8]) -> Result<bool, String>;

    /// Reports what a piece of a data frame holds. `carry` belongs to the socket and keeps what was
    /// cut off.
    fn read(&self, piece: &[u8], is_last: bool, carry: &mut Vec<u8>, on: &mut impl FnMut(Event));

    /// The masked frame that answers [`Event::Ping`].
    fn pong(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// How a socket begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// The server writes frames at once, without HTTP.
    None,
    /// An HTTP/1.1 upgrade that offers no subprotocol.
    Plain,
    /// An HTTP/1.1 upgrade; the server must choose this subprotocol.
    Subprotocol(&'static str),
}

impl Upgrade {
    /// The request's bytes; empty for [`Upgrade::None`].
    #[must_use]
    pub fn request(self, endpoint: &Endpoint) -> String {
        let subprotocol = match self {
            Self::None => return String::new(),
            Self::Plain => String::new(),
            Self::Subprotocol(name) => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        };
        // The key is the one of RFC 6455's example: its only purpose is to tell caches apart.
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {subprotocol}\r\n",
            endpoint.path, endpoint.authority,
        )
    }

    /// Judges the response's head.
    ///
    /// # Errors
    /// What is wrong with it: another status than 101, or another subprotocol than was asked for.
    pub fn check(self, head: &str) -> Result<(), String> {
        let status = head.lines().next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            return Err(format!("expected 101 Switching Protocols, got {status:?}"));
        }
        let Self::Subprotocol(name) = self else { return Ok(()) };
        let chosen = head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case("sec-websocket-protocol").then(|| value.trim())
        });
        match chosen {
            Some(chosen) if chosen == name => Ok(()),
            other => Err(format!("asked for the subprotocol {name}, got {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrade_needs_101_and_the_subprotocol_that_was_asked_for() {
        let asked = Upgrade::Subprotocol("meridian.v1.json");
        let good = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: meridian.v1.json";
        assert!(asked.check(good).is_ok());
        assert!(asked.check("HTTP/1.1 101 Switching Protocols\r\n").is_err());
        assert!(asked.check("HTTP/1.1 404 Not Found").is_err());
        assert!(Upgrade::Plain.check("HTTP/1.1 101 Switching Protocols").is_ok());
    }
}
