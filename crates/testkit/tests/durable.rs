//! Durable namespaces over a real supercluster: positions, resume in another region, history.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Event, PayloadBuf, PublishOptions, SubscribeOptions, Subscription};
use meridian_testkit::{TestMesh, TestMeshOptions, eventually, with_orders, within};

async fn three_regions() -> TestMesh {
    TestMesh::durable(TestMeshOptions { configure: with_orders, ..TestMeshOptions::default() })
        .await
}

/// Subscribes as soon as the edge knows the stream.
async fn subscribe(client: &Client, filter: &str, options: SubscribeOptions) -> Subscription {
    let mut subscription = None;
    eventually("the edge knows the stream", async || {
        subscription = client.subscribe(filter, options.clone()).await.ok();
        subscription.is_some()
    })
    .await;
    subscription.unwrap()
}

/// The next message: sequence and payload. Marks are passed over.
async fn next(subscription: &mut Subscription) -> (u64, String) {
    loop {
        match within("a message", subscription.next()).await {
            Some(Event::Message(message)) => {
                let bytes = message.content().to_bytes().unwrap().into_owned();
                return (message.q.unwrap(), String::from_utf8(bytes).unwrap());
            }
            Some(Event::Live(_) | Event::Position(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn publish(client: &Client, subject: &str, number: usize) -> u64 {
    let payload = PayloadBuf::text(number.to_string());
    let options = PublishOptions::default();
    let reply = client.publish(subject, payload, options).await.unwrap().unwrap();
    reply.q.unwrap()
}

#[tokio::test]
async fn a_position_of_one_region_resumes_in_another_without_gap_or_repeat() {
    let mesh = three_regions().await;
    let (eu, us, ap) = (mesh.client("eu").await, mesh.client("us").await, mesh.client("ap").await);
    for filter in ["orders.a.1", "orders.>"] {
        let mut here = subscribe(&us, filter, SubscribeOptions::default()).await;
        assert!(here.reply().recoverable);
        for number in 0..5 {
            publish(&eu, "orders.a.1", number).await;
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
            publish(&eu, "orders.a.1", number).await;
        }
        let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
        let mut there = subscribe(&ap, filter, options).await;
        assert_eq!(there.reply().recovered, Some(true), "{filter}");
        for number in 5..20 {
            assert_eq!(next(&mut there).await.1, number.to_string(), "{filter}");
        }
        publish(&eu, "orders.a.1", 20).await;
        assert_eq!(next(&mut there).await.1, "20", "{filter}: live after the replay");
        there.unsubscribe().await.unwrap();
    }
}
