//! What one run measured, as data for `--json` and as a table for people.

use serde::{Deserialize, Serialize};

use crate::process::ProcessSample;
use crate::socket::Tally;

/// One run against one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `fanout`, `unicast` or `idle`.
    pub scenario: String,
    /// `meridian`, `nats-server` or `floor`.
    pub target: String,
    /// Sockets that were open and subscribed.
    pub sockets: usize,
    /// What was sent and received; absent for `idle`.
    pub traffic: Option<Traffic>,
    /// CPU of the measured server; absent without its pid, or when nothing was delivered.
    pub server: Option<Cost>,
    /// CPU of the nats-server beside an edge, spread over the same deliveries.
    pub nats_beside: Option<Cost>,
    /// CPU of the load generator itself (receivers and publisher): near one core a thread, it
    /// limits the run.
    pub generator: Option<Cost>,
    /// Memory of the server.
    pub memory: Option<Memory>,
    /// Memory of the nats-server beside an edge.
    pub nats_beside_memory: Option<Memory>,
}

/// Messages and their latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Messages a second that were asked for, over all subjects.
    pub rate_per_s: u32,
    /// Messages a second that the publisher kept.
    pub publish_rate_per_s: f64,
    /// Bytes of each payload.
    pub payload_bytes: usize,
    /// Length of the measured window, draining included, in seconds.
    pub measured_s: f64,
    /// Deliveries in the measured window; the costs are spread over these.
    pub deliveries: u64,
    /// Deliveries a second in the measured window.
    pub deliveries_per_s: f64,
    /// Deliveries that the whole run, warm-up included, should have made.
    pub expected: u64,
    /// How many of them never came.
    pub lost: u64,
    /// Messages that came twice.
    pub duplicated: u64,
    /// Messages that came after a later one.
    pub late: u64,
    /// Gaps that the server admitted.
    pub gaps_told: u64,
    /// Sockets that the server closed.
    pub sockets_closed: u64,
    /// From the publisher's write to the receiver's read.
    pub latency_us: Latency,
}

/// Percentiles, in µs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the deliveries came within this.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p99_9: u64,
    /// The slowest.
    pub max: u64,
}

/// What a process spent in the measured window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// User CPU a delivery, in µs.
    pub user_us: f64,
    /// System CPU a delivery, in µs.
    pub system_us: f64,
    /// CPU time over wall time: 1.0 is one core kept busy.
    pub cores: f64,
    /// Threads at the end.
    pub threads: u64,
}

/// Resident memory around opening the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Before the first socket, in KiB.
    pub before_kb: u64,
    /// With all sockets subscribed, in KiB; only `idle` waits until it has settled.
    pub after_kb: u64,
    /// The difference over the sockets, in KiB.
    pub per_connection_kb: f64,
}

impl Latency {
    pub(crate) fn of(tally: &Tally) -> Self {
        let at = |quantile| tally.latency_us.value_at_quantile(quantile);
        Self { p50: at(0.5), p99: at(0.99), p99_9: at(0.999), max: tally.latency_us.max() }
    }
}

impl Cost {
    /// The CPU between two samples over the deliveries between them; `None` without deliveries.
    pub(crate) fn between(
        before: &ProcessSample,
        after: &ProcessSample,
        deliveries: u64,
        wall_s: f64,
    ) -> Option<Self> {
        let user_us = after.user_us.saturating_sub(before.user_us) as f64;
        let system_us = after.system_us.saturating_sub(before.system_us) as f64;
        (deliveries > 0).then(|| Self {
            user_us: user_us / deliveries as f64,
            system_us: system_us / deliveries as f64,
            cores: (user_us + system_us) / 1e6 / wall_s,
            threads: after.threads,
        })
    }

    /// User and system together, in µs a delivery.
    #[must_use]
    pub fn total_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

impl Memory {
    pub(crate) fn between(before: &ProcessSample, after: &ProcessSample, sockets: usize) -> Self {
        let grown_kb = after.rss_kb as f64 - before.rss_kb as f64;
        Self {
            before_kb: before.rss_kb,
            after_kb: after.rss_kb,
            per_connection_kb: grown_kb / sockets.max(1) as f64,
        }
    }
}

impl Report {
    /// The report for a terminal: one figure a line, units last.
    #[must_use]
    pub fn to_table(&self) -> String {
        let mut rows = vec![("target", format!("{}, {}", self.target, self.scenario))];
        rows.push(("sockets", self.sockets.to_string()));
        if let Some(traffic) = &self.traffic {
            rows.extend(traffic.rows());
        }
        let costs = [
            ("server CPU", &self.server),
            ("nats-server beside it", &self.nats_beside),
            ("load generator CPU", &self.generator),
        ];
        for (name, cost) in costs {
            if let Some(cost) = cost {
                rows.push((
                    name,
                    format!(
                        "{:.2} user + {:.2} system µs a delivery ({:.2} cores)",
                        cost.user_us, cost.system_us, cost.cores
                    ),
                ));
            }
        }
        let memories =
            [("server memory", &self.memory), ("nats-server memory", &self.nats_beside_memory)];
        for (name, memory) in memories {
            if let Some(memory) = memory {
                rows.push((
                    name,
                    format!(
                        "{:.2} KiB a connection ({} KiB before, {} KiB after)",
                        memory.per_connection_kb, memory.before_kb, memory.after_kb
                    ),
                ));
            }
        }
        rows.into_iter().map(|(name, value)| format!("{name:<22}{value}\n")).collect()
    }
}

impl Traffic {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let Latency { p50, p99, p99_9, max } = self.latency_us;
        let mut rows = vec![
            (
                "published",
                format!(
                    "{:.0} of {} messages/s of {} bytes",
                    self.publish_rate_per_s, self.rate_per_s, self.payload_bytes
                ),
            ),
            (
                "delivered",
                format!("{} in {:.1} s", self.deliveries, self.measured_s)
                    + &format!(" ({:.0} a second)", self.deliveries_per_s),
            ),
            ("lost", format!("{} of {}", self.lost, self.expected)),
            ("latency", format!("p50 {p50}, p99 {p99}, p99.9 {p99_9}, max {max} µs")),
        ];
        let anomalies = [
            ("duplicated", self.duplicated),
            ("out of order", self.late),
            ("gaps told", self.gaps_told),
            ("closed by the server", self.sockets_closed),
        ];
        rows.extend(
            anomalies.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name, n.to_string())),
        );
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(user_us: u64, system_us: u64, rss_kb: u64) -> ProcessSample {
        ProcessSample { user_us, system_us, rss_kb, threads: 3 }
    }

    #[test]
    fn cost_is_the_difference_over_the_deliveries() {
        let (before, after) = (sample(1_000_000, 0, 0), sample(3_000_000, 6_000_000, 0));
        let cost = Cost::between(&before, &after, 1_000_000, 10.0).unwrap();
        assert!((cost.user_us - 2.0).abs() < 1e-9 && (cost.total_us() - 8.0).abs() < 1e-9);
        assert!((cost.cores - 0.8).abs() < 1e-9);
        assert_eq!(Cost::between(&before, &after, 0, 10.0), None);
    }

    #[test]
    fn memory_may_shrink() {
        let memory = Memory::between(&sample(0, 0, 5_000), &sample(0, 0, 4_000), 100);
        assert!((memory.per_connection_kb + 10.0).abs() < 1e-9);
    }

    #[test]
    fn table_names_anomalies_only_when_there_are_some() {
        let mut report = Report {
            scenario: "fanout".into(),
            target: "meridian".into(),
            sockets: 10,
            traffic: Some(Traffic {
                rate_per_s: 80,
                publish_rate_per_s: 79.9,
                payload_bytes: 128,
                measured_s: 10.0,
                deliveries: 8_000,
                deliveries_per_s: 800.0,
                expected: 9_600,
                lost: 0,
                duplicated: 0,
                late: 0,
                gaps_told: 0,
                sockets_closed: 0,
                latency_us: Latency { p50: 1, p99: 2, p99_9: 3, max: 4 },
            }),
            server: None,
            nats_beside: None,
            generator: None,
            memory: None,
            nats_beside_memory: None,
        };
        assert!(!report.to_table().contains("gaps told"));
        report.traffic.as_mut().unwrap().gaps_told = 2;
        assert!(report.to_table().contains("gaps told             2\n"));
        assert!(report.to_table().contains("lost                  0 of 9600"));
    }
}
