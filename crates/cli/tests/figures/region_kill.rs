//! A region dies under load: how soon are its clients live elsewhere, and is anything lost?

use crate::figure::{Figure, Promise, Size};
use crate::load::{Load, QUIET_DEADLINE, REGIONS, mesh, plain};
use meridian_testkit::{Habit, Next, Run};
use std::time::Duration;
use tokio::time::sleep;

/// Within this, clients are to be live elsewhere.
const FAILOVER_MS_MAX: u64 = 10_000;

#[tokio::test]
async fn clients_of_a_killed_region_are_live_elsewhere_and_miss_nothing() {
    eprintln!("{}", kill("region-kill", REGIONS[1]).await);
}

#[tokio::test]
async fn clients_of_a_killed_home_region_are_live_elsewhere_and_miss_nothing() {
    eprintln!("{}", kill("home-region-kill", REGIONS[0]).await);
}

/// Returns the table.
async fn kill(name: &'static str, region: &str) -> String {
    let size = Size::from_environment();
    let load = Load::promised(size);
    let mut mesh = mesh(1, plain).await;
    let habit = Habit { stay_ms: None, offline_ms: 0, next: Next::InOrder };
    let followers = load.followers(&mesh, &habit);
    let clients = followers.len();
    let run = Run::start(followers, load.publishers(&mesh).await).await;
    run.stage.publishes(load.rate_per_s).await;
    sleep(Duration::from_secs(size.pick(0, 10))).await;

    let killed_ms = run.stage.now_ms();
    mesh.kill_region(region).await;
    sleep(Duration::from_millis(size.pick(2_000, FAILOVER_MS_MAX + 5_000))).await;
    mesh.restart_region(region).await;
    // So that there are messages behind it, too: home needs a while to lead its stream again.
    run.stage.publishes(load.rate_per_s * size.pick(1, 5)).await;
    let outcome = run.finish(QUIET_DEADLINE).await;

    let own = |name: &str| name.split(' ').next() == Some(region);
    let failovers_ms: Vec<u64> = outcome
        .records
        .iter()
        .filter(|record| own(&record.log.name))
        .filter_map(|record| {
            let back = record.resumes.iter().find(|resume| resume.live_ms >= killed_ms)?;
            Some(back.live_ms - killed_ms)
        })
        .collect();
    let in_time = failovers_ms.iter().filter(|ms| **ms <= FAILOVER_MS_MAX).count();
    let percent = 100.0 * in_time as f64 / load.clients_per_region as f64;

    assert_eq!(failovers_ms.len(), load.clients_per_region, "every client of {region} had to move");
    let mut figure = Figure::new(name, size);
    figure.note("clients", clients as f64);
    figure.promised("live elsewhere within 10 s, %", percent, Promise::AtLeast(99.9));
    figure.spread("from the kill to live elsewhere", failovers_ms, None);
    figure.conclude(&outcome)
}
