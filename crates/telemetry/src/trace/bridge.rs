//! From `tracing` to OpenTelemetry, by `tracing-opentelemetry` and nothing else: what the process
//! does once a client or once a life, not once a message, is a `tracing` span of [`TARGET`].
//!
//! The subscriber is there before the configuration's exporter is; so its tracer finds the
//! exporter when a span begins, and makes none before.

use super::data::scope;
use super::export::Exporter;
use meridian_proto::trace::TraceContext;
use opentelemetry::Context;
use opentelemetry::trace::{SpanBuilder, SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::trace::{Tracer, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use std::sync::OnceLock;
use std::time::Duration;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// Spans of this target are exported.
pub const TARGET: &str = "meridian::trace";

/// Set by the first edge of the process that exports.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Begins to hand spans of [`TARGET`] to an exporter. The first one of a process stays: a
/// subscriber is the process's too.
pub fn connect(exporter: &Exporter) {
    TRACER.get_or_init(|| {
        let provider = SdkTracerProvider::builder()
            // Whoever makes the span has decided; see `meridian_core::trace::Sampler`.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            .with_span_processor(HandOver(exporter.clone()))
            .build();
        provider.tracer_with_scope(scope())
    });
}

/// Makes a span of [`TARGET`] a child of a client's.
pub fn set_parent(span: &tracing::Span, parent: TraceContext) {
    let flags = TraceFlags::new(parent.flags);
    let (trace_id, span_id) = (parent.trace_id.0.into(), parent.span_id.0.into());
    let parent = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    // Fails where no subscriber of ours listens: then there is no span either.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// The part of the subscriber that sees spans of [`TARGET`].
pub(crate) fn layer<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let targets = Targets::new().with_target(TARGET, tracing::Level::INFO);
    tracing_opentelemetry::layer().with_tracer(LateTracer).with_filter(targets)
}

/// Finds the tracer when a span begins.
struct LateTracer;

impl Tracer for LateTracer {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> Span {
        static NOBODY: OnceLock<SdkTracer> = OnceLock::new();
        let nobody = || SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
        let tracer = TRACER.get();
        let tracer = tracer.unwrap_or_else(|| NOBODY.get_or_init(|| nobody().tracer("nobody")));
        tracer.build_with_context(builder, parent)
    }
}

/// Hands finished spans to the exporter's queue, which they share with all others.
#[derive(Debug)]
struct HandOver(Exporter);

impl SpanProcessor for HandOver {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
