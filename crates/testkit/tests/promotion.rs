//! A mirror becomes the home stream: edges need no restart, and no position lies afterwards.

#![allow(clippy::unwrap_used)]

use meridian_client::{
    Client, PayloadBuf, PublishOptions, ResumePoint, SubscribeOptions, Subscription,
};
use meridian_edge::Config;
use meridian_nats::streams::{
    Confirm, DurableNamespace, OldHome, Promoted, Promotion, Streams, plan, promotion,
};
use meridian_testkit::{
    RunningEdge, Shown, TestMesh, TestMeshOptions, ask, config_for, eventually, next_gap,
    subscribe_durable, with_orders,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A mirror whose home was away asks again after 40 s and more.
const MIRROR_DEADLINE: Duration = Duration::from_secs(300);

/// Unix time of the plans here; only the epoch comes from it.
const NOW_S: u64 = 4_000_000_000;

async fn three_regions() -> TestMesh {
    let configure = with_orders;
    TestMesh::durable(TestMeshOptions { configure, ..TestMeshOptions::default() }).await
}

fn regions() -> Vec<String> {
    ["eu", "us", "ap"].map(String::from).to_vec()
}

/// `orders`, as configured for the test mesh.
fn orders() -> DurableNamespace {
    let mut config = Config::default();
    with_orders(&mut config);
    config.durable_namespaces().remove(0)
}

/// `orders`, as an operator configures it once `us` is home.
fn promoted_orders() -> DurableNamespace {
    let home_stream = Some("ORDERS_1_us".into());
    DurableNamespace { home: "us".into(), home_stream, ..orders() }
}

async fn plan_promotion(streams: &Streams, region: &str) -> Promotion {
    let survey = streams.survey("orders.>").await.unwrap();
    promotion(&orders(), region, &survey, &regions(), NOW_S).unwrap()
}

async fn promote(streams: &Streams, region: &str) -> Promoted {
    let promotion = plan_promotion(streams, region).await;
    streams.promote(&promotion, Confirm::Yes).await.unwrap()
}

async fn publish(client: &Client, number: usize) -> Option<(String, u64)> {
    let payload = PayloadBuf::text(number.to_string());
    let reply = client.publish("orders.p.1", payload, PublishOptions::default()).await.ok()??;
    Some((reply.stream?, reply.q?))
}

/// Publishes as soon as it can be stored; where.
async fn publish_soon(client: &Client, number: usize) -> (String, u64) {
    let mut stored = None;
    eventually("the message is stored", async || {
        stored = publish(client, number).await;
        stored.is_some()
    })
    .await;
    stored.unwrap()
}

async fn watch(client: &Client) -> Subscription {
    subscribe_durable(client, "orders.p.1", SubscribeOptions::default()).await
}

async fn reads(subscription: &mut Subscription, shown: &mut Shown, count: usize) {
    shown.read_until(subscription, MIRROR_DEADLINE, |shown| shown.messages.len() >= count).await;
}

async fn resume(client: &Client, from: Option<ResumePoint>) -> Subscription {
    let options = SubscribeOptions { resume: from, ..SubscribeOptions::default() };
    client.subscribe("orders.p.1", options).await.unwrap()
}

/// The streams that take what is published on `orders.>`.
async fn capturing(nats: &async_nats::Client) -> Value {
    ask(nats, "$JS.API.STREAM.NAMES", &json!({"subject": "orders.>"})).await["streams"].clone()
}

#[tokio::test]
async fn a_mirror_of_a_lost_home_takes_over_and_old_positions_are_told_to_be_of_another_epoch() {
    let mut mesh = three_regions().await;
    let (us, ap) = (mesh.client("us").await, mesh.client("ap").await);
    let (mut us_live, mut ap_live) = (watch(&us).await, watch(&ap).await);
    let (mut us_shown, mut ap_shown) = (Shown::default(), Shown::default());
    for number in 0..5 {
        assert_eq!(publish_soon(&us, number).await.0, "ORDERS_1");
    }
    reads(&mut us_live, &mut us_shown, 5).await;
    reads(&mut ap_live, &mut ap_shown, 5).await;
    let position = us_live.resume_point();
    mesh.nats.kill_region("eu").await.unwrap();

    let streams = mesh.streams("us").await;
    let planned = plan_promotion(&streams, "us").await;
    assert_eq!(planned.old_home, OldHome::Lost { stream: "ORDERS_1".into() });
    let refused = streams.promote(&planned, Confirm::No).await;
    assert!(refused.is_err(), "{refused:?}");
    let copy = streams.copy_status("ORDERS_1_us").await.unwrap();
    assert_eq!(copy.mirror_of.as_deref(), Some("ORDERS_1"), "nothing was changed");
    let promoted = promote(&streams, "us").await;
    assert_eq!(promoted.others.recreated, ["ORDERS_1_ap"]);
    assert_eq!(promoted.left, ["ORDERS_1_eu"]);
    assert!(plan_promotion(&streams, "us").await.is_empty(), "once is enough");

    // Subscribers are told, and go on; edges were not restarted.
    assert_eq!(next_gap(&mut us_live).await, "epoch");
    assert_eq!(next_gap(&mut ap_live).await, "epoch");
    let (stream, sequence) = publish_soon(&ap, 5).await;
    assert_eq!((stream.as_str(), sequence), ("ORDERS_1_us", 6));
    reads(&mut us_live, &mut us_shown, 6).await;
    reads(&mut ap_live, &mut ap_shown, 6).await;
    us_shown.assert_complete("us", 0..6);
    ap_shown.assert_complete("ap, whose copy was made again", 0..6);
    // Who comes with an old position is told so, in every region.
    for client in [&mesh.client("us").await, &mesh.client("ap").await] {
        let mut back = resume(client, position.clone()).await;
        let reply = back.reply();
        assert_eq!((reply.recovered, reply.why.as_deref()), (Some(false), Some("epoch")));
        assert_eq!(reply.e.as_ref(), Some(&promoted.epoch));
        assert_eq!(next_gap(&mut back).await, "epoch");
    }
    // What was stored before is still there, in the region that had to copy it again too.
    let from = Some(json!({"last": 6}));
    let options = SubscribeOptions { from, ..SubscribeOptions::default() };
    let mut all = mesh.client("ap").await.subscribe("orders.p.1", options).await.unwrap();
    let mut shown = Shown::default();
    reads(&mut all, &mut shown, 6).await;
    shown.assert_complete("ap", 0..6);

    old_home_returns(&mut mesh, &us).await;
}

/// The servers of the old home come back, on their old disks.
async fn old_home_returns(mesh: &mut TestMesh, us: &Client) {
    let streams = mesh.streams("us").await;
    let nats = mesh.plain_nats("us").await;
    assert_eq!(capturing(&nats).await, json!(["ORDERS_1_us"]), "as the meta leader has it");
    mesh.nats.restart_region("eu").await.unwrap();
    eventually("the old home is retired", async || {
        streams.copy_status("ORDERS_1").await.is_ok_and(|old| !old.takes_writes)
    })
    .await;
    let before = streams.copy_status("ORDERS_1").await.unwrap();
    assert!(before.messages >= 5, "what it holds is still there");
    for number in 6..16 {
        assert_eq!(publish_soon(us, number).await.0, "ORDERS_1_us");
    }
    let after = streams.copy_status("ORDERS_1").await.unwrap();
    assert_eq!(after.last_seq, before.last_seq, "no message is stored twice");

    let existing = streams.existing().await.unwrap();
    let with_old_file = plan(&[orders()], &existing, &regions(), NOW_S).unwrap_err().to_string();
    assert!(with_old_file.contains("set home = \"us\""), "{with_old_file}");
    let with_new_file = plan(&[promoted_orders()], &existing, &regions(), NOW_S).unwrap();
    let text = with_new_file.to_string();
    assert_eq!(with_new_file.destroyed(), ["ORDERS_1"], "{text}");
    assert!(text.contains("+ ORDERS_1_eu in eu"), "{text}");
    streams.apply(&with_new_file, Confirm::Yes).await.unwrap();

    // An edge of the region, with the new configuration.
    let url = mesh.nats.region("eu").unwrap().nats_edge_url();
    let mut config = config_for("eu-2", "eu", &regions(), &url);
    with_orders(&mut config);
    let stream = config.namespaces.last_mut().unwrap().stream.as_mut().unwrap();
    (stream.home, stream.home_stream) = ("us".into(), Some("ORDERS_1_us".into()));
    let edge = RunningEdge::start(config).await;
    let eu = Client::connect(&edge.url(), meridian_client::Options::default()).await.unwrap();
    let mut live = watch(&eu).await;
    assert_eq!(publish_soon(&eu, 16).await.0, "ORDERS_1_us");
    let mut shown = Shown::default();
    reads(&mut live, &mut shown, 1).await;
    assert_eq!(shown.numbers(), [16]);
    edge.stop().await;
}

#[tokio::test]
async fn a_home_that_answers_hands_over_and_positions_stay_good() {
    let mesh = three_regions().await;
    let (us, ap) = (mesh.client("us").await, mesh.client("ap").await);
    let mut live = watch(&ap).await;
    let mut shown_live = Shown::default();
    for number in 0..20 {
        publish_soon(&us, number).await;
    }
    reads(&mut live, &mut shown_live, 20).await;
    let streams = mesh.streams("eu").await;
    let is_copied = async || streams.copy_status("ORDERS_1_us").await.unwrap().last_seq == 20;
    eventually("us has them", is_copied).await;
    let away = watch(&us).await;
    let position = away.resume_point();
    away.unsubscribe().await.unwrap();
    for number in 20..40 {
        publish_soon(&us, number).await;
    }
    let before = streams.copy_status("ORDERS_1").await.unwrap().epoch;
    let promoted = promote(&streams, "us").await;
    assert_eq!(Some(&promoted.epoch), before.as_ref(), "nothing was lost");
    assert_eq!(promoted.others.created, ["ORDERS_1_eu"]);
    assert_eq!(promoted.left, ["ORDERS_1"], "it is not deleted by the way");
    for number in 40..60 {
        let stored = publish_soon(&ap, number).await;
        assert_eq!(stored, ("ORDERS_1_us".into(), number as u64 + 1), "sequences go on");
    }
    reads(&mut live, &mut shown_live, 60).await;
    let mut back = resume(&mesh.client("ap").await, position).await;
    assert_eq!(back.reply().recovered, Some(true));
    let mut shown = Shown::default();
    reads(&mut back, &mut shown, 40).await;
    shown.assert_complete("who came back", 20..60);
    // And home again, by the same way.
    let (to_eu, survey) = (promoted_orders(), streams.survey("orders.>").await.unwrap());
    let back_home = promotion(&to_eu, "eu", &survey, &regions(), NOW_S).unwrap();
    assert_eq!(back_home.old_home, OldHome::Answers { stream: "ORDERS_1_us".into() });
    streams.promote(&back_home, Confirm::Yes).await.unwrap();
    let (stream, sequence) = publish_soon(&ap, 60).await;
    assert_eq!((stream.as_str(), sequence), ("ORDERS_1_eu", 61));
    reads(&mut live, &mut shown_live, 61).await;
    shown_live.assert_complete("who stayed", 0..61);
}
