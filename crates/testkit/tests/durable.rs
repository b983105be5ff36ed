//! Durable namespaces over a real supercluster: what is published is stored once and reaches every
//! region, with its position.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Event, PayloadBuf, PublishOptions, SubscribeOptions, Subscription};
use meridian_proto::command::Ack;
use meridian_proto::item::{Message, PublishReply};
use meridian_testkit::{
    TestMesh, TestMeshOptions, ask, eventually, subscribe_durable, text_of, with_orders, within,
};
use serde_json::json;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];

async fn three_regions() -> TestMesh {
    TestMesh::durable(TestMeshOptions { configure: with_orders, ..TestMeshOptions::default() })
        .await
}

/// The next message. Marks are passed over.
async fn next_message(subscription: &mut Subscription) -> Message {
    loop {
        match within("a message", subscription.next()).await {
            Some(Event::Message(message)) => return message,
            Some(Event::Live(_) | Event::Position(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The next message: sequence and payload.
async fn next(subscription: &mut Subscription) -> (u64, String) {
    let message = next_message(subscription).await;
    (message.q.unwrap(), text_of(&message))
}

async fn publish(client: &Client, subject: &str, text: &str, mid: Option<&str>) -> PublishReply {
    let options = PublishOptions { mid: mid.map(String::from), ..PublishOptions::default() };
    client.publish(subject, PayloadBuf::text(text), options).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_position_of_one_region_resumes_in_another_without_gap_or_repeat() {
    let mesh = three_regions().await;
    let (eu, us, ap) = (mesh.client("eu").await, mesh.client("us").await, mesh.client("ap").await);
    for filter in ["orders.a.1", "orders.>"] {
        let mut here = subscribe_durable(&us, filter, SubscribeOptions::default()).await;
        assert!(here.reply().recoverable);
        for number in 0..5 {
            publish(&eu, "orders.a.1", &number.to_string(), None).await;
        }
        let mut last = 0;
        for number in 0..5 {
            let (sequence, text) = next(&mut here).await;
            assert_eq!(text, number.to_string());
            assert!(sequence > last);
            last = sequence;
        }
        let resume = here.resume_point();
        here.unsubscribe().await.unwrap();
        for number in 5..20 {
            publish(&eu, "orders.a.1", &number.to_string(), None).await;
        }
        let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
        let mut there = subscribe_durable(&ap, filter, options).await;
        assert_eq!(there.reply().recovered, Some(true), "{filter}");
        for number in 5..20 {
            assert_eq!(next(&mut there).await.1, number.to_string(), "{filter}");
        }
        publish(&eu, "orders.a.1", "20", None).await;
        assert_eq!(next(&mut there).await.1, "20", "{filter}: live after the replay");
        there.unsubscribe().await.unwrap();
    }
}

#[tokio::test]
async fn whoever_publishes_wherever_it_is_stored_once_and_reaches_every_region() {
    let mesh = three_regions().await;
    let mut clients = Vec::new();
    let mut heard = Vec::new();
    for region in REGIONS {
        let client = mesh.client(region).await;
        for filter in ["orders.>", "orders.p.*"] {
            heard.push(subscribe_durable(&client, filter, SubscribeOptions::default()).await);
        }
        clients.push(client);
    }
    let nats = mesh.plain_nats("ap").await;
    // The stream's interest crosses the gateways a little after the stream is made.
    eventually("the stream hears ap", async || {
        let answer = nats.request("orders.p.first", "0".into()).await;
        answer.is_ok_and(|answer| answer.payload.starts_with(b"{\"stream\""))
    })
    .await;
    // Like `nats pub`, then like a JetStream publish, then as browsers of each region do.
    for number in 1..20 {
        nats.publish(format!("orders.p.{}", number % 3), number.to_string().into()).await.unwrap();
    }
    nats.flush().await.unwrap();
    for subscription in &mut heard {
        let mut last = 0;
        for number in 0..20 {
            let message = next_message(subscription).await;
            assert_eq!(text_of(&message), number.to_string());
            let subject = if number == 0 { "first".into() } else { (number % 3).to_string() };
            assert_eq!(message.s, format!("orders.p.{subject}"));
            assert!(message.q.unwrap() > last);
            last = message.q.unwrap();
        }
    }
    let stored = ask(&nats, "orders.p.js", &json!(20)).await;
    assert_eq!(stored["stream"], mesh.copy_of_orders("eu"));
    let mut last = stored["seq"].as_u64().unwrap();
    for (index, client) in clients.iter().enumerate() {
        let (text, mid) = ((21 + index).to_string(), format!("mid {index}"));
        let first = publish(client, "orders.p.mid", &text, Some(&mid)).await;
        assert_eq!((first.ack, first.dup), (Ack::Stream, Some(false)));
        assert_eq!(first.stream, Some(mesh.copy_of_orders("eu")));
        assert!(first.q.unwrap() > last);
        last = first.q.unwrap();
        // A retry, at another edge.
        let again = publish(&clients[(index + 1) % 3], "orders.p.mid", &text, Some(&mid)).await;
        assert_eq!((again.q, again.dup), (first.q, Some(true)));
    }
    publish(&clients[0], "orders.p.end", "24", None).await;
    for subscription in &mut heard {
        let mut texts = Vec::new();
        for _ in 20..25 {
            texts.push(next(subscription).await.1);
        }
        assert_eq!(texts, ["20", "21", "22", "23", "24"], "each once, in order");
        assert!(subscription.try_next().is_none_or(|event| !matches!(event, Event::Message(_))));
    }
}

/// Connections and filters of each that make 1,000 subscriptions.
const CROWD: (usize, usize) = (100, 10);

#[tokio::test]
async fn a_thousand_subscribed_clients_make_no_consumer() {
    let regions = ["eu", "us"].map(String::from).to_vec();
    let options = TestMeshOptions { regions, configure: with_orders, ..Default::default() };
    let mesh = TestMesh::durable(options).await;
    let (streams, nats) = (mesh.streams("eu").await, mesh.plain_nats("eu").await);
    let copies = ["eu", "us"].map(|region| mesh.copy_of_orders(region));
    let consumers = async || {
        let mut counts = Vec::new();
        for copy in &copies {
            counts.push(streams.copy_status(copy).await.unwrap().consumers);
        }
        counts
    };
    for number in 0..CROWD.1 {
        ask(&nats, &format!("orders.crowd.{number}"), &json!(number)).await;
    }
    let before = consumers().await;
    let mut crowd = Vec::new();
    for number in 0..CROWD.0 {
        let client = mesh.client(if number % 2 == 0 { "eu" } else { "us" }).await;
        let mut held = Vec::new();
        for filter in 0..CROWD.1 {
            // Filters that others hold too, filters of its own, and history.
            let filter = match filter {
                0..5 => format!("orders.crowd.{filter}"),
                5..8 => format!("orders.crowd.{number}.{filter}"),
                _ => format!("orders.*.{filter}"),
            };
            let from = (number % 4 == 0).then(|| json!({"last": 5}));
            let options = SubscribeOptions { from, ..SubscribeOptions::default() };
            held.push(subscribe_durable(&client, &filter, options).await);
        }
        crowd.push((client, held));
    }
    ask(&nats, "orders.crowd.0", &json!("all")).await;
    for (_, held) in &mut crowd {
        while next(&mut held[0]).await.1 != "\"all\"" {}
    }
    assert_eq!(consumers().await, before);
    // The check sees a consumer where there is one.
    let create = format!("$JS.API.CONSUMER.CREATE.{}", copies[1]);
    let config = json!({"ack_policy": "none", "inactive_threshold": 60_000_000_000_u64});
    ask(&nats, &create, &json!({"stream_name": copies[1], "config": config})).await;
    assert_eq!(consumers().await, [before[0], before[1] + 1]);
}
