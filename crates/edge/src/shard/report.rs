//! What a shard tells the rest of the process: a few numbers that one thread writes and the admin
//! listener reads. Nobody waits for anybody.

use meridian_core::Limit;
use meridian_core::limit::LIMITS;
use meridian_core::outbox::Shed;
use meridian_proto::CloseCode;
use meridian_telemetry::metrics::Published;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Written by one shard, read by the admin listener.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Everything that `/metrics` shows of the shard, see `meters`.
    pub(crate) metrics: Arc<Published>,
    nats_connected: AtomicBool,
    connections: AtomicUsize,
    sessions: AtomicU64,
    filters: AtomicUsize,
    messages: AtomicU64,
    deliveries: AtomicU64,
    slow_closes: AtomicU64,
    slow_drops: AtomicU64,
    slow_conflations: AtomicU64,
    pending_bytes: AtomicUsize,
    limits: [AtomicU64; LIMITS],
}

/// The numbers of a report at one moment.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Numbers {
    /// Sockets held, those without a session included.
    pub(crate) connections: usize,
    /// Sessions since the start.
    pub(crate) sessions: u64,
    /// Distinct filters held upstream, lingering ones included.
    pub(crate) filters: usize,
    /// Messages from NATS since the start.
    pub(crate) messages: u64,
    /// Deliveries to connections since the start.
    pub(crate) deliveries: u64,
    /// Clients closed for reading too slowly since the start.
    pub(crate) slow_closes: u64,
    /// Messages dropped for slow clients since the start, each told by a gap.
    pub(crate) slow_drops: u64,
    /// Messages replaced by newer ones for slow clients since the start, each told by a gap.
    pub(crate) slow_conflations: u64,
    /// Bytes that wait for slow clients.
    pub(crate) pending_bytes: usize,
    /// How often each limit was reached since the start.
    pub(crate) limits: LimitCounts,
}

/// How often each limit was reached, by [`Limit::ALL`]'s order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LimitCounts(pub(crate) [u64; LIMITS]);

impl Serialize for LimitCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(LIMITS))?;
        for (limit, count) in Limit::ALL.iter().zip(self.0) {
            map.serialize_entry(limit.label(), &count)?;
        }
        map.end()
    }
}

/// Owned by the shard: plain cells on the message path, copied to the report once a second.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sessions: Cell<u64>,
    messages: Cell<u64>,
    deliveries: Cell<u64>,
    slow_closes: Cell<u64>,
    slow_drops: Cell<u64>,
    slow_conflations: Cell<u64>,
    limits: [Cell<u64>; LIMITS],
}

impl Counters {
    pub(crate) fn add_session(&self) {
        self.sessions.set(self.sessions.get() + 1);
    }

    pub(crate) fn add_message(&self) {
        self.messages.set(self.messages.get() + 1);
    }

    pub(crate) fn add_deliveries(&self, count: u64) {
        self.deliveries.set(self.deliveries.get() + count);
    }

    pub(crate) fn add_shed(&self, shed: Shed) {
        self.slow_drops.set(self.slow_drops.get() + shed.dropped);
        self.slow_conflations.set(self.slow_conflations.get() + shed.conflated);
    }

    pub(crate) fn add_limit(&self, limit: Limit) {
        let count = &self.limits[limit as usize];
        count.set(count.get() + 1);
    }

    pub(crate) fn add_close(&self, code: CloseCode) {
        if code == CloseCode::Slow {
            self.slow_closes.set(self.slow_closes.get() + 1);
        }
    }
}

impl Counters {
    /// How often each limit was reached.
    pub(super) fn limits(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().zip(self.limits.iter().map(Cell::get))
    }

    /// Sessions, slow closes, drops and conflations.
    pub(super) fn for_meters(&self) -> [u64; 4] {
        [&self.sessions, &self.slow_closes, &self.slow_drops, &self.slow_conflations].map(Cell::get)
    }
}

impl Report {
    pub(crate) fn is_nats_connected(&self) -> bool {
        self.nats_connected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_nats_connected(&self, is_connected: bool) {
        self.nats_connected.store(is_connected, Ordering::Relaxed);
    }

    pub(crate) fn set_connections(&self, count: usize) {
        self.connections.store(count, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, counters: &Counters, filters: usize, pending_bytes: usize) {
        self.pending_bytes.store(pending_bytes, Ordering::Relaxed);
        for (told, counted) in self.limits.iter().zip(&counters.limits) {
            told.store(counted.get(), Ordering::Relaxed);
        }
        self.sessions.store(counters.sessions.get(), Ordering::Relaxed);
        self.filters.store(filters, Ordering::Relaxed);
        self.messages.store(counters.messages.get(), Ordering::Relaxed);
        self.deliveries.store(counters.deliveries.get(), Ordering::Relaxed);
        self.slow_closes.store(counters.slow_closes.get(), Ordering::Relaxed);
        self.slow_drops.store(counters.slow_drops.get(), Ordering::Relaxed);
        self.slow_conflations.store(counters.slow_conflations.get(), Ordering::Relaxed);
    }

    pub(crate) fn numbers(&self) -> Numbers {
        Numbers {
            connections: self.connections.load(Ordering::Relaxed),
            sessions: self.sessions.load(Ordering::Relaxed),
            filters: self.filters.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            deliveries: self.deliveries.load(Ordering::Relaxed),
            slow_closes: self.slow_closes.load(Ordering::Relaxed),
            slow_drops: self.slow_drops.load(Ordering::Relaxed),
            slow_conflations: self.slow_conflations.load(Ordering::Relaxed),
            pending_bytes: self.pending_bytes.load(Ordering::Relaxed),
            limits: LimitCounts(self.limits.each_ref().map(|told| told.load(Ordering::Relaxed))),
        }
    }
}

impl std::iter::Sum for Numbers {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::default(), |sum, next| Self {
            connections: sum.connections + next.connections,
            sessions: sum.sessions + next.sessions,
            filters: sum.filters + next.filters,
            messages: sum.messages + next.messages,
            deliveries: sum.deliveries + next.deliveries,
            slow_closes: sum.slow_closes + next.slow_closes,
            slow_drops: sum.slow_drops + next.slow_drops,
            slow_conflations: sum.slow_conflations + next.slow_conflations,
            pending_bytes: sum.pending_bytes + next.pending_bytes,
            limits: LimitCounts(std::array::from_fn(|at| sum.limits.0[at] + next.limits.0[at])),
        })
    }
}
