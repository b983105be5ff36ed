//! The control plane of an edge: its region's heartbeat, and the watch over the other regions and
//! over the region's copies (`copies`).
//!
//! Not on the message path: it has a NATS connection of its own, by async-nats, and reaches the
//! shards by one snapshot that they look at when it changes.

use crate::config::AuthMode;
use crate::config::Config;
use crate::copies::{CopiesReport, Watching};
use crate::moving::Operators;
use crate::revocations::RevocationWatch;
use crate::shard::{Orders, Report};
use futures_util::StreamExt;
use meridian_core::regions::RegionWatch;
use meridian_nats::streams::copy_name;
use meridian_nats::{Control, ControlEvents, ControlOptions, subjects};
use meridian_telemetry::metrics::instruments::{
    CONTROL_CONNECTED, CONTROL_DROPPED, CONTROL_RECONNECTS,
};
use meridian_telemetry::metrics::{Published, Slots};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

/// A region is heard each second (RELIABILITY D2): one lost heartbeat alarms nobody.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often silence is looked for.
const CHECK: Duration = Duration::from_millis(250);

/// How long to wait before the control connection is made anew after it failed for good.
const RETRY: Duration = Duration::from_secs(2);

/// Runs until the edge ends.
pub(crate) async fn run(
    config: Arc<Config>,
    orders: watch::Sender<Orders>,
    report: watch::Sender<CopiesReport>,
    shards: Vec<Arc<Report>>,
    metrics: Arc<Published>,
) {
    loop {
        let Err(error) = converse(&config, &orders, &report, &shards, &metrics).await;
        metrics.set(&CONTROL_CONNECTED, (), 0);
        warn!(%error, "control connection failed");
        sleep(RETRY).await;
    }
}

async fn converse(
    config: &Config,
    orders: &watch::Sender<Orders>,
    report: &watch::Sender<CopiesReport>,
    shards: &[Arc<Report>],
    metrics: &Published,
) -> Result<std::convert::Infallible, meridian_nats::Error> {
    let control = Control::connect(ControlOptions {
        servers: config.nats_servers()?,
        name: format!("meridian edge {} control", config.edge.id),
        edge_id: config.edge.id.clone(),
    })
    .await?;
    let mut heartbeats = pin!(control.subscribe(subjects::HEARTBEATS).await?);
    let own = subjects::heartbeat(&config.edge.region);
    let started = Instant::now();
    let now_ms = || started.elapsed().as_millis() as u64;
    let regions = config.mesh.regions.iter().cloned();
    let mut watch = RegionWatch::new(regions, config.mesh.silence_ms, now_ms());
    let (namespaces, region) = (config.durable_namespaces(), &config.edge.region);
    let looking = Watching::new(&control, &namespaces, region, orders, report).run();
    let mut looking = pin!(looking);
    let mut told = ControlEvents::default();
    let mut operators = Operators::listen(&control, config, orders, shards).await?;
    let mut answering = pin!(operators.run());
    let mut revoking = pin!(revocations(config, &control, orders));
    let (mut beat, mut check) = (interval(HEARTBEAT), interval(CHECK));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            // What was heard counts before silence is looked for. Cancel-safe.
            heard = heartbeats.next() => match heard {
                Some((subject, _)) => {
                    if let Some(region) = subjects::heartbeat_region(&subject) {
                        watch.hear(region, now_ms());
                    }
                }
                None => return Err(meridian_nats::Error::Closed),
            },
            // Others wait for ours. Cancel-safe.
            _ = beat.tick() => {
                if let Err(error) = control.publish(&own, config.edge.id.clone()).await {
                    debug!(%error, "heartbeat not sent");
                }
            }
            // Never ends; it is polled here so that it ends with the conversation.
            () = &mut looking => {}
            // Ends with the connection, as the heartbeats do.
            () = &mut answering => return Err(meridian_nats::Error::Closed),
            // Ends with the connection.
            () = &mut revoking => return Err(meridian_nats::Error::Closed),
            // Cancel-safe.
            _ = check.tick() => {
                measure(metrics, &control, &mut told);
                if let Some(degraded) = watch.check(now_ms()) {
                info!(?degraded, "regions that are not heard");
                orders.send_modify(|orders| orders.mesh.degraded = degraded);
            }},
        }
    }
}

/// Takes over what happened on the control connection since the last look.
fn measure(metrics: &Published, control: &Control, told: &mut ControlEvents) {
    let now = control.events();
    metrics.set(&CONTROL_CONNECTED, (), u64::from(control.is_connected()));
    // The first connection of a process is not one again.
    let (before, after) = (told.connected.saturating_sub(1), now.connected.saturating_sub(1));
    metrics.add(&CONTROL_RECONNECTS, (), after - before);
    metrics.add(&CONTROL_DROPPED, (), now.dropped - told.dropped);
    *told = now;
}

/// Follows revocations, where there are tokens to revoke.
async fn revocations(config: &Config, control: &Control, orders: &watch::Sender<Orders>) {
    if config.auth.mode == AuthMode::Dev {
        return std::future::pending().await;
    }
    let kept = config.revocations();
    let stream = kept.map(|kept| copy_name(&kept, &config.edge.region));
    RevocationWatch::new(control, stream, orders).run().await;
}
