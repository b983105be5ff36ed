//! The way out: a bounded queue that drops and counts, and one task that sends batches by OTLP.
//!
//! Not the SDK's own batch processor: it counts its drops for nobody, and its thread cannot drive
//! exporters that need this runtime. What this one sends with is the SDK's exporter.

use super::data::{scope, span_data};
use meridian_proto::trace::SpanRecord;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

/// Spans of one request: OTLP receivers take 4 MiB by default, and a span is well under 2 KiB.
const BATCH_SPANS_MAX: usize = 512;

/// How long a span may wait for others.
const LINGER: Duration = Duration::from_millis(500);

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// Protobuf in HTTP requests to `/v1/traces`.
    Http,
}

/// Where spans go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `http://host:port`.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Spans that may wait; beyond it they are dropped and counted.
    pub queue_spans_max: usize,
    /// How long a request may take, in ms. Its spans are dropped then.
    pub timeout_ms: u64,
}

/// Who sends (OpenTelemetry's resource).
#[derive(Debug, Clone)]
pub struct Origin {
    /// `service.instance.id`: the edge.
    pub instance: String,
    /// `cloud.region`.
    pub region: String,
    /// `service.version`.
    pub version: String,
}

/// The exporter cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("otlp.endpoint {endpoint:?} cannot be used: {reason}")]
pub struct ExportError {
    endpoint: String,
    reason: String,
}

/// What became of spans, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExporterCounts {
    /// The receiver has them.
    pub sent: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Dropped because the receiver could not be reached or refused them.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// A handle on the queue; clones share it. The task ends with the last one.
#[derive(Debug, Clone)]
pub struct Exporter {
    queue: mpsc::Sender<Queued>,
    counters: Arc<Counters>,
}

/// What stands in the queue.
#[derive(Debug)]
enum Queued {
    Span(Box<SpanData>),
    /// Send what came before, and say so.
    Flush(oneshot::Sender<()>),
}

impl Exporter {
    /// Starts the task. Must be called within a tokio runtime. An unreachable receiver is no
    /// error: it may come later.
    ///
    /// # Errors
    /// [`ExportError`] when the endpoint is no address.
    pub fn start(settings: &Settings, origin: &Origin) -> Result<Self, ExportError> {
        let failed = |reason: String| ExportError { endpoint: settings.endpoint.clone(), reason };
        let mut exporter = build(settings).map_err(|error| failed(error.to_string()))?;
        exporter.set_resource(&resource(origin));
        let (queue, queued) = mpsc::channel(settings.queue_spans_max.max(1));
        let counters = Arc::new(Counters::default());
        let patience = Duration::from_millis(settings.timeout_ms);
        let sending = Sending { exporter, patience, counters: Arc::clone(&counters) };
        tokio::spawn(sending.run(queued));
        info!(endpoint = settings.endpoint, protocol = ?settings.protocol, "spans go to OTLP");
        Ok(Self { queue, counters })
    }

    /// Waits until everything that was queued before has been sent, or given up.
    pub async fn flush(&self) {
        let (flushed, done) = oneshot::channel();
        if self.queue.send(Queued::Flush(flushed)).await.is_ok() {
            // The task may have ended: then nothing waits any more.
            let _ = done.await;
        }
    }

    /// Queues a span, or drops and counts it. Never waits.
    pub fn offer(&self, span: SpanRecord) {
        // The scope is the same for all; making it costs a few allocations of a sampled span.
        self.push(span_data(span, &scope()));
    }

    pub(super) fn push(&self, span: SpanData) {
        if self.queue.try_send(Queued::Span(Box::new(span))).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What became of spans so far.
    #[must_use]
    pub fn counts(&self) -> ExporterCounts {
        ExporterCounts {
            sent: self.counters.sent.load(Ordering::Relaxed),
            dropped: self.counters.dropped.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
        }
    }
}

fn build(settings: &Settings) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    let endpoint = settings.endpoint.trim_end_matches('/');
    let patience = Duration::from_millis(settings.timeout_ms);
    // Said in full, so that no variable of the environment decides instead of the configuration.
    match settings.protocol {
        Protocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_protocol(opentelemetry_otlp::Protocol::Grpc)
            .with_endpoint(endpoint)
            .with_timeout(patience)
            .build(),
        Protocol::Http => SpanExporter::builder()
            .with_http()
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(patience)
            .build(),
    }
}

fn resource(origin: &Origin) -> Resource {
    let attributes = [
        KeyValue::new("service.name", "meridian-edge"),
        KeyValue::new("service.instance.id", origin.instance.clone()),
        KeyValue::new("service.version", origin.version.clone()),
        KeyValue::new("cloud.region", origin.region.clone()),
    ];
    Resource::builder_empty().with_attributes(attributes).build()
}

/// Owned by the task.
struct Sending {
    exporter: SpanExporter,
    patience: Duration,
    counters: Arc<Counters>,
}

impl Sending {
    async fn run(self, mut queued: mpsc::Receiver<Queued>) {
        let mut is_well = true;
        while let Some(first) = queued.recv().await {
            let (batch, flushed) = gather(first, &mut queued).await;
            if !batch.is_empty() {
                is_well = self.send(batch, is_well).await;
            }
            if let Some(flushed) = flushed {
                // Whoever waited may have given up.
                let _ = flushed.send(());
            }
        }
        debug!("span export ended");
    }

    /// Sends a batch; whether the receiver took it. What changes is said: a receiver that is away
    /// must not fill the log.
    async fn send(&self, batch: Vec<SpanData>, was_well: bool) -> bool {
        let count = batch.len() as u64;
        let result = timeout(self.patience, self.exporter.export(batch)).await;
        let counter = match &result {
            Ok(Ok(())) => &self.counters.sent,
            Ok(Err(_)) | Err(_) => &self.counters.failed,
        };
        counter.fetch_add(count, Ordering::Relaxed);
        match (&result, was_well) {
            (Ok(Ok(())), false) => info!("the OTLP receiver takes spans again"),
            (Ok(Err(error)), true) => warn!(%error, "the OTLP receiver takes no spans"),
            (Err(_), true) => warn!("the OTLP receiver does not answer"),
            _ => {}
        }
        matches!(result, Ok(Ok(())))
    }
}

/// The first and what comes within the linger, up to a full batch or a flush.
async fn gather(
    first: Queued,
    queued: &mut mpsc::Receiver<Queued>,
) -> (Vec<SpanData>, Option<oneshot::Sender<()>>) {
    let (mut batch, mut flushed) = (Vec::new(), None);
    let mut next = Some(first);
    let until = Instant::now() + LINGER;
    while let Some(queued_one) = next {
        match queued_one {
            Queued::Span(span) => batch.push(*span),
            Queued::Flush(sender) => {
                flushed = Some(sender);
                break;
            }
        }
        if batch.len() == BATCH_SPANS_MAX {
            break;
        }
        // Cancel-safe: a span that was not received stays queued.
        next = timeout_at(until, queued.recv()).await.ok().flatten();
    }
    (batch, flushed)
}
