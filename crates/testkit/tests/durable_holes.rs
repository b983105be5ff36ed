//! What a region's copy does not have although it may seem to: what its mirror skipped because home
//! had dropped it, and what a purge has erased while an edge still remembers it.

#![allow(clippy::unwrap_used)]

use meridian_client::{Event, SubscribeOptions};
use meridian_edge::Config;
use meridian_local::Links;
use meridian_nats::streams::Confirm;
use meridian_testkit::{
    DEADLINE, Shown, TestMesh, TestMeshOptions, ask, eventually, next_event, subscribe_durable,
    with_orders, within,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A mirror that was cut off asks again after 40 s and more.
const MIRROR_DEADLINE: Duration = Duration::from_secs(300);

/// What home keeps, and a message: some sixty of them.
const KEPT_BYTES: i64 = 20 * 1024;
const DIGITS: usize = 256;

/// Messages that a purge erases.
const SECRETS: usize = 20;

/// Messages before the cut, and during it.
const BEFORE: usize = 5;
const CUT: usize = 200;

fn with_little(config: &mut Config) {
    with_orders(config);
    config.namespaces.last_mut().unwrap().stream.as_mut().unwrap().max_bytes = KEPT_BYTES;
}

/// Publishes long numbers and waits until home has them. Their sequences.
async fn store(nats: &async_nats::Client, numbers: std::ops::Range<usize>) -> Vec<u64> {
    let mut sequences = Vec::new();
    for number in numbers {
        let text = format!("{number:0DIGITS$}");
        let answer = within("the ack", nats.request("orders.a", text.into())).await.unwrap();
        let ack: Value = serde_json::from_slice(&answer.payload).unwrap();
        sequences.push(ack["seq"].as_u64().unwrap());
    }
    sequences
}

/// Whether each sequence was shown, or lies in a gap that was told.
fn is_accounted(shown: &Shown, sequences: &[u64]) -> bool {
    sequences.iter().all(|sequence| {
        let is_told = shown
            .gaps
            .iter()
            .any(|gap| gap.after.unwrap() < *sequence && *sequence <= gap.upto.unwrap());
        is_told || shown.messages.iter().any(|message| message.0 == *sequence)
    })
}

#[tokio::test]
async fn what_a_mirror_skipped_is_told_to_those_who_watch_and_to_those_who_come_back() {
    let options = TestMeshOptions {
        regions: vec!["eu".into(), "us".into()],
        links: Links::Proxied,
        configure: with_little,
        ..TestMeshOptions::default()
    };
    let mesh = TestMesh::durable(options).await;
    let (nats, client) = (mesh.plain_nats("eu").await, mesh.client("us").await);
    let mut watchers = Vec::new();
    for filter in ["orders.a", "orders.*"] {
        let none = SubscribeOptions::default();
        watchers.push((subscribe_durable(&client, filter, none).await, Shown::default()));
    }
    let mut sequences = store(&nats, 0..BEFORE).await;
    for (watcher, shown) in &mut watchers {
        shown.read_until(watcher, DEADLINE, |shown| shown.messages.len() == BEFORE).await;
    }
    let resume = watchers[0].0.resume_point();
    mesh.nats.sever_between("eu", "us").unwrap();
    sequences.extend(store(&nats, BEFORE..BEFORE + CUT).await);
    mesh.nats.heal_between("eu", "us").unwrap();
    let last = *sequences.last().unwrap();
    for (watcher, shown) in &mut watchers {
        let is_over = |shown: &Shown| {
            is_accounted(shown, &sequences) && shown.messages.iter().any(|one| one.0 == last)
        };
        shown.read_until(watcher, MIRROR_DEADLINE, is_over).await;
        let filter = watcher.filter();
        assert!(shown.gaps.iter().all(|gap| gap.why == "expired"), "{filter}: {:?}", shown.gaps);
        let mut seen: Vec<u64> = shown.messages.iter().map(|message| message.0).collect();
        let count = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), count, "{filter}: once each");
        assert!(count < BEFORE + CUT, "{filter}: nothing was skipped, so nothing is proven");
    }
    // Nothing is waited for that never comes.
    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    let other = mesh.client("us").await;
    let mut back = within("the reply", other.subscribe("orders.a", options)).await.unwrap();
    assert_eq!(back.reply().recovered, Some(false));
    assert_eq!(back.reply().why.as_deref(), Some("expired"));
    let next = store(&nats, 0..1).await[0];
    let mut shown = Shown::default();
    let is_there = |shown: &Shown| shown.messages.iter().any(|message| message.0 == next);
    shown.read_until(&mut back, DEADLINE, is_there).await;
}

#[tokio::test]
async fn after_a_purge_no_edge_shows_what_it_erased() {
    let mesh = TestMesh::durable_one_region().await;
    let nats = mesh.plain_nats("eu").await;
    let client = mesh.client("eu").await;
    let namespace = {
        let mut config = Config::default();
        with_orders(&mut config);
        config.durable_namespaces().remove(0)
    };
    let (streams, regions) = (mesh.streams("eu").await, ["eu".to_owned()]);
    // The watcher keeps the filter alive, and what it was shown in the edge's memory.
    let none = SubscribeOptions::default();
    let mut watcher = subscribe_durable(&client, "orders.secret", none).await;
    let other = mesh.client("eu").await;
    // With a message that stays, the copy looks whole to whoever asks where it begins.
    ask(&nats, "orders.stays", &json!(0)).await;
    for (purge_at_s, filter) in [(2_000_000_000, Some("orders.secret")), (2_000_000_001, None)] {
        let resume = watcher.resume_point();
        for number in 0..SECRETS {
            ask(&nats, "orders.secret", &json!(number)).await;
        }
        let mut shown = Shown::default();
        shown.read_until(&mut watcher, DEADLINE, |shown| shown.messages.len() == SECRETS).await;
        let purge = streams.purge(&namespace, &regions, filter, purge_at_s, Confirm::Yes);
        assert!(within("the purge", purge).await.unwrap().is_complete());
        // At once, and again until the edge has the new epoch.
        let is_anew = async || {
            let options =
                SubscribeOptions { resume: resume.clone(), ..SubscribeOptions::default() };
            let mut back = other.subscribe("orders.secret", options).await.unwrap();
            let is_old = back.reply().recovered == Some(true);
            let mut is_over = !is_old;
            while !is_over {
                match next_event(&mut back).await {
                    Event::Message(message) => panic!("shown after the purge: {message:?}"),
                    event => is_over = matches!(event, Event::Live(_)),
                }
            }
            back.unsubscribe().await.unwrap();
            !is_old
        };
        eventually("the edge knows that positions are of another epoch", is_anew).await;
        shown.read_until(&mut watcher, DEADLINE, |shown| !shown.gaps.is_empty()).await;
        assert_eq!(shown.gaps[0].why, "epoch");
    }
}
