//! Several shards in one edge: nothing is shared, and clients cannot tell.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Event, Options, SubscribeOptions, Subscription};
use meridian_testkit::{TestMesh, eventually, within};

const SHARDS: usize = 3;
const CLIENTS: usize = 60;
const MESSAGES: usize = 100;

/// Reads numbered messages and asserts that they are all there, in order.
async fn assert_complete(subscription: &mut Subscription) {
    for expected in 0..MESSAGES {
        match within("a message", subscription.next()).await {
            Some(Event::Message(message)) => {
                assert_eq!(message.d.unwrap().get(), expected.to_string());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_shard_serves_its_clients_from_its_own_nats_connection() {
    let mesh = TestMesh::one_region(|config| config.edge.shards = SHARDS).await;
    let url = mesh.edge("eu").url();
    let mut clients: Vec<(Client, Subscription)> = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(&url, Options::default()).await.unwrap();
        let subscription = client.subscribe("demo.x", SubscribeOptions::default()).await.unwrap();
        clients.push((client, subscription));
    }
    // The kernel spreads connections over the listeners; with this many clients a shard without
    // any would be a shard that does not accept.
    eventually("each shard holds the filter once", async || {
        mesh.edge("eu").stats().await["numbers"]["filters"] == SHARDS
    })
    .await;
    let nats = mesh.plain_nats("eu").await;
    for number in 0..MESSAGES {
        nats.publish("demo.x", number.to_string().into()).await.unwrap();
    }
    nats.flush().await.unwrap();
    for (_, subscription) in &mut clients {
        assert_complete(subscription).await;
    }
}
