//! Commands that are malformed, or reach for what is not theirs: the documented error or close
//! for their sender, and nothing of them in NATS.

#![allow(clippy::unwrap_used)]

#[path = "hostile/bad_lines.rs"]
mod bad_lines;
mod hostile;

use bad_lines::Answer::{self, Close, Error};
use bad_lines::{malformed, refused_names};
use futures_util::StreamExt;
use hostile::{Scene, upstream};
use meridian_edge::Config;
use meridian_testkit::{RawSocket, ServerFrame, eventually, within};
use serde_json::{Value, json};

/// What an edge writes on its clients' messages, see `meridian_core::publish_time`.
const HEADER: &str = "Meridian-Sent";

/// An error is short, whatever provoked it.
const ERROR_BYTES_MAX: usize = 512;

/// Everything that the spy sees on `>`, in order.
struct Spy(async_nats::Subscriber);

impl Spy {
    async fn start(scene: &Scene) -> Self {
        let client = scene.mesh.plain_nats("eu").await;
        let mut everything = client.subscribe(">").await.unwrap();
        meridian_testkit::round_trip(&client).await;
        // It has seen its own round trip.
        while !everything.next().await.unwrap().subject.starts_with("_INBOX.") {}
        Self(everything)
    }

    /// The next message that is neither a heartbeat of the mesh nor for the innocent client.
    async fn next(&mut self) -> async_nats::Message {
        loop {
            let message = within("a message for the spy", self.0.next()).await.unwrap();
            let subject = message.subject.as_str();
            if !subject.starts_with("_mrd.hb.") && subject != "demo.ok" {
                return message;
            }
        }
    }
}

fn short_linger(config: &mut Config) {
    config.limits.interest_linger_ms = 100;
}

fn errors_are_short_and_final(text: &str) -> Value {
    assert!(text.len() <= ERROR_BYTES_MAX, "{} bytes: {text}", text.len());
    let item: Value = serde_json::from_str(text).unwrap();
    assert_eq!(item["error"]["retry"], false, "{text}");
    item
}

/// Sends a frame on a connection of its own and checks its answer. After an error the connection
/// still publishes, which also proves that NATS has processed what was sent before.
async fn check(scene: &mut Scene, frame: &str, answer: &Answer) {
    let shown: String = frame.chars().take(80).collect();
    let mut socket = RawSocket::connected(scene.public()).await;
    socket.send_text(frame).await;
    match answer {
        Error(id, code) => {
            let item = errors_are_short_and_final(&socket.next_text().await);
            assert_eq!(item["error"]["code"], json!(code), "{shown}: {item}");
            assert_eq!(item.get("id"), id.map(|id| json!(id)).as_ref(), "{shown}: {item}");
            goes_on(&mut socket, &shown).await;
        }
        Close(code) => assert_eq!(socket.close_code().await, Some(*code), "{shown}"),
    }
    scene.innocent_is_fine(&shown).await;
}

async fn goes_on(socket: &mut RawSocket, after: &str) {
    socket.send_text(r#"{"id":99,"publish":{"s":"demo.after","t":"on"}}"#).await;
    assert_eq!(socket.next_text().await, r#"{"id":99,"publish":{"ack":"edge"}}"#, "{after}");
}

#[tokio::test]
async fn malformed_commands_are_answered_and_reach_nobody() {
    let mut scene = Scene::start(short_linger).await;
    let mut spy = Spy::start(&scene).await;
    for (frame, answer) in malformed() {
        check(&mut scene, &frame, &answer).await;
        if let Error(..) = answer {
            let message = spy.next().await;
            assert_eq!(message.subject.as_str(), "demo.after", "from: {frame:.80}");
        }
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn refused_filters_and_subjects_reach_no_nats_server() {
    let mut scene = Scene::start(short_linger).await;
    let mut spy = Spy::start(&scene).await;
    let before = upstream(&scene.mesh).await;
    for (name, as_filter, as_subject) in refused_names() {
        for (verb, field, code) in [
            ("subscribe", "f", as_filter),
            ("publish", "s", as_subject),
            ("request", "s", as_subject),
        ] {
            let frame = json!({ "id": 7, verb: { field: name } }).to_string();
            check(&mut scene, &frame, &Error(Some(7), code)).await;
            let message = spy.next().await;
            assert_eq!(message.subject.as_str(), "demo.after", "{frame:.80}");
            assert_eq!(upstream(&scene.mesh).await, before, "{frame:.80}");
        }
    }
    for name in ["demo.*", "demo.>", "demo.x.*"] {
        for verb in ["publish", "request"] {
            let frame = json!({ "id": 7, verb: { "s": name } }).to_string();
            check(&mut scene, &frame, &Error(Some(7), 207)).await;
            assert_eq!(spy.next().await.subject.as_str(), "demo.after", "{frame}");
        }
    }
    for verb in ["publish", "request"] {
        let frame = json!({ "id": 7, verb: { "s": "quiet.x" } }).to_string();
        check(&mut scene, &frame, &Error(Some(7), 103)).await;
        assert_eq!(spy.next().await.subject.as_str(), "demo.after", "{frame}");
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn filters_and_subjects_at_the_limits_are_accepted() {
    let mut scene = Scene::start(short_linger).await;
    let longest = format!("demo.{}", "x".repeat(250));
    let deepest = format!("demo{}", ".x".repeat(15));
    for name in [longest.as_str(), &deepest, "demo.é.\u{1f600}", "demo.$SYS._INBOX", "quiet.*.>"] {
        let mut socket = RawSocket::connected(scene.public()).await;
        socket.send_text(&json!({ "id": 2, "subscribe": { "f": name } }).to_string()).await;
        let reply = socket.next_text().await;
        assert!(reply.contains(r#""subscribe""#), "{name}: {reply}");
        let filters = upstream(&scene.mesh).await.filters;
        assert!(filters.iter().any(|filter| filter == name), "{name} in {filters:?}");
        if name.starts_with("demo.") {
            let publish = json!({ "publish": { "s": name, "t": "hi" } });
            socket.send_text(&publish.to_string()).await;
            let message: Value = serde_json::from_str(&socket.next_text().await).unwrap();
            assert_eq!((&message["m"]["s"], &message["m"]["t"]), (&json!(name), &json!("hi")));
        }
        scene.innocent_is_fine(name).await;
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn headers_cannot_be_forged_and_replies_cannot_be_redirected() {
    let mut scene = Scene::start(|_| {}).await;
    let mut spy = Spy::start(&scene).await;
    let many: Value = (0..33).map(|index| json!(index.to_string())).collect();
    for (headers, code) in [
        (json!({ "x-kind": "a\r\nevil: 1" }), 107),
        (json!({ "x-kind": "a\nb" }), 107),
        (json!({ "x-kind": "a\u{0}" }), 107),
        (json!({ "x-kind": ["fine", "a\r\n\r\nbody"] }), 107),
        (json!({ "x-kind\r\nevil": "1" }), 107),
        (json!({ "x-kind: 1\r\nevil": "1" }), 107),
        (json!({ "x kind": "1" }), 107),
        (json!({ "": "1" }), 107),
        (json!({ "x:y": "1" }), 107),
        (json!({ "Nats-Msg-Id": "1" }), 103),
        (json!({ "nats-rollup": "all" }), 103),
        (json!({ "Nats-Trace-Dest": "demo.evil" }), 103),
        (json!({ "x-other": "1" }), 103),
        (json!({ "traceparent": "00" }), 103),
        (json!({ "x-kind": many }), 106),
        (json!({ "x-kind": "v".repeat(4_091) }), 106),
    ] {
        for verb in ["publish", "request"] {
            let frame = json!({ "id": 7, verb: { "s": "demo.x", "h": headers } }).to_string();
            check(&mut scene, &frame, &Error(Some(7), code)).await;
            let message = spy.next().await;
            let headers = message.headers.unwrap();
            let names: Vec<String> = headers.iter().map(|(name, _)| name.to_string()).collect();
            // The edge's own stamp, and nothing of the client's.
            assert_eq!((message.subject.as_str(), names), ("demo.after", vec![HEADER.into()]));
        }
    }
    for (field, value) in [("mid", "a\r\nevil: 1"), ("tp", "00\r\nevil: 1"), ("mid", "")] {
        let frame = json!({ "id": 7, "publish": { "s": "demo.x", field: value } }).to_string();
        check(&mut scene, &frame, &Error(Some(7), 107)).await;
        assert_eq!(spy.next().await.subject.as_str(), "demo.after", "{frame}");
    }

    let mut socket = RawSocket::connected(scene.public()).await;
    for field in ["reply", "r", "reply_to", "_reply"] {
        let body = json!({ "s": "demo.x", "t": "hi", field: "demo.evil" });
        socket.send_text(&json!({ "id": 2, "publish": body }).to_string()).await;
        assert_eq!(socket.next_text().await, r#"{"id":2,"publish":{"ack":"edge"}}"#);
        assert_eq!(spy.next().await.reply, None, "{field}");
        socket.send_text(&json!({ "id": 3, "request": body }).to_string()).await;
        let reply = spy.next().await.reply.unwrap();
        assert!(reply.starts_with("_INBOX_eu-1.0."), "{field}: {reply}");
    }
    scene.innocent_is_fine("chosen reply subjects").await;
}

#[tokio::test]
async fn sixty_four_commands_of_a_frame_are_carried_out_and_no_more() {
    let mut scene = Scene::start(|_| {}).await;
    let mut spy = Spy::start(&scene).await;
    let publishes = |count: usize| -> String {
        let line = |index| format!("{{\"publish\":{{\"s\":\"demo.n.{index}\"}}}}\n");
        (0..count).map(line).collect()
    };
    let mut socket = RawSocket::connected(scene.public()).await;
    socket.send_text(&publishes(64)).await;
    for index in 0..64 {
        assert_eq!(spy.next().await.subject.as_str(), format!("demo.n.{index}"));
    }
    goes_on(&mut socket, "64 commands").await;
    assert_eq!(spy.next().await.subject.as_str(), "demo.after");

    for end in ["", "\n\n", "not JSON\n"] {
        let mut socket = RawSocket::connected(scene.public()).await;
        socket.send_text(&format!("{}{end}", publishes(65))).await;
        assert_eq!(socket.close_code().await, Some(3501));
        for index in 0..64 {
            assert_eq!(spy.next().await.subject.as_str(), format!("demo.n.{index}"));
        }
    }
    // A line that is no object: the earlier ones are carried out, the later ones are not.
    let mut socket = RawSocket::connected(scene.public()).await;
    socket.send_text(&format!("{}oops\n{}", publishes(3), publishes(2))).await;
    assert_eq!(socket.close_code().await, Some(3501));
    for index in 0..3 {
        assert_eq!(spy.next().await.subject.as_str(), format!("demo.n.{index}"));
    }
    let mut socket = RawSocket::connected(scene.public()).await;
    goes_on(&mut socket, "the end of the spy's list").await;
    assert_eq!(spy.next().await.subject.as_str(), "demo.after");
    scene.innocent_is_fine("too many commands").await;
}

#[tokio::test]
async fn deep_json_and_repeated_keys_harm_nobody() {
    let mut scene = Scene::start(|_| {}).await;
    let mut socket = RawSocket::connected(scene.public()).await;
    socket.send_text(r#"{"id":2,"subscribe":{"f":"demo.deep"}}"#).await;
    socket.next_text().await;
    let mut deep_payload = async |depth: usize| -> Value {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        socket.send_text(&format!(r#"{{"publish":{{"s":"demo.deep","d":{nested}}}}}"#)).await;
        serde_json::from_str(&socket.next_text().await).unwrap()
    };
    assert!(deep_payload(120).await["m"]["d"].is_array(), "120 levels are JSON");
    assert!(deep_payload(121).await["m"]["t"].is_string(), "121 levels are text");
    assert!(deep_payload(10_000).await["m"]["t"].is_string(), "10,000 levels are text");
    socket.send_text(r#"{"id":5,"publish":{"s":"demo.x"},"publish":{"s":"demo.y"}}"#).await;
    let item = errors_are_short_and_final(&socket.next_text().await);
    assert_eq!((&item["id"], &item["error"]["code"]), (&json!(5), &json!(107)), "one command");
    socket.send_text(r#"{"id":5,"id":6,"publish":{"s":"demo.x"}}"#).await;
    let item = errors_are_short_and_final(&socket.next_text().await);
    assert_eq!(item["error"]["code"], 107, "at most one id: {item}");
    scene.innocent_is_fine("deep JSON").await;
}

#[tokio::test]
async fn what_comes_before_connect_is_refused_and_closed() {
    let mut scene = Scene::start(|_| {}).await;
    let long = "n".repeat(4_097);
    for (frame, id, code) in [
        (r#"{"id":1,"publish":{"s":"demo.x"}}"#, Some(1), 101),
        (r#"{"id":1,"subscribe":{"f":"demo.>"}}"#, Some(1), 101),
        (r#"{"publish":{"s":"demo.x"}}"#, None, 101),
        (r#"{"id":1,"history":{"f":"demo.x"}}"#, Some(1), 101),
        (r#"{"connect":{}}"#, None, 107),
        (r#"{"id":0,"connect":{}}"#, None, 107),
        (r#"{"id":1,"connect":[]}"#, Some(1), 107),
        (r#"{"id":1,"connect":{"ping":"x"}}"#, Some(1), 107),
        (r#"{"id":1,"sing":{}}"#, Some(1), 104),
        (&format!(r#"{{"id":1,"connect":{{"name":"{long}"}}}}"#), Some(1), 107),
    ] {
        let mut socket = RawSocket::upgraded(scene.public()).await;
        // What follows in the frame must not be carried out.
        let rest = r#"{"id":2,"connect":{}}"#;
        socket.send_text(&format!("{{}}\n{frame}\n{rest}")).await;
        let item = errors_are_short_and_final(&socket.next_text().await);
        assert_eq!(item.get("id"), id.map(|id| json!(id)).as_ref(), "{frame:.80}: {item}");
        assert_eq!(item["error"]["code"], code, "{frame:.80}: {item}");
        let end = socket.next().await;
        assert!(matches!(end, ServerFrame::Close(3501, _)), "{frame:.80}: {end:?}");
        scene.innocent_is_fine(frame).await;
    }
    let mut socket = RawSocket::upgraded(scene.public()).await;
    socket.send_text("GET / HTTP/1.1").await;
    assert_eq!(socket.close_code().await, Some(3501));
    drop(socket);
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn commands_over_the_budget_are_refused_for_a_moment() {
    let mut scene = Scene::start(|_| {}).await;
    let mut socket = RawSocket::connected(scene.public()).await;
    for _ in 0..5 {
        socket.send_text(&"{\"unsubscribe\":{\"i\":9}}\n".repeat(60)).await;
    }
    let mut seen = [0; 2];
    while seen[1] == 0 {
        let item: Value = serde_json::from_str(&socket.next_text().await).unwrap();
        match item["error"]["code"].as_u64().unwrap() {
            107 => seen[0] += 1,
            111 => {
                seen[1] += 1;
                assert_eq!(item["error"]["retry"], true, "{item}");
                assert!(item["error"]["after_ms"].as_u64().unwrap() > 0, "{item}");
            }
            _ => panic!("{item}"),
        }
    }
    assert!(seen[0] >= 99, "the burst is served: {seen:?}");
    scene.innocent_is_fine("a burst of commands").await;
    eventually("the connection may go on", async || {
        socket.send_text(r#"{"id":99,"publish":{"s":"demo.after","t":"on"}}"#).await;
        loop {
            let text = socket.next_text().await;
            let item: Value = serde_json::from_str(&text).unwrap();
            if item["id"] == 99 {
                return item.get("publish").is_some();
            }
        }
    })
    .await;
}
