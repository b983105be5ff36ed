//! Gathers the reports of all scenarios: one JSON file each, and one table for people.

use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum;
use meridian_bench::Report;
use meridian_bench::comparison::{Figures, Promise, Ratio, SideBySide};
use serde::Serialize;

use crate::Failure;
use crate::provenance::Provenance;
use crate::scenarios::Scenario;
use crate::servers::ServerKind;

/// Near a whole core a receiving thread cannot keep up, and latency is its own.
const GENERATOR_BUSY_CORES: f64 = 0.9;

/// Below this share the asked rate was not offered.
const RATE_KEPT_MIN: f64 = 0.99;

/// The results so far. Owned by the suite's run.
#[derive(Debug)]
pub(crate) struct Summary {
    provenance: Provenance,
    scenarios: Vec<Compared>,
}

/// One scenario's results.
#[derive(Debug, Serialize)]
struct Compared {
    scenario: &'static str,
    sockets: usize,
    rate_per_s: u32,
    promise: Promise,
    medians: Vec<(ServerKind, Figures)>,
    ratios: Vec<Ratio>,
    reports: Vec<Report>,
}

impl Summary {
    pub(crate) fn new(provenance: Provenance) -> Self {
        Self { provenance, scenarios: Vec::new() }
    }

    /// Compares the targets of one scenario and writes `<out>/<scenario>.json`.
    pub(crate) fn add(
        &mut self,
        scenario: &Scenario,
        reports: Vec<(ServerKind, Report)>,
        out: &Path,
    ) -> Result<(), Failure> {
        let mut medians = Vec::new();
        for &kind in ServerKind::value_variants() {
            let runs: Vec<Figures> = reports
                .iter()
                .filter(|(of, _)| *of == kind)
                .map(|(_, report)| Figures::of(report))
                .collect();
            if !runs.is_empty() {
                medians.push((kind, Figures::median(&runs)));
            }
        }
        let of = |kind| medians.iter().find(|(of, _)| *of == kind).map(|(_, figures)| figures);
        let side_by_side = SideBySide {
            floor: of(ServerKind::Floor),
            nats: of(ServerKind::Nats),
            edge: of(ServerKind::Edge),
            durable: of(ServerKind::Durable),
            untraced: of(ServerKind::Untraced),
            traced_thousandth: of(ServerKind::TracedThousandth),
            traced_all: of(ServerKind::TracedAll),
        };
        let compared = Compared {
            scenario: scenario.name,
            sockets: scenario.sockets,
            rate_per_s: scenario.rate_per_s,
            promise: scenario.promise,
            ratios: side_by_side.ratios(&scenario.promise),
            reports: reports.into_iter().map(|(_, report)| report).collect(),
            medians,
        };
        let file = serde_json::json!({ "provenance": &self.provenance, "result": &compared });
        let path = out.join(format!("{}.json", scenario.name));
        std::fs::write(path, serde_json::to_string_pretty(&file)? + "\n")?;
        self.scenarios.push(compared);
        Ok(())
    }

    /// The table, the ratios with their verdicts, and what to bear in mind.
    pub(crate) fn to_markdown(&self) -> String {
        let Provenance { machine, commit, date, command, nats_server } = &self.provenance;
        let mut text = format!(
            "# Benchmark\n\n{machine}; {nats_server}; commit {commit}; {date}; `{command}`\n\n\
             | scenario | target | user µs | system µs | CPU µs | nats-server beside, µs | p50 µs \
             | p99 µs | p99.9 µs | deliveries/s | rate kept | lost | odd | KiB/connection \
             | load cores |\n|---|---|{}\n",
            "---:|".repeat(13)
        );
        for compared in &self.scenarios {
            for (kind, figures) in &compared.medians {
                text.push_str(&row(compared, *kind, figures));
            }
        }
        text.push_str(
            "\nCPU is the whole process, a delivery, from /proc. The floor makes one send(2) for \
             each delivery, so gathered writes may beat it in bursts. \"Odd\" adds up duplicated \
             and late messages, gaps told and closed sockets. \"Load cores\" is the load \
             generator.\n\n## Ratios\n\n",
        );
        for compared in &self.scenarios {
            for ratio in &compared.ratios {
                writeln!(text, "- {}: {}", compared.scenario, ratio.to_line())
                    .expect("writing to a string cannot fail");
            }
            for warning in warnings(compared) {
                writeln!(text, "- {}: {warning}", compared.scenario)
                    .expect("writing to a string cannot fail");
            }
        }
        text
    }
}

fn row(compared: &Compared, kind: ServerKind, figures: &Figures) -> String {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let kept = figures.rate_kept.map_or_else(|| "–".to_owned(), |r| format!("{:.1} %", r * 100.0));
    let memory = match (figures.connection_kb, figures.beside_connection_kb) {
        (Some(own), Some(beside)) => format!("{own:.2} (nats-server beside: {beside:.2})"),
        (own, _) => number(own, 2),
    };
    let cells = [
        compared.scenario.to_owned(),
        kind.name().to_owned(),
        number(figures.user_us, 2),
        number(figures.system_us, 2),
        number(figures.cpu_us, 2),
        number(figures.beside_us, 2),
        number(figures.p50_us, 0),
        number(figures.p99_us, 0),
        number(figures.p99_9_us, 0),
        number(figures.deliveries_per_s, 0),
        kept,
        number(figures.lost, 0),
        number(figures.anomalies, 0),
        memory,
        number(figures.generator_cores, 2),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// What makes a figure doubtful.
fn warnings(compared: &Compared) -> Vec<String> {
    let mut warnings = Vec::new();
    for (kind, figures) in &compared.medians {
        if figures.rate_kept.is_some_and(|kept| kept < RATE_KEPT_MIN) {
            warnings.push(format!("{} did not get the asked rate: it pushed back", kind.name()));
        }
        if figures.generator_cores.is_some_and(|cores| cores > GENERATOR_BUSY_CORES) {
            warnings.push(format!(
                "the load generator was as busy as it can be while measuring {}",
                kind.name()
            ));
        }
        if figures.lost.is_some_and(|lost| lost > 0.0) {
            warnings.push(format!("{} lost messages", kind.name()));
        }
    }
    warnings
}
