//! The targets side by side: medians over repeats, the ratios that are promised, and whether
//! they are kept.
//!
//! Pure; `meridian-bench-suite` feeds it and prints what it says. A target that is missed is said,
//! never softened.

use serde::{Deserialize, Serialize};

use crate::Report;

/// The figures of one target in one scenario; medians when there were repeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// User CPU a delivery, in µs.
    pub user_us: Option<f64>,
    /// System CPU a delivery, in µs.
    pub system_us: Option<f64>,
    /// User and system CPU a delivery, in µs.
    pub cpu_us: Option<f64>,
    /// CPU of the nats-server beside an edge, in µs a delivery.
    pub beside_us: Option<f64>,
    /// Latency percentiles, in µs.
    pub p50_us: Option<f64>,
    /// 99 of 100.
    pub p99_us: Option<f64>,
    /// 999 of 1,000.
    pub p99_9_us: Option<f64>,
    /// Share of the asked publishing rate that was kept.
    pub rate_kept: Option<f64>,
    /// Deliveries a second.
    pub deliveries_per_s: Option<f64>,
    /// Cores that the load generator used.
    pub generator_cores: Option<f64>,
    /// Memory a connection, in KiB: only from idle runs, which wait until it settles.
    pub connection_kb: Option<f64>,
    /// Memory of the nats-server beside an edge, in KiB a connection: only from idle runs.
    pub beside_connection_kb: Option<f64>,
    /// Lost messages, summed over the repeats, since a median would hide them.
    pub lost: Option<f64>,
    /// Duplicated or out-of-order messages, gaps told and closed sockets, summed over the repeats.
    pub anomalies: Option<f64>,
}

impl Figures {
    /// The figures of one run.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let mut figures = Self {
            user_us: report.server.map(|cost| cost.user_us),
            system_us: report.server.map(|cost| cost.system_us),
            cpu_us: report.server.map(|cost| cost.total_us()),
            beside_us: report.nats_beside.map(|cost| cost.total_us()),
            generator_cores: report.generator.map(|cost| cost.cores),
            ..Self::default()
        };
        let Some(traffic) = &report.traffic else {
            figures.connection_kb = report.memory.map(|memory| memory.per_connection_kb);
            figures.beside_connection_kb =
                report.nats_beside_memory.map(|memory| memory.per_connection_kb);
            return figures;
        };
        let odd = traffic.duplicated + traffic.late + traffic.gaps_told + traffic.sockets_closed;
        Self {
            p50_us: Some(traffic.latency_us.p50 as f64),
            p99_us: Some(traffic.latency_us.p99 as f64),
            p99_9_us: Some(traffic.latency_us.p99_9 as f64),
            rate_kept: Some(traffic.publish_rate_per_s / f64::from(traffic.rate_per_s)),
            deliveries_per_s: Some(traffic.deliveries_per_s),
            lost: Some(traffic.lost as f64),
            anomalies: Some(odd as f64),
            ..figures
        }
    }

    /// The median of each figure over the repeats.
    #[must_use]
    pub fn median(runs: &[Self]) -> Self {
        let over = |pick: fn(&Self) -> Option<f64>| median(runs.iter().filter_map(pick).collect());
        let sum = |pick: fn(&Self) -> Option<f64>| {
            let values: Vec<f64> = runs.iter().filter_map(pick).collect();
            (!values.is_empty()).then(|| values.iter().sum())
        };
        Self {
            user_us: over(|f| f.user_us),
            system_us: over(|f| f.system_us),
            cpu_us: over(|f| f.cpu_us),
            beside_us: over(|f| f.beside_us),
            p50_us: over(|f| f.p50_us),
            p99_us: over(|f| f.p99_us),
            p99_9_us: over(|f| f.p99_9_us),
            rate_kept: over(|f| f.rate_kept),
            deliveries_per_s: over(|f| f.deliveries_per_s),
            generator_cores: over(|f| f.generator_cores),
            connection_kb: over(|f| f.connection_kb),
            beside_connection_kb: over(|f| f.beside_connection_kb),
            lost: sum(|f| f.lost),
            anomalies: sum(|f| f.anomalies),
        }
    }
}

/// What is promised for a scenario, as limits that the edge must not exceed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// CPU a delivery over the floor's.
    pub cpu_over_floor: Option<f64>,
    /// CPU a delivery over nats-server's.
    pub cpu_over_nats: Option<f64>,
    /// CPU a delivery on a durable namespace over that on an ephemeral one.
    pub cpu_over_ephemeral: Option<f64>,
    /// CPU a delivery with one message in a thousand traced over that with none.
    pub cpu_over_untraced: Option<f64>,
    /// Memory a connection, in KiB.
    pub connection_kb: Option<f64>,
}

/// One comparison of the edge with a limit or a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// What is compared, in words.
    pub name: String,
    /// The edge's figure over the peer's, or the figure itself.
    pub value: f64,
    /// The promised limit, where there is one.
    pub limit: Option<f64>,
}

impl Ratio {
    /// `None` where nothing was promised.
    #[must_use]
    pub fn is_kept(&self) -> Option<bool> {
        self.limit.map(|limit| self.value <= limit)
    }

    /// One line for a table.
    #[must_use]
    pub fn to_line(&self) -> String {
        let verdict = match (self.limit, self.is_kept()) {
            (Some(limit), Some(true)) => format!("promised ≤ {limit}: kept"),
            (Some(limit), _) => format!("promised ≤ {limit}: MISSED"),
            (None, _) => "nothing promised".to_owned(),
        };
        format!("{}: {:.2} ({verdict})", self.name, self.value)
    }
}

/// The targets of one scenario; those that were not measured are absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct SideBySide<'a> {
    /// A bare `send(2)`.
    pub floor: Option<&'a Figures>,
    /// nats-server's WebSocket listener.
    pub nats: Option<&'a Figures>,
    /// The edge on an ephemeral namespace.
    pub edge: Option<&'a Figures>,
    /// The edge on a durable namespace.
    pub durable: Option<&'a Figures>,
    /// The edge without tracing, where messages have a `traceparent`.
    pub untraced: Option<&'a Figures>,
    /// The edge that traces one in a thousand of them.
    pub traced_thousandth: Option<&'a Figures>,
    /// The edge that traces all of them.
    pub traced_all: Option<&'a Figures>,
}

impl SideBySide<'_> {
    /// The ratios that can be formed from what was measured.
    #[must_use]
    pub fn ratios(&self, promise: &Promise) -> Vec<Ratio> {
        let Self { floor, nats, edge, durable, untraced, traced_thousandth, traced_all } = *self;
        let cpu = |of: Option<&Figures>| of?.cpu_us;
        let beside = |of: Option<&Figures>| of?.beside_us;
        let both = |of: Option<&Figures>| Some(of?.cpu_us? + of?.beside_us?);
        let kb = |of: Option<&Figures>| of?.connection_kb;
        let (over_ephemeral, over_untraced) =
            (promise.cpu_over_ephemeral, promise.cpu_over_untraced);
        [
            over("CPU: edge / floor", cpu(edge), cpu(floor), promise.cpu_over_floor),
            over("CPU: edge / nats-server", cpu(edge), cpu(nats), promise.cpu_over_nats),
            over(
                "CPU: edge and the nats-server beside it / nats-server",
                both(edge),
                cpu(nats),
                None,
            ),
            over("CPU: edge, durable / ephemeral", cpu(durable), cpu(edge), over_ephemeral),
            over(
                "CPU: nats-server beside it, durable / ephemeral",
                beside(durable),
                beside(edge),
                None,
            ),
            over("CPU: both, durable / ephemeral", both(durable), both(edge), None),
            over(
                "CPU: edge, 0.1 % traced / not traced",
                cpu(traced_thousandth),
                cpu(untraced),
                over_untraced,
            ),
            over("CPU: edge, all traced / not traced", cpu(traced_all), cpu(untraced), None),
            over(
                "CPU: nats-server beside it, all traced / not traced",
                beside(traced_all),
                beside(untraced),
                None,
            ),
            absolute("memory: edge, KiB a connection", kb(edge), promise.connection_kb),
            over("memory: edge / nats-server", kb(edge), kb(nats), None),
            absolute("lost by the edge", edge.and_then(|edge| edge.lost), Some(0.0)),
            absolute("lost on the durable namespace", durable.and_then(|one| one.lost), Some(0.0)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn over(name: &str, value: Option<f64>, peer: Option<f64>, limit: Option<f64>) -> Option<Ratio> {
    let (value, peer) = value.zip(peer).filter(|(_, peer)| *peer > 0.0)?;
    Some(Ratio { name: name.to_owned(), value: value / peer, limit })
}

fn absolute(name: &str, value: Option<f64>, limit: Option<f64>) -> Option<Ratio> {
    value.map(|value| Ratio { name: name.to_owned(), value, limit })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(cpu_us: f64) -> Figures {
        Figures { cpu_us: Some(cpu_us), lost: Some(0.0), ..Figures::default() }
    }

    #[test]
    fn ratios_tell_kept_from_missed() {
        let promise =
            Promise { cpu_over_floor: Some(1.15), cpu_over_nats: Some(0.55), ..Promise::default() };
        let (floor, nats, edge) = (cpu(5.0), cpu(10.0), cpu(5.6));
        let compared = SideBySide {
            floor: Some(&floor),
            nats: Some(&nats),
            edge: Some(&edge),
            ..SideBySide::default()
        };
        let ratios = compared.ratios(&promise);
        let verdicts: Vec<_> = ratios.iter().map(Ratio::is_kept).collect();
        assert_eq!(verdicts, [Some(true), Some(false), Some(true)]);
        assert!(ratios[1].to_line().contains("0.56") && ratios[1].to_line().contains("MISSED"));
    }

    #[test]
    fn a_missing_peer_leaves_out_its_ratio_only() {
        let promise = Promise::default();
        let (five, ten) = (cpu(5.0), cpu(10.0));
        let none = SideBySide::default();
        assert!(SideBySide { floor: Some(&five), ..none }.ratios(&promise).is_empty());
        let two = SideBySide { nats: Some(&ten), edge: Some(&five), ..none };
        let ratios = two.ratios(&promise);
        assert_eq!(ratios[0].name, "CPU: edge / nats-server");
        assert_eq!(ratios.len(), 2);
    }

    #[test]
    fn durability_is_compared_with_the_same_edge_and_its_nats_server_apart() {
        let promise = Promise { cpu_over_ephemeral: Some(1.3), ..Promise::default() };
        let edge = Figures { beside_us: Some(2.0), ..cpu(5.0) };
        let durable = Figures { beside_us: Some(6.0), ..cpu(7.0) };
        let compared =
            SideBySide { edge: Some(&edge), durable: Some(&durable), ..SideBySide::default() };
        let ratios = compared.ratios(&promise);
        let values: Vec<f64> = ratios.iter().map(|ratio| ratio.value).collect();
        assert_eq!(values[..2], [1.4, 3.0]);
        assert_eq!(ratios[0].is_kept(), Some(false));
    }

    #[test]
    fn medians_ignore_an_outlier_but_losses_add_up() {
        let runs = [cpu(5.0), cpu(50.0), Figures { lost: Some(3.0), ..cpu(6.0) }];
        let figures = Figures::median(&runs);
        assert_eq!(figures.cpu_us, Some(6.0));
        assert_eq!(figures.lost, Some(3.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(figures.p50_us, None);
    }
}
