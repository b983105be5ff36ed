//! Live messages over a real supercluster: publishers of both kinds in, subscribers of both out.

#![allow(clippy::unwrap_used)]

use futures_util::StreamExt;
use meridian_client::{Notice, PayloadBuf, PublishOptions, SubscribeOptions, Subscription};
use meridian_proto::ErrorCode;
use meridian_proto::command::{Ack, HeaderValues, Headers};
use meridian_testkit::{TestMesh, code_of, next_message, next_notice, refusal, text_of, within};

/// Messages of the burst. Fewer than a subscription holds, so that one can be read after another.
const BURST: usize = 500;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Publishes numbers on three subjects in turn.
async fn burst(publisher: &async_nats::Client) {
    for number in 0..BURST {
        let subject = format!("demo.orders.{}", number % 3);
        publisher.publish(subject, number.to_string().into()).await.unwrap();
    }
    publisher.flush().await.unwrap();
}

/// Reads those numbers of the burst that are `wanted`, and nothing else.
async fn expect_burst(subscription: &mut Subscription, wanted: impl Fn(usize) -> bool) {
    for number in (0..BURST).filter(|number| wanted(*number)) {
        let message = next_message(subscription).await;
        assert_eq!(message.i, subscription.reply().i);
        let expected = (format!("demo.orders.{}", number % 3), number.to_string());
        assert_eq!((message.s.clone(), text_of(&message)), expected);
    }
}

fn headers(pairs: &[(&str, &str)]) -> PublishOptions {
    let one =
        |(name, value): &(&str, &str)| ((*name).to_owned(), HeaderValues::One((*value).to_owned()));
    PublishOptions { headers: pairs.iter().map(one).collect(), ..PublishOptions::default() }
}

#[tokio::test]
async fn plain_publish_in_one_region_reaches_browsers_in_the_others_in_order() {
    let mesh = TestMesh::three_regions().await;
    let (eu, ap) = (mesh.client("eu").await, mesh.client("ap").await);
    let plain = SubscribeOptions::default;
    let mut eu_exact = eu.subscribe("demo.orders.1", plain()).await.unwrap();
    let mut eu_wild = eu.subscribe("demo.orders.*", plain()).await.unwrap();
    let mut ap_exact = ap.subscribe("demo.orders.1", plain()).await.unwrap();
    let mut ap_wild = ap.subscribe("demo.>", plain()).await.unwrap();
    let us = mesh.plain_nats("us").await;
    let mut all = [&mut eu_exact, &mut eu_wild, &mut ap_exact, &mut ap_wild];
    TestMesh::settle(&us, "demo.orders.1", &mut all).await;

    burst(&us).await;
    us.publish("demo.orders.1", "end".into()).await.unwrap();
    for exact in [&mut eu_exact, &mut ap_exact] {
        expect_burst(exact, |number| number % 3 == 1).await;
        assert_eq!(text_of(&next_message(exact).await), "end", "one delivery each");
    }
    for wild in [&mut eu_wild, &mut ap_wild] {
        expect_burst(wild, |_| true).await;
        assert_eq!(text_of(&next_message(wild).await), "end", "one delivery each");
    }
}

#[tokio::test]
async fn client_publish_reaches_browsers_and_services_in_every_region() {
    let mesh = TestMesh::three_regions().await;
    let eu = mesh.client("eu").await;
    let (own, ap) = (mesh.client("eu").await, mesh.client("ap").await);
    let mut own = own.subscribe("demo.chat", SubscribeOptions::default()).await.unwrap();
    let mut ap = ap.subscribe("demo.*", SubscribeOptions::default()).await.unwrap();
    let us = mesh.plain_nats("us").await;
    let mut service = us.subscribe("demo.>").await.unwrap();
    us.flush().await.unwrap();
    let probe = mesh.plain_nats("eu").await;
    TestMesh::settle(&probe, "demo.chat", &mut [&mut own, &mut ap]).await;
    while within("the service hears", service.next()).await.unwrap().payload != "settled" {}

    let options = PublishOptions {
        mid: Some("order-7".into()),
        tp: Some(TRACEPARENT.into()),
        ..headers(&[("x-kind", "fill")])
    };
    let reply = eu.publish("demo.chat", PayloadBuf::text("123"), options).await.unwrap();
    assert_eq!(reply.unwrap().ack, Ack::Edge);
    for subscription in [&mut own, &mut ap] {
        let message = next_message(subscription).await;
        assert_eq!((message.s.as_str(), message.t.as_deref()), ("demo.chat", Some("123")));
    }
    let message = within("the service's message", service.next()).await.unwrap();
    assert_eq!((message.subject.as_str(), &message.payload[..]), ("demo.chat", &b"123"[..]));
    let headers = message.headers.unwrap();
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("x-kind").as_deref(), Some("fill"));
    assert_eq!(header("Nats-Msg-Id").as_deref(), Some("order-7"));
    assert_eq!(header("traceparent").as_deref(), Some(TRACEPARENT));
    assert_eq!(header("Content-Type").as_deref(), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn client_publish_comes_back_as_it_went_in() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let options = SubscribeOptions { hdr: vec!["X-Kind".into()], ..SubscribeOptions::default() };
    let mut all = client.subscribe("demo.>", options).await.unwrap();
    let json = || PayloadBuf::json(&serde_json::json!({"a": 1})).unwrap();
    for (payload, expected) in [
        (json(), r#"{"d":{"a":1}}"#),
        (PayloadBuf::text("{}"), r#"{"t":"{}"}"#),
        (PayloadBuf::bytes(*b"ok"), r#"{"b":"b2s="}"#),
        (PayloadBuf::Empty, "{}"),
    ] {
        client.publish("demo.a", payload, headers(&[("X-Kind", "fill")])).await.unwrap();
        let message = next_message(&mut all).await;
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        let content = serde_json::json!({
            "i": message.i, "s": "demo.a", "h": {"x-kind": "fill"},
        });
        let mut whole = content.as_object().unwrap().clone();
        whole.extend(expected.as_object().unwrap().clone());
        assert_eq!(serde_json::to_value(&message).unwrap(), serde_json::Value::Object(whole));
    }
}

#[tokio::test]
async fn publish_is_refused_where_the_namespaces_do_not_allow_it() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let text = || PayloadBuf::text("x");
    let none = PublishOptions::default;
    for (subject, code) in [
        ("quiet.x", ErrorCode::Forbidden),
        ("other.x", ErrorCode::UnknownSubjectSpace),
        ("$SYS.x", ErrorCode::InvalidSubject),
        ("demo.*", ErrorCode::InvalidSubject),
    ] {
        assert_eq!(code_of(client.publish(subject, text(), none()).await), code, "{subject}");
    }
    let stream = PublishOptions { ack: Some(Ack::Stream), ..none() };
    let refused = client.publish("demo.a", text(), stream).await;
    assert_eq!(code_of(refused), ErrorCode::NotAvailable);
    for (options, code) in [
        (headers(&[("x-other", "v")]), ErrorCode::Forbidden),
        (headers(&[("Nats-Expected-Stream", "v")]), ErrorCode::Forbidden),
        (headers(&[("x kind", "v")]), ErrorCode::BadRequest),
        (headers(&[("x-kind", "a\r\nb: c")]), ErrorCode::BadRequest),
        (PublishOptions { mid: Some("m".repeat(129)), ..none() }, ErrorCode::BadRequest),
        (PublishOptions { tp: Some("00-nonsense".into()), ..none() }, ErrorCode::BadRequest),
    ] {
        let shown = format!("{options:?}");
        assert_eq!(code_of(client.publish("demo.a", text(), options).await), code, "{shown}");
    }
    let values = HeaderValues::Many(vec!["v".into(); 33]);
    let many = PublishOptions { headers: [("x-kind".into(), values)].into(), ..none() };
    assert_eq!(code_of(client.publish("demo.a", text(), many).await), ErrorCode::Limit);
}

#[tokio::test]
async fn errors_of_a_publish_without_id_come_as_notices() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let mut notices = client.notices();
    let none = PublishOptions::default();
    client.publish_no_ack("quiet.x", PayloadBuf::text("x"), none).await.unwrap();
    let Notice::Error(failure) = next_notice(&mut notices).await else { panic!("no error") };
    assert_eq!(failure.code, ErrorCode::Forbidden);
    assert!(failure.msg.contains("quiet.x"), "{}", failure.msg);
}

#[tokio::test]
async fn each_subscription_of_a_filter_gets_what_it_asked_for() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let clients = [mesh.client("eu").await, mesh.client("eu").await, mesh.client("eu").await];
    let wishes = |hdr: &[&str], trace| SubscribeOptions {
        hdr: hdr.iter().map(|name| (*name).into()).collect(),
        trace,
        ..SubscribeOptions::default()
    };
    let mut bare = clients[0].subscribe("demo.a", wishes(&[], false)).await.unwrap();
    let mut kinds = clients[1].subscribe("demo.a", wishes(&["X-KIND"], false)).await.unwrap();
    let mut traced = clients[2].subscribe("demo.a", wishes(&["content-type"], true)).await.unwrap();
    let refused = clients[2].subscribe("demo.b", wishes(&["x-other"], false)).await;
    assert_eq!(code_of(refused), ErrorCode::Forbidden);

    let nats = mesh.plain_nats("eu").await;
    let mut headers = async_nats::HeaderMap::new();
    headers.append("X-Kind", "fill");
    headers.append("X-Kind", "partial");
    headers.append("X-Secret", "s");
    headers.append("Content-Type", "application/json");
    headers.append("traceparent", TRACEPARENT);
    nats.publish_with_headers("demo.a", headers.clone(), "1".into()).await.unwrap();
    let unsampled = TRACEPARENT.replace("-01", "-00");
    headers.insert("traceparent", unsampled.as_str());
    nats.publish_with_headers("demo.a", headers, "2".into()).await.unwrap();

    let kind = HeaderValues::Many(vec!["fill".into(), "partial".into()]);
    let kind: Headers = [("x-kind".to_owned(), kind)].into();
    let json = HeaderValues::One("application/json".into());
    let json: Headers = [("content-type".to_owned(), json)].into();
    for (subscription, expected, tp) in [
        (&mut bare, Headers::new(), None),
        (&mut kinds, kind, None),
        (&mut traced, json, Some(TRACEPARENT)),
    ] {
        let message = next_message(subscription).await;
        assert_eq!(
            (text_of(&message), message.h, message.tp.as_deref()),
            ("1".into(), expected, tp)
        );
        let message = next_message(subscription).await;
        assert_eq!((text_of(&message).as_str(), message.tp), ("2", None), "unsampled");
    }
}

#[tokio::test]
async fn overlapping_filters_deliver_one_message_each() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let none = SubscribeOptions::default;
    let mut wild = client.subscribe("demo.*", none()).await.unwrap();
    let mut exact = client.subscribe("demo.a", none()).await.unwrap();
    let twice = client.subscribe("demo.a", none()).await;
    assert_eq!(refusal(twice).code, ErrorCode::AlreadySubscribed);
    let nats = mesh.plain_nats("eu").await;
    for payload in ["1", "2"] {
        nats.publish("demo.a", payload.into()).await.unwrap();
    }
    assert_ne!(wild.reply().i, exact.reply().i);
    for subscription in [&mut wild, &mut exact] {
        for expected in ["1", "2"] {
            let message = next_message(subscription).await;
            assert_eq!((message.i, text_of(&message).as_str()), (subscription.reply().i, expected));
        }
    }
}
