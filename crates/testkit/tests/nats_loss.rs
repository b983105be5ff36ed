//! A region's nats-server dies, freezes, or is not there yet: clients stay, are told what they may
//! have missed, and everything is as before once it is back.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Event, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_proto::ErrorCode;
use meridian_testkit::{
    DEADLINE, RunningEdge, TestMesh, code_of, config_for, eventually, next_event, next_gap,
    next_message, text_of, within,
};
use std::time::Duration;

/// The edge is without NATS for as long as a test likes.
fn patient() -> Options {
    Options { reply_timeout: 2 * DEADLINE, ..Options::default() }
}

async fn publish(client: &Client, text: &str) -> Result<(), meridian_client::Error> {
    let none = PublishOptions::default();
    client.publish("demo.a", PayloadBuf::text(text), none).await.map(drop)
}

async fn unready(mesh: &TestMesh) {
    eventually("the edge is not ready", async || mesh.edge("eu").get("/readyz").await.0 == 503)
        .await;
}

async fn ready(edge: &RunningEdge) {
    eventually("the edge is ready", async || edge.get("/readyz").await.0 == 200).await;
}

#[tokio::test]
async fn clients_survive_the_death_of_the_nats_server_and_are_told_of_the_gap() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    let (client, other) =
        (mesh.client_with("eu", patient()).await, mesh.client_with("eu", patient()).await);
    let none = SubscribeOptions::default;
    let mut exact = client.subscribe("demo.a", none()).await.unwrap();
    let mut wild = client.subscribe("demo.*", none()).await.unwrap();
    publish(&client, "before").await.unwrap();
    assert_eq!(text_of(&next_message(&mut exact).await), "before");
    assert_eq!(text_of(&next_message(&mut wild).await), "before");

    mesh.nats.kill_region("eu").await.unwrap();
    unready(&mesh).await;
    assert_eq!(mesh.edge("eu").get("/healthz").await.0, 200, "a restart would help nobody");
    assert_eq!(code_of(publish(&client, "lost").await), ErrorCode::RegionUnreachable);

    // One joins a filter that was held before the loss, one a filter that nobody held.
    let joining = tokio::spawn(async move {
        let joined = other.subscribe("demo.a", none()).await.unwrap();
        let new = other.subscribe("demo.new", none()).await.unwrap();
        (other, joined, new)
    });
    mesh.nats.restart_region("eu").await.unwrap();
    let (other, mut joined, mut new) = within("the replies come", joining).await.unwrap();
    ready(mesh.edge("eu")).await;

    assert_eq!(next_gap(&mut exact).await, "nats");
    assert_eq!(next_gap(&mut wild).await, "nats");
    publish(&client, "after").await.unwrap();
    for subscription in [&mut exact, &mut wild, &mut joined] {
        assert_eq!(text_of(&next_message(subscription).await), "after", "no gap for who is new");
    }
    let none = PublishOptions::default();
    other.publish("demo.new", PayloadBuf::text("new"), none).await.unwrap();
    assert_eq!(text_of(&next_message(&mut new).await), "new");
    assert_eq!(text_of(&next_message(&mut wild).await), "new");
    assert!(exact.try_next().is_none());
}

#[tokio::test]
async fn a_gap_stands_where_messages_are_missing_and_is_told_unasked() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    // It names no feature; what may be lost is told to every client.
    let mut socket = mesh.raw_socket("eu").await;
    socket.send_text(r#"{"id":2,"subscribe":{"f":"demo.a"}}"#).await;
    let i = socket.next_item().await["subscribe"]["i"].clone();
    for round in 0..2 {
        mesh.nats.kill_region("eu").await.unwrap();
        unready(&mesh).await;
        mesh.nats.restart_region("eu").await.unwrap();
        ready(mesh.edge("eu")).await;
        let gap = serde_json::json!({"gap": {"i": i, "why": "nats"}});
        assert_eq!(socket.next_item().await, gap, "round {round}: once for each loss");
        let mut nats = mesh.raw_nats("eu").await;
        nats.publish(b"demo.a", b"1").await;
        let message = serde_json::json!({"m": {"i": i, "s": "demo.a", "d": 1}});
        assert_eq!(socket.next_item().await, message, "round {round}");
    }
}

#[tokio::test]
async fn a_loss_between_two_regions_servers_makes_no_gap() {
    let regions = ["eu", "us"].map(String::from).to_vec();
    let options = meridian_testkit::TestMeshOptions { regions, ..Default::default() };
    let mut mesh = TestMesh::start(options).await;
    let client = mesh.client("eu").await;
    let mut all = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    mesh.nats.kill_region("us").await.unwrap();
    mesh.nats.restart_region("us").await.unwrap();
    mesh.nats.wait_gateways_ready().await.unwrap();
    let us = mesh.plain_nats("us").await;
    let message = within("us is heard again", async {
        loop {
            us.publish("demo.a", "back".into()).await.unwrap();
            us.flush().await.unwrap();
            let next = tokio::time::timeout(Duration::from_millis(50), next_message(&mut all));
            if let Ok(message) = next.await {
                return message;
            }
        }
    })
    .await;
    assert_eq!(text_of(&message), "back");
}

#[tokio::test]
async fn a_frozen_nats_server_is_noticed_and_all_is_well_when_it_thaws() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client_with("eu", patient()).await;
    let mut all = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let server = mesh.nats.region("eu").unwrap().server();
    server.pause().unwrap();
    // Its threads stop one after another; once they have, nobody knows what becomes of a publish.
    let lost = loop {
        match publish(&client, "unknown").await {
            Ok(()) => {}
            lost => break code_of(lost),
        }
    };
    assert_eq!(lost, ErrorCode::AckUnknown);
    unready(&mesh).await;
    assert_eq!(code_of(publish(&client, "refused").await), ErrorCode::RegionUnreachable);
    server.resume().unwrap();
    ready(mesh.edge("eu")).await;
    publish(&client, "after").await.unwrap();
    let mut gaps = Vec::new();
    loop {
        match next_event(&mut all).await {
            Event::Gap(gap) => gaps.push(gap.why),
            Event::Message(message) if text_of(&message) == "after" => break,
            // Before the gap what it took; after it the last, if it found that when it thawed.
            Event::Message(message) => assert_eq!(text_of(&message), "unknown"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gaps, ["nats"]);
}

#[tokio::test]
async fn an_edge_that_starts_before_its_nats_server_becomes_ready_later() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    mesh.nats.kill_region("eu").await.unwrap();
    let url = mesh.nats.region("eu").unwrap().nats_edge_url();
    let early = RunningEdge::start_unready(config_for("eu-2", "eu", &["eu".into()], &url));
    eventually("it says that it is not ready", async || early.get("/readyz").await.0 == 503).await;
    let client = Client::connect(&early.url(), patient()).await.unwrap();
    let waiting = tokio::spawn(async move {
        let subscription = client.subscribe("demo.a", SubscribeOptions::default()).await.unwrap();
        (client, subscription)
    });
    mesh.nats.restart_region("eu").await.unwrap();
    let (client, mut subscription) = within("the reply comes", waiting).await.unwrap();
    ready(&early).await;
    publish(&client, "hello").await.unwrap();
    assert_eq!(text_of(&next_message(&mut subscription).await), "hello");
    early.stop().await;
}
