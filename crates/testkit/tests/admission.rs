//! Who gets in at all: rates, shares by address, user and tenant, proxies that speak for others,
//! and what is refused when memory is short. Each at its limit and one past it, and counted.

#![allow(clippy::unwrap_used)]

use meridian_edge::Config;
use meridian_edge::auth::{KeyAlgorithm, Signer, unix_time_s};
use meridian_edge::config::{AuthMode, AuthSection, ClientAddress, IssuerSection};
use meridian_testkit::{
    RawSocket, RunningEdge, ServerFrame, TestMesh, TestMeshOptions, config_for, curl, eventually,
    subscribe_durable, with_orders,
};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::Path;

/// An edge without NATS: who gets in does not depend on it.
fn edge(configure: impl FnOnce(&mut Config)) -> RunningEdge {
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    configure(&mut config);
    RunningEdge::start_unready(config)
}

/// Waits until the edge says that a limit was reached so often.
async fn counted(edge: &RunningEdge, limit: &str, times: u64) {
    eventually(&format!("{limit} is counted"), async || {
        edge.stats().await["numbers"]["limits"][limit].as_u64().unwrap() == times
    })
    .await;
}

/// Sends something and then asks for an upgrade: the head of the answer.
async fn knock(edge: &RunningEdge, ahead: &[u8], headers: &str) -> (RawSocket, String) {
    let mut socket = RawSocket::tcp(edge.public()).await;
    socket.write(ahead).await;
    let head = socket.request_upgrade(headers).await;
    (socket, head)
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or("none")
}

/// When a refusal says to come back, in s.
fn retry_after(head: &str) -> u64 {
    let line = head.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    let line = line.or_else(|| head.lines().find_map(|line| line.strip_prefix("retry-after: ")));
    line.unwrap_or_else(|| panic!("no Retry-After in {head}")).parse().unwrap()
}

#[tokio::test]
async fn a_storm_is_let_in_at_its_rate_and_the_rest_is_told_when_to_come_back() {
    let edge = edge(|config| config.limits.handshakes_per_second = 2);
    let mut held = Vec::new();
    for number in 0..4 {
        let (socket, head) = knock(&edge, b"", "").await;
        assert_eq!(status(&head), "101", "{number} is within the burst: {head}");
        held.push(socket);
    }
    let mut waits = Vec::new();
    // More come in by the rate while this runs; refusals are what is looked at.
    while waits.len() < 12 {
        let (_, head) = knock(&edge, b"", "").await;
        if status(&head) == "503" {
            waits.push(retry_after(&head));
        }
    }
    assert!(waits.iter().all(|wait| (1..=6).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]), "all come back together: {waits:?}");
    eventually("they are let in later", async || status(&knock(&edge, b"", "").await.1) == "101")
        .await;
    eventually("refusals are counted", async || {
        edge.stats().await["numbers"]["limits"]["handshake_rate"].as_u64().unwrap() >= 12
    })
    .await;
}

#[tokio::test]
async fn an_address_has_its_share_of_sockets_and_streams() {
    let edge = edge(|config| config.limits.connections_per_address_max = 3);
    let (first, head) = knock(&edge, b"", "").await;
    assert_eq!(status(&head), "101");
    let (_second, head) = knock(&edge, b"", "").await;
    assert_eq!(status(&head), "101");
    let (_third, head) = knock(&edge, b"", "").await;
    assert_eq!(status(&head), "101", "at the limit");
    let (_, head) = knock(&edge, b"", "").await;
    assert_eq!((status(&head), retry_after(&head) >= 10), ("429", true), "one past it: {head}");
    counted(&edge, "address_connections", 1).await;
    drop(first);
    eventually("one has left", async || {
        let (socket, head) = knock(&edge, b"", "").await;
        drop(socket);
        status(&head) == "101"
    })
    .await;
}

#[tokio::test]
async fn an_address_opens_sockets_at_its_rate() {
    let edge = edge(|config| config.limits.handshakes_per_address_per_second = 1);
    for number in 0..5 {
        assert_eq!(status(&knock(&edge, b"", "").await.1), "101", "{number}");
    }
    loop {
        let (_, head) = knock(&edge, b"", "").await;
        if status(&head) == "429" {
            break;
        }
    }
    eventually("it may again", async || status(&knock(&edge, b"", "").await.1) == "101").await;
}

/// A PROXY header of version 2 for a client at 203.0.113.N.
fn proxy_v2(client: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([203, 0, 113, client, 10, 0, 0, 1, 1, 2, 3, 4]);
    header
}

fn proxy_v1(client: u8) -> Vec<u8> {
    format!("PROXY TCP4 203.0.113.{client} 10.0.0.1 5123 443\r\n").into()
}

#[tokio::test]
async fn a_trusted_balancer_says_by_the_proxy_protocol_whose_a_socket_is() {
    let edge = edge(|config| {
        config.limits.connections_per_address_max = 1;
        config.listen.client_address = ClientAddress::ProxyProtocol;
        config.listen.trusted_proxies = vec!["127.0.0.0/8".into()];
    });
    let mut held = Vec::new();
    for header in [proxy_v1(1), proxy_v2(2), b"PROXY UNKNOWN\r\n".to_vec()] {
        let (socket, head) = knock(&edge, &header, "").await;
        assert_eq!(status(&head), "101", "{head}");
        held.push(socket);
    }
    for header in [proxy_v2(1), proxy_v1(2)] {
        let (_, head) = knock(&edge, &header, "").await;
        assert_eq!(status(&head), "429", "the same client, by the other version: {head}");
    }
    let (_, head) = knock(&edge, b"PROXY UNKNOWN\r\n", "").await;
    assert_eq!(status(&head), "101", "the balancer itself has no limit");
    let (_, head) = knock(&edge, b"", "").await;
    assert_eq!(head, "", "a trusted balancer that sends no header is cut off");
    counted(&edge, "address_connections", 2).await;
}

#[tokio::test]
async fn whoever_is_no_trusted_balancer_cannot_speak_for_others() {
    for place in [ClientAddress::ProxyProtocol, ClientAddress::XForwardedFor] {
        let edge = edge(|config| {
            config.limits.connections_per_address_max = 1;
            config.listen.client_address = place;
            config.listen.trusted_proxies = vec!["10.0.0.0/8".into()];
        });
        let (_, head) = knock(&edge, &proxy_v1(1), "").await;
        assert_eq!(status(&head), "400", "to the edge it is a bad request: {head}");
        let mut held = None;
        eventually("its place is free", async || {
            let (socket, head) = knock(&edge, b"", "X-Forwarded-For: 203.0.113.1\r\n").await;
            held = Some(socket);
            status(&head) == "101"
        })
        .await;
        let (_, head) = knock(&edge, b"", "X-Forwarded-For: 203.0.113.2\r\n").await;
        assert_eq!(status(&head), "429", "it is the same socket address: {head}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_by_x_forwarded_for_whose_a_request_is() {
    let edge = edge(|config| {
        config.limits.connections_per_address_max = 1;
        config.listen.client_address = ClientAddress::XForwardedFor;
        config.listen.trusted_proxies = vec!["127.0.0.1".into(), "10.0.0.0/8".into()];
    });
    let forwarded = |chain: &str| format!("X-Forwarded-For: {chain}\r\n");
    let mut held = Vec::new();
    for chain in ["203.0.113.1", "9.9.9.9, 203.0.113.2, 10.0.0.3", "2001:db8:0:1::5"] {
        let (socket, head) = knock(&edge, b"", &forwarded(chain)).await;
        assert_eq!(status(&head), "101", "{chain}: {head}");
        held.push(socket);
    }
    for chain in ["203.0.113.1", "8.8.8.8, 203.0.113.2", "2001:db8:0:1:ffff::6"] {
        let (_, head) = knock(&edge, b"", &forwarded(chain)).await;
        assert_eq!((status(&head), retry_after(&head)), ("429", 10), "{chain}: {head}");
    }
    let url = format!("http://{}/v1/stream", edge.public());
    let connect = r#"{"id":1,"connect":{}}"#;
    let header = "X-Forwarded-For: 203.0.113.2";
    let answer = curl(&["-H", header, "--data-binary", connect, &url]).await;
    assert_eq!(answer.status, 429, "streams too: {answer:?}");
    counted(&edge, "address_connections", 4).await;
}

fn ask_for_tokens(config: &mut Config) {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/src/auth/test_keys/jwks.json");
    config.auth = AuthSection {
        mode: AuthMode::Token,
        issuers: vec![IssuerSection {
            issuer: "test".into(),
            audience: "mesh".into(),
            jwks_file: Some(keys.display().to_string()),
            ..IssuerSection::default()
        }],
        ..AuthSection::default()
    };
}

fn token(user: &str, tenant: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/src/auth/test_keys/eddsa.pem");
    let key = std::fs::read(file).unwrap();
    let claims = json!({"iss": "test", "aud": "mesh", "sub": user, "tenant": tenant,
                        "exp": unix_time_s() + 600, "permissions": {}});
    Signer::new(Some("d1".into()), KeyAlgorithm::EdDsa, &key).unwrap().sign(&claims).unwrap()
}

/// Connects with a token: the first item, and the close behind it if there is one.
async fn greet(edge: &RunningEdge, token: &str) -> (RawSocket, Value, Option<u16>) {
    let mut socket = RawSocket::upgraded(edge.public()).await;
    socket.send_text(&json!({"id": 1, "connect": {"token": token}}).to_string()).await;
    let item = socket.next_item().await;
    let code = if item["error"].is_null() { None } else { socket.close_code().await };
    (socket, item, code)
}

#[tokio::test]
async fn a_user_and_a_tenant_have_their_share_whatever_sockets_they_come_by() {
    let edge = edge(|config| {
        ask_for_tokens(config);
        config.limits.connections_per_user_max = 2;
        config.limits.connections_per_tenant_max = 3;
    });
    let (ann, bob) = (token("ann", "a"), token("bob", "a"));
    let (first, item, _) = greet(&edge, &ann).await;
    assert!(item["connect"].is_object(), "{item}");
    let (_second, item, _) = greet(&edge, &ann).await;
    assert!(item["connect"].is_object(), "at the limit: {item}");
    let (_, item, code) = greet(&edge, &ann).await;
    let error = &item["error"];
    assert_eq!((&error["code"], &error["retry"], code), (&json!(106), &json!(true), Some(3007)));
    assert_eq!(error["after_ms"], 10_000);
    let (_third, item, _) = greet(&edge, &bob).await;
    assert!(item["connect"].is_object(), "{item}");
    let (_, item, code) = greet(&edge, &bob).await;
    assert_eq!(
        (item["error"]["msg"].as_str(), code),
        (Some("too many connections of this tenant"), Some(3007))
    );
    let (_other, item, _) = greet(&edge, &token("ann", "b")).await;
    assert!(item["connect"].is_object(), "another tenant's user: {item}");
    counted(&edge, "user_connections", 1).await;
    counted(&edge, "tenant_connections", 1).await;
    drop(first);
    eventually("a place is free", async || greet(&edge, &ann).await.1["connect"].is_object()).await;
}

#[tokio::test]
async fn resumes_over_their_rate_are_told_to_come_back_and_what_is_new_is_not_counted() {
    let options = TestMeshOptions {
        regions: vec!["eu".into()],
        configure: |config| {
            with_orders(config);
            config.limits.resumes_per_second = 1;
        },
        ..TestMeshOptions::default()
    };
    let mesh = TestMesh::durable(options).await;
    let client = mesh.client("eu").await;
    drop(subscribe_durable(&client, "orders.first", Default::default()).await);
    let mut socket = mesh.raw_socket("eu").await;
    let mut id = 1;
    let mut ask = async |body: &str| {
        id += 1;
        let command = format!(r#"{{"id":{id},"subscribe":{{"f":"orders.{id}"{body}}}}}"#);
        socket.send_text(&command).await;
        loop {
            let item = socket.next_item().await;
            if item["id"] == id {
                return item;
            }
        }
    };
    let from = r#","from":{"last":5}"#;
    assert!(ask(from).await["subscribe"].is_object());
    assert!(ask(from).await["subscribe"].is_object(), "at the burst");
    let refused = loop {
        let item = ask(from).await;
        if item["error"].is_object() {
            break item["error"].clone();
        }
    };
    assert_eq!((&refused["code"], &refused["retry"]), (&json!(111), &json!(true)));
    assert!((1..=3_000).contains(&refused["after_ms"].as_u64().unwrap()), "{refused}");
    assert!(ask("").await["subscribe"].is_object(), "what starts now costs the store nothing");
    eventually("it recovers", async || ask(from).await["subscribe"].is_object()).await;
}

/// Little enough that two slow clients use it up.
fn short_memory(config: &mut Config) {
    config.limits.outbox_bytes_max = 1 << 20;
    config.limits.pending_bytes_max = 1 << 20;
    config.limits.write_stall_ms = 60_000;
    config.limits.send_buffer_bytes = 4 << 10;
}

/// A client that has subscribed and does not read.
async fn deaf(edge: &RunningEdge, subject: &str) -> RawSocket {
    let mut socket = RawSocket::narrow_tcp(edge.public()).await;
    socket.upgrade().await;
    socket.identify("{}").await;
    socket.send_text(&format!(r#"{{"id":2,"subscribe":{{"f":"{subject}"}}}}"#)).await;
    assert_eq!(socket.next_item().await["id"], 2);
    socket
}

#[tokio::test]
async fn when_memory_is_short_new_work_is_refused_and_then_the_slowest_is_closed_first() {
    let mesh = TestMesh::one_region(short_memory).await;
    let (edge, nats) = (mesh.edge("eu"), mesh.plain_nats("eu").await);
    let mut worker = mesh.raw_socket("eu").await;
    let (mut much, mut little) = (deaf(edge, "demo.much").await, deaf(edge, "demo.little").await);
    let pending = async || edge.number("pending_bytes").await;
    // As many messages as are missing, and then a look at fresh numbers, so that no mark is passed
    // that is not meant.
    let sent = Cell::new(edge.number("messages").await);
    let fill = async |subject: &str, goal: u64| {
        eventually(&format!("{goal} bytes wait"), async || {
            let missing = goal.saturating_sub(pending().await).div_ceil(17 << 10);
            for _ in 0..missing {
                nats.publish(subject.to_owned(), vec![b'x'; 16 << 10].into()).await.unwrap();
            }
            sent.set(sent.get() + missing);
            eventually("they have come", async || edge.number("messages").await == sent.get())
                .await;
            pending().await >= goal
        })
        .await;
    };
    let budget = 1_u64 << 20;
    fill("demo.little", budget * 20 / 100).await;
    worker.send_text(r#"{"id":2,"publish":{"s":"demo.x"}}"#).await;
    assert_eq!(worker.next_item().await["publish"]["ack"], "edge", "there is room");
    fill("demo.much", budget * 81 / 100).await;
    for line in [
        r#"{"id":3,"subscribe":{"f":"demo.x"}}"#,
        r#"{"id":4,"publish":{"s":"demo.x"}}"#,
        r#"{"id":5,"request":{"s":"demo.x"}}"#,
    ] {
        worker.send_text(line).await;
        let item = worker.next_item().await;
        assert_eq!(item["error"]["code"], 111, "{line}: {item}");
        assert_eq!(item["error"]["after_ms"], 2_000, "{line}: {item}");
    }
    let (_, head) = knock(edge, b"", "").await;
    assert_eq!((status(&head), retry_after(&head) > 0), ("503", true), "{head}");
    assert_eq!(edge.number("slow_closes").await, 0, "nobody is closed yet");
    // Past the last mark: whoever holds the most gives way, and the other stays.
    for _ in 0..10 {
        nats.publish("demo.much", vec![b'x'; 16 << 10].into()).await.unwrap();
    }
    eventually("the slowest is closed", async || edge.number("slow_closes").await == 1).await;
    assert_eq!(much.close_code().await, Some(3003));
    counted(edge, "memory_shed", 1).await;
    eventually("work is taken again", async || {
        worker.send_text(r#"{"id":9,"publish":{"s":"demo.little","t":"last"}}"#).await;
        worker.next_item().await["publish"]["ack"] == "edge"
    })
    .await;
    loop {
        let item = little.next_item().await;
        if item["m"]["t"] == "last" {
            break;
        }
        assert!(item["m"].is_object(), "{item}");
    }
    eventually("nothing waits", async || pending().await == 0).await;
}

#[tokio::test]
async fn an_event_source_that_is_turned_away_at_the_door_comes_back() {
    let edge = edge(|config| config.limits.connections_max = 1);
    let (_held, head) = knock(&edge, b"", "").await;
    assert_eq!(status(&head), "101");
    let url = |path: &str| format!("http://{}{path}", edge.public());
    let answer = curl(&[&url("/v1/sse?f=demo.a")]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    assert!(answer.body.starts_with("retry: "), "{answer:?}");
    let answer = curl(&["-d", "{}", &url("/v1/stream")]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    counted(&edge, "connections", 2).await;
}

#[tokio::test]
async fn what_one_client_runs_into_alone_is_counted_by_the_limits_name() {
    let edge = edge(|config| {
        config.limits.header_read_ms = 300;
        config.limits.handshake_ms = 3_000;
        config.limits.commands_burst = 4;
        config.limits.commands_per_second = 1;
    });
    let mut long = RawSocket::tcp(edge.public()).await;
    let head = long.request_upgrade(&format!("X-Long: {}\r\n", "x".repeat(9_000))).await;
    assert_eq!(status(&head), "431", "{head}");
    counted(&edge, "header_bytes", 1).await;
    let mut half = RawSocket::tcp(edge.public()).await;
    half.write(b"GET /v1/ws HTTP/1.1\r\nHost:").await;
    assert_eq!(half.next().await, ServerFrame::Ended);
    counted(&edge, "handshake_time", 1).await;
    let attack = async |bytes: Vec<u8>, code: u16| {
        let mut socket = RawSocket::connected(edge.public()).await;
        socket.write(&bytes).await;
        assert_eq!(socket.close_code().await, Some(code));
    };
    attack(RawSocket::frame(0x81, &vec![b' '; 65_537]), 1009).await;
    counted(&edge, "message_bytes", 1).await;
    let fragments = [RawSocket::frame(0x01, b""), RawSocket::frame(0x00, b"").repeat(64)].concat();
    attack(fragments, 1008).await;
    counted(&edge, "fragments", 1).await;
    attack(RawSocket::frame(0x89, b"").repeat(5), 1008).await;
    counted(&edge, "control_frames", 1).await;
    let mut socket = RawSocket::connected(edge.public()).await;
    for _ in 0..5 {
        socket.send_text(r#"{"id":2,"unsubscribe":{"i":9}}"#).await;
    }
    let mut codes = Vec::new();
    for _ in 0..5 {
        codes.push(socket.next_item().await["error"]["code"].clone());
    }
    assert_eq!(codes, [107, 107, 107, 107, 111]);
    counted(&edge, "commands", 1).await;
}
