//! The control plane of an edge: its region's heartbeat, and the watch over the other regions.
//!
//! Not on the message path: it has a NATS connection of its own, by async-nats, and reaches the
//! shards by one snapshot that they look at when it changes.

use crate::config::Config;
use crate::shard::Orders;
use futures_util::StreamExt;
use meridian_core::regions::RegionWatch;
use meridian_nats::streams::{Streams, copy_name};
use meridian_nats::{Control, ControlOptions, ServerUrl, subjects};
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

/// How often the region's copies are looked at, once all are there.
const COPY_LOOK: Duration = Duration::from_secs(5);

/// How often before that: somebody waits.
const COPY_LOOK_FIRST: Duration = Duration::from_millis(500);

/// How long one look may take, in ms.
const COPY_PATIENCE_MS: u64 = 2_000;

/// Runs until the edge ends.
pub(crate) async fn run(config: Arc<Config>, orders: watch::Sender<Orders>) {
    loop {
        let Err(error) = converse(&config, &orders).await;
        warn!(%error, "control connection failed");
        sleep(RETRY).await;
    }
}

async fn converse(
    config: &Config,
    orders: &watch::Sender<Orders>,
) -> Result<std::convert::Infallible, meridian_nats::Error> {
    let servers: Result<Vec<ServerUrl>, _> =
        config.nats.servers.iter().map(|server| server.parse()).collect();
    let control = Control::connect(ControlOptions {
        servers: servers?,
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
    let copies: Vec<String> = config
        .durable_namespaces()
        .iter()
        .map(|namespace| copy_name(namespace, &config.edge.region))
        .collect();
    let looking = watch_copies(&control, copies, orders);
    let mut looking = pin!(looking);
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
            // Cancel-safe.
            _ = check.tick() => if let Some(degraded) = watch.check(now_ms()) {
                info!(?degraded, "regions that are not heard");
                orders.send_modify(|orders| orders.degraded = degraded);
            },
        }
    }
}

/// Looks at the region's copies again and again, and tells the shards their epochs. A copy that
/// cannot be asked keeps the epoch it had: its stream goes on.
async fn watch_copies(control: &Control, copies: Vec<String>, orders: &watch::Sender<Orders>) {
    if copies.is_empty() {
        return std::future::pending().await;
    }
    let streams = Streams::new(control).with_patience_ms(COPY_PATIENCE_MS);
    loop {
        let mut is_complete = true;
        for copy in &copies {
            let known = orders.borrow().epochs.get(copy).cloned();
            match streams.copy_status(copy).await {
                Ok(status) if status.epoch.is_some() && status.epoch != known => {
                    let epoch = status.epoch.unwrap_or_default();
                    info!(copy, epoch, "the region's copy is there");
                    orders.send_modify(|orders| {
                        orders.epochs.insert(copy.clone(), epoch);
                    });
                }
                Ok(_) => {}
                Err(error) => {
                    debug!(copy, %error, "the region's copy does not answer");
                    is_complete &= known.is_some();
                }
            }
        }
        sleep(if is_complete { COPY_LOOK } else { COPY_LOOK_FIRST }).await;
    }
}
