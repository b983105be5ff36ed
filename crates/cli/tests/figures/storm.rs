//! A storm: as many clients as descriptors allow are cut off at once, and all come back at once.

use crate::figure::{Figure, Promise, Size};
use meridian_client::{Client, Event, Options, ResumePoint, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_testkit::{ProcessMesh, eventually, with_orders};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// Each followed by its share of the clients.
const SUBJECTS: usize = 20;

/// Everybody is back after this, as promised.
const BACK_WITHIN_MS: f64 = 15_000.0;

/// Waits between attempts, by chance up to these, as the TypeScript client does it.
const BACKOFF_MS: [u64; 5] = [500, 1_000, 2_000, 4_000, 5_000];

/// So many connect at a time before the storm.
const GATHERED_AT_ONCE: usize = 200;

fn configure(config: &mut Config) {
    with_orders(config);
    config.limits.connections_max = 20_000;
}

/// What the clients share.
struct Storm {
    url: String,
    live: AtomicUsize,
    /// Who has the message before the cut.
    heard: AtomicUsize,
    /// When everybody was cut.
    cut: watch::Receiver<Option<Instant>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_clients_is_back_and_has_missed_nothing() {
    let size = Size::from_environment();
    let clients = size.pick(200, 19_000);
    // The edge inherits it.
    meridian_bench::descriptors::make_room_for(clients).unwrap();
    let mut mesh = ProcessMesh::one_edge(env!("CARGO_BIN_EXE_meridian"), configure).await;
    let (cutting, cut) = watch::channel(None);
    let url = mesh.urls("eu")[0].clone();
    let storm = Arc::new(Storm { url, live: AtomicUsize::new(0), heard: AtomicUsize::new(0), cut });
    let (back, mut came_back) = mpsc::unbounded_channel();
    for first in (0..clients).step_by(GATHERED_AT_ONCE) {
        let last = clients.min(first + GATHERED_AT_ONCE);
        for number in first..last {
            tokio::spawn(client(Arc::clone(&storm), number, back.clone()));
        }
        eventually("they are connected", async || storm.live.load(Ordering::Relaxed) >= last).await;
    }
    drop(back);
    let nats = mesh.plain_nats("eu").await;
    let store = async |text: &'static str| {
        for subject in 0..SUBJECTS {
            let answer = nats.request(format!("orders.k{subject}"), text.into()).await.unwrap();
            assert!(answer.payload.starts_with(b"{\"stream\""), "{answer:?}");
        }
    };
    store("1").await;
    eventually("everybody has it", async || storm.heard.load(Ordering::Relaxed) == clients).await;

    let edge = mesh.edge_mut("eu", 0);
    let began = Instant::now();
    cutting.send_replace(Some(began));
    edge.kill().await.unwrap();
    store("2").await;
    edge.restart().await.unwrap();
    let restarted_ms = began.elapsed().as_millis() as u64;

    let (mut live_ms, mut attempts) = (Vec::new(), 0);
    while live_ms.len() < clients {
        let next = timeout(Duration::from_secs(120), came_back.recv()).await;
        let Ok(Some(one)) = next else { break };
        let (back_ms, tried): (u64, usize) = one;
        live_ms.push(back_ms);
        attempts += tried;
    }
    let mut figure = Figure::new("storm", size);
    figure.note("clients", clients as f64);
    figure.note("the edge is restarted after, ms", restarted_ms as f64);
    figure.note("attempts a client", attempts as f64 / clients as f64);
    let is_all = live_ms.len() == clients;
    let last_ms = live_ms.iter().max().copied().unwrap_or_default();
    figure.promised(
        "clients that came back, %",
        100.0 * live_ms.len() as f64 / clients as f64,
        Promise::AtLeast(100.0),
    );
    figure.promised("all of them after, ms", last_ms as f64, Promise::AtMost(BACK_WITHIN_MS));
    figure.spread("from the cut to the missed message", live_ms, None);
    eprintln!("{}", figure.write());
    assert!(is_all, "some did not come back with what they missed");
}

/// One client: it follows its subject, is cut, comes back, and gets what it has missed.
async fn client(storm: Arc<Storm>, number: usize, back: mpsc::UnboundedSender<(u64, usize)>) {
    let filter = format!("orders.k{}", number % SUBJECTS);
    let (mut held, _) = connect(&storm.url, &filter, None).await;
    storm.live.fetch_add(1, Ordering::Relaxed);
    let mut seen = 0;
    while let Some(event) = held.1.next().await {
        if matches!(event, Event::Message(_)) {
            seen += 1;
            storm.heard.fetch_add(1, Ordering::Relaxed);
        }
    }
    assert_eq!(seen, 1, "the message before the cut came");
    let point = held.1.resume_point();
    drop(held);
    let began = storm.cut.borrow().expect("nobody is cut before that");
    let (again, attempts) = connect(&storm.url, &filter, point).await;
    held = again;
    let event = loop {
        match held.1.next().await {
            // Where it stands, and that it is live: not what is looked for.
            Some(Event::Live(_) | Event::Position(_)) => {}
            event => break event,
        }
    };
    match event {
        Some(Event::Message(message)) => {
            assert_eq!(message.d.as_ref().map(|d| d.get()), Some("2"), "the one that it missed");
            let _ = back.send((began.elapsed().as_millis() as u64, attempts));
        }
        other => panic!("{other:?} instead of the message that was missed"),
    }
    // Stays until the test ends.
    while held.1.next().await.is_some() {}
}

/// Tries until it is subscribed; how often.
async fn connect(
    url: &str,
    filter: &str,
    resume: Option<ResumePoint>,
) -> ((Client, Subscription), usize) {
    for attempt in 0.. {
        let options = Options { connect_timeout: Duration::from_secs(10), ..Options::default() };
        if let Ok(client) = Client::connect(url, options).await {
            let options =
                SubscribeOptions { resume: resume.clone(), events_max: 4, ..Default::default() };
            if let Ok(subscription) = client.subscribe(filter, options).await {
                return ((client, subscription), attempt + 1);
            }
        }
        let most = BACKOFF_MS[attempt.min(BACKOFF_MS.len() - 1)];
        sleep(Duration::from_millis(fastrand::u64(1..=most))).await;
    }
    unreachable!("it tries for ever")
}
