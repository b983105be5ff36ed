//! The binary codec over real sockets: everything that JSON does, to the same subscribers, and bad
//! input that harms nobody else.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the other files that share the scene use the rest")]
mod hostile;

use futures_util::StreamExt;
use hostile::Scene;
use meridian_client::{
    Client, Codec, HistoryOptions, Notice, Options, PayloadBuf, PublishOptions, SubscribeOptions,
};
use meridian_proto::command::{Ack, HeaderValues};
use meridian_proto::item::{Item, Reply};
use meridian_proto::{ErrorCode, Payload, pb};
use meridian_testkit::{
    DEADLINE, RawSocket, ServerFrame, TestMesh, TestMeshOptions, code_of, eventually, next_event,
    next_message, next_notice, round_trip, subscribe_durable, with_orders,
};
use serde_json::Value;

const JSON: &str = "Sec-WebSocket-Protocol: meridian.v1.json\r\n";
const BINARY: &str = "Sec-WebSocket-Protocol: meridian.v1.pb\r\n";

/// `connect` as command 1, without any field.
const CONNECT: &[u8] = b"\x0a\x04\x08\x01\x12\x00";

/// `subscribe` to `demo.a` as command 2, and to `demo.*` as command 3.
const SUBSCRIBE_EXACT: &[u8] = b"\x0a\x0c\x08\x02\x1a\x08\x0a\x06demo.a";
const SUBSCRIBE_WILD: &[u8] = b"\x0a\x0c\x08\x03\x1a\x08\x0a\x06demo.*";

async fn binary(mesh: &TestMesh, region: &str) -> Client {
    let options = Options { codec: Codec::Binary, ..Options::default() };
    mesh.client_with(region, options).await
}

/// A peer at byte level that has agreed to the binary codec.
async fn raw(scene: &Scene) -> RawSocket {
    let mut socket = RawSocket::tcp(scene.public()).await;
    let head = socket.request_upgrade(BINARY).await.to_lowercase();
    assert!(head.contains("sec-websocket-protocol: meridian.v1.pb\r\n"), "{head}");
    socket
}

/// The items of the next frame that is not a heartbeat, and its bytes.
async fn next_items(socket: &mut RawSocket) -> (Vec<Item>, Vec<u8>) {
    loop {
        match socket.next().await {
            ServerFrame::Binary(bytes) if bytes.is_empty() => {}
            ServerFrame::Ping => {}
            ServerFrame::Binary(bytes) => {
                return (pb::items(&bytes).map(|item| item.unwrap()).collect(), bytes);
            }
            other => panic!("not a binary frame: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_clients_order_of_preference_decides_the_codec() {
    let scene = Scene::start(|_| {}).await;
    let offer = |names: &str| format!("Sec-WebSocket-Protocol: {names}\r\n");
    for (offers, agreed) in [
        (offer("meridian.v1.pb, meridian.v1.json"), "meridian.v1.pb"),
        (offer("meridian.v1.json, meridian.v1.pb"), "meridian.v1.json"),
        (offer("meridian.v2.pb,meridian.v1.pb"), "meridian.v1.pb"),
        (format!("{BINARY}{JSON}"), "meridian.v1.pb"),
        (format!("{JSON}{BINARY}"), "meridian.v1.json"),
    ] {
        let mut socket = RawSocket::tcp(scene.public()).await;
        let head = socket.request_upgrade(&offers).await.to_lowercase();
        let answer = format!("sec-websocket-protocol: {agreed}\r\n");
        assert!(head.contains(&answer), "{offers}: {head}");
        assert_eq!(head.matches("sec-websocket-protocol").count(), 1, "{offers}: {head}");
        // What was agreed is what is spoken.
        if agreed == "meridian.v1.pb" {
            socket.send_frame(0x82, CONNECT).await;
            let (items, _) = next_items(&mut socket).await;
            assert!(matches!(items[..], [Item::Reply(1, Reply::Connect(_))]), "{items:?}");
        } else {
            socket.identify("{}").await;
        }
    }
}

#[tokio::test]
async fn a_binary_client_publishes_subscribes_and_requests() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = binary(&mesh, "eu").await;
    assert_eq!(client.connected().region, "eu");
    assert_eq!(client.connected().feat, ["gap", "goaway", "mesh"]);

    let nats = mesh.plain_nats("eu").await;
    let mut requests = nats.subscribe("demo.echo").await.unwrap();
    round_trip(&nats).await;
    let echo = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("X-Kind", "echo");
            let reply = request.reply.unwrap();
            nats.publish_with_headers(reply, headers, request.payload).await.unwrap();
        }
    });
    let bytes = PayloadBuf::bytes(*b"\xff\0\n");
    let reply = client.request("demo.echo", bytes, DEADLINE).await.unwrap();
    assert_eq!(reply.content().payload(), Payload::Bytes(b"\xff\0\n"));
    let kind = HeaderValues::One("echo".into());
    assert_eq!(reply.h, [("x-kind".to_owned(), kind.clone())].into());
    echo.abort();

    let options =
        SubscribeOptions { hdr: vec!["x-kind".into()], trace: true, ..SubscribeOptions::default() };
    let mut subscription = client.subscribe("demo.a", options).await.unwrap();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let options = PublishOptions {
        headers: [("x-kind".to_owned(), kind.clone())].into(),
        tp: Some(traceparent.into()),
        ..PublishOptions::default()
    };
    let reply = client.publish("demo.a", PayloadBuf::text("12"), options).await.unwrap();
    assert_eq!(reply.unwrap().ack, Ack::Edge);
    let message = next_message(&mut subscription).await;
    assert_eq!(message.s, "demo.a", "the filter names it");
    assert_eq!(message.content().payload(), Payload::Text("12"));
    assert_eq!(message.h, [("x-kind".to_owned(), kind)].into());
    assert_eq!(message.tp.as_deref(), Some(traceparent));

    let refused = client.subscribe("demo.a", SubscribeOptions::default()).await;
    assert_eq!(code_of(refused), ErrorCode::AlreadySubscribed);
    let none = PublishOptions::default();
    let refused = client.publish("nowhere.a", PayloadBuf::Empty, none).await;
    assert_eq!(code_of(refused), ErrorCode::UnknownSubjectSpace);
    subscription.unsubscribe().await.unwrap();
    assert_eq!(client.close().await.code, 1000);
}

#[tokio::test]
async fn both_codecs_receive_the_same_bytes_from_everybody() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let (json, pb) = (mesh.client("eu").await, binary(&mesh, "eu").await);
    let mut heard = [
        json.subscribe("demo.>", SubscribeOptions::default()).await.unwrap(),
        pb.subscribe("demo.>", SubscribeOptions::default()).await.unwrap(),
    ];
    let nats = mesh.plain_nats("eu").await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let payloads: [&[u8]; 7] = [
        b"",
        b"{\"a\": 1}",
        b"123",
        "t\u{e9}xt\n".as_bytes(),
        b"\xff",
        &every_byte,
        &[b'x'; 40_000],
    ];
    for (number, sent) in payloads.into_iter().enumerate() {
        let subject = format!("demo.{number}");
        let none = PublishOptions::default;
        json.publish(&subject, PayloadBuf::sniff(sent.into()), none()).await.unwrap();
        pb.publish(&subject, PayloadBuf::sniff(sent.into()), none()).await.unwrap();
        json.publish(&subject, PayloadBuf::bytes(sent), none()).await.unwrap();
        pb.publish(&subject, PayloadBuf::bytes(sent), none()).await.unwrap();
        nats.publish(subject.clone(), sent.to_vec().into()).await.unwrap();
        round_trip(&nats).await;
        for subscription in &mut heard {
            for (from, is_declared) in
                [("json", false), ("pb", false), ("json", true), ("pb", true), ("nats", false)]
            {
                let message = next_message(subscription).await;
                let what = format!("payload {number} from {from} on {}", subscription.filter());
                assert_eq!(message.s, subject, "{what}");
                let payload = message.content().payload();
                let declared = is_declared.then_some(&b"application/octet-stream"[..]);
                assert!(payload == Payload::classify(declared, sent), "{what}: {payload:?}");
                assert!(*message.content().to_bytes().unwrap() == *sent, "{what}");
            }
        }
    }
    // In JSON, line breaks between tokens become spaces and white space around a value is not
    // kept; the binary codec keeps every byte.
    nats.publish("demo.exact", "{\"a\":\r\n1}\n".into()).await.unwrap();
    let [json, pb] = &mut heard;
    assert_eq!(next_message(json).await.content().payload(), Payload::Json("{\"a\":  1}"));
    assert_eq!(next_message(pb).await.content().payload(), Payload::Json("{\"a\":\r\n1}\n"));
}

#[tokio::test]
async fn a_message_names_its_subject_only_under_a_wildcard() {
    let scene = Scene::start(|_| {}).await;
    let mut socket = raw(&scene).await;
    // Encoded frames may be glued: connect and two subscriptions in one message.
    socket.send_frame(0x82, &[CONNECT, SUBSCRIBE_EXACT, SUBSCRIBE_WILD].concat()).await;
    let mut ids = [0, 0];
    for command in [1, 2, 3] {
        let (items, _) = next_items(&mut socket).await;
        match &items[..] {
            [Item::Reply(1, Reply::Connect(_))] => assert_eq!(command, 1),
            [Item::Reply(id, Reply::Subscribe(reply))] => ids[*id as usize - 2] = reply.i,
            other => panic!("{other:?}"),
        }
    }
    let nats = scene.mesh.plain_nats("eu").await;
    nats.publish("demo.a", "\u{fffd}".into()).await.unwrap();
    let (mut messages, mut bytes) = (Vec::new(), Vec::new());
    while messages.len() < 2 {
        let (items, frame) = next_items(&mut socket).await;
        messages.extend(items);
        bytes.extend(frame);
    }
    let subject_of = |wanted: u32| {
        let found = messages.iter().find_map(|item| match item {
            Item::Message(message) if message.i == wanted => Some(message.s.clone()),
            _ => None,
        });
        found.unwrap()
    };
    assert_eq!((subject_of(ids[0]).as_str(), subject_of(ids[1]).as_str()), ("", "demo.a"));
    assert_eq!(bytes.windows(6).filter(|window| *window == b"demo.a").count(), 1);
}

#[tokio::test]
async fn a_durable_filter_is_resumed_over_the_binary_codec_and_over_the_other() {
    let options = TestMeshOptions { configure: with_orders, ..TestMeshOptions::default() };
    let mesh = TestMesh::durable(options).await;
    let (pb, json) = (binary(&mesh, "eu").await, mesh.client("eu").await);
    for filter in ["orders.1", "orders.*"] {
        let mut here = subscribe_durable(&pb, filter, SubscribeOptions::default()).await;
        assert!(here.reply().recoverable && here.reply().e.is_some(), "{filter}");
        let publish = async |number: usize| {
            let payload = PayloadBuf::bytes(format!("\u{1}{number}").into_bytes());
            let options =
                PublishOptions { mid: Some(format!("{filter} {number}")), ..Default::default() };
            let reply = pb.publish("orders.1", payload, options).await.unwrap().unwrap();
            assert_eq!((reply.ack, reply.dup), (Ack::Stream, Some(false)));
            reply.q.unwrap()
        };
        let first = publish(1).await;
        assert_eq!(next_message(&mut here).await.q, Some(first), "{filter}");
        let mut resume = here.resume_point();
        here.unsubscribe().await.unwrap();
        let mut missed = publish(2).await;
        // Away and back, by each codec in turn: a position means the same in both.
        for (number, client) in [&json, &pb, &json].into_iter().enumerate() {
            let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
            let mut again = subscribe_durable(client, filter, options).await;
            assert_eq!(again.reply().recovered, Some(true), "{filter}");
            let message = next_message(&mut again).await;
            assert_eq!((message.q, message.r), (Some(missed), Some(1)), "{filter}");
            assert_eq!(message.s, "orders.1", "{filter}");
            let event = next_event(&mut again).await;
            assert!(matches!(event, meridian_client::Event::Live(_)), "{filter}: {event:?}");
            resume = again.resume_point();
            again.unsubscribe().await.unwrap();
            missed = publish(3 + number).await;
        }
    }
}

#[tokio::test]
async fn a_page_of_history_says_the_same_in_both_codecs() {
    let options = TestMeshOptions { configure: with_orders, ..TestMeshOptions::default() };
    let mesh = TestMesh::durable(options).await;
    let (pb, json) = (binary(&mesh, "eu").await, mesh.client("eu").await);
    drop(subscribe_durable(&pb, "orders.>", SubscribeOptions::default()).await);
    let sent: [&[u8]; 4] = [b"{\"a\": 1}", b"text", b"\xff\0", b" {\"a\":\n1}\n"];
    for payload in sent {
        // By the service, so that not even its white space is changed on the way in.
        let nats = mesh.plain_nats("eu").await;
        nats.publish("orders.1", payload.to_vec().into()).await.unwrap();
        round_trip(&nats).await;
    }
    let mut pages = Vec::new();
    for client in [&pb, &json] {
        eventually("everything is stored", async || {
            let page = client.history("orders.>", HistoryOptions::default()).await;
            page.is_ok_and(|page| page.m.len() == sent.len())
        })
        .await;
        pages.push(client.history("orders.>", HistoryOptions::default()).await.unwrap());
    }
    let [pb, json] = &pages[..] else { unreachable!() };
    assert_eq!((&pb.e, pb.after, pb.before, pb.more), (&json.e, json.after, json.before, false));
    for ((pb, json), sent) in pb.m.iter().zip(&json.m).zip(sent) {
        assert_eq!((&pb.s, pb.q), (&json.s, json.q));
        assert_eq!(pb.content().payload(), Payload::classify(None, sent), "byte for byte");
        let flat = |text: &str| text.replace('\n', " ").trim().to_owned();
        match (pb.content().payload(), json.content().payload()) {
            (Payload::Json(exact), Payload::Json(text)) => assert_eq!(flat(exact), text),
            (exact, other) => assert_eq!(exact, other),
        }
    }
}

#[tokio::test]
async fn heartbeats_goodbyes_and_closes_are_spelled_in_the_codec() {
    let mut mesh = TestMesh::one_region(|config| config.drain.window_ms = 0).await;
    let client = binary(&mesh, "eu").await;
    let mut notices = client.notices();
    let mut socket = RawSocket::tcp(mesh.edge("eu").public()).await;
    socket.request_upgrade(BINARY).await;
    // The client's own heartbeat, before and after connect with the shortest interval.
    socket.send_frame(0x82, b"").await;
    socket.send_frame(0x82, b"\x0a\x06\x08\x01\x12\x02\x28\x05").await;
    let ServerFrame::Binary(reply) = socket.next().await else { panic!("no reply") };
    assert!(pb::items(&reply).next().unwrap().is_ok());
    socket.send_frame(0x82, b"").await;
    assert_eq!(socket.next().await, ServerFrame::Binary(Vec::new()), "the edge's heartbeat");
    assert_eq!(socket.next().await, ServerFrame::Ping);

    mesh.edge_mut("eu").drain();
    let Notice::GoAway(goaway) = next_notice(&mut notices).await else { panic!("no goaway") };
    assert_eq!(goaway.why, "drain");
    assert_eq!(client.closed().await.code, 3001);
    let (items, _) = next_items(&mut socket).await;
    assert!(matches!(items[..], [Item::GoAway(_)]), "{items:?}");
    assert_eq!(socket.next().await, ServerFrame::Close(3001, "drain".into()));
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

#[tokio::test]
async fn bad_binary_input_is_answered_as_documented_and_harms_nobody_else() {
    let mut scene = Scene::start(|_| {}).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/vectors/pb.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for entry in vectors["rejected"].as_array().unwrap() {
        let mut socket = raw(&scene).await;
        socket.send_frame(0x82, CONNECT).await;
        next_items(&mut socket).await;
        socket.send_frame(0x82, &unhex(entry["hex"].as_str().unwrap())).await;
        if let Some(close) = entry["close"].as_u64() {
            let code = socket.close_code().await;
            assert_eq!(code.map(u64::from), Some(close), "{entry}");
        } else {
            let (items, bytes) = next_items(&mut socket).await;
            let [Item::Error(id, failure)] = &items[..] else { panic!("{entry}: {items:?}") };
            assert_eq!(entry["id"].as_u64(), id.map(u64::from), "{entry}");
            assert_eq!(entry["error"], u16::from(failure.code), "{entry}");
            assert!(bytes.len() < 512, "{} bytes: {entry}", bytes.len());
            // The connection goes on.
            socket.send_frame(0x82, SUBSCRIBE_EXACT).await;
            let (items, _) = next_items(&mut socket).await;
            assert!(matches!(items[..], [Item::Reply(2, _)]), "{entry}: {items:?}");
        }
        scene.innocent_is_fine(entry["name"].as_str().unwrap()).await;
    }

    let mut socket = raw(&scene).await;
    socket.send_text(r#"{"id":1,"connect":{}}"#).await;
    let expected = ServerFrame::Close(1003, "text frame on a binary protocol".into());
    assert_eq!(socket.next().await, expected);
    scene.innocent_is_fine("a text frame").await;

    let mut socket = raw(&scene).await;
    socket.send_frame(0x82, SUBSCRIBE_EXACT).await;
    let (items, _) = next_items(&mut socket).await;
    let [Item::Error(Some(2), failure)] = &items[..] else { panic!("{items:?}") };
    assert_eq!(failure.code, ErrorCode::Unauthorized);
    assert_eq!(socket.close_code().await, Some(3501), "a command before connect");
    scene.innocent_is_fine("a command before connect").await;
}
