//! Degraded states of durable namespaces: clients and operators are told, what can go on goes on,
//! and every one of them ends by itself.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Notice, Notices, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_local::Links;
use meridian_proto::ErrorCode;
use meridian_proto::item::Mesh;
use meridian_testkit::{
    DEADLINE, Shown, TestMesh, TestMeshOptions, eventually, refusal, subscribe_durable, with_orders,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// A mirror whose home was away asks again after 40 s and more.
const MIRROR_DEADLINE: Duration = Duration::from_secs(300);

/// A copy that hears nothing is told to be stale after some 5 s, and generously what a busy machine
/// adds. Shorter than a mirror needs to hear of home again.
const STALE_DEADLINE: Duration = Duration::from_secs(25);

async fn three_regions(links: Links) -> TestMesh {
    let configure = with_orders;
    let options = TestMeshOptions { configure, links, ..TestMeshOptions::default() };
    let mesh = TestMesh::durable(options).await;
    for region in ["eu", "us", "ap"] {
        eventually("all copies are well", async || is_well(&mesh, region).await).await;
    }
    mesh
}

/// What an edge's operator sees of `orders`.
async fn copy(mesh: &TestMesh, region: &str) -> Value {
    mesh.edge(region).stats().await["namespaces"][0].clone()
}

async fn is_well(mesh: &TestMesh, region: &str) -> bool {
    let copy = copy(mesh, region).await;
    copy["namespace"] == "orders" && copy["stale"].is_null() && copy["readonly"] == false
}

/// Whether a condition holds in time.
async fn in_time(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(limit, waiting).await.is_ok()
}

/// What the edge in `us` knows of the meta leader.
async fn has_leader(mesh: &TestMesh) -> Option<bool> {
    mesh.edge("us").stats().await["meta_leader"].as_bool()
}

/// Reads notices until the mesh is as it must be; what was told on the way.
async fn told(notices: &mut Notices, limit: Duration, is_so: impl Fn(&Mesh) -> bool) -> Vec<Mesh> {
    let mut told = Vec::new();
    let waited = timeout(limit, async {
        loop {
            match notices.next().await {
                Some(Notice::Mesh(mesh)) => {
                    told.push(mesh);
                    if told.last().is_some_and(&is_so) {
                        return;
                    }
                }
                other => panic!("not a notice about the mesh: {other:?}"),
            }
        }
    });
    let is_told = waited.await.is_ok();
    assert!(is_told, "not told in {limit:?}: {told:?}");
    told
}

async fn publish(client: &Client, number: usize) -> Result<Option<u64>, meridian_client::Error> {
    let payload = PayloadBuf::text(number.to_string());
    let reply = client.publish("orders.d.1", payload, PublishOptions::default()).await?;
    Ok(reply.unwrap().q)
}

/// The messages that a subscription from history brings.
async fn history(client: &Client, last: usize) -> Vec<usize> {
    let from = Some(json!({"last": last}));
    let options = SubscribeOptions { from, ..SubscribeOptions::default() };
    let mut subscription = client.subscribe("orders.d.*", options).await.unwrap();
    let mut shown = Shown::default();
    shown.read_until(&mut subscription, DEADLINE, |shown| shown.lives == 1).await;
    subscription.unsubscribe().await.unwrap();
    shown.numbers()
}

#[tokio::test]
async fn a_copy_that_is_cut_off_from_home_is_stale_and_takes_no_writes_until_it_is_healed() {
    let mesh = three_regions(Links::Proxied).await;
    let (ap, us) = (mesh.client("ap").await, mesh.client("us").await);
    let (mut notices, mut elsewhere) = (ap.notices(), us.notices());
    let none = SubscribeOptions::default();
    let mut live = subscribe_durable(&ap, "orders.>", none).await;
    let mut shown = Shown::default();
    publish(&ap, 0).await.unwrap();
    shown.read_until(&mut live, DEADLINE, |shown| shown.messages.len() == 1).await;

    mesh.nats.cut_between("eu", "ap").unwrap();
    let is_lost = |mesh: &Mesh| mesh.stale == ["orders"] && mesh.readonly == ["orders"];
    let told_lost = told(&mut notices, DEADLINE, is_lost).await;
    assert_eq!(told_lost.last().unwrap().degraded, ["eu"]);
    let seen = copy(&mesh, "ap").await;
    assert_eq!((&seen["lag"], &seen["readonly"]), (&json!(0), &json!(true)), "{seen}");
    assert_eq!(seen["stale"], "the mirror does not hear of home");
    assert!(seen["active_ms"].as_u64().unwrap() > 3_000, "{seen}");
    // Nothing on this side breaks by such a cut, so without the watch it would be 203 after 5 s.
    let failure = refusal(publish(&ap, 999).await);
    assert_eq!((failure.code, failure.retry), (ErrorCode::StreamUnavailable, true));
    assert!(failure.after_ms.is_some(), "refused before it was sent: {failure:?}");
    let late = mesh.client("ap").await;
    told(&mut late.notices(), DEADLINE, is_lost).await;
    assert_eq!(history(&ap, 5).await, [0], "what is stored here can be read");
    // Who hears home goes on, and is told of nothing.
    publish(&us, 1).await.unwrap();
    assert!(is_well(&mesh, "us").await);

    mesh.nats.heal_between("eu", "ap").unwrap();
    told(&mut notices, MIRROR_DEADLINE, Mesh::is_well).await;
    publish(&ap, 2).await.unwrap();
    shown.read_until(&mut live, DEADLINE, |shown| shown.messages.len() == 3).await;
    shown.assert_complete("ap", 0..3);
    let none = timeout(Duration::ZERO, elsewhere.next()).await;
    assert!(none.is_err(), "{none:?}");
}

#[tokio::test]
async fn without_home_publishes_are_refused_at_once_and_what_is_stored_can_be_read() {
    let mut mesh = three_regions(Links::Direct).await;
    let us = mesh.client("us").await;
    let mut notices = us.notices();
    for number in 0..5 {
        publish(&us, number).await.unwrap();
    }
    let is_copied = async || copy(&mesh, "us").await["last_seq"] == 5;
    eventually("the copy has them", is_copied).await;

    mesh.nats.kill_region("eu").await.unwrap();
    told(&mut notices, DEADLINE, |mesh| mesh.readonly == ["orders"]).await;
    for _ in 0..5 {
        let failure = refusal(publish(&us, 999).await);
        assert_eq!((failure.code, failure.retry), (ErrorCode::StreamUnavailable, true));
        assert!(failure.after_ms.is_some(), "refused before it was sent: {failure:?}");
    }
    // An ephemeral namespace knows no home.
    let hello = PayloadBuf::text("hello");
    us.publish("demo.a", hello, PublishOptions::default()).await.unwrap();
    assert_eq!(history(&us, 3).await, [2, 3, 4]);
    eventually("operators see for how long", async || {
        let seen = copy(&mesh, "us").await;
        seen["readonly_for_ms"].is_u64() && seen["stale_for_ms"].is_u64()
    })
    .await;

    mesh.nats.restart_region("eu").await.unwrap();
    told(&mut notices, MIRROR_DEADLINE, |mesh| mesh.readonly.is_empty()).await;
    let mut number = 5;
    eventually("publishes are stored again", async || {
        number += usize::from(publish(&us, number).await.is_ok());
        number == 8
    })
    .await;
    told(&mut notices, MIRROR_DEADLINE, Mesh::is_well).await;
    eventually("the copy has the new ones", async || history(&us, 1).await == [7]).await;
}

#[tokio::test]
async fn a_restarted_mirror_is_stale_until_it_hears_of_home_and_keeps_nobody_from_publishing() {
    let mut mesh = three_regions(Links::Direct).await;
    mesh.nats.kill_region("ap").await.unwrap();
    let misses_ap = async || mesh.edge("eu").stats().await["degraded"] == json!(["ap"]);
    eventually("eu misses ap", misses_ap).await;
    mesh.nats.restart_region("ap").await.unwrap();
    let is_back = async || mesh.edge("ap").get("/readyz").await.0 == 200;
    eventually("the edge is back", is_back).await;
    let ap = mesh.client("ap").await;
    let mut stored = 0;
    eventually("publishes are stored while the mirror hears nothing", async || {
        stored = publish(&ap, 1).await.ok().flatten().unwrap_or_default();
        stored > 0
    })
    .await;
    let has_it = async || copy(&mesh, "ap").await["last_seq"].as_u64() >= Some(stored);
    // Some servers hear of home again at once, others after 40 s.
    let knows = async || !is_well(&mesh, "ap").await || has_it().await;
    assert!(in_time(STALE_DEADLINE, knows).await, "{}", copy(&mesh, "ap").await);
    let seen = copy(&mesh, "ap").await;
    assert!(seen["lag"].is_null() || seen["lag"] == 0, "a restarted mirror knows no lag: {seen}");
    assert_eq!(seen["readonly"], false, "{seen}");
    publish(&ap, 2).await.unwrap();
    let well = async || is_well(&mesh, "ap").await;
    assert!(in_time(MIRROR_DEADLINE, well).await, "{}", copy(&mesh, "ap").await);
    assert!(has_it().await, "told to be well, and lacks {stored}: {}", copy(&mesh, "ap").await);
}

#[tokio::test]
async fn without_a_meta_leader_operators_are_told_and_replay_goes_on() {
    let mut mesh = three_regions(Links::Direct).await;
    let us = mesh.client("us").await;
    for number in 0..5 {
        publish(&us, number).await.unwrap();
    }
    let is_copied = async || copy(&mesh, "us").await["last_seq"] == 5;
    eventually("the copy has them", is_copied).await;
    eventually("there is a meta leader", async || has_leader(&mesh).await == Some(true)).await;

    mesh.nats.kill_region("eu").await.unwrap();
    mesh.nats.kill_region("ap").await.unwrap();
    eventually("there is none", async || has_leader(&mesh).await == Some(false)).await;
    let streams = mesh.streams("us").await;
    assert!(!streams.with_patience_ms(1_000).has_meta_leader().await.unwrap());
    assert_eq!(history(&us, 4).await, [1, 2, 3, 4]);
    let failure = refusal(publish(&us, 999).await);
    assert!(failure.retry || failure.code == ErrorCode::AckUnknown, "{failure:?}");

    mesh.nats.restart_region("eu").await.unwrap();
    eventually("there is a meta leader again", async || has_leader(&mesh).await == Some(true))
        .await;
    eventually("publishes are stored again", async || publish(&us, 5).await.is_ok()).await;
}
