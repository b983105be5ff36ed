//! Chaos: three regions of real processes, a nemesis, and the history checker. A fixed seed and a
//! minute by default; `make chaos` runs it longer. What is printed says how to run the same again.
//!
//! It is here, and not with the other end-to-end tests, because it needs the program itself.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

use fastrand::Rng;
use meridian_edge::Config;
use meridian_edge::config::{NamespaceSection, SlowClientName};
use meridian_local::Links;
use meridian_testkit::checker::Log;
use meridian_testkit::{
    Door, Follower, Habit, Nemesis, Next, Outcome, Patience, ProcessMesh, ProcessMeshOptions,
    Publisher, Run, RunReport, durable_namespace, with_orders,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SEED_DEFAULT: u64 = 20_261_124;
const SECONDS_DEFAULT: u64 = 60;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// Those of `orders.>` are closed when they are too slow; of the others older messages give way.
const FILTERS: [&str; 6] =
    ["orders.>", "orders.*.s1", "orders.p0.s1", "orders.p2.>", "recent.>", "latest.>"];

/// Both kinds of habit for each filter, and one more of the first.
const FOLLOWERS: usize = 18;

const PUBLISHERS: usize = 4;

/// What each publisher publishes on, by namespace.
const SUBJECTS_EACH: [(&str, usize); 3] = [("orders", 3), ("recent", 1), ("latest", 2)];

/// So slow that a debug build on a busy machine keeps up, so large that a follower that does not
/// read fills what its edge holds for it.
const PACE: Duration = Duration::from_millis(25);
const PADDING_BYTES: usize = 1_500;

/// A mirror whose server was restarted hears of its home again after 40 s, and after several
/// restarts nothing stops the servers from waiting for minutes.
const QUIET_DEADLINE: Duration = Duration::from_secs(400);

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn configure(config: &mut Config) {
    with_orders(config);
    for (name, slow_client) in
        [("recent", SlowClientName::DropOldest), ("latest", SlowClientName::Conflate)]
    {
        config.namespaces.push(NamespaceSection { slow_client, ..durable_namespace(name, "eu") });
    }
    config.limits.commands_per_second = 1_000;
    config.limits.commands_burst = 1_000;
    // As small as it may be, so that slow readers are noticed within seconds.
    config.limits.send_buffer_bytes = 4 << 10;
}

/// Where results go: beside what cargo builds.
fn out_directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("chaos");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// All URLs, beginning with a region's.
fn urls_from(mesh: &ProcessMesh, first: usize) -> Vec<String> {
    let mut names = REGIONS;
    names.rotate_left(first % REGIONS.len());
    names.iter().flat_map(|region| mesh.urls(region).to_vec()).collect()
}

async fn publisher(mesh: &ProcessMesh, index: usize) -> Publisher {
    let door = match index {
        0 | 1 => Door::Edges(urls_from(mesh, index)),
        _ => Door::Nats(mesh.plain_nats(REGIONS[index % REGIONS.len()]).await),
    };
    let patience = if index == PUBLISHERS - 1 { Patience::Hasty } else { Patience::Stubborn };
    Publisher {
        name: format!("p{index}"),
        subjects: SUBJECTS_EACH
            .into_iter()
            .flat_map(|(namespace, count)| {
                (0..count).map(move |number| format!("{namespace}.p{index}.s{number}"))
            })
            .collect(),
        pace: PACE,
        padding_bytes: PADDING_BYTES,
        door,
        patience,
    }
}

fn follower(mesh: &ProcessMesh, index: usize, rng: Rng) -> Follower {
    // Half of them hop from region to region, half stay until their edge is lost.
    let (name, stay_ms, next) = match index / FILTERS.len() % 2 {
        0 => ("hops", Some(500..4_000), Next::Any),
        _ => ("stays", None, Next::InOrder),
    };
    let filter = FILTERS[index % FILTERS.len()];
    Follower {
        name: format!("{index} {name} {filter}"),
        filter: filter.into(),
        urls: urls_from(mesh, index),
        habit: Habit { stay_ms, offline_ms: 0, next },
        rng,
    }
}

/// Strikes until the time is over; then what came of it.
async fn suffer(
    mesh: &mut ProcessMesh,
    nemesis: &mut Nemesis,
    rng: &mut Rng,
    seconds: u64,
) -> Outcome {
    let followers = (0..FOLLOWERS).map(|index| follower(mesh, index, rng.fork())).collect();
    let mut publishers = Vec::new();
    for index in 0..PUBLISHERS {
        publishers.push(publisher(mesh, index).await);
    }
    let run = Run::start(followers, publishers).await;
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        sleep(Duration::from_millis(rng.u64(500..3_000))).await;
        nemesis.strike(mesh, &run.stage).await;
    }
    // So that the last fault, too, has messages behind it.
    sleep(Duration::from_secs(1)).await;
    run.finish(QUIET_DEADLINE).await
}

/// Everything that is needed to find out what happened.
fn save_history(path: &Path, outcome: &Outcome, nemesis: &Nemesis) {
    let Outcome { publications, records, violations, .. } = outcome;
    let logs: Vec<&Log> = records.iter().map(|record| &record.log).collect();
    let faults: Vec<_> = nemesis
        .struck
        .iter()
        .map(|one| (one.fault.name(), &one.at, one.began_ms, one.ended_ms))
        .collect();
    let history = json!({
        "violations": violations, "faults": faults, "publications": publications, "logs": logs,
    });
    std::fs::write(path, history.to_string()).unwrap();
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_silence() {
    let seed = number_from_environment("CHAOS_SEED", SEED_DEFAULT);
    let seconds = number_from_environment("CHAOS_SECONDS", SECONDS_DEFAULT);
    eprintln!("chaos: CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    let mut rng = Rng::with_seed(seed);
    let mut nemesis = Nemesis::new(rng.fork());
    let mut mesh = ProcessMesh::start(ProcessMeshOptions {
        program: env!("CARGO_BIN_EXE_meridian").into(),
        regions: REGIONS.map(String::from).to_vec(),
        edges_per_region: 1,
        links: Links::Proxied,
        edge_links: Links::Proxied,
        configure,
    })
    .await;
    let outcome = suffer(&mut mesh, &mut nemesis, &mut rng, seconds).await;
    let report = RunReport { seed, seconds, ..RunReport::of(&outcome, &nemesis.struck) };
    eprintln!("{}", report.to_table());
    let out = out_directory();
    let text = serde_json::to_string_pretty(&report).unwrap();
    std::fs::write(out.join(format!("{seed}.json")), text).unwrap();
    if !outcome.is_honest() {
        mesh.keep_state();
        let path = out.join(format!("{seed}-history.json"));
        save_history(&path, &outcome, &nemesis);
        let (path, state) = (path.display(), mesh.state().display());
        let (first, stuck) = (outcome.violations.first(), outcome.stuck());
        panic!("CHAOS_SEED={seed}: {first:?}, stuck {stuck:?}; see {path} and {state}");
    }
    assert!(report.acknowledged > 100 && report.delivered > 1_000, "the history is not empty");
    assert!(report.faults.len() > 1 || seconds < 20, "the nemesis did something");
}
