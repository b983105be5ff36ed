//! Spans of what comes from NATS and goes to clients: one a message and shard, however many
//! clients it has; and what clients say of its receipt.

use super::{Tracer, new_span_id, now_ns, sampled_context};
use crate::shard::fanout::Incoming;
use meridian_core::trace::{server_span_id, unix_ns};
use meridian_proto::Origin;
use meridian_proto::trace::{SpanKind, SpanRecord, TraceContext};

/// So many messages back a client may say that it has received one.
const SHOWN_MAX: usize = 1_024;

/// A receipt is told soon, or the page was frozen and its clock says nothing, in ns.
const RECEIPT_NS_MAX: u64 = 60_000_000_000;

/// A traced message on its way through the shard.
#[derive(Debug, Clone)]
pub(in crate::shard) struct Received {
    /// The place that clients are told.
    pub(in crate::shard) context: TraceContext,
    parent: TraceContext,
    subject: String,
    tracestate: Option<String>,
    start_ns: u64,
    name: &'static str,
}

/// What became of a message in the fan-out.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::shard) struct Outcome {
    /// How many clients it was for.
    pub(in crate::shard) clients: usize,
    /// Bytes of all its frames.
    pub(in crate::shard) bytes: usize,
    /// Sockets that did not take all at once, of the whole batch.
    pub(in crate::shard) blocked: usize,
    /// The longest write to one socket of the batch, in ns.
    pub(in crate::shard) slowest_ns: u64,
}

impl Outcome {
    /// A frame for so many clients more.
    pub(in crate::shard) fn add(&mut self, clients: usize, frame_bytes: usize) {
        self.clients += clients;
        self.bytes += clients * frame_bytes;
    }
}

/// A message that clients were shown.
#[derive(Debug)]
pub(super) struct Shown {
    context: TraceContext,
    subject: String,
    at_ns: u64,
}

impl Tracer {
    /// A message has come for clients. Something if it is to leave a span: it is sampled, or it is
    /// late.
    pub(in crate::shard) fn received(&self, message: &Incoming<'_>) -> Option<Received> {
        if !self.is_on() {
            return None;
        }
        let context = sampled_context(message.headers);
        let is_live = message.origin == Origin::Live;
        // Only durable messages say when they were stored.
        let stored_ns = message
            .sequence
            .filter(|_| is_live)
            .and_then(|_| unix_ns(message.headers.get("Nats-Time-Stamp")?));
        if context.is_none() && stored_ns.is_none() {
            return None;
        }
        let start_ns = now_ns();
        let is_late = stored_ns.is_some_and(|at_ns| start_ns > at_ns + self.slow_ns);
        let context = match context {
            Some(context) => context,
            None if is_late && self.affords_always() => super::new_trace(),
            None => return None,
        };
        let parent = match stored_ns {
            Some(stored_ns) => self.copied(context, message, (stored_ns, start_ns)),
            None if is_live => self.parent(context, message),
            None => context,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Received {
            context: parent.with_span(new_span_id()).sampled(),
            parent,
            subject: text(message.subject),
            tracestate: message.headers.get("tracestate").map(text),
            start_ns,
            name: if is_live { "fan-out" } else { "replay" },
        })
    }

    /// The span of the server that handed the message over, where servers make spans.
    fn parent(&self, context: TraceContext, message: &Incoming<'_>) -> TraceContext {
        if !self.takes_nats_spans {
            return context;
        }
        let hop = message.headers.get("Nats-Trace-Hop").unwrap_or_default();
        let hop = std::str::from_utf8(hop).unwrap_or_default();
        context.with_span(server_span_id(context, &self.server.borrow(), hop))
    }

    /// The way of a durable message from its home's store to this shard: nats-server tells nothing
    /// of it, but both ends have times.
    fn copied(
        &self,
        context: TraceContext,
        message: &Incoming<'_>,
        times: (u64, u64),
    ) -> TraceContext {
        let id = new_span_id();
        let span = SpanRecord::below(context, id, "mirror", SpanKind::Internal, times)
            .about(String::from_utf8_lossy(message.subject))
            .number("meridian.sequence", message.sequence.unwrap_or_default());
        self.finish(span);
        context.with_span(id)
    }

    /// A message has gone out.
    pub(in crate::shard) fn delivered(&self, received: Received, outcome: Outcome) {
        let Received { context, parent, subject, tracestate, start_ns, name } = received;
        let end_ns = now_ns();
        let kind = SpanKind::Consumer;
        let span = SpanRecord::below(parent, context.span_id, name, kind, (start_ns, end_ns))
            .about(&subject)
            .text("messaging.operation.type", "process")
            .number("meridian.clients", outcome.clients)
            .number("meridian.bytes", outcome.bytes)
            .number("meridian.blocked", outcome.blocked)
            .number("meridian.slowest_write_ns", outcome.slowest_ns);
        self.finish(SpanRecord { tracestate, ..span });
        let mut shown = self.shown.borrow_mut();
        if shown.len() == SHOWN_MAX {
            shown.pop_front();
        }
        // The client may have it while the others are still written to.
        shown.push_back(Shown { context, subject, at_ns: start_ns });
    }

    /// A batch took longer than it should, though none of its messages is sampled.
    pub(in crate::shard) fn slow_batch(&self, subject: &[u8], took_ns: u64) {
        if took_ns < self.slow_ns || !self.affords_always() {
            return;
        }
        let (context, end_ns) = (super::new_trace(), now_ns());
        let times = (end_ns.saturating_sub(took_ns), end_ns);
        let (name, kind) = ("slow fan-out", SpanKind::Consumer);
        let span = SpanRecord::below(context, context.span_id, name, kind, times);
        let span = span.about(String::from_utf8_lossy(subject));
        self.finish(SpanRecord { parent: None, ..span });
    }

    /// A client says that it has received a message, when by its own clock, and how long its
    /// handler took. Believed as far as it was shown that message here lately, and within the
    /// clients' budget.
    pub(in crate::shard) fn receipt(&self, context: TraceContext, at_ns: u64, took_ns: u64) {
        let now_ns = now_ns();
        let shown = self.shown.borrow();
        let found = shown.iter().rev().find(|shown| {
            (shown.context.trace_id, shown.context.span_id) == (context.trace_id, context.span_id)
        });
        let Some(Shown { context, subject, at_ns: shown_ns }) = found else { return };
        if now_ns.saturating_sub(*shown_ns) > RECEIPT_NS_MAX {
            return;
        }
        let start_ns = at_ns.clamp(*shown_ns, now_ns);
        let times = (start_ns, start_ns.saturating_add(took_ns).min(now_ns));
        let span = SpanRecord::below(*context, new_span_id(), "receipt", SpanKind::Consumer, times)
            .about(subject)
            .text("messaging.operation.type", "receive");
        self.finish(span);
    }
}
