//! The shard's part in tracing: which spans it opens, and the finished ones on their way to the
//! control plane. A message that is not sampled costs one look at its headers.
//!
//! Not a lock and not a channel a span: finished spans wait in a plain list and leave once a
//! second (`clock`), or are dropped and counted.

mod published;
mod received;

pub(super) use published::{OpenSpan, Sent};
pub(super) use received::{Outcome, Received};

use super::ConnectionKey;
use crate::config::Config;
use meridian_core::trace::Sampler;
use meridian_nats::Headers;
use meridian_proto::trace::{SpanId, SpanRecord, TraceContext, TraceId};
use received::Shown;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Finished spans that wait for the second to end.
const FINISHED_MAX: usize = 4_096;

/// Commands that are traced and wait for their answer.
const OPEN_MAX: usize = 4_096;

/// Where finished spans go, a second's at a time.
pub(crate) type SpanBatches = mpsc::Sender<Vec<SpanRecord>>;

/// Owned by the shard.
pub(crate) struct Tracer {
    /// None while spans have nowhere to go: then no span is made at all.
    out: Option<SpanBatches>,
    started: Instant,
    sampler: RefCell<Sampler>,
    slow_ns: u64,
    region: String,
    edge: String,
    /// Whether nats-server's spans are parents, and the name of the server of this connection.
    takes_nats_spans: bool,
    server: RefCell<String>,
    open: RefCell<HashMap<(ConnectionKey, u32), OpenSpan>>,
    /// What clients were shown lately, and may say that they have received.
    shown: RefCell<VecDeque<Shown>>,
    finished: RefCell<Vec<SpanRecord>>,
    dropped: Cell<u64>,
}

impl Tracer {
    pub(crate) fn new(config: &Config, out: Option<SpanBatches>) -> Self {
        let limits = config.tracing.sampler_limits(config.shard_count());
        Self {
            out,
            started: Instant::now(),
            sampler: RefCell::new(Sampler::new(limits, 0)),
            slow_ns: config.tracing.slow_ms.saturating_mul(1_000_000),
            region: config.edge.region.clone(),
            edge: config.edge.id.clone(),
            takes_nats_spans: config.tracing.nats_spans,
            server: RefCell::default(),
            open: RefCell::default(),
            shown: RefCell::default(),
            finished: RefCell::default(),
            dropped: Cell::new(0),
        }
    }

    /// Whether spans go anywhere.
    pub(super) fn is_on(&self) -> bool {
        self.out.is_some()
    }

    /// Whether the clients' budget has room for one more span.
    pub(super) fn affords_client(&self) -> bool {
        self.is_on() && self.sampler.borrow_mut().affords_client(self.now_ms())
    }

    fn affords_always(&self) -> bool {
        self.sampler.borrow_mut().affords_always(self.now_ms())
    }

    /// ms since the tracer was made.
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// A connection to this server stands.
    pub(super) fn set_server(&self, name: &str) {
        name.clone_into(&mut self.server.borrow_mut());
    }

    /// Hands the finished spans over. Called once a second.
    pub(super) fn hand_over(&self) {
        let finished = std::mem::take(&mut *self.finished.borrow_mut());
        let Some(out) = self.out.as_ref().filter(|_| !finished.is_empty()) else { return };
        let count = finished.len() as u64;
        if out.try_send(finished).is_err() {
            self.dropped.set(self.dropped.get() + count);
        }
        let dropped = self.dropped.take();
        if dropped > 0 {
            tracing::warn!(dropped, "spans were dropped before export");
        }
    }

    fn finish(&self, span: SpanRecord) {
        let mut finished = self.finished.borrow_mut();
        if finished.len() < FINISHED_MAX {
            let edge = self.edge.as_str();
            finished.push(span.text("meridian.edge", edge).text("cloud.region", &self.region));
        } else {
            self.dropped.set(self.dropped.get() + 1);
        }
    }
}

/// A sampled trace context of a message. Most messages have no such header, and most headers are
/// not sampled: the last digit says so before anything else is looked at.
pub(super) fn sampled_context(block: Headers<'_>) -> Option<TraceContext> {
    if block.is_empty() {
        return None;
    }
    let value = block.get("traceparent")?;
    let is_odd =
        matches!(value.last(), Some(b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f'));
    let text = is_odd.then(|| std::str::from_utf8(value).ok()).flatten()?;
    TraceContext::parse(text)
}

fn new_span_id() -> SpanId {
    SpanId(fastrand::u64(1..))
}

fn new_trace() -> TraceContext {
    let trace_id = TraceId(fastrand::u128(1..));
    TraceContext { trace_id, span_id: new_span_id(), flags: 1 }
}

/// ns since 1970.
pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
