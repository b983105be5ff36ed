//! Chaos: three regions, a nemesis, and the history checker. A fixed seed and a minute by default;
//! `make chaos` runs it longer. What is printed says how to run the same again.
//!
//! Not here yet: faults on the home region's server beyond a pause, and on edges as processes.

#![allow(clippy::unwrap_used)]

use fastrand::Rng;
use meridian_client::{Client, Event, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_edge::Config;
use meridian_local::Links;
use meridian_testkit::checker::{Log, Observation, Publication, check};
use meridian_testkit::{TestMesh, TestMeshOptions, with_orders};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const SEED_DEFAULT: u64 = 20_261_124;
const SECONDS_DEFAULT: u64 = 60;
const SUBSCRIBERS_PER_REGION: usize = 6;
const SUBJECTS: u64 = 5;

/// A mirror whose server was restarted hears of its home again after 40 s, and after several
/// restarts nothing stops the servers from waiting for minutes.
const QUIET_DEADLINE: Duration = Duration::from_secs(400);

/// A wildcard filter's audits are 2 s apart: a repair has had its chance after this long.
const LAST_AUDIT: Duration = Duration::from_secs(5);

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn configure(config: &mut Config) {
    with_orders(config);
    config.limits.commands_per_second = 1_000;
    config.limits.commands_burst = 1_000;
}

/// Publishes numbered messages until it is told to stop; a message that is not acknowledged is
/// sent again under the same id.
async fn publisher(url: String, stop: watch::Receiver<bool>) -> Vec<Publication> {
    let mut publications = Vec::new();
    let mut client: Option<Client> = None;
    let mut number = 0;
    while !*stop.borrow() {
        let subject = format!("orders.s{}", number % SUBJECTS);
        let mut sequence = None;
        while sequence.is_none() && !*stop.borrow() {
            let connected = match client.take() {
                Some(client) => Some(client),
                None => Client::connect(&url, Options::default()).await.ok(),
            };
            if let Some(connected) = connected {
                let mid = Some(number.to_string());
                let options = PublishOptions { mid, ..PublishOptions::default() };
                let payload = PayloadBuf::json(&number).unwrap();
                let reply = connected.publish(&subject, payload, options).await;
                if let Ok(Some(reply)) = reply {
                    sequence = reply.q;
                    client = Some(connected);
                    continue;
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        publications.push(Publication { subject, number, sequence });
        number += 1;
        sleep(Duration::from_millis(8)).await;
    }
    publications
}

/// Follows a filter from region to region until it has seen the last acknowledged message.
async fn subscriber(
    name: String,
    filter: &'static str,
    urls: Vec<String>,
    mut rng: Rng,
    goal: watch::Receiver<Option<u64>>,
) -> Log {
    let mut log = Log { name, start: u64::MAX, observations: Vec::new() };
    let mut resume = None;
    let mut seen = BTreeSet::new();
    let mut settled_since: Option<Instant> = None;
    loop {
        let url = &urls[rng.usize(..urls.len())];
        let options = SubscribeOptions { resume: resume.clone(), ..SubscribeOptions::default() };
        let Ok(client) = Client::connect(url, Options::default()).await else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        let Ok(mut subscription) = client.subscribe(filter, options).await else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        if log.start == u64::MAX {
            log.start = subscription.reply().q.unwrap();
        }
        let stay = Duration::from_millis(rng.u64(500..4_000));
        let until = Instant::now() + if goal.borrow().is_some() { LAST_AUDIT * 2 } else { stay };
        while let Ok(Some(event)) =
            timeout(until.saturating_duration_since(Instant::now()), subscription.next()).await
        {
            match event {
                Event::Message(message) => {
                    let (sequence, number) = (message.q.unwrap(), message.d.unwrap());
                    let number = number.get().parse().unwrap();
                    seen.insert(sequence);
                    let subject = message.s;
                    log.observations.push(Observation::Message { subject, number, sequence });
                }
                Event::Gap(gap) => {
                    let (after, upto) =
                        (gap.after.unwrap_or_default(), gap.upto.unwrap_or_default());
                    log.observations.push(Observation::Gap { after, upto });
                }
                Event::Live(_) | Event::Position(_) | Event::Unsubscribed(_) => {}
            }
        }
        resume = subscription.resume_point();
        client.close().await;
        let Some(goal) = *goal.borrow() else { continue };
        if seen.contains(&goal) {
            let since = *settled_since.get_or_insert_with(Instant::now);
            if since.elapsed() > LAST_AUDIT {
                return log;
            }
        }
    }
}

/// One fault, and its end.
async fn fault(mesh: &mut TestMesh, rng: &mut Rng) -> &'static str {
    let away = ["us", "ap"][rng.usize(..2)];
    match rng.u32(..6) {
        // Only the edge misses what is stored and republished meanwhile: it must read it up.
        4 | 5 => {
            let link = mesh.edge_link(["eu", "us", "ap"][rng.usize(..3)]);
            link.sever();
            sleep(Duration::from_millis(rng.u64(300..1_500))).await;
            link.heal();
            "edge cut off"
        }
        0 => {
            mesh.nats.cut_between("eu", away).unwrap();
            sleep(Duration::from_millis(rng.u64(500..3_000))).await;
            mesh.nats.heal_between("eu", away).unwrap();
            "cut"
        }
        1 => {
            mesh.nats.sever_between("eu", away).unwrap();
            sleep(Duration::from_millis(rng.u64(500..2_000))).await;
            mesh.nats.heal_between("eu", away).unwrap();
            "sever"
        }
        2 => {
            let region = ["eu", away][rng.usize(..2)];
            let server = mesh.nats.region(region).unwrap().server();
            server.pause().unwrap();
            sleep(Duration::from_millis(rng.u64(500..2_500))).await;
            server.resume().unwrap();
            "pause"
        }
        _ => {
            mesh.nats.kill_region(away).await.unwrap();
            sleep(Duration::from_millis(rng.u64(100..1_000))).await;
            mesh.nats.restart_region(away).await.unwrap();
            "kill"
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_silence() {
    let seed = number_from_environment("CHAOS_SEED", SEED_DEFAULT);
    let seconds = number_from_environment("CHAOS_SECONDS", SECONDS_DEFAULT);
    eprintln!("chaos: CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    let mut rng = Rng::with_seed(seed);
    let options = TestMeshOptions {
        links: Links::Proxied,
        edge_links: Links::Proxied,
        configure,
        ..TestMeshOptions::default()
    };
    let mut mesh = TestMesh::durable(options).await;
    let urls: Vec<String> = ["eu", "us", "ap"].map(|region| mesh.edge(region).url()).to_vec();
    let (stop, stopped) = watch::channel(false);
    let (goal, goal_of) = watch::channel(None);
    let mut subscribers = Vec::new();
    for index in 0..SUBSCRIBERS_PER_REGION * urls.len() {
        let filter = ["orders.>", "orders.*", "orders.s1"][index % 3];
        let (name, rng) = (format!("{index} {filter}"), rng.fork());
        let follow = subscriber(name, filter, urls.clone(), rng, goal_of.clone());
        subscribers.push((filter, tokio::spawn(follow)));
    }
    let publishing = tokio::spawn(publisher(urls[0].clone(), stopped));

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut faults = std::collections::BTreeMap::new();
    while Instant::now() < end {
        sleep(Duration::from_millis(rng.u64(500..3_000))).await;
        *faults.entry(fault(&mut mesh, &mut rng).await).or_insert(0) += 1;
    }
    stop.send_replace(true);
    let publications = publishing.await.unwrap();
    let last_on_s1 = publications
        .iter()
        .rev()
        .find(|publication| publication.subject == "orders.s1" && publication.sequence.is_some());
    // A subject that every filter covers, so that every subscriber waits for the same message.
    goal.send_replace(Some(last_on_s1.unwrap().sequence.unwrap()));
    let quiet = Instant::now();
    let mut summaries = Vec::new();
    for (filter, subscriber) in subscribers {
        let left = QUIET_DEADLINE.saturating_sub(quiet.elapsed());
        let log = timeout(left, subscriber).await.expect("every subscriber catches up").unwrap();
        let of_filter: Vec<Publication> = publications
            .iter()
            .filter(|publication| filter != "orders.s1" || publication.subject == "orders.s1")
            .cloned()
            .collect();
        match check(&of_filter, std::slice::from_ref(&log)) {
            Ok(summary) => summaries.push(summary),
            Err(violations) => panic!("CHAOS_SEED={seed}: {}: {:?}", log.name, &violations[..1]),
        }
    }
    let delivered: usize = summaries.iter().map(|summary| summary.delivered).sum();
    let gaps: usize = summaries.iter().map(|summary| summary.gaps).sum();
    let acknowledged = publications.iter().filter(|one| one.sequence.is_some()).count();
    eprintln!(
        "chaos: faults {faults:?}, published {}, acknowledged {acknowledged}, \
         delivered {delivered}, gaps told {gaps}, silent losses 0, caught up after {:?}",
        publications.len(),
        quiet.elapsed(),
    );
    assert!(acknowledged > 100 && delivered > 1_000, "the history is not empty");
    assert!(faults.len() > 1 || seconds < 20, "the nemesis did something: {faults:?}");
}
