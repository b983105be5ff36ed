//! Two tenants of one mesh with the same rights on the same names: every way from one to the other
//! is tried, and none leads there.

#![allow(clippy::unwrap_used)]

use futures_util::StreamExt;
use meridian_client::{
    Client, HistoryOptions, Options, PayloadBuf, Place, PublishOptions, SubscribeOptions,
};
use meridian_edge::Config;
use meridian_proto::ErrorCode;
use meridian_proto::command::Position;
use meridian_testkit::{
    DEADLINE, LineStream, TestIssuer, TestMesh, TestMeshOptions, ask_for_tokens, code_of,
    eventually, next_message, round_trip, text_of, with_orders,
};
use serde_json::json;
use std::time::Duration;

const ALL: [&str; 2] = ["demo.>", "orders.>"];

fn with_tenants(config: &mut Config) {
    with_orders(config);
    ask_for_tokens(config);
    config.auth.tenant_prefix = "t.{tenant}.".into();
}

async fn mesh() -> TestMesh {
    let (regions, configure) = (vec!["eu".into()], with_tenants as fn(&mut Config));
    TestMesh::durable(TestMeshOptions { regions, configure, ..TestMeshOptions::default() }).await
}

fn token(tenant: &str) -> String {
    let permissions = TestIssuer::all_of(&ALL);
    TestIssuer::token("ann", json!({"tenant": tenant, "permissions": permissions}))
}

async fn member(mesh: &TestMesh, tenant: &str) -> Client {
    let options = Options { token: Some(token(tenant)), ..Options::default() };
    mesh.client_with("eu", options).await
}

async fn publish(client: &Client, subject: &str, text: &str) -> u64 {
    let publish =
        async || client.publish(subject, PayloadBuf::text(text), PublishOptions::default()).await;
    let mut reply = publish().await;
    eventually("the stream is there", async || {
        if reply.is_err() {
            reply = publish().await;
        }
        reply.is_ok()
    })
    .await;
    reply.unwrap().unwrap().q.unwrap_or_default()
}

/// Every subject that could be another tenant's, spelled by a client.
fn crossings() -> Vec<String> {
    let mut all = vec!["t.acme.demo.x".into(), "t.*.demo.x".into(), "t.>".into()];
    for inner in ["demo.x", "orders.x"] {
        all.push(format!("acme.{inner}"));
        all.push(format!("*.{inner}"));
        all.push(format!("_mrd.reg.eu.t.acme.{inner}"));
        all.push(format!("..acme.{inner}"));
        all.push(format!("demo.\u{7f}.t.acme.{inner}"));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_leads_from_one_tenant_to_another() {
    let mesh = mesh().await;
    let (acme, evil) = (member(&mesh, "acme").await, member(&mesh, "evil").await);
    let subscribe = async |client: &Client, filter: &str| {
        client.subscribe(filter, SubscribeOptions::default()).await
    };

    // The same filters, live: each hears its own, named as it knows it.
    let mut of_acme = subscribe(&acme, "demo.>").await.unwrap();
    let mut of_evil = subscribe(&evil, "demo.>").await.unwrap();
    publish(&acme, "demo.x", "acme's").await;
    publish(&evil, "demo.x", "evil's").await;
    for (subscription, expected) in [(&mut of_acme, "acme's"), (&mut of_evil, "evil's")] {
        let message = next_message(subscription).await;
        assert_eq!((message.s.as_str(), text_of(&message).as_str()), ("demo.x", expected));
    }

    // A name that is not one's own is nobody's.
    for crossing in crossings() {
        let code = code_of(subscribe(&evil, &crossing).await);
        let is_refused = [ErrorCode::UnknownSubjectSpace, ErrorCode::InvalidSubject];
        assert!(is_refused.contains(&code), "subscribe {crossing}: {code:?}");
        let text = PayloadBuf::text("x");
        let code = code_of(evil.publish(&crossing, text, PublishOptions::default()).await);
        assert!(is_refused.contains(&code), "publish {crossing}: {code:?}");
        let code = code_of(evil.request(&crossing, PayloadBuf::text("x"), DEADLINE).await);
        assert!(is_refused.contains(&code), "request {crossing}: {code:?}");
        let code = code_of(evil.history(&crossing, HistoryOptions::default()).await);
        assert!(is_refused.contains(&code), "history {crossing}: {code:?}");
    }

    // A responder serves one tenant's subject.
    let nats = mesh.plain_nats("eu").await;
    let mut service = nats.subscribe("t.acme.demo.echo").await.unwrap();
    round_trip(&nats).await;
    // Evil itself hears its own request, and does not answer it.
    let patience = Duration::from_millis(300);
    let nobody = evil.request("demo.echo", PayloadBuf::text("x"), patience).await;
    assert_eq!(code_of(nobody), ErrorCode::UpstreamTimeout);
    let served = tokio::spawn(async move {
        let asked = service.next().await.unwrap();
        assert_eq!(asked.payload, "acme asks", "the first that comes is no other's");
        nats.publish(asked.reply.unwrap(), "served".into()).await.unwrap();
        nats.flush().await.unwrap();
    });
    let text = PayloadBuf::text("acme asks");
    let answer = acme.request("demo.echo", text, DEADLINE).await.unwrap();
    assert_eq!(answer.t.as_deref(), Some("served"));
    served.await.unwrap();

    stored_messages_stay_with_their_tenant(&mesh, &acme, &evil).await;
}

/// History, and a resume at a position of the other tenant: both are in one stream.
async fn stored_messages_stay_with_their_tenant(mesh: &TestMesh, acme: &Client, evil: &Client) {
    let first = publish(acme, "orders.eu.1", "acme's order").await;
    let second = publish(evil, "orders.eu.1", "evil's order").await;
    assert_eq!(second, first + 1, "one stream holds both");
    eventually("the edge has seen the stream", async || {
        acme.history("orders.>", HistoryOptions::default()).await.is_ok()
    })
    .await;
    for (client, expected) in [(acme, "acme's order"), (evil, "evil's order")] {
        let page = client.history("orders.>", HistoryOptions::default()).await.unwrap();
        assert_eq!(page.m.len(), 1, "{page:?}");
        assert_eq!((page.m[0].s.as_str(), page.m[0].t.as_deref()), ("orders.eu.1", Some(expected)));
        // From before the other's message, and up to behind it.
        for place in [
            Place::After(Position { e: page.e.clone(), q: 0 }),
            Place::Before(Position { e: page.e.clone(), q: second + 100 }),
        ] {
            let options = HistoryOptions { place, ..HistoryOptions::default() };
            let page = client.history("orders.eu.*", options).await.unwrap();
            let texts: Vec<_> = page.m.iter().filter_map(|m| m.t.as_deref()).collect();
            assert_eq!(texts, [expected]);
        }
        let from = Some(json!({"last": 50}));
        for filter in ["orders.>", "orders.eu.1"] {
            let options = SubscribeOptions { from: from.clone(), ..SubscribeOptions::default() };
            let mut replayed = client.subscribe(filter, options).await.unwrap();
            let message = next_message(&mut replayed).await;
            assert_eq!((message.s.as_str(), text_of(&message).as_str()), ("orders.eu.1", expected));
            replayed.unsubscribe().await.unwrap();
        }
    }
    // A position before the other's message, taken over by hand.
    let page = acme.history("orders.>", HistoryOptions::default()).await.unwrap();
    let mut sse = LineStream::start(&[
        "-H",
        &format!("Authorization: Bearer {}", token("evil")),
        &format!(
            "http://{}/v1/sse?f=orders.eu.1&after={}:{}",
            mesh.edge("eu").public(),
            page.e.replace('@', "%40"),
            first - 1
        ),
    ]);
    let line = sse.next_that(|line| line.contains("order\"")).await;
    assert!(line.contains("evil's order") && !line.contains("acme"), "{line}");
}

#[tokio::test]
async fn a_token_without_a_tenant_or_with_a_tenant_that_is_no_name_gets_nowhere() {
    let mesh = TestMesh::one_region(|config| {
        ask_for_tokens(config);
        config.auth.tenant_prefix = "t.{tenant}.".into();
    })
    .await;
    let refused = async |claims| {
        let options =
            Options { token: Some(TestIssuer::token("ann", claims)), ..Options::default() };
        Client::connect(&mesh.edge("eu").url(), options).await.unwrap_err().to_string()
    };
    let said = refused(json!({})).await;
    assert!(said.contains("names no tenant"), "{said}");
    for name in ["a.b", "*", ">", "a b", "acme.demo.>", "{tenant}"] {
        let said = refused(json!({ "tenant": name })).await;
        assert!(said.contains("no single subject token"), "{name}: {said}");
    }
}

#[tokio::test]
async fn an_edge_of_one_tenant_serves_no_other() {
    let mesh = TestMesh::one_region(|config| {
        ask_for_tokens(config);
        config.auth.tenant = "acme".into();
    })
    .await;
    let acme = member(&mesh, "acme").await;
    let mut own = acme.subscribe("demo.x", SubscribeOptions::default()).await.unwrap();
    // Its account is its own, so its subjects are as they are.
    let nats = mesh.plain_nats("eu").await;
    nats.publish("demo.x", "hi".into()).await.unwrap();
    assert_eq!(text_of(&next_message(&mut own).await), "hi");
    let options = Options {
        token: Some(token("evil")),
        connect_timeout: Duration::from_secs(30),
        ..Options::default()
    };
    let refused = Client::connect(&mesh.edge("eu").url(), options).await.unwrap_err().to_string();
    assert!(refused.contains("this edge serves another tenant"), "{refused}");
}
