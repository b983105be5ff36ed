//! `monitoring/`: rules that promtool tests, names that the instruments have, a runbook for each
//! alert, and panels that show something of real edges and nats-servers under load.
//! `make test-monitoring` runs it; promtool and prometheus are Debian's.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

mod dashboards;
mod live;
mod load;
mod names;
mod otlp;
mod prometheus;
mod rules;

use std::path::{Path, PathBuf};

/// The folder `monitoring/` of the tree.
fn monitoring() -> PathBuf {
    root().join("monitoring")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
