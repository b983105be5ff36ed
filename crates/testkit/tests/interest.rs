//! What the edge wants of NATS, and when: one upstream subscription a filter, a linger, and a
//! reply that proves the interest.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_testkit::{RawSocket, TestMesh, eventually, next_message, text_of};
use serde_json::Value;

/// Clients that share a filter.
const CLIENTS: usize = 50;

/// Rounds of a race: enough that a lost one shows.
const ROUNDS: usize = 100;

fn without_budget(config: &mut Config) {
    config.limits.commands_per_second = 10_000;
    config.limits.commands_burst = 10_000;
}

async fn subscribe(client: &Client, filter: &str) -> Subscription {
    client.subscribe(filter, SubscribeOptions::default()).await.unwrap()
}

#[tokio::test]
async fn many_clients_on_one_filter_make_one_upstream_subscription() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        let client = mesh.client("eu").await;
        let subscription = subscribe(&client, "demo.shared.*").await;
        held.push((client, subscription));
    }
    assert_eq!(mesh.upstream_sids("eu", "demo.shared.*").await.len(), 1);
    eventually("the edge counts one filter", async || mesh.edge("eu").number("filters").await == 1)
        .await;
    let wishes = SubscribeOptions { trace: true, ..SubscribeOptions::default() };
    let client = mesh.client("eu").await;
    let mut traced = client.subscribe("demo.shared.*", wishes).await.unwrap();
    assert_eq!(mesh.upstream_sids("eu", "demo.shared.*").await.len(), 1, "whatever they wish");
    let nats = mesh.plain_nats("eu").await;
    for payload in ["1", "2"] {
        nats.publish("demo.shared.x", payload.into()).await.unwrap();
    }
    let all = held.iter_mut().map(|(_, subscription)| subscription).chain([&mut traced]);
    for subscription in all {
        for payload in ["1", "2"] {
            assert_eq!(text_of(&next_message(subscription).await), payload);
        }
    }
}

#[tokio::test]
async fn a_filter_that_is_wanted_again_soon_is_kept() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let first = subscribe(&client, "demo.a").await;
    let sids = mesh.upstream_sids("eu", "demo.a").await;
    assert_eq!(sids.len(), 1);
    first.unsubscribe().await.unwrap();
    // What the edge sent NATS by now has been processed when this publish is acknowledged.
    client.publish("demo.b", Default::default(), Default::default()).await.unwrap();
    assert_eq!(mesh.upstream_sids("eu", "demo.a").await, sids, "it lingers");
    let mut again = subscribe(&client, "demo.a").await;
    assert_eq!(mesh.upstream_sids("eu", "demo.a").await, sids, "it was used again");
    client.publish("demo.a", Default::default(), Default::default()).await.unwrap();
    next_message(&mut again).await;
}

#[tokio::test]
async fn a_filter_that_nobody_wants_is_given_up_after_its_linger() {
    let mesh = TestMesh::one_region(|config| config.limits.interest_linger_ms = 300).await;
    let (one, other) = (mesh.client("eu").await, mesh.client("eu").await);
    let unsubscribed = subscribe(&one, "demo.a").await;
    let dropped = subscribe(&other, "demo.a").await;
    let mut kept = subscribe(&one, "demo.kept").await;
    let before = mesh.upstream_sids("eu", "demo.a").await;
    assert_eq!(before.len(), 1);
    unsubscribed.unsubscribe().await.unwrap();
    // The other one's connection ends without a word about its subscriptions.
    other.close().await;
    drop(dropped);
    eventually("NATS no longer has the filter", async || {
        mesh.upstream_sids("eu", "demo.a").await.is_empty()
    })
    .await;
    eventually("the edge forgot it", async || mesh.edge("eu").number("filters").await == 1).await;

    let mut again = subscribe(&one, "demo.a").await;
    let after = mesh.upstream_sids("eu", "demo.a").await;
    assert_eq!(after.len(), 1);
    assert_ne!(after, before, "a late message of the old one must not be taken for a new one's");
    let nats = mesh.plain_nats("eu").await;
    nats.publish("demo.a", "a".into()).await.unwrap();
    nats.publish("demo.kept", "kept".into()).await.unwrap();
    assert_eq!(text_of(&next_message(&mut again).await), "a");
    assert_eq!(text_of(&next_message(&mut kept).await), "kept");
}

#[tokio::test]
async fn no_message_published_after_a_subscribe_reply_is_lost() {
    let mesh = TestMesh::one_region(without_budget).await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    for round in 0..ROUNDS {
        let subject = format!("demo.round.{round}");
        let mut subscription = subscribe(&client, &subject).await;
        nats.publish(subject, round.to_string().into()).await.unwrap();
        nats.flush().await.unwrap();
        assert_eq!(text_of(&next_message(&mut subscription).await), round.to_string());
        // Not held any longer: a connection holds 128 filters at most.
        drop(subscription);
    }
}

/// Reads up to the reply of a command, and checks that nothing of the subscription came before.
async fn reply_before_messages(socket: &mut RawSocket, id: usize, held: &mut Vec<Value>) -> Value {
    loop {
        let item = socket.next_item().await;
        if item["id"] == id {
            let i = item["subscribe"]["i"].clone();
            assert!(i.is_u64(), "{item}");
            held.push(i.clone());
            return i;
        }
        assert!(held.contains(&item["m"]["i"]), "a message before its reply: {item}");
    }
}

#[tokio::test]
async fn a_subscribe_reply_precedes_the_first_message_under_a_flood() {
    let mesh = TestMesh::one_region(without_budget).await;
    let nats = mesh.plain_nats("eu").await;
    let flood = tokio::spawn(async move {
        loop {
            for token in 0..10 {
                nats.publish(format!("demo.flood.{token}"), "x".into()).await.unwrap();
            }
            // Paced by the server's answer, so that nobody falls behind.
            nats.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut sockets =
        [mesh.raw_socket("eu").await, mesh.raw_socket("eu").await, mesh.raw_socket("eu").await];
    let mut held = [Vec::new(), Vec::new(), Vec::new()];
    for token in 0..10 {
        let id = token + 2;
        let line = format!(r#"{{"id":{id},"subscribe":{{"f":"demo.flood.{token}"}}}}"#);
        // The first makes the interest and the second joins while it is proven.
        sockets[0].send_text(&line).await;
        sockets[1].send_text(&line).await;
        let i = reply_before_messages(&mut sockets[0], id, &mut held[0]).await;
        reply_before_messages(&mut sockets[1], id, &mut held[1]).await;
        while sockets[0].next_item().await["m"]["i"] != i {}
        // The third finds it standing.
        sockets[2].send_text(&line).await;
        reply_before_messages(&mut sockets[2], id, &mut held[2]).await;
    }
    flood.abort();
}

#[tokio::test]
async fn nothing_of_a_subscription_follows_the_unsubscribe_reply() {
    let mesh = TestMesh::one_region(without_budget).await;
    let mut socket = mesh.raw_socket("eu").await;
    let mut nats = mesh.raw_nats("eu").await;
    for round in 0..10 {
        socket.send_text(r#"{"id":2,"subscribe":{"f":"demo.a"}}"#).await;
        let i = socket.next_item().await["subscribe"]["i"].clone();
        nats.publish(b"demo.a", b"1").await;
        nats.round_trip().await;
        assert_eq!(socket.next_item().await["m"]["i"], i, "round {round}");
        socket.send_text(&format!(r#"{{"id":3,"unsubscribe":{{"i":{i}}}}}"#)).await;
        assert_eq!(socket.next_item().await, serde_json::json!({"id": 3}));
        // The edge still has the filter, which lingers, and so the message.
        nats.publish(b"demo.a", b"2").await;
        nats.round_trip().await;
        socket.send_text(r#"{"id":4,"publish":{"s":"demo.b"}}"#).await;
        assert_eq!(socket.next_item().await["id"], 4, "round {round}");
        socket.send_text(&format!(r#"{{"id":5,"unsubscribe":{{"i":{i}}}}}"#)).await;
        assert_eq!(socket.next_item().await["error"]["code"], 107);
    }
}
