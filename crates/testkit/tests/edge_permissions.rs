//! The permissions of an edge's NATS user, `config/nats/edge-permissions.conf`: an edge can do all
//! that it promises with them, and whoever steals its credential can do nothing else.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures_util::StreamExt;
use meridian_client::{PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_edge::Order;
use meridian_local::{EDGE_USER, EdgeSpace, EdgeUsers};
use meridian_nats::{Control, ControlOptions, subjects};
use meridian_testkit::{
    DEADLINE, LineStream, RawNats, TestMesh, TestMeshOptions, ask, curl, eventually, next_message,
    round_trip, subscribe_durable, text_of, with_orders,
};
use serde_json::{Value, json};
use std::time::Duration;

/// What a thief might want to publish on.
const NOT_TO_PUBLISH: [&str; 21] = [
    "$JS.API.STREAM.DELETE.ORDERS_1",
    "$JS.API.STREAM.PURGE.ORDERS_1",
    "$JS.API.STREAM.UPDATE.ORDERS_1",
    "$JS.API.STREAM.CREATE.X",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.OTHER_1",
    "$JS.API.DIRECT.GET.OTHER_1",
    "$JS.API.CONSUMER.CREATE.ORDERS_1",
    "$JS.API.META.LEADER.STEPDOWN",
    "$SYS.REQ.SERVER.PING",
    "$KV.x.y",
    "_mrd.reg.eu.orders.a",
    "_mrd.reg.us.orders.a",
    "_mrd.hb.us",
    "_mrd.ops.us",
    "_mrd.edge.us-1.op",
    "_mrd.edge.eu-1.op",
    "_mrd.auth.x",
    "_INBOX_us-1.0.x",
    "quiet.a",
    "other.a",
];

/// What the edges' configuration declares, as NATS permissions see it.
fn spaces() -> Vec<EdgeSpace> {
    let space = |pattern: &str, stream: Option<&str>, publish| EdgeSpace {
        pattern: pattern.into(),
        stream: stream.map(String::from),
        publish,
    };
    vec![
        space("demo.>", None, true),
        space("quiet.>", None, false),
        space("orders.>", Some("ORDERS_1"), true),
    ]
}

async fn confined() -> TestMesh {
    TestMesh::durable(TestMeshOptions {
        regions: vec!["eu".into(), "us".into()],
        edge_users: EdgeUsers::Confined(spaces()),
        configure: with_orders,
        ..TestMeshOptions::default()
    })
    .await
}

/// What a region's server refused to its edge.
fn violations(mesh: &TestMesh, region: &str) -> Vec<String> {
    let log = mesh.nats.region(region).unwrap().directory().join("nats.log");
    let log = std::fs::read_to_string(log).unwrap();
    log.lines().filter(|line| line.contains("Violation")).map(String::from).collect()
}

async fn edges_reach_each_other_and_operators_reach_edges(mesh: &TestMesh) {
    // Commands for a stream that another edge holds, and the answer back.
    let url = |region: &str, path: &str| format!("http://{}{path}", mesh.edge(region).public());
    let connect = r#"{"id":1,"connect":{}}"#;
    let mut stream = LineStream::start(&["-d", connect, &url("eu", "/v1/stream")]);
    let hello: Value = serde_json::from_str(&stream.next().await.unwrap()).unwrap();
    let session = hello["session"]["id"].as_str().unwrap();
    let body = format!(
        "{{\"session\":\"{session}\",\"seq\":1}}\n{{\"id\":2,\"subscribe\":{{\"f\":\"demo.z\"}}}}"
    );
    assert_eq!(curl(&["-d", &body, &url("us", "/v1/cmd")]).await.status, 204);

    // What operators ask.
    let control = Control::connect(ControlOptions {
        servers: vec![mesh.nats.region("us").unwrap().nats_url().parse().unwrap()],
        name: "operator".into(),
        edge_id: "operator".into(),
    })
    .await
    .unwrap();
    let who = Bytes::from(serde_json::to_vec(&Order::Who {}).unwrap());
    for subject in [subjects::edge_orders("eu-1"), subjects::region_orders("eu")] {
        eventually("the edge answers operators", async || {
            let subjects = [subject.clone()];
            let patience = Duration::from_millis(300);
            control.ask_all(&subjects, who.clone(), patience).await.unwrap().len() == 1
        })
        .await;
    }
}

#[tokio::test]
async fn an_edge_can_do_all_that_it_promises_and_is_refused_nothing() {
    let mesh = confined().await;
    let (eu, us) = (mesh.client("eu").await, mesh.client("us").await);
    let none = PublishOptions::default;

    // Live, between regions, and a request to a service.
    let mut live = us.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    eventually("a message crosses", async || {
        eu.publish("demo.a", PayloadBuf::text("x"), none()).await.unwrap();
        tokio::time::timeout(Duration::from_millis(100), live.next()).await.is_ok()
    })
    .await;
    let nats = mesh.plain_nats("eu").await;
    let mut requests = nats.subscribe("demo.svc").await.unwrap();
    round_trip(&nats).await;
    let service = tokio::spawn(async move {
        let request = requests.next().await.unwrap();
        nats.publish(request.reply.unwrap(), "yes".into()).await.unwrap();
        nats.flush().await.unwrap();
    });
    let answer = eu.request("demo.svc", PayloadBuf::Empty, DEADLINE).await.unwrap();
    assert_eq!(answer.t.as_deref(), Some("yes"));
    service.await.unwrap();

    // Durable: stored, live at home and at the mirror, resumed at the mirror, read as history.
    let mut home = subscribe_durable(&eu, "orders.a", SubscribeOptions::default()).await;
    let mut mirror = subscribe_durable(&us, "orders.a", SubscribeOptions::default()).await;
    for number in 0..3 {
        let stored = eu.publish("orders.a", PayloadBuf::text(number.to_string()), none()).await;
        assert_eq!(stored.unwrap().unwrap().q, Some(number + 1));
    }
    let mut resume = None;
    for number in 0..3 {
        assert_eq!(text_of(&next_message(&mut home).await), number.to_string());
        assert_eq!(text_of(&next_message(&mut mirror).await), number.to_string());
        resume = resume.or(home.resume_point());
    }
    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    let second = mesh.client("us").await;
    let mut resumed = second.subscribe("orders.a", options).await.unwrap();
    assert_eq!(resumed.reply().recovered, Some(true));
    assert_eq!(text_of(&next_message(&mut resumed).await), "1");
    let from = Some(json!({"last": 2}));
    let options = SubscribeOptions { from, ..SubscribeOptions::default() };
    let mut last = mesh.client("us").await.subscribe("orders.>", options).await.unwrap();
    assert_eq!(text_of(&next_message(&mut last).await), "1");

    edges_reach_each_other_and_operators_reach_edges(&mesh).await;
    for region in ["eu", "us"] {
        let edge = mesh.edge(region);
        eventually("both regions are well", async || edge.stats().await["degraded"] == json!([]))
            .await;
        assert_eq!(violations(&mesh, region), Vec::<String>::new(), "{region}");
    }
}

#[tokio::test]
async fn a_stolen_edge_credential_opens_nothing_else() {
    let mesh = confined().await;
    let app = mesh.plain_nats("eu").await;
    let client = mesh.client("eu").await;
    let mut orders = subscribe_durable(&client, "orders.a", SubscribeOptions::default()).await;
    app.publish("orders.a", "\"true\"".into()).await.unwrap();
    next_message(&mut orders).await;
    let mut overheard = app.subscribe("_mrd.>").await.unwrap();
    round_trip(&app).await;
    let address = mesh.nats.region("eu").unwrap().nats_address();
    let mut thief = RawNats::connect_as(address, ("eu-1", EDGE_USER.1)).await;
    for subject in NOT_TO_PUBLISH {
        let refusal = thief.refusal(&format!("PUB {subject} 2\r\n{{}}")).await;
        let refusal = refusal.unwrap_or_else(|| panic!("it may publish on {subject}"));
        assert!(refusal.contains("Permissions Violation for Publish"), "{subject}: {refusal}");
    }
    for (sid, subject) in [
        ">",
        "*.>",
        "_INBOX.>",
        "_INBOX_us-1.>",
        "_mrd.>",
        "_mrd.edge.us-1.>",
        "_mrd.edge.>",
        "_mrd.ops.us",
        "_mrd.reg.us.orders.>",
        "$JS.API.>",
        "$SYS.>",
        "$JS.EVENT.>",
        "orders.>",
        "other.>",
    ]
    .iter()
    .enumerate()
    {
        let refusal = thief.refusal(&format!("SUB {subject} {}", sid + 1)).await;
        let refusal = refusal.unwrap_or_else(|| panic!("it may subscribe to {subject}"));
        assert!(refusal.contains("Permissions Violation for Subscription"), "{subject}: {refusal}");
    }
    for allowed in
        ["PUB demo.a 0\r\n", "PUB _mrd.hb.eu 0\r\n", "SUB demo.> 99", "SUB _INBOX_eu-1.> 98"]
    {
        assert_eq!(thief.refusal(allowed).await, None, "so the refusals say something: {allowed}");
    }
    let info = ask(&app, "$JS.API.STREAM.INFO.ORDERS_1", &json!({})).await;
    assert_eq!(info["state"]["messages"], 1, "{info}");
    // Nothing forged was heard: only what the mesh says itself.
    round_trip(&app).await;
    while let Ok(Some(message)) =
        tokio::time::timeout(Duration::from_millis(100), overheard.next()).await
    {
        let subject = message.subject.as_str();
        assert!(subject.starts_with("_mrd.hb."), "{subject} was heard");
    }
}
