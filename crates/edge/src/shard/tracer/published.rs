//! Spans of what clients send: a publish until it is acknowledged, a request until it is answered.

use super::{OPEN_MAX, Tracer, new_span_id, new_trace, now_ns};
use crate::shard::ConnectionKey;
use meridian_core::session::Outbound;
use meridian_core::trace::{Head, Sender};
use meridian_proto::ErrorCode;
use meridian_proto::item::Failure;
use meridian_proto::trace::{SpanId, SpanKind, SpanRecord, TraceContext};

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum Sent {
    /// A publish.
    Publish,
    /// A request.
    Request,
}

/// A span whose end is to come.
#[derive(Debug)]
pub(in crate::shard) struct OpenSpan {
    /// Its own place.
    context: TraceContext,
    parent: Option<SpanId>,
    sent: Sent,
    subject: String,
    start_ns: u64,
}

impl Tracer {
    /// Decides whether a client's message is sampled, and writes what it says of its trace into
    /// it. Returns the span if one is made.
    pub(in crate::shard) fn begin(
        &self,
        message: &mut Outbound,
        sent: Sent,
        sender: Sender,
    ) -> Option<OpenSpan> {
        if !self.is_on() && message.trace.is_none() {
            return None;
        }
        let (mut sampler, chance) = (self.sampler.borrow_mut(), fastrand::u64(..));
        let head = sampler.head(message.trace, sender, chance, self.now_ms());
        let (context, parent) = match head {
            Head::Unsampled(trace) => {
                message.trace = trace;
                return None;
            }
            // Nobody here makes spans; somebody on the way may, below the client's.
            Head::Child(_) | Head::Root if !self.is_on() => return None,
            Head::Child(parent) => (parent.with_span(new_span_id()), Some(parent.span_id)),
            Head::Root => (new_trace(), None),
        };
        message.trace = Some(context);
        let subject = message.subject.as_str().to_owned();
        Some(OpenSpan { context, parent, sent, subject, start_ns: now_ns() })
    }

    /// Keeps a span, if there is one, until its command is answered.
    pub(in crate::shard) fn keep(
        &self,
        member: ConnectionKey,
        command: u32,
        span: Option<OpenSpan>,
    ) {
        let Some(span) = span else { return };
        let mut open = self.open.borrow_mut();
        if open.len() < OPEN_MAX {
            open.insert((member, command), span);
        } else {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    /// A command was answered well.
    pub(in crate::shard) fn answered(&self, member: ConnectionKey, command: u32) {
        let span = self.open.borrow_mut().remove(&(member, command));
        self.end(span, None);
    }

    /// A command failed. What is the mesh's fault leaves a span in any case.
    pub(in crate::shard) fn failed(&self, member: ConnectionKey, command: u32, failure: &Failure) {
        let span = self.open.borrow_mut().remove(&(member, command));
        if span.is_some() {
            return self.end(span, Some(failure));
        }
        let is_ours = self.is_on() && is_fault_of_the_mesh(failure.code);
        if !is_ours || !self.affords_always() {
            return;
        }
        let (context, at_ns) = (new_trace(), now_ns());
        let name = "failed command";
        let span =
            SpanRecord::below(context, context.span_id, name, SpanKind::Server, (at_ns, at_ns));
        self.finish(with_failure(SpanRecord { parent: None, ..span }, failure));
    }

    /// Ends a span, if there is one, that nothing is awaited for, or whose answer is there.
    pub(in crate::shard) fn end(&self, span: Option<OpenSpan>, failure: Option<&Failure>) {
        let Some(OpenSpan { context, parent, sent, subject, start_ns }) = span else { return };
        let (name, kind, operation) = match sent {
            Sent::Publish => ("edge publish", SpanKind::Producer, "send"),
            Sent::Request => ("edge request", SpanKind::Client, "send"),
        };
        let span = SpanRecord::below(context, context.span_id, name, kind, (start_ns, now_ns()))
            .about(subject)
            .text("messaging.operation.type", operation);
        let span = SpanRecord { parent, ..span };
        self.finish(match failure {
            Some(failure) => with_failure(span, failure),
            None => span,
        });
    }
}

fn with_failure(span: SpanRecord, failure: &Failure) -> SpanRecord {
    let span = span.number("meridian.error_code", failure.code as u16);
    SpanRecord { error: Some(failure.msg.clone()), ..span }
}

/// Whether a client could have done nothing about it.
fn is_fault_of_the_mesh(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RegionUnreachable
            | ErrorCode::UpstreamTimeout
            | ErrorCode::AckUnknown
            | ErrorCode::StreamUnavailable
            | ErrorCode::NoResponders
    )
}
