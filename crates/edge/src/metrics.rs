//! The edge's metrics: the control plane's own numbers, and one snapshot of everything for whoever
//! asks, be it `/metrics` or OTLP. What shards measure stands in `shard/meters.rs`.

use crate::config::Config;
use crate::copies::CopiesReport;
use crate::process;
use crate::shard::{Orders, Report};
use meridian_core::utilization::{Load, Shares};
use meridian_telemetry::metrics::labels::{Budget, Build, Export, Namespace, Peer, Region};
use meridian_telemetry::metrics::otlp::{Exporter, Resource};
use meridian_telemetry::metrics::{Names, Published, Slots, Snapshot, Source, instruments as is};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

/// How often the load is looked at: as often as shards publish.
const LOOK: Duration = Duration::from_secs(1);

/// Looks that the load is averaged over: an autoscaler must not follow a burst.
const WINDOW: usize = 10;

/// What is not known.
const UNKNOWN: u64 = u64::MAX;

/// Reads everything. Clones see the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    source: Source,
    reports: Vec<Arc<Report>>,
    orders: watch::Receiver<Orders>,
    copies: watch::Receiver<CopiesReport>,
}

impl Metrics {
    pub(crate) fn new(
        config: &Config,
        reports: Vec<Arc<Report>>,
        orders: watch::Receiver<Orders>,
        copies: watch::Receiver<CopiesReport>,
    ) -> Self {
        let durable = config.durable_namespaces();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let names = Names {
            regions: config.mesh.regions.iter().take(Region::MAX).cloned().collect(),
            namespaces: durable.into_iter().map(|one| one.name).take(Namespace::MAX).collect(),
            build: [version, config.edge.id.clone(), config.edge.region.clone()],
        };
        let shards = reports.iter().map(|report| Arc::clone(&report.metrics)).collect();
        let source = Source { shards, control: Arc::default(), names: Arc::new(names) };
        source.control.set(&is::BUILD_INFO, Build, 1);
        Self { source, reports, orders, copies }
    }

    /// Where the control plane counts.
    pub(crate) fn control(&self) -> Arc<Published> {
        Arc::clone(&self.source.control)
    }

    /// Everything, as it stands.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.look();
        self.source.snapshot()
    }

    /// What can be looked up rather than counted.
    fn look(&self) {
        let (control, names) = (&self.source.control, &self.source.names);
        let orders = self.orders.borrow();
        control.set(&is::DRAINING, (), u64::from(orders.drain.is_some()));
        for (place, region) in names.regions.iter().enumerate() {
            let is_silent = orders.mesh.degraded.contains(region);
            control.set(&is::REGION_SILENT, (Peer::at(Some(place)),), u64::from(is_silent));
        }
        control.set(&is::REGION_SILENT, (Peer::at(None),), UNKNOWN);
        drop(orders);
        let copies = self.copies.borrow();
        let leader = copies.meta_leader.map_or(UNKNOWN, u64::from);
        control.set(&is::META_LEADER, (), leader);
        for (place, name) in names.namespaces.iter().enumerate() {
            let Some(namespace) = Namespace::at(place) else { continue };
            let seen = copies.namespaces.iter().find(|copy| copy.namespace == *name);
            let number = |what: Option<u64>| what.unwrap_or(UNKNOWN);
            let heard_us = seen.and_then(|copy| copy.active_ms).map(|ms| ms * 1_000);
            control.set(&is::MIRROR_LAG, (namespace,), number(seen.and_then(|copy| copy.lag)));
            control.set(&is::MIRROR_HEARD, (namespace,), number(heard_us));
            let stale = seen.map(|copy| u64::from(copy.stale.is_some()));
            control.set(&is::COPY_STALE, (namespace,), number(stale));
            let readonly = seen.map(|copy| u64::from(copy.readonly));
            control.set(&is::READONLY, (namespace,), number(readonly));
        }
        drop(copies);
        control.set(&is::RESIDENT, (), process::resident_bytes().unwrap_or(UNKNOWN));
        control.set(&is::DESCRIPTORS, (), process::open_descriptors().unwrap_or(UNKNOWN));
        if let Some(used_us) = process::cpu_us() {
            control.keep(&is::CPU, (), used_us);
        }
    }

    /// Measures the load against the capacity, until the edge ends.
    pub(crate) async fn watch_load(self, config: Arc<Config>) {
        let capacity = config.metrics.capacity(config.limits.connections_max);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen: VecDeque<Seen> = VecDeque::new();
        loop {
            looks.tick().await;
            seen.push_back(self.see());
            if seen.len() > WINDOW {
                seen.pop_front();
            }
            let shares = Shares::of(self.load(&seen), capacity);
            let control = &self.source.control;
            for (budget, share) in [
                (Budget::Connections, shares.connections),
                (Budget::Egress, shares.egress),
                (Budget::Memory, shares.memory),
                (Budget::Lag, shares.lag),
            ] {
                control.set(&is::BUDGETS, (budget,), share);
            }
            control.set(&is::UTILIZATION, (), shares.worst());
        }
    }

    fn see(&self) -> Seen {
        let shards = &self.source.shards;
        let sent = shards.iter().map(|shard| shard.count(&is::CLIENT_BYTES_OUT, ())).sum();
        let lags_us = shards.iter().map(|shard| shard.value(&is::LAG_WORST, ())).collect();
        Seen { at: Instant::now(), sent_bytes: sent, lags_us }
    }

    fn load(&self, seen: &VecDeque<Seen>) -> Load {
        let connections: usize =
            self.reports.iter().map(|report| report.numbers().connections).sum();
        let (Some(first), Some(last)) = (seen.front(), seen.back()) else {
            return Load::default();
        };
        let elapsed_ms = last.at.duration_since(first.at).as_millis() as u64;
        let sent = last.sent_bytes.saturating_sub(first.sent_bytes);
        // Each shard's average: one that is always late must not hide behind the others.
        let lag = |shard: usize| {
            let all: u64 = seen.iter().filter_map(|seen| seen.lags_us.get(shard)).sum();
            all / seen.len().max(1) as u64
        };
        Load {
            connections: connections as u64,
            egress_bytes_per_s: (sent * 1_000).checked_div(elapsed_ms).unwrap_or(0),
            memory_bytes: process::resident_bytes().unwrap_or(0),
            lag_us: (0..last.lags_us.len()).map(lag).max().unwrap_or(0),
        }
    }

    /// Sends everything by OTLP again and again, if there is somewhere to send it to. One export is
    /// under way at a time, and what could not be sent is not kept: the next one says it all.
    pub(crate) async fn export(self, config: Arc<Config>) {
        // Checked with the configuration.
        let Ok(Some(endpoint)) = config.metrics.endpoint() else { return };
        let resource = Resource::new(&config.edge.id, &config.edge.region);
        let mut exporter = Exporter::new(endpoint, resource);
        let mut due = interval(Duration::from_secs(config.metrics.otlp_interval_s));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_well = true;
        loop {
            due.tick().await;
            let sent = exporter.export(&self.snapshot()).await;
            let outcome = if sent.is_ok() { Export::Sent } else { Export::Failed };
            self.source.control.add(&is::EXPORTS, (outcome,), 1);
            match sent {
                Ok(()) if !is_well => info!("metrics are exported again"),
                Err(error) if is_well => warn!(%error, "metrics cannot be exported"),
                Ok(()) | Err(_) => {}
            }
            is_well = outcome == Export::Sent;
        }
    }
}

/// What was seen at one look.
struct Seen {
    at: Instant,
    sent_bytes: u64,
    lags_us: Vec<u64>,
}
