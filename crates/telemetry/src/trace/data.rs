//! A span as the SDK's exporters take it.

use meridian_proto::trace::{SpanKind, SpanRecord, SpanValue};
use opentelemetry::trace::{self as otel, SpanContext, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// What made the spans (OpenTelemetry's instrumentation scope).
const SCOPE: &str = "meridian";

/// The scope of all spans.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build()
}

/// A record as the SDK has it. A `tracestate` that the SDK cannot read is left out.
pub(super) fn span_data(record: SpanRecord, scope: &InstrumentationScope) -> SpanData {
    let state = record.tracestate.as_deref().and_then(|state| TraceState::from_str(state).ok());
    let parent = record.parent.map_or(otel::SpanId::INVALID, |id| id.0.into());
    SpanData {
        span_context: SpanContext::new(
            record.trace_id.0.into(),
            record.span_id.0.into(),
            TraceFlags::SAMPLED,
            false,
            state.unwrap_or_default(),
        ),
        parent_span_id: parent,
        parent_span_is_remote: record.parent.is_some(),
        span_kind: kind(record.kind),
        name: record.name.into(),
        start_time: time(record.start_ns),
        end_time: time(record.end_ns),
        attributes: record
            .attributes
            .into_iter()
            .map(|(name, value)| KeyValue::new(name, self::value(value)))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: record.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
}

fn kind(kind: SpanKind) -> otel::SpanKind {
    match kind {
        SpanKind::Internal => otel::SpanKind::Internal,
        SpanKind::Server => otel::SpanKind::Server,
        SpanKind::Client => otel::SpanKind::Client,
        SpanKind::Producer => otel::SpanKind::Producer,
        SpanKind::Consumer => otel::SpanKind::Consumer,
    }
}

fn value(value: SpanValue) -> Value {
    match value {
        SpanValue::Number(number) => Value::I64(number),
        SpanValue::Text(text) => Value::String(text.into()),
    }
}

fn time(unix_ns: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_ns)
}
