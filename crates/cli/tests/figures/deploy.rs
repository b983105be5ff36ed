//! A deploy: every edge is drained and replaced, one after the other, under load.

use crate::figure::{Figure, Size};
use crate::load::{Load, QUIET_DEADLINE, REGIONS, mesh, plain};
use meridian_edge::Config;
use meridian_testkit::{Habit, Next, Run};
use std::time::Duration;
use tokio::time::sleep;

const EDGES_PER_REGION: usize = 2;

/// Long enough that clients do not come back all at once.
const DRAIN_WINDOW_MS: u64 = 2_000;

fn configure(config: &mut Config) {
    plain(config);
    config.drain.window_ms = DRAIN_WINDOW_MS;
}

#[tokio::test]
async fn a_rolling_restart_of_every_edge_loses_nothing() {
    let size = Size::from_environment();
    let load = Load::promised(size);
    let mut mesh = mesh(EDGES_PER_REGION, configure).await;
    let habit = Habit { stay_ms: None, offline_ms: 0, next: Next::InOrder };
    let followers = load.followers(&mesh, &habit);
    let clients = followers.len();
    let run = Run::start(followers, load.publishers(&mesh).await).await;
    run.stage.publishes(load.rate_per_s).await;

    let began_ms = run.stage.now_ms();
    for region in REGIONS {
        for index in 0..EDGES_PER_REGION {
            let edge = mesh.edge_mut(region, index);
            edge.terminate().await.unwrap();
            edge.restart().await.unwrap();
        }
    }
    let ended_ms = run.stage.now_ms();
    sleep(Duration::from_secs(size.pick(1, 5))).await;
    let outcome = run.finish(QUIET_DEADLINE).await;

    let resumes = outcome.records.iter().flat_map(|record| record.resumes.iter().skip(1));
    let resumes_ms: Vec<u64> = resumes.map(|resume| resume.live_ms - resume.began_ms).collect();
    assert!(!resumes_ms.is_empty(), "clients had to move");
    let mut figure = Figure::new("deploy", size);
    figure.note("clients", clients as f64);
    figure.note("edges replaced", (REGIONS.len() * EDGES_PER_REGION) as f64);
    figure.note("all replaced within, ms", (ended_ms - began_ms) as f64);
    figure.spread("from connecting to live", resumes_ms, None);
    eprintln!("{}", figure.conclude(&outcome));
}
