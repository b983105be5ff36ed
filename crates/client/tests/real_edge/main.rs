//! The client against a real edge and a real nats-server.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

mod plain_nats;
mod ready_edge;

use meridian_client::{Client, Error, Event, Notice, Options, PayloadBuf, PublishOptions};
use meridian_client::{SubscribeOptions, Subscription};
use meridian_proto::ErrorCode;
use meridian_proto::command::{Ack, HeaderValues};
use meridian_proto::item::Message;
use plain_nats::PlainNats;
use ready_edge::ReadyEdge;
use std::time::Duration;
use tokio::time::timeout;

/// For anything that a loaded machine may take.
const DEADLINE: Duration = Duration::from_secs(60);

async fn client(edge: &ReadyEdge) -> Client {
    Client::connect(&edge.url, Options::default()).await.unwrap()
}

async fn message(subscription: &mut Subscription) -> Message {
    match timeout(DEADLINE, subscription.next()).await.expect("a message in time") {
        Some(Event::Message(message)) => message,
        other => panic!("expected a message, got {other:?}"),
    }
}

fn refused(error: Error) -> ErrorCode {
    match error {
        Error::Refused(failure) => failure.code,
        other => panic!("expected a refusal, got {other}"),
    }
}

#[tokio::test]
async fn every_kind_of_payload_arrives_as_it_was_sent() {
    let edge = ReadyEdge::start().await;
    let (publisher, subscriber) = (client(&edge).await, client(&edge).await);
    assert_eq!(publisher.connected().region, "eu");
    let options = SubscribeOptions { hdr: vec!["x-kind".into()], ..SubscribeOptions::default() };
    let mut subscription = subscriber.subscribe("demo.>", options).await.unwrap();
    let mut options = PublishOptions::default();
    options.headers.insert("x-kind".into(), HeaderValues::One("fill".into()));
    for payload in [
        PayloadBuf::json(&serde_json::json!({"a": [1, "ü"]})).unwrap(),
        PayloadBuf::text("plain"),
        PayloadBuf::text("123"),
        PayloadBuf::bytes(*b"\xff\0"),
        PayloadBuf::bytes(*b"123"),
        PayloadBuf::Empty,
    ] {
        let reply = publisher.publish("demo.a.b", payload.clone(), options.clone()).await.unwrap();
        assert_eq!(reply.map(|reply| reply.ack), Some(Ack::Edge));
        let message = message(&mut subscription).await;
        assert_eq!(message.s, "demo.a.b");
        assert_eq!(message.h["x-kind"], HeaderValues::One("fill".into()));
        let (d, t, b) = (message.d.as_deref(), message.t.as_deref(), message.b.as_ref());
        let is_same = match &payload {
            PayloadBuf::Json(raw) => d.map(|d| d.get()) == Some(raw.get()),
            PayloadBuf::Text(text) => t == Some(text),
            PayloadBuf::Bytes(bytes) => {
                b.is_some() && *message.content().to_bytes().unwrap() == **bytes
            }
            PayloadBuf::Empty => d.is_none() && t.is_none() && b.is_none(),
        };
        assert!(is_same, "{payload:?} came as {message:?}");
    }
}

#[tokio::test]
async fn refusals_have_the_documented_codes() {
    let edge = ReadyEdge::start().await;
    let client = client(&edge).await;
    let subscribe = |filter| client.subscribe(filter, SubscribeOptions::default());
    let elsewhere = subscribe("nowhere.>").await.unwrap_err();
    assert_eq!(refused(elsewhere), ErrorCode::UnknownSubjectSpace);
    assert_eq!(refused(subscribe("demo..x").await.unwrap_err()), ErrorCode::InvalidSubject);
    let first = subscribe("demo.x").await.unwrap();
    assert_eq!(refused(subscribe("demo.x").await.unwrap_err()), ErrorCode::AlreadySubscribed);
    first.unsubscribe().await.unwrap();
    let _second = subscribe("demo.x").await.unwrap();
    let publish = client.publish("demo.*", PayloadBuf::Empty, PublishOptions::default()).await;
    assert_eq!(refused(publish.unwrap_err()), ErrorCode::InvalidSubject);
}

#[tokio::test]
async fn a_request_reaches_a_plain_nats_responder_or_says_that_there_is_none() {
    let edge = ReadyEdge::start().await;
    let client = client(&edge).await;
    let within = Duration::from_secs(20);
    let nobody = client.request("demo.nobody", PayloadBuf::Empty, within).await.unwrap_err();
    assert_eq!(refused(nobody), ErrorCode::NoResponders);

    let mut responder = PlainNats::connect(edge.nats_address).await;
    responder.subscribe("demo.echo").await;
    let requesting = client.request("demo.echo", PayloadBuf::text("ping"), within);
    let (reply, ()) = tokio::join!(requesting, responder.answer_one("{\"got\":true}"));
    assert_eq!(reply.unwrap().d.unwrap().get(), "{\"got\":true}");

    let silent = client.request("demo.echo", PayloadBuf::Empty, Duration::from_millis(100)).await;
    assert_eq!(refused(silent.unwrap_err()), ErrorCode::UpstreamTimeout);
}

#[tokio::test]
async fn draining_sends_goaway_and_closes_with_3001() {
    let edge = ReadyEdge::start().await;
    let client = client(&edge).await;
    let mut subscription = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let mut notices = client.notices();
    edge.stop().await;
    let mut heard = Vec::new();
    while let Some(notice) = timeout(DEADLINE, notices.next()).await.expect("an end in time") {
        heard.push(notice);
    }
    assert!(heard.iter().any(|notice| matches!(notice, Notice::GoAway(_))), "{heard:?}");
    assert!(
        matches!(heard.last(), Some(Notice::Closed(closed)) if closed.code == 3001),
        "{heard:?}"
    );
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_others_still_receive() {
    let edge = ReadyEdge::start().await;
    let (slow, quick) = (client(&edge).await, client(&edge).await);
    let options = SubscribeOptions { events_max: 1, ..SubscribeOptions::default() };
    let mut unread = slow.subscribe("demo.>", options).await.unwrap();
    let mut read = quick.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let mut nats = PlainNats::connect(edge.nats_address).await;
    // Far more than the socket buffers of both ends and the edge's outbox hold together.
    let payload = "x".repeat(256 * 1024);
    for _ in 0..200 {
        nats.publish("demo.big", &payload).await;
        assert_eq!(message(&mut read).await.t.map(|text| text.len()), Some(payload.len()));
    }
    let mut received = 0;
    while let Some(event) = timeout(DEADLINE, unread.next()).await.expect("an end in time") {
        assert!(matches!(event, Event::Message(_)));
        received += 1;
    }
    assert!(received < 200, "the slow client lost nothing: it was never slow");
    let closed = slow.closed().await;
    assert!(matches!(closed.code, 3003 | 1006), "{closed}");
    nats.publish("demo.after", "still here").await;
    assert_eq!(message(&mut read).await.t.as_deref(), Some("still here"));
}
