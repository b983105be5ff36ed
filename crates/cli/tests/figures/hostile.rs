//! Hostile clients: how much later healthy clients hear while each attack of the threat model goes
//! on. That they hear everything is a test, `hostile_clients.rs`.

use crate::figure::{Figure, Promise, Size};
use meridian_client::{Client, Event, Options, SubscribeOptions, Subscription};
use meridian_testkit::hostile::{Attack, attack};
use meridian_testkit::{ProcessMesh, Spread, within};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Of the p99 without an attack.
const RATIO_MAX: f64 = 1.5;

/// From one message to the next.
const PACE: Duration = Duration::from_millis(10);

const ATTACKERS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_clients_hear_about_as_soon_under_every_attack() {
    let size = Size::from_environment();
    let span = Duration::from_secs(size.pick(1, 10));
    let mesh = ProcessMesh::one_edge(env!("CARGO_BIN_EXE_meridian"), |_| {}).await;
    let client = Client::connect(&mesh.urls("eu")[0], Options::default()).await.unwrap();
    let options = SubscribeOptions::default();
    let mut healthy = client.subscribe("demo.healthy", options).await.unwrap();
    let nats = mesh.plain_nats("eu").await;
    let zero = Instant::now();
    let one = async |healthy: &mut Subscription| {
        let sent_us = zero.elapsed().as_micros() as u64;
        nats.publish("demo.healthy", sent_us.to_string().into()).await.unwrap();
        nats.flush().await.unwrap();
        match within("a healthy client's message", healthy.next()).await {
            Some(Event::Message(_)) => zero.elapsed().as_micros() as u64 - sent_us,
            other => panic!("{other:?}"),
        }
    };
    let mut figure = Figure::new("hostile", size);
    let (mut calm_us, calm_until) = (Vec::new(), Instant::now() + span);
    while Instant::now() < calm_until {
        calm_us.push(one(&mut healthy).await);
        sleep(PACE).await;
    }
    let calm = Spread::of(calm_us).unwrap().p99;
    figure.note("undisturbed: p99, µs", calm as f64);
    for attacked in Attack::ALL.into_iter().take(size.pick(2, Attack::ALL.len())) {
        let attacking = tokio::spawn(attack(mesh.public("eu", 0), attacked, ATTACKERS, span));
        let mut samples_us = Vec::new();
        while !attacking.is_finished() {
            samples_us.push(one(&mut healthy).await);
            sleep(PACE).await;
        }
        let fate = attacking.await.unwrap();
        assert!(fate.attempts >= ATTACKERS, "{attacked:?}: {fate:?}");
        let p99 = Spread::of(samples_us).unwrap().p99;
        let what = format!("{attacked:?}: p99, ratio");
        let ratio = (100.0 * p99 as f64 / calm as f64).round() / 100.0;
        figure.promised(&what, ratio, Promise::AtMost(RATIO_MAX));
    }
    eprintln!("{}", figure.write());
}
