//! What a shard measures: plain cells, which are published once a second.
//!
//! Numbers that `report` counts already come from there; everything else is counted where it
//! happens. Not for: deciding anything by these numbers.

use super::Shard;
use super::connection::Connection;
use super::report::Counters;
use crate::auth::TokenError;
use crate::config::Config;
use meridian_core::publish_time::{HEADER, STORED_HEADER, read_stamp, read_stored};
use meridian_nats::Headers;
use meridian_proto::item::{Failure, Gap, Item, Reply};
use meridian_proto::{CloseCode, Wire};
use meridian_telemetry::metrics::labels::{
    Auth, Class, Close, Codec, Command, Error, Gap as GapLabel, Handshake, Hit, Region, Resume,
    SlowAction, Transport,
};
use meridian_telemetry::metrics::{Cells, Slots, instruments as is};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep_until};

/// How often the shard looks how late it comes to a timer.
const LAG_LOOK: Duration = Duration::from_millis(100);

/// A publish that is said to be older than this was stamped by a clock that is wrong, or was kept
/// somewhere: its age says nothing of this mesh.
const AGE_US_MAX: u64 = 3_600_000_000;

/// Every wire's labels, by its index.
const WIRES: [(Transport, Codec); Wire::ALL.len()] = [
    (Transport::WebSocket, Codec::Json),
    (Transport::WebSocket, Codec::Protobuf),
    (Transport::Stream, Codec::Json),
    (Transport::Sse, Codec::Json),
];

/// Owned by the shard.
pub(crate) struct Meters {
    pub(super) cells: Cells,
    /// When and where the messages of the batch in the making were published.
    sent: RefCell<Vec<Sent>>,
    /// The regions of the mesh, in the order of their labels.
    regions: Vec<String>,
    /// The home of each durable namespace, by the name of the region's copy.
    homes: HashMap<String, Region>,
    /// In µs, of this second.
    lag_worst_us: Cell<u64>,
}

/// When and where a message was published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    class: Class,
    origin: Region,
    unix_us: u64,
}

impl Meters {
    pub(super) fn new(config: &Config) -> Self {
        let regions = config.mesh.regions.clone();
        let at = |name: &str| Region::at(regions.iter().position(|region| region == name));
        let homes = config.durable_namespaces().into_iter().map(|namespace| {
            let copy = meridian_nats::streams::copy_name(&namespace, &config.edge.region);
            (copy, at(&namespace.home))
        });
        let homes = homes.collect();
        let (cells, sent, lag_worst_us) = (Cells::default(), RefCell::default(), Cell::new(0));
        Self { cells, sent, homes, lag_worst_us, regions }
    }

    /// When a message of core NATS was published, if its publisher says so.
    pub(super) fn ephemeral(&self, headers: Headers<'_>) -> Option<Sent> {
        let (region, unix_us) = read_stamp(headers.get(HEADER)?)?;
        let place = self.regions.iter().position(|known| known == region);
        Some(Sent { class: Class::Ephemeral, origin: Region::at(place), unix_us })
    }

    /// When home stored a message of the region's copy.
    pub(super) fn durable(&self, copy: &str, headers: Headers<'_>) -> Option<Sent> {
        let unix_us = read_stored(headers.get(STORED_HEADER)?)?;
        let origin = self.homes.get(copy).copied().unwrap_or(Region::at(None));
        Some(Sent { class: Class::Durable, origin, unix_us })
    }

    /// A message came from NATS.
    pub(super) fn received(&self, class: Class, bytes: usize) {
        self.cells.add(&is::NATS_MESSAGES_IN, (class,), 1);
        self.cells.add(&is::NATS_BYTES_IN, (class,), bytes as u64);
    }

    /// A message of a client went to NATS.
    pub(super) fn sent(&self, bytes: usize) {
        self.cells.add(&is::NATS_MESSAGES_OUT, (), 1);
        self.cells.add(&is::NATS_BYTES_OUT, (), bytes as u64);
    }

    /// A message goes to so many connections with the batch.
    pub(super) fn gathered(&self, class: Class, members: usize, sent: Option<Sent>) {
        self.cells.add(&is::DELIVERIES, (class,), members as u64);
        self.cells.observe(&is::FANOUT, (class,), members as u64);
        if members > 0
            && let Some(sent) = sent
        {
            self.sent.borrow_mut().push(sent);
        }
    }

    /// The batch is with the sockets. One look at the clock for all of it.
    pub(super) fn flushed(&self) {
        let mut batch = self.sent.borrow_mut();
        if batch.is_empty() {
            return;
        }
        let now_us = unix_us();
        for Sent { class, origin, unix_us } in batch.drain(..) {
            // A publisher's clock may be ahead of ours.
            let age_us = now_us.saturating_sub(unix_us);
            if age_us <= AGE_US_MAX {
                self.cells.observe(&is::LATENCY, (class, origin), age_us);
            }
        }
    }

    /// What a socket's way to a connection came to.
    pub(crate) fn handshake(&self, outcome: Handshake) {
        self.cells.add(&is::HANDSHAKES, (outcome,), 1);
    }

    /// What the token of a `connect` came to.
    pub(super) fn auth(&self, outcome: Auth) {
        self.cells.add(&is::AUTH, (outcome,), 1);
    }

    /// A client's command, by the protocol's word.
    pub(super) fn command(&self, word: &str) {
        self.cells.add(&is::COMMANDS, (Command::of(word),), 1);
    }

    /// Bytes that a client sent.
    pub(crate) fn client_bytes_in(&self, bytes: usize) {
        self.cells.add(&is::CLIENT_BYTES_IN, (), bytes as u64);
    }

    /// Bytes that a client's socket took.
    pub(super) fn client_bytes_out(&self, bytes: usize) {
        self.cells.add(&is::CLIENT_BYTES_OUT, (), bytes as u64);
    }

    /// So many clients are told a gap.
    pub(super) fn gaps(&self, why: &str, clients: usize) {
        self.cells.add(&is::GAPS, (GapLabel::of(why),), clients as u64);
    }

    pub(super) fn closed(&self, code: CloseCode) {
        self.cells.add(&is::CLOSES, (Close::of(code.label()),), 1);
    }

    pub(super) fn failed(&self, failure: &Failure) {
        self.cells.add(&is::ERRORS, (Error::of(failure.code.label()),), 1);
    }

    /// What a resume came to.
    pub(super) fn resume(&self, outcome: Resume) {
        self.cells.add(&is::RESUMES, (outcome,), 1);
    }

    /// A shard's NATS connection stands again.
    pub(super) fn reconnected(&self) {
        self.cells.add(&is::NATS_RECONNECTS, (), 1);
    }
}

/// Unix time in µs.
pub(super) fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// What a token that is not taken is counted as.
pub(super) fn auth_outcome(error: &TokenError) -> Auth {
    match error {
        TokenError::Missing => Auth::Missing,
        TokenError::TooLong | TokenError::Malformed(_) => Auth::Malformed,
        TokenError::UnknownIssuer => Auth::Issuer,
        TokenError::UnknownKey => Auth::Key,
        TokenError::Signature => Auth::Signature,
        TokenError::Audience => Auth::Audience,
        TokenError::Expired => Auth::Expired,
        TokenError::NotYet => Auth::NotYet,
        #[allow(unreachable_patterns)]
        _ => Auth::Other,
    }
}

/// Measures how late the thread comes to a timer, until the shard ends.
pub(super) async fn watch_lag(shard: Rc<Shard>) {
    loop {
        let due = Instant::now() + LAG_LOOK;
        sleep_until(due).await;
        let late_us = due.elapsed().as_micros() as u64;
        let meters = &shard.meters;
        meters.cells.observe(&is::LAG, (), late_us);
        meters.lag_worst_us.set(meters.lag_worst_us.get().max(late_us));
    }
}

impl Shard {
    /// What is told to one client.
    pub(super) fn measure_item(&self, connection: &Connection, item: &Item) {
        match item {
            Item::Gap(Gap { why, .. }) => self.meters.gaps(why, 1),
            Item::Error(_, failure) => self.meters.failed(failure),
            Item::Reply(id, Reply::Subscribe(reply)) => {
                let Some(asked_us) = connection.asked.take(*id) else { return };
                let class = if reply.recoverable { Class::Durable } else { Class::Ephemeral };
                let took_us = self.now_us().wrapping_sub(asked_us);
                self.meters.cells.observe(&is::SUBSCRIBE, (class,), u64::from(took_us));
            }
            _ => {}
        }
    }

    /// µs since the shard started, cut to 32 bits, which wrap after 71 minutes.
    pub(super) fn now_us(&self) -> u32 {
        self.started.elapsed().as_micros() as u32
    }

    /// A durable subscription is live: how long it took, and what it was sent before.
    pub(super) fn measure_start(&self, joiner: &super::durable::Joiner) {
        let cells = &self.meters.cells;
        if joiner.is_resume() {
            let took_us = u64::from(self.now_us().wrapping_sub(joiner.asked_us));
            cells.observe(&is::RESUME_TIME, (), took_us);
        }
        if joiner.is_replay() {
            cells.observe(&is::REPLAY_SIZE, (), joiner.replayed.get());
        }
    }

    /// Looks at what stands, and publishes everything. Once a second.
    pub(super) fn publish_meters(&self, counters: &Counters) {
        let cells = &self.meters.cells;
        let mut held = [0_u64; Wire::ALL.len()];
        let (mut subscriptions, mut queues, mut queue_bytes) = (0, 0, 0);
        for (_, connection) in self.connections.borrow().iter() {
            held[connection.wire.index()] += 1;
            let waiting = connection.held_bytes() as u64;
            queue_bytes += waiting;
            queues += u64::from(waiting > 0);
            if let Some(session) = connection.session.borrow().as_ref() {
                subscriptions += session.subscriptions().len() as u64;
            }
        }
        for (labels, count) in WIRES.into_iter().zip(held) {
            cells.set(&is::CONNECTIONS, labels, count);
        }
        cells.set(&is::SUBSCRIPTIONS, (), subscriptions);
        cells.set(&is::QUEUE_BYTES, (), queue_bytes);
        cells.set(&is::QUEUES, (), queues);
        cells.set(&is::INTEREST, (), self.interest.borrow().filters() as u64);
        cells.set(&is::LAG_WORST, (), self.meters.lag_worst_us.replace(0));
        cells.set(&is::NATS_CONNECTED, (), u64::from(self.report.is_nats_connected()));
        counters.measure(cells);
        self.report.metrics.publish(cells);
    }
}

impl Counters {
    /// What is counted here already, as instruments. A new counter needs a line here and one in
    /// `meridian_telemetry::metrics::instruments`.
    fn measure(&self, cells: &Cells) {
        for (limit, count) in self.limits() {
            cells.keep(&is::LIMITS, (Hit::of(limit.label()),), count);
        }
        let [sessions, closes, drops, conflations] = self.for_meters();
        cells.keep(&is::SESSIONS, (), sessions);
        for (action, count) in [
            (SlowAction::Closed, closes),
            (SlowAction::Dropped, drops),
            (SlowAction::Conflated, conflations),
        ] {
            cells.keep(&is::SLOW_ACTIONS, (action,), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_core::Limit;
    use meridian_proto::ErrorCode;

    #[test]
    fn every_code_of_the_protocol_has_a_label_of_its_own() {
        for code in CloseCode::ALL {
            assert!(Close::WORDS.contains(&code.label()), "close code {code:?} is new");
        }
        for code in ErrorCode::ALL {
            assert!(Error::WORDS.contains(&code.label()), "error code {code:?} is new");
        }
        for limit in Limit::ALL {
            assert!(Hit::WORDS.contains(&limit.label()), "limit {limit:?} is new");
        }
    }
}
