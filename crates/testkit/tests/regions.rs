//! A region that goes silent: nothing breaks anywhere, and clients that ask are told all the same.

#![allow(clippy::unwrap_used)]

use meridian_client::{Event, Notice, Notices, Options, SubscribeOptions};
use meridian_local::Links;
use meridian_proto::item::Mesh;
use meridian_testkit::{TestMesh, TestMeshOptions, eventually, next_message, next_notice, text_of};

async fn degraded(notices: &mut Notices) -> Vec<String> {
    match next_notice(notices).await {
        Notice::Mesh(Mesh { degraded, .. }) => degraded,
        other => panic!("not a notice about the mesh: {other:?}"),
    }
}

#[tokio::test]
async fn clients_that_ask_are_told_which_regions_are_cut_off_and_when_they_are_back() {
    let options = TestMeshOptions { links: Links::Proxied, ..TestMeshOptions::default() };
    let mesh = TestMesh::start(options).await;
    let (eu, ap) = (mesh.client("eu").await, mesh.client("ap").await);
    let (mut eu_notices, mut ap_notices) = (eu.notices(), ap.notices());
    let mut quiet = mesh.raw_socket("eu").await;
    let mut all = eu.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let (ap_nats, us_nats) = (mesh.plain_nats("ap").await, mesh.plain_nats("us").await);
    TestMesh::settle(&us_nats, "demo.a", &mut [&mut all]).await;
    TestMesh::settle(&ap_nats, "demo.a", &mut [&mut all]).await;

    mesh.nats.cut_between("us", "eu").unwrap();
    mesh.nats.cut_between("us", "ap").unwrap();
    assert_eq!(degraded(&mut eu_notices).await, ["us"]);
    assert_eq!(degraded(&mut ap_notices).await, ["us"]);
    let late = mesh.client("eu").await;
    assert_eq!(degraded(&mut late.notices()).await, ["us"], "who comes later is told at once");
    let mut us_notices = mesh.client("us").await;
    eventually("us itself hears neither of the others", async || {
        let now = degraded(&mut us_notices.notices()).await;
        us_notices = mesh.client("us").await;
        now == ["ap", "eu"]
    })
    .await;
    let stats = mesh.edge("eu").stats().await;
    assert_eq!(stats["degraded"], serde_json::json!(["us"]));
    assert_eq!(mesh.edge("eu").get("/readyz").await.0, 200, "its own region is whole");

    // What is not cut goes on, on the same connections.
    ap_nats.publish("demo.a", "while cut".into()).await.unwrap();
    assert_eq!(text_of(&next_message(&mut all).await), "while cut");

    mesh.nats.heal_between("us", "eu").unwrap();
    mesh.nats.heal_between("us", "ap").unwrap();
    let nobody: [&str; 0] = [];
    assert_eq!(degraded(&mut eu_notices).await, nobody);
    assert_eq!(degraded(&mut ap_notices).await, nobody);
    eventually("us is heard again", async || {
        us_nats.publish("demo.a", "healed".into()).await.unwrap();
        us_nats.flush().await.unwrap();
        all.try_next().is_some_and(|event| {
            assert!(!matches!(event, Event::Gap(_)), "no connection to NATS was lost");
            true
        })
    })
    .await;

    // The client without the feature heard nothing of it.
    quiet.send_text(r#"{"id":2,"publish":{"s":"demo.b"}}"#).await;
    assert_eq!(quiet.next_item().await["id"], 2);
}

#[tokio::test]
async fn a_client_learns_of_a_degraded_region_right_after_its_connect_reply() {
    let mut mesh = TestMesh::start(TestMeshOptions {
        regions: ["eu", "us"].map(String::from).to_vec(),
        ..TestMeshOptions::default()
    })
    .await;
    mesh.nats.kill_region("us").await.unwrap();
    eventually("eu misses us", async || {
        mesh.edge("eu").stats().await["degraded"] == serde_json::json!(["us"])
    })
    .await;
    let options = Options { feat: vec!["mesh".into()], ..Options::default() };
    let client = mesh.client_with("eu", options).await;
    assert_eq!(client.connected().feat, ["mesh"]);
    let mut socket = meridian_testkit::RawSocket::upgraded(mesh.edge("eu").public()).await;
    let both =
        [r#"{"id":1,"connect":{"feat":["mesh"]}}"#, r#"{"id":2,"subscribe":{"f":"demo.a"}}"#];
    socket.send_text(&both.join("\n")).await;
    assert_eq!(socket.next_item().await["id"], 1);
    let expected = serde_json::json!({"mesh": {"degraded": ["us"]}});
    assert_eq!(socket.next_item().await, expected);
    assert_eq!(socket.next_item().await["id"], 2);
}
