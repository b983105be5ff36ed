//! One figure: what was measured, beside what was promised, as a table and as JSON.

use meridian_testkit::{Outcome, RunReport, Spread};
use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Size {
    /// To see that it works, in any build.
    Small,
    /// As promised. `FIGURES=full`.
    Full,
}

/// What a value has to be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Promise {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Debug, Serialize)]
struct Line {
    what: String,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    promise: Option<Promise>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_kept: Option<bool>,
}

/// Owned by the test that measures it.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    name: &'static str,
    size: Size,
    build: &'static str,
    cores: usize,
    commit: String,
    date: String,
    lines: Vec<Line>,
}

impl Size {
    pub(crate) fn from_environment() -> Self {
        match std::env::var("FIGURES").as_deref() {
            Ok("full") => Self::Full,
            _ => Self::Small,
        }
    }

    /// The value for this size.
    pub(crate) fn pick<T>(self, small: T, full: T) -> T {
        match self {
            Self::Small => small,
            Self::Full => full,
        }
    }
}

impl Figure {
    pub(crate) fn new(name: &'static str, size: Size) -> Self {
        Self {
            name,
            size,
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            commit: output("git", &["rev-parse", "--short", "HEAD"]),
            date: output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            lines: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, what: impl Into<String>, value: f64) {
        self.lines.push(Line { what: what.into(), value, promise: None, is_kept: None });
    }

    pub(crate) fn promised(&mut self, what: &str, value: f64, promise: Promise) {
        let is_kept = match promise {
            Promise::AtLeast(limit) => value >= limit,
            Promise::AtMost(limit) => value <= limit,
        };
        let (promise, is_kept) = (Some(promise), Some(is_kept));
        self.lines.push(Line { what: what.into(), value, promise, is_kept });
    }

    /// Percentiles of a duration in ms, of which one has a limit.
    pub(crate) fn spread(&mut self, what: &str, samples: Vec<u64>, p99_ms_max: Option<u64>) {
        let Some(spread) = Spread::of(samples) else { return };
        self.note(format!("{what}: samples"), spread.samples as f64);
        self.note(format!("{what}: p50, ms"), spread.p50 as f64);
        match p99_ms_max {
            Some(limit) => {
                let limit = Promise::AtMost(limit as f64);
                self.promised(&format!("{what}: p99, ms"), spread.p99 as f64, limit);
            }
            None => self.note(format!("{what}: p99, ms"), spread.p99 as f64),
        }
        self.note(format!("{what}: max, ms"), spread.max as f64);
    }

    /// Adds what every run reports, writes it all down, and returns the table. Panics when
    /// something was lost, repeated or invented: that is never a matter of size.
    pub(crate) fn conclude(mut self, outcome: &Outcome) -> String {
        let report = RunReport::of(outcome, &[]);
        let sent = outcome.publications.iter().map(|one| one.sent_ms);
        let window_ms = sent.clone().max().unwrap_or(0) - sent.min().unwrap_or(0);
        let rate = report.acknowledged as f64 * 1_000.0 / window_ms.max(1) as f64;
        self.note("acknowledged messages a second", rate.round());
        self.note("acknowledged", report.acknowledged as f64);
        self.note("not acknowledged", report.unacknowledged as f64);
        self.note("delivered", report.delivered as f64);
        self.note("replayed", report.replayed as f64);
        self.note("resumes", report.resumes as f64);
        self.note("slow closes", report.slow_closes as f64);
        self.note("caught up after, ms", report.caught_up_ms as f64);
        let none = Promise::AtMost(0.0);
        self.promised("gaps told", report.gaps_told as f64, none);
        self.promised("silent losses", report.silent_losses as f64, none);
        self.promised("duplicates", report.duplicates as f64, none);
        self.promised("clients that are stuck", report.stuck as f64, none);
        let table = self.write();
        let (first, stuck) = (outcome.violations.first(), outcome.stuck());
        assert!(outcome.is_honest(), "{table}first {first:?}, stuck {stuck:?}");
        table
    }

    /// The table; the JSON goes beside what cargo builds.
    pub(crate) fn write(&self) -> String {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("figures");
        std::fs::create_dir_all(&directory).unwrap();
        let json = serde_json::to_string_pretty(self).unwrap();
        let size = self.size.pick("-small", "");
        std::fs::write(directory.join(format!("{}{size}.json", self.name)), json).unwrap();
        let Self { name, build, cores, commit, date, .. } = self;
        let mut text = format!("{name}: {build}, {cores} cores, commit {commit}, {date}\n");
        for Line { what, value, promise, is_kept } in &self.lines {
            let verdict = match (promise, is_kept) {
                (Some(Promise::AtLeast(limit)), Some(true)) => format!("  ≥ {limit}: kept"),
                (Some(Promise::AtMost(limit)), Some(true)) => format!("  ≤ {limit}: kept"),
                (Some(Promise::AtLeast(limit)), _) => format!("  ≥ {limit}: MISSED"),
                (Some(Promise::AtMost(limit)), _) => format!("  ≤ {limit}: MISSED"),
                (None, _) => String::new(),
            };
            text.push_str(&format!("  {what:<48} {value:>10}{verdict}\n"));
        }
        text
    }
}

/// A program's output; empty when it does not run.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().into()).unwrap_or_default()
}
