//! Subscriptions: order, backpressure, and how they end.

use crate::fake_edge::{Accepted, connected};
use meridian_client::{Client, Error, Event, Options, PayloadBuf, PublishOptions};
use meridian_client::{SubscribeOptions, Subscription};
use std::time::Duration;

async fn subscribed(
    client: &Client,
    edge: &mut Accepted,
    options: SubscribeOptions,
) -> Subscription {
    let (subscription, _) =
        tokio::join!(client.subscribe("demo.>", options), edge.accept_subscribe());
    subscription.unwrap()
}

fn text_of(event: Option<Event>) -> String {
    match event {
        Some(Event::Message(message)) => message.t.unwrap(),
        other => panic!("expected a message, got {other:?}"),
    }
}

#[tokio::test]
async fn events_come_in_the_edges_order_until_the_edge_ends_the_subscription() {
    let (client, mut edge) = connected(Options::default()).await;
    let options =
        SubscribeOptions { hdr: vec!["x-kind".into()], trace: true, ..Default::default() };
    let (subscription, command) =
        tokio::join!(client.subscribe("demo.>", options), edge.accept_subscribe());
    let expected = serde_json::json!({"f":"demo.>","hdr":["x-kind"],"trace":true});
    assert_eq!(command["subscribe"], expected);
    let mut subscription = subscription.unwrap();
    edge.send(
        "{\"m\":{\"i\":7,\"s\":\"demo.a\",\"t\":\"1\"}}\n{\"gap\":{\"i\":7,\"why\":\"nats\"}}\n\
         {\"later\":{}}\n{\"m\":{\"i\":8,\"s\":\"demo.x\"}}\n{}\n\
         {\"m\":{\"i\":7,\"s\":\"demo.b\",\"t\":\"2\"}}",
    )
    .await;
    edge.send(r#"{"unsub":{"i":7,"code":2500,"reason":"gone"}}"#).await;
    assert_eq!(text_of(subscription.next().await), "1");
    assert!(matches!(subscription.next().await, Some(Event::Gap(gap)) if gap.why == "nats"));
    assert_eq!(text_of(subscription.next().await), "2");
    assert!(matches!(subscription.next().await, Some(Event::Unsubscribed(u)) if u.code == 2500));
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn messages_in_the_same_frame_as_the_subscribe_reply_are_kept() {
    let (client, mut edge) = connected(Options::default()).await;
    let answering = async {
        let id = edge.line().await["id"].clone();
        let reply = format!(r#"{{"id":{id},"subscribe":{{"i":7,"recoverable":false}}}}"#);
        edge.send(&format!("{reply}\n{{\"m\":{{\"i\":7,\"s\":\"demo.a\",\"t\":\"1\"}}}}")).await;
    };
    let (subscription, ()) =
        tokio::join!(client.subscribe("demo.>", SubscribeOptions::default()), answering);
    assert_eq!(text_of(subscription.unwrap().next().await), "1");
}

#[tokio::test]
async fn a_full_subscription_stops_the_reader_and_loses_nothing() {
    let options = Options { reply_timeout: Duration::from_millis(200), ..Options::default() };
    let (client, mut edge) = connected(options).await;
    let options = SubscribeOptions { events_max: 1, ..SubscribeOptions::default() };
    let mut subscription = subscribed(&client, &mut edge, options).await;
    for number in 0..50 {
        edge.send(&format!(r#"{{"m":{{"i":7,"s":"demo.a","t":"{number}"}}}}"#)).await;
    }
    let answering = async {
        let id = edge.line().await["id"].clone();
        edge.send(&format!(r#"{{"id":{id},"publish":{{"ack":"edge"}}}}"#)).await;
    };
    let publishing = client.publish("a", PayloadBuf::Empty, PublishOptions::default());
    let (reply, ()) = tokio::join!(publishing, answering);
    assert!(matches!(reply, Err(Error::Timeout { .. })), "the reply stands behind the messages");
    for number in 0..50 {
        assert_eq!(text_of(subscription.next().await), number.to_string());
    }
}

#[tokio::test]
async fn unsubscribe_waits_for_the_edge_even_when_the_buffer_is_full() {
    let (client, mut edge) = connected(Options::default()).await;
    let options = SubscribeOptions { events_max: 1, ..SubscribeOptions::default() };
    let subscription = subscribed(&client, &mut edge, options).await;
    for _ in 0..10 {
        edge.send(r#"{"m":{"i":7,"s":"demo.a","t":"x"}}"#).await;
    }
    let answering = async {
        let command = edge.line().await;
        assert_eq!(command["unsubscribe"]["i"], 7);
        edge.send(&format!(r#"{{"id":{}}}"#, command["id"])).await;
    };
    let (ended, ()) = tokio::join!(subscription.unsubscribe(), answering);
    ended.unwrap();
    assert_alive(&client, &mut edge).await;
}

#[tokio::test]
async fn dropping_a_subscription_unsubscribes() {
    let (client, mut edge) = connected(Options::default()).await;
    drop(subscribed(&client, &mut edge, SubscribeOptions::default()).await);
    assert_eq!(edge.line().await["unsubscribe"]["i"], 7);
    edge.send(r#"{"m":{"i":7,"s":"demo.a","t":"late"}}"#).await;
    assert_alive(&client, &mut edge).await;
}

#[tokio::test]
async fn a_subscribe_whose_caller_gave_up_is_undone() {
    let options = Options { reply_timeout: Duration::from_millis(50), ..Options::default() };
    let (client, mut edge) = connected(options).await;
    let error = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    edge.accept_subscribe().await;
    assert_eq!(edge.line().await["unsubscribe"]["i"], 7);
}

#[tokio::test]
async fn fragments_of_a_message_are_joined_and_pings_may_stand_between() {
    let (client, mut edge) = connected(Options::default()).await;
    let mut subscription = subscribed(&client, &mut edge, SubscribeOptions::default()).await;
    let text = r#"{"m":{"i":7,"s":"demo.a","t":"né"}}"#.as_bytes();
    // Cut inside the two bytes of the accented letter: only the whole must be UTF-8.
    let cut = text.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
    let mut bytes = vec![0x01, u8::try_from(cut).unwrap()];
    bytes.extend_from_slice(&text[..cut]);
    bytes.extend_from_slice(&[0x89, 0]);
    bytes.extend_from_slice(&[0x80, u8::try_from(text.len() - cut).unwrap()]);
    bytes.extend_from_slice(&text[cut..]);
    edge.send_raw(&bytes).await;
    assert_eq!(text_of(subscription.next().await), "né");
    assert_eq!(edge.frame().await.opcode, 10);
}

/// Commands and replies still pass.
async fn assert_alive(client: &Client, edge: &mut Accepted) {
    let answering = async {
        let id = edge.line().await["id"].clone();
        edge.send(&format!(r#"{{"id":{id},"publish":{{"ack":"edge"}}}}"#)).await;
    };
    let publishing = client.publish("a", PayloadBuf::Empty, PublishOptions::default());
    let (reply, ()) = tokio::join!(publishing, answering);
    reply.unwrap();
}
