//! Each kind of message is one trace with the gateway in it: plain, durable, request and reply,
//! resumed.

use crate::tree::{Tree, follow, publisher, take, traced_mesh};
use async_nats::HeaderMap;
use futures_util::StreamExt;
use meridian_client::{Event, PayloadBuf, SubscribeOptions};
use meridian_testkit::{
    Otlp, StoredSpan, TestMesh, next_event, next_message, round_trip, subscribe_durable, text_of,
    within,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn headers(traceparent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", traceparent);
    headers.insert("tracestate", "vendor=1");
    headers
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Spans that follow each other, each below the one before it.
fn is_chain(spans: &[&StoredSpan]) {
    for pair in spans.windows(2) {
        assert_eq!(pair[1].parent, pair[0].span_id, "{} below {}", pair[1].name, pair[0].name);
        assert!(pair[1].start_ns >= pair[0].start_ns, "{} after {}", pair[1].name, pair[0].name);
    }
}

#[tokio::test]
async fn a_message_of_a_plain_publisher_is_one_trace_to_browsers_in_two_regions() {
    let (mesh, receiver) = traced_mesh(Otlp::Grpc).await;
    let (eu, ap) = (mesh.client("eu").await, mesh.client("ap").await);
    let (mut in_eu, mut in_ap) = (follow(&eu, "demo.t").await, follow(&ap, "demo.*").await);
    let us = mesh.plain_nats("us").await;
    TestMesh::settle(&us, "demo.t", &mut [&mut in_eu, &mut in_ap]).await;

    let (traceparent, trace, span) = publisher(0xa1);
    let published_ns = now_ns();
    us.publish_with_headers("demo.t", headers(&traceparent), "1".into()).await.unwrap();
    take(&eu, &mut in_eu).await;
    let told = take(&ap, &mut in_ap).await;
    let received_ns = now_ns();

    let names = [
        ("nats us-1", 1),
        ("nats gateway us→eu", 1),
        ("nats gateway us→ap", 1),
        ("nats eu-1", 1),
        ("nats ap-1", 1),
        ("fan-out", 2),
        ("receipt", 2),
    ];
    let tree = Tree::of(&receiver, &trace, &names).await;
    assert_eq!(tree.0.len(), 9, "{:#?}", tree.names());
    tree.is_one_tree_below(&span);
    let ingress = tree.one("nats us-1");
    assert_eq!(ingress.parent, span);
    for region in ["eu", "ap"] {
        let gateway = tree.one(&format!("nats gateway us→{region}"));
        let server = tree.one(&format!("nats {region}-1"));
        let (fan_out, receipt) = (tree.at("fan-out", region), tree.at("receipt", region));
        is_chain(&[ingress, gateway, server, fan_out, receipt]);
        // The steps cover the way without overlap, so that their lengths add up to it.
        assert_eq!(gateway.end_ns, server.start_ns, "the way ends where the server begins");
        let steps = (gateway.start_ns - ingress.start_ns)
            + gateway.duration_ns()
            + (fan_out.start_ns - server.start_ns)
            + (receipt.start_ns - fan_out.start_ns);
        assert_eq!(steps, receipt.start_ns - ingress.start_ns);
        assert!(published_ns <= ingress.start_ns && receipt.end_ns <= received_ns);
        assert_eq!(fan_out.attributes["meridian.clients"], "1");
        assert_eq!(fan_out.attributes["messaging.destination.name"], "demo.t");
        assert_eq!(fan_out.tracestate, "vendor=1");
        let resource = &fan_out.resource;
        assert_eq!(resource["service.name"], "meridian-edge");
        assert_eq!(resource["service.instance.id"], format!("{region}-1"));
        assert_eq!(resource["cloud.region"], region);
    }
    let parent = &tree.at("fan-out", "ap").span_id;
    assert_eq!(told.tp, Some(format!("00-{trace}-{parent}-01")), "clients hear of the fan-out");
}

#[tokio::test]
async fn a_durable_message_is_one_trace_with_store_and_mirror() {
    let (mesh, receiver) = traced_mesh(Otlp::Http).await;
    let ap = mesh.client("ap").await;
    let trace_too = || SubscribeOptions { trace: true, ..SubscribeOptions::default() };
    let mut in_ap = subscribe_durable(&ap, "orders.ap.1", trace_too()).await;
    let us = mesh.plain_nats("us").await;
    let (traceparent, trace, span) = publisher(0xb1);
    us.publish_with_headers("orders.ap.1", headers(&traceparent), "1".into()).await.unwrap();
    loop {
        match next_event(&mut in_ap).await {
            Event::Message(message) => {
                let took = Duration::from_micros(5);
                ap.receipt(&message.tp.unwrap(), SystemTime::now(), took).await.unwrap();
                break;
            }
            other => assert!(matches!(other, Event::Live(_) | Event::Position(_)), "{other:?}"),
        }
    }
    let names = [
        ("nats us-1", 1),
        ("nats gateway us→eu", 1),
        ("nats eu-1", 1),
        ("store ORDERS_1", 1),
        ("mirror", 1),
        ("fan-out", 1),
        ("receipt", 1),
    ];
    let tree = Tree::of(&receiver, &trace, &names).await;
    tree.is_one_tree_below(&span);
    let (store, mirror) = (tree.one("store ORDERS_1"), tree.one("mirror"));
    is_chain(&[
        tree.one("nats us-1"),
        tree.one("nats gateway us→eu"),
        tree.one("nats eu-1"),
        store,
    ]);
    is_chain(&[mirror, tree.one("fan-out"), tree.one("receipt")]);
    assert_eq!(mirror.parent, span);
    // The mirror begins at the time that the home stream gave the message.
    let server = tree.one("nats eu-1");
    assert!(mirror.start_ns >= server.start_ns, "{mirror:?} {server:?}");
    assert!(mirror.end_ns <= tree.one("fan-out").start_ns);
}

#[tokio::test]
async fn a_request_and_its_reply_are_one_trace_there_and_back() {
    let (mesh, receiver) = traced_mesh(Otlp::Grpc).await;
    let eu = mesh.client("eu").await;
    let us = mesh.plain_nats("us").await;
    let mut asked = us.subscribe("demo.ask").await.unwrap();
    round_trip(&us).await;
    let responder = tokio::spawn(async move {
        while let Some(request) = asked.next().await {
            // A responder of its own: its span is below the request's.
            let mut headers = HeaderMap::new();
            let parent = request.headers.as_ref().and_then(|headers| headers.get("traceparent"));
            if let Some(parent) = parent {
                let parent = parent.as_str();
                headers.insert("traceparent", format!("{}-00000000000000cc-01", &parent[..35]));
            }
            let reply = request.reply.unwrap();
            us.publish_with_headers(reply, headers, "answer".into()).await.unwrap();
        }
    });
    // The interest has reached the client's region once it is answered at all.
    let ask = async |tp: Option<String>| {
        let text = PayloadBuf::text("?");
        eu.request_below("demo.ask", text, Duration::from_secs(10), tp).await
    };
    meridian_testkit::eventually("the responder is found", async || ask(None).await.is_ok()).await;
    let (traceparent, trace, span) = publisher(0xc1);
    assert_eq!(ask(Some(traceparent)).await.unwrap().t.as_deref(), Some("answer"));

    let names = [
        ("edge request", 1),
        ("nats eu-1", 2),
        ("nats gateway eu→us", 1),
        ("nats us-1", 2),
        ("nats gateway us→eu", 1),
    ];
    let tree = Tree::of(&receiver, &trace, &names).await;
    let request = tree.one("edge request");
    assert_eq!(request.parent, span);
    let there = tree.one("nats gateway eu→us");
    let back = tree.one("nats gateway us→eu");
    let server = |region: &str, parent: &str| {
        let name = format!("nats {region}-1");
        let all = tree.all(&name);
        *all.iter().find(|span| span.parent == parent).unwrap_or_else(|| {
            panic!("{name} below {parent} in {:#?}", tree.names());
        })
    };
    is_chain(&[request, server("eu", &request.span_id), there, server("us", &there.span_id)]);
    is_chain(&[server("us", "00000000000000cc"), back, server("eu", &back.span_id)]);
    assert!(request.start_ns <= there.start_ns && back.end_ns <= request.end_ns);
    responder.abort();
}

#[tokio::test]
async fn a_resumed_message_is_in_the_trace_of_its_publisher() {
    let (mesh, receiver) = traced_mesh(Otlp::Grpc).await;
    let trace_too = || SubscribeOptions { trace: true, ..SubscribeOptions::default() };
    let (stays, leaves) = (mesh.client("ap").await, mesh.client("ap").await);
    let mut stays_on = subscribe_durable(&stays, "orders.ap.2", trace_too()).await;
    let mut left = subscribe_durable(&leaves, "orders.ap.2", trace_too()).await;
    let us = mesh.plain_nats("us").await;
    us.publish("orders.ap.2", "before".into()).await.unwrap();
    for subscription in [&mut stays_on, &mut left] {
        assert_eq!(text_of(&next_message(subscription).await), "before");
    }
    let resume = left.resume_point();
    leaves.close().await;
    let (traceparent, trace, span) = publisher(0xd1);
    us.publish_with_headers("orders.ap.2", headers(&traceparent), "missed".into()).await.unwrap();
    assert_eq!(text_of(&take(&stays, &mut stays_on).await), "missed");

    let back = mesh.client("ap").await;
    let options = SubscribeOptions { resume, ..trace_too() };
    let mut resumed = back.subscribe("orders.ap.2", options).await.unwrap();
    assert_eq!(text_of(&within("the replay", take(&back, &mut resumed)).await), "missed");

    let names = [
        ("nats us-1", 1),
        ("nats gateway us→eu", 1),
        ("nats eu-1", 1),
        ("store ORDERS_1", 1),
        ("mirror", 1),
        ("fan-out", 1),
        ("replay", 1),
        ("receipt", 2),
    ];
    let tree = Tree::of(&receiver, &trace, &names).await;
    tree.is_one_tree_below(&span);
    let replay = tree.one("replay");
    assert_eq!(replay.parent, span, "a message that waited is below its publisher");
    assert!(replay.start_ns >= tree.one("mirror").end_ns);
    let receipts = tree.all("receipt");
    assert!(receipts.iter().any(|receipt| receipt.parent == replay.span_id));
}
