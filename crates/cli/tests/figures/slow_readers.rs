//! Slow readers: one client in twenty reads at 8 kbit/s, and the others should not notice.

use crate::figure::{Figure, Promise, Size};
use meridian_client::{Client, Event, Options, SubscribeOptions};
use meridian_testkit::{ProcessMesh, RawSocket, Spread};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

/// One message to everybody: ten a second, 16 kbit/s with its frame, twice what a slow one reads.
const PACE: Duration = Duration::from_millis(100);
const MESSAGE_BYTES: usize = 160;

/// 8 kbit/s.
const SIP_BYTES: usize = 100;
const SIP_EVERY: Duration = Duration::from_millis(100);

/// How much later healthy clients may hear, and what a slow one may cost the process.
const RATIO_MAX: f64 = 1.1;
const SLOW_BYTES_MAX: f64 = 65_536.0;

/// What a span showed.
struct Shown {
    latencies_us: Vec<u64>,
    resident_before: u64,
    resident_highest: u64,
    pending_highest: u64,
    slow_closes: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_clients_do_not_notice_slow_readers() {
    let size = Size::from_environment();
    let (clients, seconds) = (size.pick(100, 2_000), size.pick(3, 60));
    meridian_bench::descriptors::make_room_for(clients).unwrap();
    let slow = clients / 20;
    let without = run(clients - slow, 0, seconds).await;
    let with = run(clients - slow, slow, seconds).await;
    let p99 = |shown: &Shown| Spread::of(shown.latencies_us.clone()).unwrap().p99;
    let mut figure = Figure::new("slow-readers", size);
    figure.note("clients", clients as f64);
    figure.note("of them slow", slow as f64);
    figure.note("seconds", seconds as f64);
    figure.note("without slow ones: p99, µs", p99(&without) as f64);
    figure.note("with slow ones: p99, µs", p99(&with) as f64);
    let ratio = p99(&with) as f64 / p99(&without) as f64;
    figure.promised("p99 of healthy clients, ratio", ratio, Promise::AtMost(RATIO_MAX));
    let grown = |shown: &Shown| shown.resident_highest.saturating_sub(shown.resident_before);
    let more = grown(&with).saturating_sub(grown(&without)) as f64 / slow as f64;
    figure.promised("resident memory a slow client, bytes", more, Promise::AtMost(SLOW_BYTES_MAX));
    let pending = with.pending_highest as f64 / slow as f64;
    figure.note("bytes that wait for a slow client", pending);
    figure.note("slow clients closed", with.slow_closes as f64);
    eprintln!("{}", figure.write());
    let expected = (clients - slow) * (seconds as usize * 10);
    assert!(with.latencies_us.len() >= expected * 9 / 10, "healthy clients got their messages");
}

/// An edge of its own, so many clients of each kind, and messages to all of them.
async fn run(healthy: usize, slow: usize, seconds: u64) -> Shown {
    let mesh = ProcessMesh::one_edge(env!("CARGO_BIN_EXE_meridian"), |_| {}).await;
    let url = mesh.urls("eu")[0].clone();
    let address = mesh.public("eu", 0);
    let zero = Instant::now();
    let mut reading = JoinSet::new();
    for _ in 0..healthy {
        let client = Client::connect(&url, Options::default()).await.unwrap();
        let options = SubscribeOptions::default();
        let mut subscription = client.subscribe("demo.all", options).await.unwrap();
        reading.spawn(async move {
            let _client = client;
            let mut latencies_us = Vec::new();
            while let Some(Event::Message(message)) = subscription.next().await {
                let text = message.t.unwrap();
                if text == "end" {
                    break;
                }
                let sent_us: u64 = text.split(' ').next().unwrap().parse().unwrap();
                latencies_us.push(zero.elapsed().as_micros() as u64 - sent_us);
            }
            latencies_us
        });
    }
    let mut sipping = JoinSet::new();
    for _ in 0..slow {
        let mut socket = RawSocket::narrow_tcp(address).await;
        socket.upgrade().await;
        socket.identify("{}").await;
        socket.send_text(r#"{"id":2,"subscribe":{"f":"demo.all"}}"#).await;
        assert_eq!(socket.next_item().await["id"], 2);
        sipping.spawn(async move {
            while socket.sip(SIP_BYTES).await > 0 {
                sleep(SIP_EVERY).await;
            }
        });
    }
    let nats = mesh.plain_nats("eu").await;
    let mut shown = Shown {
        latencies_us: Vec::new(),
        resident_before: mesh.resident_bytes("eu", 0),
        resident_highest: 0,
        pending_highest: 0,
        slow_closes: 0,
    };
    let mut pace = interval(PACE);
    let padding = "x".repeat(MESSAGE_BYTES);
    for number in 0..seconds * 10 {
        pace.tick().await;
        let text = format!("{} {padding}", zero.elapsed().as_micros());
        nats.publish("demo.all", text.into()).await.unwrap();
        nats.flush().await.unwrap();
        if number % 10 == 9 {
            let numbers = mesh.stats("eu", 0).await["numbers"].clone();
            let of = |name: &str| numbers[name].as_u64().unwrap();
            shown.resident_highest = shown.resident_highest.max(mesh.resident_bytes("eu", 0));
            shown.pending_highest = shown.pending_highest.max(of("pending_bytes"));
            shown.slow_closes = of("slow_closes");
        }
    }
    nats.publish("demo.all", "end".into()).await.unwrap();
    nats.flush().await.unwrap();
    while let Some(latencies_us) = reading.join_next().await {
        shown.latencies_us.extend(latencies_us.unwrap());
    }
    sipping.abort_all();
    shown
}
