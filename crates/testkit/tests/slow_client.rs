//! A client that reads nothing: it is closed, its queue was bounded, and nobody else notices.

#![allow(clippy::unwrap_used)]

use meridian_client::{PayloadBuf, PublishOptions, SubscribeOptions, Subscription};
use meridian_testkit::{RawSocket, ServerFrame, TestMesh, eventually, next_message};

/// Messages of a batch and their bytes: less than the outbound queue holds, so that a client which
/// reads cannot become slow by one batch.
const BATCH: usize = 20;
const MESSAGE_BYTES: usize = 8 * 1024;

/// What may wait for a slow client in all: the outbound queue, and generously what the kernel
/// holds on both sides of a loopback connection.
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// A connected peer that has subscribed and will not read.
async fn deaf(mesh: &TestMesh, filter: &str) -> RawSocket {
    let mut socket = RawSocket::narrow_tcp(mesh.edge("eu").public()).await;
    socket.upgrade().await;
    socket.identify("{}").await;
    socket.send_text(&format!(r#"{{"id":2,"subscribe":{{"f":"{filter}"}}}}"#)).await;
    assert_eq!(socket.next_item().await["id"], 2);
    socket
}

/// Publishes a batch of numbered messages, and reads them all.
async fn batch(nats: &async_nats::Client, reader: &mut Subscription, sent: &mut usize) {
    let first = *sent;
    for number in first..first + BATCH {
        let payload = format!("{number} {}", "x".repeat(MESSAGE_BYTES));
        nats.publish("demo.flood", payload.into()).await.unwrap();
    }
    *sent += BATCH;
    for number in first..*sent {
        let message = next_message(reader).await;
        let text = message.t.unwrap();
        assert_eq!(text.split(' ').next(), Some(number.to_string().as_str()));
    }
}

#[tokio::test]
async fn slow_client_is_closed_and_others_still_receive() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let mut reader = client.subscribe("demo.flood", SubscribeOptions::default()).await.unwrap();
    let mut slow = deaf(&mesh, "demo.flood").await;
    let nats = mesh.plain_nats("eu").await;
    let mut sent = 0;
    eventually("the slow client is closed", async || {
        batch(&nats, &mut reader, &mut sent).await;
        mesh.edge("eu").number("slow_closes").await == 1
    })
    .await;
    for _ in 0..10 {
        batch(&nats, &mut reader, &mut sent).await;
    }
    // What it can still read is what was held for it, whole frames, and then the close.
    let mut held = 0;
    let end = loop {
        match slow.next().await {
            ServerFrame::Text(text) => held += text.len(),
            end => break end,
        }
    };
    assert_eq!(end, ServerFrame::Close(3003, "slow".into()));
    assert!(held < HELD_BYTES_MAX, "{held} bytes were held, {sent} messages sent");
    assert!(sent * MESSAGE_BYTES > 2 * held, "the flood was larger than what was held");
    drop(slow);
    eventually("the slow client is gone", async || {
        mesh.edge("eu").number("connections").await == 1
    })
    .await;
    let none = PublishOptions::default();
    client.publish("demo.flood", PayloadBuf::text("end"), none).await.unwrap();
    assert_eq!(next_message(&mut reader).await.t.as_deref(), Some("end"));
}

#[tokio::test]
async fn a_client_that_never_reads_again_is_counted_once_and_let_go() {
    let mesh = TestMesh::one_region(|config| config.limits.write_stall_ms = 1_000).await;
    let client = mesh.client("eu").await;
    let mut reader = client.subscribe("demo.flood", SubscribeOptions::default()).await.unwrap();
    let dead = deaf(&mesh, "demo.flood").await;
    let nats = mesh.plain_nats("eu").await;
    let mut sent = 0;
    eventually("the dead client is let go", async || {
        batch(&nats, &mut reader, &mut sent).await;
        mesh.edge("eu").number("connections").await == 1
    })
    .await;
    // The next report holds what was counted up to now.
    let _another = mesh.client("eu").await;
    eventually("the numbers are fresh", async || mesh.edge("eu").number("sessions").await == 3)
        .await;
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 1);
    drop(dead);
}

#[tokio::test]
async fn a_client_that_stalls_below_the_bound_is_closed_too() {
    let mesh = TestMesh::one_region(|config| {
        config.limits.write_stall_ms = 500;
        config.limits.outbox_bytes_max = 64 << 20;
    })
    .await;
    let client = mesh.client("eu").await;
    let mut reader = client.subscribe("demo.flood", SubscribeOptions::default()).await.unwrap();
    let mut stalled = deaf(&mesh, "demo.flood").await;
    let nats = mesh.plain_nats("eu").await;
    let mut sent = 0;
    for _ in 0..10 {
        batch(&nats, &mut reader, &mut sent).await;
    }
    eventually("it counts as slow", async || mesh.edge("eu").number("slow_closes").await == 1)
        .await;
    assert!(stalled.drain_bytes().await < sent * MESSAGE_BYTES);
    batch(&nats, &mut reader, &mut sent).await;
}
