//! The protocol over `POST /v1/stream` and `POST /v1/cmd`, with curl for a client: through a load
//! balancer that knows no sessions, and with clients that repeat, overtake, stall and vanish.

#![allow(clippy::unwrap_used)]

mod streams;

use futures_util::future::join_all;
use meridian_edge::Config;
use meridian_edge::config::SlowClientName;
use meridian_testkit::{
    Answer, NumberedPublisher, RoundRobin, RunningEdge, TestMesh, config_for, curl, eventually,
    with_orders,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use streams::Stream;

/// Two edges of one region, and a balancer before both.
struct Pair {
    mesh: TestMesh,
    second: RunningEdge,
    balancer: RoundRobin,
}

impl Pair {
    async fn start(configure: fn(&mut Config)) -> Self {
        let mesh = TestMesh::one_region(configure).await;
        let second = second_edge(&mesh, configure).await;
        let balancer = RoundRobin::start(vec![mesh.edge("eu").public(), second.public()]).await;
        Self { mesh, second, balancer }
    }
}

/// One more edge of the region.
async fn second_edge(mesh: &TestMesh, configure: fn(&mut Config)) -> RunningEdge {
    let url = mesh.nats.region("eu").unwrap().nats_edge_url();
    let mut config = config_for("eu-2", "eu", &["eu".into()], &url);
    configure(&mut config);
    RunningEdge::start(config).await
}

/// Sends commands for a session to an address.
async fn command(address: SocketAddr, session: &str, seq: u64, lines: &str) -> Answer {
    let body = format!("{{\"session\":\"{session}\",\"seq\":{seq}}}\n{lines}");
    curl(&["-d", &body, &format!("http://{address}/v1/cmd")]).await
}

/// The error of an answer.
fn error_of(answer: &Answer) -> (u16, u64, bool) {
    let error: Value = serde_json::from_str(&answer.body).unwrap();
    let error = &error["error"];
    (answer.status, error["code"].as_u64().unwrap(), error["retry"].as_bool().unwrap())
}

#[tokio::test]
async fn commands_reach_their_stream_through_a_balancer_without_sticky_sessions() {
    let pair = Pair::start(|config| config.edge.shards = 2).await;
    let address = pair.balancer.address();
    let mut stream = Stream::open(address, "").await;
    let subscribe = r#"{"id":2,"subscribe":{"f":"demo.a"}}"#;
    assert_eq!(command(address, &stream.session, 1, subscribe).await.status, 204);
    assert_eq!(stream.next_item().await["id"], 2);
    for number in 2..=21_u64 {
        let publish = format!(r#"{{"publish":{{"s":"demo.a","d":{number}}}}}"#);
        assert_eq!(command(address, &stream.session, number, &publish).await.status, 204);
    }
    for number in 2..=21_u64 {
        assert_eq!(stream.next_item().await["m"]["d"], number);
    }
    let counts = pair.balancer.counts();
    assert!(counts.iter().all(|count| *count >= 10), "both edges were asked: {counts:?}");
    drop(pair.mesh);
}

#[tokio::test]
async fn commands_count_once_and_in_order_however_they_arrive() {
    let pair = Pair::start(|_| {}).await;
    let address = pair.balancer.address();
    let mut stream = Stream::open(address, r#"{"id":2,"subscribe":{"f":"demo.a"}}"#).await;
    assert_eq!(stream.next_item().await["id"], 2);
    // Backwards and twice, so that all but the last wait for it.
    let numbers: Vec<u64> = (1..=17).rev().flat_map(|number| [number, number]).collect();
    let mut statuses = BTreeSet::new();
    for number in numbers {
        let publish = format!(r#"{{"publish":{{"s":"demo.a","d":{number}}}}}"#);
        let answer = command(address, &stream.session, number, &publish).await;
        statuses.insert((number == 1, answer.status));
    }
    assert_eq!(statuses, BTreeSet::from([(false, 202), (false, 204), (true, 204)]));
    for number in 1..=17_u64 {
        assert_eq!(stream.next_item().await["m"]["d"], number);
    }
    // At the same time and in any order.
    let session = stream.session.clone();
    join_all((18..=34).map(async |number: u64| {
        let publish = format!(r#"{{"publish":{{"s":"demo.a","d":{number}}}}}"#);
        let answer = command(address, &session, number, &publish).await;
        assert!([202, 204].contains(&answer.status), "{answer:?}");
    }))
    .await;
    for number in 18..=34_u64 {
        assert_eq!(stream.next_item().await["m"]["d"], number);
    }
    // One too far ahead is refused, and may come again in its turn.
    let far = command(address, &stream.session, 52, "{}").await;
    assert_eq!(error_of(&far), (409, 111, true));
    for number in 35..=52_u64 {
        assert_eq!(command(address, &stream.session, number, "{}").await.status, 204);
    }
}

#[tokio::test]
async fn sessions_cannot_be_guessed_and_an_owner_that_is_gone_is_told() {
    let Pair { mesh, second, balancer } = Pair::start(|_| {}).await;
    let first = mesh.edge("eu").public();
    let stream = Stream::open(second.public(), "").await;
    let (place, secret) = stream.session.rsplit_once('.').unwrap();
    assert_eq!((place, secret.len()), ("eu-2.0", 32));
    let other = Stream::open(second.public(), "").await;
    assert_ne!(other.session, stream.session);

    let wrong = format!("{place}.{}", "0".repeat(32));
    for address in [first, second.public()] {
        let gone = command(address, &wrong, 1, "{}").await;
        assert_eq!(error_of(&gone), (404, 101, false), "another secret");
        let elsewhere = command(address, &format!("eu-1.0.{secret}"), 1, "{}").await;
        assert_eq!(error_of(&elsewhere), (404, 101, false), "another place");
        for body in ["", "{}", "{\"session\":\"x\",\"seq\":1}", "\u{1}"] {
            let answer = curl(&["-d", body, &format!("http://{address}/v1/cmd")]).await;
            assert_eq!(error_of(&answer), (400, 107, false), "{body:?}");
        }
        let nobody = command(address, &format!("eu-9.0.{secret}"), 1, "{}").await;
        assert_eq!(error_of(&nobody), (503, 201, true), "an edge that is not there");
    }
    let session = stream.session.clone();
    stream.lines.kill().await;
    eventually("the stream is gone", async || {
        command(first, &session, 1, "{}").await.status == 404
    })
    .await;

    second.stop().await;
    let gone = command(first, &other.session, 1, "{}").await;
    assert_eq!(error_of(&gone), (503, 201, true), "the owner has ended");
    drop(balancer);
}

#[tokio::test]
async fn the_owner_behind_a_lost_nats_connection_is_told_as_unreachable() {
    let Pair { mesh, second, .. } = Pair::start(|_| {}).await;
    let stream = Stream::open(second.public(), "").await;
    mesh.nats.region("eu").unwrap().server().pause().unwrap();
    let late = command(mesh.edge("eu").public(), &stream.session, 1, "{}").await;
    mesh.nats.region("eu").unwrap().server().resume().unwrap();
    let (status, code, retry) = error_of(&late);
    assert!([(503, 205), (504, 200)].contains(&(status, code)) && retry, "{late:?}");
    // The same number again, and it counts once.
    let address = mesh.edge("eu").public();
    eventually("NATS is back", async || {
        command(address, &stream.session, 1, "{}").await.status == 204
    })
    .await;
}

#[tokio::test]
async fn a_stream_speaks_the_protocol_in_both_versions_of_http() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    let nats = mesh.plain_nats("eu").await;
    let mut streams = Vec::new();
    for option in ["--http1.1", "--http2-prior-knowledge"] {
        let body = concat!(
            r#"{"id":1,"connect":{"ping":5}}"#,
            "\n",
            r#"{"id":2,"subscribe":{"f":"demo.a"}}"#
        );
        let mut stream = Stream::with(mesh.edge("eu").public(), body, &[option]).await;
        assert_eq!(stream.next_item().await["connect"]["ping"], 5);
        assert_eq!(stream.next_item().await["id"], 2);
        streams.push(stream);
    }
    nats.publish("demo.a", "{\"n\":\n1}".into()).await.unwrap();
    for stream in &mut streams {
        assert_eq!(stream.next_item().await["m"]["d"]["n"], 1);
        assert_eq!(stream.lines.next().await.unwrap(), "{}", "a heartbeat");
    }
    mesh.edge_mut("eu").drain();
    for mut stream in streams {
        assert_eq!(stream.next_item().await["goaway"]["why"], "drain");
        let close = stream.next_item().await;
        assert_eq!(close["close"]["code"], 3001);
        assert_eq!(stream.lines.next().await, None, "nothing follows a close");
    }
    mesh.edge_mut("eu").ended().await;
}

#[tokio::test]
async fn what_a_socket_would_be_closed_for_ends_a_stream_the_same_way() {
    let mesh = TestMesh::one_region(|config| config.limits.handshake_ms = 2_000).await;
    let address = mesh.edge("eu").public();
    let token = format!("Authorization: Bearer {}", "x".repeat(5_000));
    for (body, options, code, close) in [
        (r#"{"id":1,"subscribe":{"f":"demo.a"}}"#, vec![], Some(101), 3501),
        (r#"{"id":1,"connect":{}}"#, vec!["-H", token.as_str()], Some(107), 3501),
        (r#"{"connect":{}}"#, vec![], Some(107), 3501),
        ("x", vec![], None, 3501),
        ("{}", vec![], None, 3004),
        ("", vec![], None, 3004),
    ] {
        let mut stream = Stream::with(address, body, &options).await;
        if let Some(code) = code {
            assert_eq!(stream.next_item().await["error"]["code"], code, "{body}");
        }
        assert_eq!(stream.next_item().await["close"]["code"], close, "{body}");
        assert_eq!(stream.lines.next().await, None, "{body}");
    }
    // A short token comes along and does no harm.
    let header = ["-H", "Authorization: Bearer abc", "-H", "traceparent: 00-1-2-3"];
    let mut stream = Stream::with(address, r#"{"id":1,"connect":{}}"#, &header).await;
    assert!(stream.next_item().await["connect"].is_object());
    eventually("the others are gone", async || mesh.edge("eu").number("connections").await == 1)
        .await;
}

#[tokio::test]
async fn bodies_methods_and_the_number_of_streams_are_bounded() {
    let mesh = TestMesh::one_region(|config| {
        config.limits.message_bytes_max = 2_000;
        config.limits.connections_max = 5;
    })
    .await;
    let address = mesh.edge("eu").public();
    let at = |path: &str| format!("http://{address}{path}");
    let large = " ".repeat(2_001);
    let answer = curl(&["-d", &large, &at("/v1/stream")]).await;
    assert_eq!(error_of(&answer), (413, 206, false));
    let larger = " ".repeat(2_001 + 256);
    assert_eq!(curl(&["-d", &larger, &at("/v1/cmd")]).await.status, 413);
    for (path, method) in [("/v1/stream", "GET"), ("/v1/cmd", "PUT"), ("/v1/sse", "POST")] {
        assert_eq!(curl(&["-X", method, &at(path)]).await.status, 405, "{method} {path}");
    }
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(Stream::open(address, "").await);
    }
    // The one that asks is the fifth; a sixth is refused while its stream stands.
    streams.push(Stream::open(address, "").await);
    assert_eq!(curl(&["-d", "{}", &at("/v1/stream")]).await.status, 503);
    streams.pop().unwrap().lines.kill().await;
    eventually("there is room again", async || mesh.edge("eu").number("connections").await == 4)
        .await;
    Stream::open(address, "").await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go_in_both_versions_and_others_still_receive() {
    let mesh = TestMesh::one_region(|config| config.limits.write_stall_ms = 1_000).await;
    let nats = mesh.plain_nats("eu").await;
    let address = mesh.edge("eu").public();
    let subscribe = r#"{"id":2,"subscribe":{"f":"demo.flood"}}"#;
    let mut reader = Stream::open(address, subscribe).await;
    assert_eq!(reader.next_item().await["id"], 2);
    for (count, option) in [(1, "--http1.1"), (2, "--http2-prior-knowledge")] {
        let body = format!("{}\n{subscribe}", streams::CONNECT);
        let mut slow = Stream::with(address, &body, &[option]).await;
        assert!(slow.next_item().await["connect"].is_object());
        assert_eq!(slow.next_item().await["id"], 2);
        slow.lines.stop_reading();
        let mut sent = 0_u64;
        eventually("the slow client is let go", async || {
            for _ in 0..20 {
                let payload = format!("{{\"n\":{sent},\"x\":\"{}\"}}", "x".repeat(8 * 1024));
                nats.publish("demo.flood", payload.into()).await.unwrap();
                assert_eq!(reader.next_item().await["m"]["d"]["n"], sent);
                sent += 1;
            }
            mesh.edge("eu").number("connections").await == 1
        })
        .await;
        eventually("it is counted", async || mesh.edge("eu").number("slow_closes").await == count)
            .await;
    }
}

#[tokio::test]
async fn a_client_that_keeps_up_is_sent_every_message_of_a_conflating_namespace() {
    let mesh = TestMesh::one_region(|config| {
        config.namespaces[0].slow_client = SlowClientName::Conflate;
    })
    .await;
    let mut stream =
        Stream::open(mesh.edge("eu").public(), r#"{"id":2,"subscribe":{"f":"demo.a"}}"#).await;
    assert_eq!(stream.next_item().await["id"], 2);
    let nats = mesh.plain_nats("eu").await;
    for round in 0..20 {
        // They come in one read, and so stand in the outbox together.
        for number in 0..50 {
            let number = 50 * round + number;
            nats.publish("demo.a", number.to_string().into()).await.unwrap();
        }
        for number in 0..50 {
            assert_eq!(stream.next_item().await["m"]["d"], 50 * round + number);
        }
    }
    assert_eq!(mesh.edge("eu").number("slow_conflations").await, 0);
}

#[tokio::test]
async fn a_client_that_stalls_below_the_bound_is_let_go_too() {
    let mesh = TestMesh::one_region(|config| {
        config.limits.write_stall_ms = 1_000;
        config.limits.outbox_bytes_max = 64 << 20;
    })
    .await;
    let nats = mesh.plain_nats("eu").await;
    for (count, option) in [(1, "--http1.1"), (2, "--http2-prior-knowledge")] {
        let body = format!("{}\n{}", streams::CONNECT, r#"{"id":2,"subscribe":{"f":"demo.a"}}"#);
        let mut stalled = Stream::with(mesh.edge("eu").public(), &body, &[option]).await;
        assert!(stalled.next_item().await["connect"].is_object());
        assert_eq!(stalled.next_item().await["id"], 2);
        stalled.lines.stop_reading();
        for _ in 0..400 {
            nats.publish("demo.a", vec![b'x'; 32 * 1024].into()).await.unwrap();
        }
        eventually("it is let go", async || {
            mesh.edge("eu").number("connections").await == 0
                && mesh.edge("eu").number("slow_closes").await == count
        })
        .await;
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_only_when_they_are_allowed() {
    let mesh = TestMesh::one_region(|config| {
        config.listen.origins = vec!["https://app.example.com".into()];
    })
    .await;
    let address = mesh.edge("eu").public();
    for path in ["/v1/stream", "/v1/cmd", "/v1/sse?f=demo.a"] {
        let at = format!("http://{address}{path}");
        let ask = |origin: &str| {
            let origin = format!("Origin: {origin}");
            let at = at.clone();
            async move {
                let method = "Access-Control-Request-Method: POST";
                curl(&["-X", "OPTIONS", "-H", &origin, "-H", method, &at]).await
            }
        };
        for origin in ["https://app.example.com", "http://localhost:3000"] {
            let answer = ask(origin).await;
            assert_eq!(answer.status, 204, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            assert!(answer.header("access-control-allow-headers").contains("authorization"));
            assert_eq!(answer.header("vary"), "origin");
            assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        }
        let refused = ask("https://evil.example").await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(!refused.headers.contains_key("access-control-allow-origin"));
        let evil = ["-H", "Origin: https://evil.example"];
        let method = if path == "/v1/cmd" { "POST" } else { "GET" };
        let sent = curl(&[&evil[..], &["-X", method, &at]].concat()).await;
        assert_eq!(sent.status, 403, "{path}: refused, not only hidden");
    }
    let own = format!("Origin: http://{address}");
    let stream = Stream::with(address, streams::CONNECT, &["-H", &own]).await;
    drop(stream);
}

/// Keeps the last position of what a stream brings on one durable subject.
#[derive(Default)]
struct Resuming {
    shown: Vec<u64>,
    position: Option<(String, u64)>,
}

impl Resuming {
    /// Reads until a number of messages were shown in all.
    async fn read(&mut self, address: SocketAddr, upto: usize, kill: bool) {
        let recover = self.position.as_ref().map_or(String::new(), |(epoch, sequence)| {
            format!(r#","recover":{{"e":"{epoch}","q":{sequence}}}"#)
        });
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"f":"orders.a.0"{recover}}}}}"#);
        let mut stream = Stream::open(address, &subscribe).await;
        while self.shown.len() < upto {
            let item = stream.next_item().await;
            assert!(item.get("gap").is_none() && item.get("error").is_none(), "{item}");
            if let Some(reply) = item.get("subscribe") {
                let epoch = reply["e"].as_str().unwrap().to_owned();
                self.position = Some((epoch, reply["q"].as_u64().unwrap()));
            }
            if let Some(message) = item.get("m") {
                self.shown.push(message["d"].as_u64().unwrap());
                if let Some((_, sequence)) = &mut self.position {
                    *sequence = message["q"].as_u64().unwrap();
                }
            }
        }
        if kill {
            stream.lines.kill().await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_resumes_at_another_edge_misses_nothing_and_repeats_nothing() {
    let mesh = TestMesh::durable_one_region().await;
    let second = second_edge(&mesh, with_orders).await;
    let balancer = RoundRobin::start(vec![mesh.edge("eu").public(), second.public()]).await;
    let nats = mesh.plain_nats("eu").await;
    eventually("both edges know the stream", async || {
        let mut known = 0;
        for _ in 0..2 {
            let subscribe = r#"{"id":2,"subscribe":{"f":"orders.a.0"}}"#;
            let mut stream = Stream::open(balancer.address(), subscribe).await;
            known += usize::from(stream.next_item().await.get("subscribe").is_some());
        }
        known == 2
    })
    .await;
    let publisher = NumberedPublisher::start(nats, "orders.a", 1);
    let mut resuming = Resuming::default();
    for round in 1..=6 {
        resuming.read(balancer.address(), 100 * round, round % 2 == 0).await;
        publisher.publishes(50).await;
    }
    let published = publisher.stop().await as u64;
    let first = resuming.shown[0];
    let left = (published - first) as usize;
    resuming.read(balancer.address(), left, false).await;
    assert_eq!(resuming.shown, (first..published).collect::<Vec<u64>>());
}
