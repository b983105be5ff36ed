//! Which crate may know what: arrows between our crates point one way, and some libraries are
//! known to one crate only.

use crate::report;
use crate::tree::root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Our crates, and which of ours each may depend on. Development dependencies come on top.
const ARROWS: [(&str, &[&str]); 11] = [
    ("proto", &[]),
    ("core", &["proto"]),
    ("nats", &["core"]),
    ("telemetry", &["proto"]),
    ("edge", &["core", "nats", "proto", "telemetry"]),
    ("client", &["proto"]),
    ("local", &[]),
    ("bench", &["local"]),
    ("cli", &["bench", "client", "edge", "local", "nats", "proto", "telemetry"]),
    ("testkit", &["client", "edge", "local", "nats", "proto"]),
    ("tidy", &[]),
];

/// Crates that only tests may depend on.
const TESTS_ONLY: [&str; 2] = ["testkit", "tidy"];

/// Crates without I/O, time and tasks: they are fuzzed and simulated.
const PURE: [&str; 2] = ["proto", "core"];

/// What a pure crate must not even reach through others.
const IMPURE: [&str; 9] = [
    "async-nats",
    "fastrand",
    "fastwebsockets",
    "hyper",
    "mio",
    "rustix",
    "socket2",
    "tokio",
    "tracing",
];

/// Libraries, by the beginning of their names, that only these crates may name.
const KNOWN_TO: [(&str, &[&str]); 3] = [
    ("async-nats", &["nats", "testkit"]),
    ("opentelemetry", &["telemetry", "testkit"]),
    ("tracing-subscriber", &["telemetry"]),
];

/// What cargo knows of the workspace and everything that it uses on Linux.
pub(crate) fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform"];
    let output = Command::new(cargo)
        .args(arguments)
        .arg("x86_64-unknown-linux-gnu")
        .current_dir(root())
        .output()
        .expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// A declared dependency of one of our crates.
struct Declared {
    of: String,
    on: String,
    is_for_tests: bool,
}

fn declared(metadata: &Value) -> Vec<Declared> {
    let mut all = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let Some(of) = ours(package["name"].as_str().expect("a name")) else { continue };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            all.push(Declared {
                of: of.to_owned(),
                on: dependency["name"].as_str().expect("a name").to_owned(),
                is_for_tests: dependency["kind"] == "dev",
            });
        }
    }
    all
}

fn ours(name: &str) -> Option<&str> {
    name.strip_prefix("meridian-")
}

#[test]
fn arrows_between_our_crates_point_one_way() {
    let metadata = metadata();
    let table: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let names = packages.iter().filter_map(|package| ours(package["name"].as_str()?));
    let mut breaches: Vec<String> = names
        .filter(|name| !table.contains_key(name))
        .map(|name| format!("{name} is new: give it a line in ARROWS"))
        .collect();
    for Declared { of, on, is_for_tests } in declared(&metadata) {
        let Some(on) = ours(&on) else { continue };
        let is_allowed = table.get(of.as_str()).is_some_and(|allowed| allowed.contains(&on));
        if !is_for_tests && (!is_allowed || TESTS_ONLY.contains(&on)) {
            breaches.push(format!("{of} must not depend on {on}"));
        }
    }
    report(&breaches);
}

#[test]
fn proto_and_core_reach_no_runtime_socket_or_randomness() {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a resolved graph");
    let by_id: BTreeMap<&str, &Value> =
        nodes.iter().map(|node| (node["id"].as_str().expect("an id"), node)).collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeMap<&str, &str> = packages
        .iter()
        .map(|package| {
            (package["id"].as_str().expect("id"), package["name"].as_str().expect("name"))
        })
        .collect();
    let mut breaches = Vec::new();
    for pure in PURE {
        let is_it = |id: &&&str| ours(names[**id]) == Some(pure);
        let top = *by_id.keys().find(is_it).expect("the crate is in the workspace");
        let (mut seen, mut next) = (BTreeSet::new(), vec![top]);
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                next.extend(ordinary_dependencies(by_id[id]));
            }
        }
        let reached = seen.iter().map(|id| names[id]).filter(|name| IMPURE.contains(name));
        breaches.extend(reached.map(|name| format!("{pure} reaches {name}")));
    }
    report(&breaches);
}

/// Neither for tests nor for build scripts.
fn ordinary_dependencies(node: &Value) -> impl Iterator<Item = &str> {
    let dependencies = node["deps"].as_array().expect("dependencies");
    let is_ordinary = |dependency: &&Value| {
        let kinds = dependency["dep_kinds"].as_array().expect("kinds");
        kinds.iter().any(|kind| kind["kind"].is_null())
    };
    dependencies.iter().filter(is_ordinary).filter_map(|dependency| dependency["pkg"].as_str())
}

#[test]
fn some_libraries_are_known_to_one_crate_only() {
    let mut breaches = Vec::new();
    for Declared { of, on, .. } in declared(&metadata()) {
        for (library, crates) in KNOWN_TO {
            if on.starts_with(library) && !crates.contains(&of.as_str()) {
                breaches.push(format!("{of} must not know {on}: {} does", crates[0]));
            }
        }
    }
    report(&breaches);
}
