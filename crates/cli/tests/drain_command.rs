//! `meridian drain`: a region's clients go to another region, with their positions.
//!
//! It is here because it needs the program itself.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

use fastrand::Rng;
use meridian_local::Links;
use meridian_testkit::{
    Door, Follower, Habit, Next, Patience, ProcessMesh, ProcessMeshOptions, Publisher, Run,
    with_orders,
};
use serde_json::Value;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

const CLIENTS: usize = 200;
const SUBJECTS: usize = 20;
const PER_SECOND: usize = 100;

async fn mesh() -> ProcessMesh {
    ProcessMesh::start(ProcessMeshOptions {
        program: env!("CARGO_BIN_EXE_meridian").into(),
        regions: vec!["eu".into(), "us".into()],
        edges_per_region: 1,
        links: Links::Direct,
        edge_links: Links::Direct,
        configure: with_orders,
    })
    .await
}

async fn drain(mesh: &ProcessMesh, arguments: &[&str]) -> Output {
    let nats = mesh.nats.regions()[1].nats_url();
    Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(["drain", "--json", "--nats", &nats])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

fn subject(index: usize) -> String {
    format!("orders.k{}", index % SUBJECTS)
}

#[tokio::test]
async fn two_hundred_clients_go_to_another_region_and_nothing_is_lost_in_silence() {
    let mesh = mesh().await;
    let mut rng = Rng::with_seed(1);
    let followers = (0..CLIENTS).map(|index| Follower {
        name: format!("eu {index}"),
        filter: subject(index),
        urls: mesh.urls("eu").to_vec(),
        habit: Habit { stay_ms: None, offline_ms: 0, next: Next::Same },
        rng: rng.fork(),
    });
    let publisher = Publisher {
        name: "service".into(),
        subjects: (0..SUBJECTS).map(subject).collect(),
        pace: Duration::from_millis(5),
        padding_bytes: 100,
        door: Door::Nats(mesh.plain_nats("us").await),
        patience: Patience::Stubborn,
    };
    let run = Run::start(followers.collect(), vec![publisher]).await;
    run.stage.publishes(100).await;

    let rate = format!("{PER_SECOND}/s");
    let began = Instant::now();
    let output = drain(&mesh, &["eu", "--to", "us", "--rate", &rate]).await;
    let took = began.elapsed();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["edges"], serde_json::json!(["eu-1"]));
    assert_eq!(
        (report["clients"].as_u64(), report["left"].as_u64()),
        (Some(CLIENTS as u64), Some(0))
    );
    // At its rate, and so not faster than that; how much slower is the machine's business.
    let least = Duration::from_secs((CLIENTS / PER_SECOND) as u64) - Duration::from_millis(100);
    assert!(took >= least, "{took:?}");
    run.stage.publishes(100).await;

    let outcome = run.finish(Duration::from_secs(60)).await;
    assert!(outcome.is_honest(), "{:?}, stuck {:?}", outcome.violations.first(), outcome.stuck());
    let sent: usize = outcome.records.iter().map(|record| record.sent).sum();
    assert_eq!(sent, CLIENTS, "each was told once, and went");
    let gaps = outcome.records.iter().flat_map(|record| &record.log.observations);
    let is_gap = |one: &&meridian_testkit::checker::Observation| {
        matches!(one, meridian_testkit::checker::Observation::Gap { .. })
    };
    assert_eq!(gaps.filter(is_gap).count(), 0, "positions are good in every region");
}

#[tokio::test]
async fn an_edge_that_is_emptied_says_so_and_can_be_told_to_stay() {
    let mesh = mesh().await;
    let output = drain(&mesh, &["eu-1", "--to", "us", "--wait-s", "0"]).await;
    assert!(output.status.success(), "{output:?}");
    let output = drain(&mesh, &["us", "--to", "eu"]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("no edge of eu answers that takes clients"), "{text}");
    let output = drain(&mesh, &["eu-1", "--stay"]).await;
    assert!(output.status.success(), "{output:?}");
    let output = drain(&mesh, &["us", "--to", "eu", "--wait-s", "0"]).await;
    assert!(output.status.success(), "it takes clients again: {output:?}");
    let output = drain(&mesh, &["nobody", "--to", "eu"]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = drain(&mesh, &["eu", "--server", "https://x"]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("is no WebSocket URL"), "{text}");
}
