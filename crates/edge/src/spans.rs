//! The edge's spans on their way out: from the shards and from nats-server's trace events to the
//! OTLP exporter and to whoever watches live. On the main thread, never on the message path.
//!
//! It has a NATS connection of its own: trace events come in bursts, and must not wait behind
//! heartbeats nor hold them up. Without it, spans of the shards still go to OTLP.

use crate::config::Config;
use crate::shard::SpanBatches;
use futures_util::StreamExt;
use meridian_core::trace::{Hops, ServerEvent};
use meridian_nats::{Control, ControlOptions, subjects};
use meridian_proto::trace::SpanRecord;
use meridian_telemetry::trace::{Exporter, bridge};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, warn};

/// Batches that wait here, one a shard and second.
const BATCHES_MAX: usize = 256;

/// How often ends of ways that nobody joined are looked for.
const CHECK: Duration = Duration::from_secs(1);

/// How long to wait before the connection is made anew after it failed for good.
const RETRY: Duration = Duration::from_secs(2);

/// How long the end of the edge waits for the last spans to leave.
const FINISH: Duration = Duration::from_secs(2);

/// The end that the shards do not hold.
pub(crate) struct Spans {
    batches: mpsc::Receiver<Vec<SpanRecord>>,
}

/// What shards send spans by; none if spans go nowhere.
pub(crate) fn channel(config: &Config) -> Option<(SpanBatches, Spans)> {
    config.tracing.is_on().then(|| {
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        (sender, Spans { batches })
    })
}

/// Runs until every shard has ended and what they left is on its way.
pub(crate) async fn run(config: Arc<Config>, mut spans: Spans) {
    let exporter = config.tracing.settings().map(|to| Exporter::start(&to, &config.origin()));
    let exporter = exporter.transpose().unwrap_or_else(|error| {
        warn!(%error, "spans are not exported");
        None
    });
    if let Some(exporter) = &exporter {
        bridge::connect(exporter);
    }
    let mut outlet = Outlet { exporter, live: config.tracing.live_subject.clone(), control: None };
    let needs_nats = config.tracing.nats_spans || !config.tracing.live_subject.is_empty();
    if needs_nats {
        while let Err(error) = converse(&config, &mut spans, &mut outlet).await {
            warn!(%error, "tracing's connection failed");
            outlet.control = None;
            sleep(RETRY).await;
        }
    }
    while let Some(batch) = spans.batches.recv().await {
        outlet.take(batch).await;
    }
    outlet.close().await;
}

/// Waits for the task's end, for a little while.
pub(crate) async fn finish(mut task: JoinHandle<()>) {
    if timeout(FINISH, &mut task).await.is_err() {
        task.abort();
    }
}

/// Serves until the shards are gone.
async fn converse(
    config: &Config,
    spans: &mut Spans,
    outlet: &mut Outlet,
) -> Result<(), meridian_nats::Error> {
    let control = Control::connect(ControlOptions {
        servers: config.nats_servers()?,
        name: format!("meridian edge {} tracing", config.edge.id),
        edge_id: config.edge.id.clone(),
    })
    .await?;
    outlet.control = Some(control.clone());
    let region = &config.edge.region;
    let events = match config.tracing.nats_spans {
        true => {
            let all = control.subscribe(subjects::TRACE_EVENTS).await?;
            let own = subjects::trace_events(region);
            // One edge a region makes the spans of its servers' events; all hear the others'.
            let taken = control.subscribe_in_turn(&own, "spans").await?;
            let all = all.map(|(_, event)| (Heard::Anywhere, event));
            futures_util::stream::select(all, taken.map(|(_, event)| (Heard::Ours, event))).boxed()
        }
        false => futures_util::stream::pending().boxed(),
    };
    let mut events = events;
    let (mut hops, started) = (Hops::default(), Instant::now());
    let now_ms = || started.elapsed().as_millis() as u64;
    let mut check = interval(CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let made = tokio::select! {
            biased;
            // Few and large, and their end is the edge's end. Cancel-safe.
            batch = spans.batches.recv() => match batch {
                Some(batch) => batch,
                None => return Ok(()),
            },
            // Cancel-safe.
            event = events.next() => match event {
                Some((heard, json)) => on_event(&mut hops, heard, &json, now_ms()),
                None => return Err(meridian_nats::Error::Closed),
            },
            // Cancel-safe.
            _ = check.tick() => hops.expire(now_ms()),
        };
        outlet.take(made).await;
    }
}

/// By which subscription an event came.
enum Heard {
    Anywhere,
    Ours,
}

fn on_event(hops: &mut Hops, heard: Heard, json: &[u8], now_ms: u64) -> Vec<SpanRecord> {
    match (ServerEvent::parse(json), heard) {
        (Ok(event), Heard::Anywhere) => hops.hear(&event, now_ms),
        (Ok(event), Heard::Ours) => hops.take(&event, now_ms),
        (Err(error), _) => {
            debug!(%error, "a trace event that cannot be used");
            Vec::new()
        }
    }
}

/// Where spans go.
struct Outlet {
    exporter: Option<Exporter>,
    /// The subject for whoever watches; empty if nobody may.
    live: String,
    control: Option<Control>,
}

impl Outlet {
    async fn take(&self, spans: Vec<SpanRecord>) {
        for span in spans {
            if let (Some(control), false) = (&self.control, self.live.is_empty()) {
                let subject = format!("{}.{}", self.live, span.trace_id);
                let json = serde_json::to_vec(&span).expect("a span is plain JSON");
                if let Err(error) = control.publish(&subject, json).await {
                    debug!(%error, "span not shown live");
                }
            }
            if let Some(exporter) = &self.exporter {
                exporter.offer(span);
            }
        }
    }

    /// Lets the last spans out, within the time that `finish` gives.
    async fn close(self) {
        if let Some(exporter) = &self.exporter {
            exporter.flush().await;
            debug!(counts = ?exporter.counts(), "spans");
        }
        if let Some(control) = self.control {
            control.drain().await;
        }
    }
}
