//! The lossy-client profile that AnyCable publishes: every client is cut off about every 15 s,
//! stays offline for 2 s and comes back, while 2 messages a second go to all of them for a minute.
//! AnyCable counts how much arrives; how long a replay takes is measured here, too.

use crate::figure::{Figure, Promise, Size};
use crate::load::{QUIET_DEADLINE, REGIONS, mesh, plain};
use fastrand::Rng;
use meridian_testkit::checker::Violation;
use meridian_testkit::{Door, Follower, Habit, Next, Patience, Publisher, Run};
use std::time::Duration;
use tokio::time::sleep;

const SUBJECT: &str = "orders.lossy";

const OFFLINE_MS: u64 = 2_000;
const PACE: Duration = Duration::from_millis(500);
const REPLAY_P99_MS_MAX: u64 = 500;

#[tokio::test]
async fn clients_that_are_cut_off_again_and_again_receive_everything() {
    let size = Size::from_environment();
    let clients: usize = size.pick(30, 2_000);
    let stay_ms = size.pick(1_000..3_000, 10_000..20_000);
    meridian_bench::descriptors::make_room_for(clients).unwrap();
    let mesh = mesh(1, plain).await;
    let mut rng = Rng::with_seed(1);
    let followers = (0..clients)
        .map(|client| Follower {
            name: format!("client {client}"),
            filter: SUBJECT.into(),
            urls: mesh.urls(REGIONS[client % REGIONS.len()]).to_vec(),
            habit: Habit {
                stay_ms: Some(stay_ms.clone()),
                offline_ms: OFFLINE_MS,
                next: Next::Same,
            },
            rng: rng.fork(),
        })
        .collect();
    let publisher = Publisher {
        name: "service".into(),
        subjects: vec![SUBJECT.into()],
        pace: PACE,
        padding_bytes: 100,
        door: Door::Nats(mesh.plain_nats(REGIONS[0]).await),
        patience: Patience::Stubborn,
    };
    let run = Run::start(followers, vec![publisher]).await;
    sleep(Duration::from_secs(size.pick(6, 60))).await;
    let outcome = run.finish(QUIET_DEADLINE).await;

    let acknowledged: Vec<u64> =
        outcome.publications.iter().filter_map(|one| one.sequence).collect();
    let owed: usize = outcome
        .records
        .iter()
        .map(|record| acknowledged.iter().filter(|one| **one > record.log.start).count())
        .sum();
    let is_loss = |one: &&Violation| matches!(one, Violation::SilentLoss { .. });
    let lost = outcome.violations.iter().filter(is_loss).count();
    let resumes = outcome.records.iter().flat_map(|record| record.resumes.iter().skip(1));
    let replays_ms: Vec<u64> = resumes.map(|resume| resume.live_ms - resume.began_ms).collect();
    assert!(!replays_ms.is_empty(), "clients came back");

    let mut figure = Figure::new("lossy-clients", size);
    figure.note("clients", clients as f64);
    let percent = 100.0 * (owed - lost) as f64 / owed as f64;
    figure.promised("delivered, %", percent, Promise::AtLeast(100.0));
    figure.spread("from reconnecting to live", replays_ms, Some(REPLAY_P99_MS_MAX));
    eprintln!("{}", figure.conclude(&outcome));
}
