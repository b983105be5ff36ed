//! Each attack of the threat model for a while, against an edge that is a process of its own, so
//! that its memory is its own: healthy clients get every message, memory stays where it was, and
//! the attacker meets its fate. How much later healthy clients hear is a figure, see `make
//! figures`.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

use meridian_client::{Client, Event, Options, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_testkit::hostile::{Attack, Fate, attack};
use meridian_testkit::{ProcessMesh, eventually, within};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const ATTACKERS: usize = 50;
const SPAN: Duration = Duration::from_millis(2_500);

/// More than all attackers' share of the bounds together: 50 outboxes of 256 KiB, messages of
/// 64 KiB, and what a debug build and its allocator keep.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// From one message for healthy clients to the next.
const PACE: Duration = Duration::from_millis(20);

fn configure(config: &mut Config) {
    config.limits.header_read_ms = 1_000;
    config.limits.handshakes_per_second = 300;
    config.limits.send_buffer_bytes = 4 << 10;
    config.limits.interest_linger_ms = 500;
}

/// A healthy client that counts what it gets.
struct Healthy {
    subscription: Subscription,
    _client: Client,
    next: u64,
}

impl Healthy {
    async fn connect(url: &str) -> Self {
        let client = Client::connect(url, Options::default()).await.unwrap();
        let options = SubscribeOptions::default();
        let subscription = client.subscribe("demo.healthy", options).await.unwrap();
        Self { subscription, _client: client, next: 0 }
    }

    /// Gets every message up to a number, in order, and nothing else.
    async fn gets_all(&mut self, upto: u64, attack: Attack) {
        while self.next <= upto {
            match within("a healthy client's message", self.subscription.next()).await {
                Some(Event::Message(message)) => {
                    assert_eq!(message.d.unwrap().get(), self.next.to_string(), "{attack:?}");
                }
                other => panic!("a healthy client got {other:?} during {attack:?}"),
            }
            self.next += 1;
        }
    }
}

/// What must have become of those who attacked.
fn judge(attack: Attack, fate: &Fate) {
    let closed = |code: u16| fate.closed.get(&code).copied().unwrap_or_default();
    let errors = |code: u64| fate.errors.get(&code).copied().unwrap_or_default();
    let is_met = match attack {
        Attack::Slowloris => fate.cut >= ATTACKERS && fate.left == 0,
        Attack::HandshakeFlood => fate.refused.get("503").is_some_and(|count| *count > 0),
        Attack::HugeMessages => closed(1009) >= ATTACKERS,
        Attack::ClaimedLengths => closed(1008) >= ATTACKERS,
        Attack::TinyFragments | Attack::PingFlood => closed(1008) >= ATTACKERS,
        Attack::CommandFlood => fate.left == 0 && closed(3003) + fate.cut >= ATTACKERS,
        Attack::PublishFlood => errors(111) >= ATTACKERS,
        Attack::SubscriptionBomb => errors(111) >= ATTACKERS,
        Attack::DeafSubscriber => closed(3003) + fate.cut >= ATTACKERS && fate.left == 0,
        Attack::Noise => closed(1002) >= ATTACKERS,
    };
    assert!(is_met, "{attack:?}: {fate:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attackers_meet_their_fate_and_nobody_else_notices() {
    let mut mesh = ProcessMesh::one_edge(env!("CARGO_BIN_EXE_meridian"), configure).await;
    let url = mesh.urls("eu")[0].clone();
    let address = mesh.public("eu", 0);
    let pid = mesh.edge_mut("eu", 0).pid().unwrap();
    let nats = mesh.plain_nats("eu").await;
    let mut healthy = Healthy::connect(&url).await;
    let mut number = 0;
    // Every kind once before the first look, so that what the allocator keeps is there already.
    for attacked in Attack::ALL {
        let before = mesh.resident_bytes("eu", 0);
        let is_over = Arc::new(AtomicBool::new(attacked != Attack::DeafSubscriber));
        let flooding = {
            // For the deaf, as long as it is told to.
            let (nats, is_over) = (nats.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    for _ in 0..8 {
                        nats.publish("demo.busy", vec![b'x'; 16 << 10].into()).await.unwrap();
                    }
                    sleep(PACE).await;
                }
            })
        };
        let attacking = tokio::spawn(attack(address, attacked, ATTACKERS, SPAN));
        let mut highest = before;
        while !attacking.is_finished() {
            nats.publish("demo.healthy", number.to_string().into()).await.unwrap();
            healthy.gets_all(number, attacked).await;
            number += 1;
            highest = highest.max(mesh.resident_bytes("eu", 0));
            sleep(PACE).await;
        }
        let fate = attacking.await.unwrap();
        is_over.store(true, Ordering::Relaxed);
        flooding.await.unwrap();
        judge(attacked, &fate);
        let growth = highest.saturating_sub(before);
        eprintln!("{attacked:?}: {} KiB more at most, {fate:?}", growth >> 10);
        assert!(growth < GROWTH_BYTES_MAX, "{attacked:?}: {growth} bytes more");
        assert_eq!(mesh.edge_mut("eu", 0).pid(), Some(pid), "the process lives");
    }
    eventually("the edge takes clients again", async || {
        Client::connect(&url, Options::default()).await.is_ok()
    })
    .await;
}
