//! The shard's second hand: heartbeats, connect deadlines, lingering filters, the report.

use super::connection::Connection;
use super::sink::Sink;
use super::{ConnectionKey, Shard};
use crate::auth::unix_time_s;
use meridian_core::Limit;
use meridian_proto::CloseCode;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Slack beyond two heartbeat intervals before a silent client counts as gone, in s.
const STALE_SLACK_S: u64 = 10;

/// Something that a connection is due.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Due {
    /// It has connected by now, or is closed.
    Connect(ConnectionKey),
    /// A heartbeat.
    Heartbeat(ConnectionKey),
    /// A look whether its client still takes what waits.
    Stall(ConnectionKey),
    /// A look at its tokens, unless a later one was scheduled since.
    Tokens(ConnectionKey, u32),
}

/// Runs until the shard ends.
pub(super) async fn run(shard: Rc<Shard>) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        shard.on_second();
    }
}

impl Shard {
    /// Gives a connection this long to connect.
    pub(super) fn schedule_connect(&self, connection: &Connection, delay_s: u64) {
        self.wheel.borrow_mut().schedule(Due::Connect(connection.key), delay_s);
    }

    /// Makes a heartbeat due. The first has a random phase, so that they spread over the interval.
    pub(super) fn schedule_heartbeat(&self, connection: &Connection, delay_s: u64) {
        self.wheel.borrow_mut().schedule(Due::Heartbeat(connection.key), delay_s);
    }

    /// Looks later whether a streamed response has stalled.
    pub(super) fn schedule_stall(&self, connection: &Connection, delay_ms: u64) {
        self.wheel.borrow_mut().schedule(Due::Stall(connection.key), delay_ms.div_ceil(1_000));
    }

    /// Makes the next deadline of a connection's tokens due, in place of any before. The wheel may
    /// come earlier, and then looks again.
    pub(super) fn schedule_look(&self, connection: &Connection) {
        let session = connection.session.borrow();
        let next_s = session.as_ref().and_then(|session| session.next_deadline_s());
        let Some(next_s) = next_s else { return };
        let number = connection.look.get().wrapping_add(1);
        connection.look.set(number);
        let delay_s = next_s.saturating_sub(unix_time_s());
        self.wheel.borrow_mut().schedule(Due::Tokens(connection.key, number), delay_s);
    }

    fn on_second(self: &Rc<Self>) {
        let due = self.wheel.borrow_mut().due(u64::from(self.now_s()));
        for due in due {
            match due {
                Due::Connect(key) => {
                    let late = self.connection(key);
                    let late = late.filter(|connection| connection.session.borrow().is_none());
                    if let Some(connection) = late {
                        self.counters.add_limit(Limit::HandshakeTime);
                        connection.close(self, CloseCode::Stale);
                    }
                }
                Due::Heartbeat(key) => {
                    if let Some(connection) = self.connection(key) {
                        self.heartbeat(&connection);
                    }
                }
                Due::Stall(key) => {
                    if let Some(connection) = self.connection(key) {
                        connection.look_for_stall(self);
                    }
                }
                Due::Tokens(key, number) => {
                    let due = self.connection(key);
                    let due = due.filter(|connection| connection.look.get() == number);
                    if let Some(connection) = due {
                        self.look_at_tokens(&connection);
                    }
                }
            }
        }
        let expired = self.interest.borrow_mut().expire(self.now_ms());
        if !expired.is_empty() {
            expired.into_iter().for_each(|sid| self.upstream.unsubscribe(sid));
            self.prune_durables();
        }
        self.audit_durables();
        self.tracer.hand_over();
        let (filters, pending) = (self.interest.borrow().filters(), self.memory.get().bytes());
        self.report.publish(&self.counters, filters, pending);
        self.publish_meters(&self.counters);
    }

    fn heartbeat(self: &Rc<Self>, connection: &Rc<Connection>) {
        let ping_s = connection.session.borrow().as_ref().map(|session| session.ping_s());
        let Some(ping_s) = ping_s.filter(|_| connection.is_open()) else { return };
        let silent_s = u64::from(self.now_s().saturating_sub(connection.heard_at_s.get()));
        // A streamed response has no way back: its socket says when the client is gone.
        let is_heard = !matches!(connection.sink, Sink::Pumped(_));
        if is_heard && silent_s > 2 * ping_s + STALE_SLACK_S {
            self.counters.add_limit(Limit::Silence);
            return connection.close(self, CloseCode::Stale);
        }
        let mut bytes = Vec::new();
        connection.wire.heartbeat(&mut bytes);
        connection.write(self, &[IoSlice::new(&bytes)]);
        self.schedule_heartbeat(connection, ping_s);
    }
}
