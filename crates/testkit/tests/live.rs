//! Live messages over a real supercluster: plain NATS publishers in, browser clients out.

#![allow(clippy::unwrap_used)]

use meridian_client::{Event, PayloadBuf, PublishOptions, SubscribeOptions, Subscription};
use meridian_testkit::{TestMesh, eventually, within};

async fn next_text(subscription: &mut Subscription) -> (String, String) {
    match within("a message", subscription.next()).await {
        Some(Event::Message(message)) => {
            let bytes = message.content().to_bytes().unwrap().into_owned();
            (message.s, String::from_utf8(bytes).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn plain_publish_in_one_region_reaches_browsers_in_the_others() {
    let mesh = TestMesh::three_regions().await;
    let (eu, ap) = (mesh.client("eu").await, mesh.client("ap").await);
    let mut exact = eu.subscribe("demo.orders.1", SubscribeOptions::default()).await.unwrap();
    let mut wild = ap.subscribe("demo.*.>", SubscribeOptions::default()).await.unwrap();
    let us = mesh.plain_nats("us").await;
    // A reply proves the local interest; gateways learn of it a little later.
    let mut seen = [false; 2];
    eventually("the interest has crossed the gateways", async || {
        us.publish("demo.orders.1", "\"probe\"".into()).await.unwrap();
        us.flush().await.unwrap();
        seen[0] |= exact.try_next().is_some();
        seen[1] |= wild.try_next().is_some();
        seen == [true; 2]
    })
    .await;
}

#[tokio::test]
async fn client_publish_comes_back_through_nats() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let mut all = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let payload = PayloadBuf::text("hello");
    let reply = client.publish("demo.a", payload, PublishOptions::default()).await.unwrap();
    assert!(reply.is_some());
    assert_eq!(next_text(&mut all).await, ("demo.a".into(), "hello".into()));
}
