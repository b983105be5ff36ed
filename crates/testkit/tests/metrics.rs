//! `/metrics`: valid for Prometheus, bounded in series, and each instrument moves when the thing
//! happens.

#![allow(clippy::unwrap_used)]

use futures_util::FutureExt;
use futures_util::future::join_all;
use meridian_client::{Client, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_edge::Config;
use meridian_edge::config::SlowClientName;
use meridian_testkit::{
    LineStream, RawSocket, Scrape, TestMesh, TestMeshOptions, curl, eventually, next_message,
    program, round_trip, subscribe_durable, with_orders,
};
use std::panic::AssertUnwindSafe;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

fn text(text: &str) -> PayloadBuf {
    PayloadBuf::text(text)
}

/// Series of one edge: what the issue promises, whoever connects.
const SERIES_MAX: usize = 2_000;

/// promtool reads what Prometheus would, and complains about names and units.
async fn check_with_promtool(text: &str) {
    let mut promtool = Command::new(program("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.trim(), "");
}

/// Waits until the edge, which publishes once a second, shows it.
async fn shows(
    mesh: &TestMesh,
    region: &str,
    what: &str,
    is_so: impl Fn(&Scrape) -> bool,
) -> Scrape {
    let mut scrape = Scrape::default();
    let shown = eventually(what, async || {
        scrape = mesh.edge(region).metrics().await;
        is_so(&scrape)
    });
    if AssertUnwindSafe(shown).catch_unwind().await.is_err() {
        panic!("{what} is not in\n{}", scrape.text);
    }
    scrape
}

fn three_shards(config: &mut Config) {
    config.edge.shards = 3;
    with_orders(config);
}

#[tokio::test]
async fn the_exposition_is_valid_and_no_user_or_subject_makes_a_series() {
    let mesh = TestMesh::durable(TestMeshOptions {
        configure: three_shards,
        ..TestMeshOptions::default()
    })
    .await;
    let before = shows(&mesh, "eu", "all copies are seen", |scrape| {
        scrape.text.contains("meridian_namespace_readonly{namespace=\"orders\"}")
    })
    .await;
    check_with_promtool(&before.text).await;
    // 10,000 users, each with a subject of its own; 200 at a time, for the descriptors' sake.
    for hundred in 0..50 {
        let users = (0..200).map(|user| {
            let user = hundred * 200 + user;
            let url = mesh.edge("eu").url();
            async move {
                let options = Options { name: Some(format!("user-{user}")), ..Options::default() };
                let client = Client::connect(&url, options).await.unwrap();
                let filter = format!("demo.tenant-{user}.>");
                let subscription =
                    client.subscribe(&filter, SubscribeOptions::default()).await.unwrap();
                drop(subscription);
                client.close().await;
            }
        });
        join_all(users).await;
    }
    let after = shows(&mesh, "eu", "10,000 sessions are counted", |scrape| {
        scrape.sum("meridian_sessions_total", &[]) >= 10_000.0
    })
    .await;
    check_with_promtool(&after.text).await;
    assert_eq!(after.count(), before.count(), "users made series");
    assert!(after.count() < SERIES_MAX, "{} series", after.count());
    assert!(!after.text.contains("tenant-") && !after.text.contains("user-"));
}

#[tokio::test]
async fn messages_in_both_directions_are_measured_with_their_latency_by_origin() {
    let mesh =
        TestMesh::durable(TestMeshOptions { configure: with_orders, ..TestMeshOptions::default() })
            .await;
    let (eu, us) = (mesh.client("eu").await, mesh.client("us").await);
    let mut live = us.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let mut stored = subscribe_durable(&us, "orders.>", SubscribeOptions::default()).await;
    let plain = mesh.plain_nats("us").await;
    TestMesh::settle(&plain, "demo.settle", &mut [&mut live]).await;
    eu.publish("demo.a", text("hello"), PublishOptions::default()).await.unwrap();
    eu.publish("orders.1", text("stored"), PublishOptions::default()).await.unwrap();
    next_message(&mut live).await;
    next_message(&mut stored).await;
    let ephemeral = ["class=\"ephemeral\"", "origin=\"eu\""];
    let durable = ["class=\"durable\"", "origin=\"eu\""];
    let at_us = shows(&mesh, "us", "latencies of both classes", |scrape| {
        if !scrape.text.contains("meridian_mirror_lag_messages{") {
            return false;
        }
        let count = |labels| scrape.sum("meridian_delivery_latency_seconds_count", labels);
        count(&ephemeral) >= 1.0 && count(&durable) >= 1.0
    })
    .await;
    let spent = at_us.sum("meridian_delivery_latency_seconds_sum", &ephemeral);
    assert!(spent > 0.0 && spent < 60.0, "{spent} s");
    for class in ["class=\"ephemeral\"", "class=\"durable\""] {
        for metric in [
            "meridian_nats_received_messages_total",
            "meridian_nats_received_bytes_total",
            "meridian_deliveries_total",
            "meridian_fanout_size_sum",
            "meridian_subscribe_latency_seconds_count",
        ] {
            assert!(at_us.sum(metric, &[class]) >= 1.0, "{metric} {class}");
        }
    }
    let websocket = ["transport=\"websocket\"", "codec=\"json\""];
    assert_eq!(at_us.sum("meridian_connections", &websocket), 1.0);
    assert_eq!(at_us.sum("meridian_subscriptions", &[]), 2.0);
    assert!(at_us.sum("meridian_interest_filters", &[]) >= 2.0);
    assert!(at_us.sum("meridian_client_sent_bytes_total", &[]) > 100.0);
    let at_eu = shows(&mesh, "eu", "publishes are counted", |scrape| {
        scrape.sum("meridian_nats_sent_messages_total", &[]) >= 2.0
            && scrape.text.contains("meridian_jetstream_meta_leader 1")
            && scrape.sum("meridian_control_connected", &[]) == 1.0
    })
    .await;
    assert!(at_eu.sum("meridian_nats_sent_bytes_total", &[]) >= 11.0);
    assert!(at_eu.sum("meridian_client_received_bytes_total", &[]) > 50.0);
    assert_eq!(at_eu.sum("meridian_client_commands_total", &["command=\"publish\""]), 2.0);
    assert!(at_eu.sum("meridian_build_info", &["region=\"eu\""]) == 1.0);
    assert!(at_eu.sum("meridian_event_loop_lag_seconds_count", &["shard=\"0\""]) >= 1.0);
    assert_eq!(at_eu.sum("meridian_nats_connected", &["shard=\"0\""]), 1.0);
    assert_eq!(at_eu.sum("meridian_draining", &[]), 0.0);
    assert!(at_us.sum("meridian_mirror_lag_messages", &["namespace=\"orders\""]) >= 0.0);
    let used = at_us.sum("meridian_budget_used_ratio", &["budget=\"connections\""]);
    let whole = at_us.sum("meridian_edge_utilization_ratio", &[]);
    assert!(used > 0.0 && whole >= used, "{used} of {whole}");
}

#[tokio::test]
async fn resumes_and_their_replays_are_measured_by_what_came_of_them() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let mut first = subscribe_durable(&client, "orders.1", SubscribeOptions::default()).await;
    client.publish("orders.1", text("0"), PublishOptions::default()).await.unwrap();
    next_message(&mut first).await;
    let resume = first.resume_point();
    for _ in 0..5 {
        client.publish("orders.1", text("later"), PublishOptions::default()).await.unwrap();
        next_message(&mut first).await;
    }
    let again = mesh.client("eu").await;
    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    let _resumed = again.subscribe("orders.1", options).await.unwrap();
    let resumed = shows(&mesh, "eu", "the resume is measured", |scrape| {
        scrape.sum("meridian_resume_duration_seconds_count", &[]) >= 1.0
    })
    .await;
    assert_eq!(resumed.sum("meridian_resumes_total", &["outcome=\"recovered\""]), 1.0);
    assert_eq!(resumed.sum("meridian_replay_size_sum", &[]), 5.0);
    let mut other = mesh.raw_socket("eu").await;
    let recover = r#"{"id":2,"subscribe":{"f":"orders.1","recover":{"e":"ORDERS_0@1","q":1}}}"#;
    other.send_text(recover).await;
    shows(&mesh, "eu", "the foreign epoch and its gap", |scrape| {
        scrape.sum("meridian_resumes_total", &["outcome=\"epoch\""]) == 1.0
            && scrape.sum("meridian_gaps_total", &["reason=\"epoch\""]) == 1.0
    })
    .await;
}

fn small_queues(config: &mut Config) {
    config.limits.outbox_bytes_max = 16 * 1024;
    config.limits.send_buffer_bytes = 4 * 1024;
    config.limits.commands_burst = 5;
    config.limits.connections_max = 4;
    config.namespaces[1].slow_client = SlowClientName::DropOldest;
}

#[tokio::test]
async fn slow_clients_and_limits_are_counted_by_what_happened() {
    let mesh = TestMesh::one_region(small_queues).await;
    let mut closed = mesh.raw_socket("eu").await;
    closed.send_text(r#"{"id":2,"subscribe":{"f":"demo.big"}}"#).await;
    let mut dropped = mesh.raw_socket("eu").await;
    dropped.send_text(r#"{"id":2,"subscribe":{"f":"quiet.big"}}"#).await;
    shows(&mesh, "eu", "both have subscribed", |scrape| {
        scrape.sum("meridian_subscribe_latency_seconds_count", &[]) >= 2.0
    })
    .await;
    let nats = mesh.plain_nats("eu").await;
    let payload = vec![b'x'; 32 * 1024];
    eventually("queues are full", async || {
        for subject in ["demo.big", "quiet.big"] {
            nats.publish(subject, payload.clone().into()).await.unwrap();
        }
        round_trip(&nats).await;
        let scrape = mesh.edge("eu").metrics().await;
        let action = |action| scrape.sum("meridian_slow_client_actions_total", &[action]);
        action("action=\"closed\"") >= 1.0 && action("action=\"dropped\"") >= 1.0
    })
    .await;
    shows(&mesh, "eu", "bytes wait, and the close is counted", |scrape| {
        scrape.sum("meridian_queue_bytes", &[]) > 0.0
            && scrape.sum("meridian_closes_total", &["code=\"slow\""]) >= 1.0
            && scrape.sum("meridian_limits_hit_total", &["limit=\"outbox\""]) >= 1.0
    })
    .await;
    let mut hasty = mesh.raw_socket("eu").await;
    for id in 2..40 {
        hasty.send_text(&format!(r#"{{"id":{id},"unsubscribe":{{"i":9}}}}"#)).await;
    }
    shows(&mesh, "eu", "the command budget is spent", |scrape| {
        scrape.sum("meridian_errors_total", &["code=\"too_many_requests\""]) >= 1.0
            && scrape.sum("meridian_limits_hit_total", &["limit=\"commands\""]) >= 1.0
    })
    .await;
    let mut held = Vec::new();
    shows(&mesh, "eu", "four are held", |scrape| scrape.sum("meridian_connections", &[]) <= 3.0)
        .await;
    for _ in 0..4 {
        held.push(tokio::net::TcpStream::connect(mesh.edge("eu").public()).await.unwrap());
    }
    shows(&mesh, "eu", "a connection too many is refused", |scrape| {
        scrape.sum("meridian_handshakes_total", &["outcome=\"full\""]) >= 1.0
            && scrape.sum("meridian_limits_hit_total", &["limit=\"connections\""]) >= 1.0
    })
    .await;
}

#[tokio::test]
async fn handshakes_transports_and_refusals_are_told_apart() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let base = format!("http://{}", mesh.edge("eu").public());
    let _json = mesh.raw_socket("eu").await;
    let answer = curl(&[&format!("{base}/v1/ws")]).await;
    assert_eq!(answer.status, 426);
    let origin = "Origin: https://elsewhere.example";
    curl(&["-X", "POST", "-d", "{}", "-H", origin, &format!("{base}/v1/stream")]).await;
    let mut unserved = RawSocket::tcp(mesh.edge("eu").public()).await;
    unserved.request_upgrade("Sec-WebSocket-Protocol: chat\r\n").await;
    assert_eq!(unserved.close_code().await, Some(3505));
    let events = LineStream::start(&[&format!("{base}/v1/sse?f=demo.a")]);
    let scrape = shows(&mesh, "eu", "an event stream is held", |scrape| {
        scrape.sum("meridian_connections", &["transport=\"sse\""]) == 1.0
    })
    .await;
    events.kill().await;
    for (outcome, count) in
        [("accepted", 2.0), ("refused", 1.0), ("origin", 1.0), ("subprotocol", 1.0)]
    {
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(scrape.sum("meridian_handshakes_total", &[&label]), count, "{outcome}");
    }
    assert!(scrape.sum("meridian_auth_total", &["outcome=\"not_asked\""]) >= 2.0);
    assert_eq!(scrape.sum("meridian_closes_total", &["code=\"version\""]), 1.0);
}

#[tokio::test]
async fn a_lost_and_a_new_nats_connection_are_seen_and_told_as_a_gap() {
    let options = TestMeshOptions {
        regions: vec!["eu".into(), "us".into()],
        edge_links: meridian_local::Links::Proxied,
        ..TestMeshOptions::default()
    };
    let mut mesh = TestMesh::start(options).await;
    let client = mesh.client("eu").await;
    let _live = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    mesh.edge_link("eu").sever();
    shows(&mesh, "eu", "the loss", |scrape| scrape.sum("meridian_nats_connected", &[]) == 0.0)
        .await;
    mesh.edge_link("eu").heal();
    shows(&mesh, "eu", "the return", |scrape| {
        scrape.sum("meridian_nats_connected", &[]) == 1.0
            && scrape.sum("meridian_nats_reconnects_total", &[]) >= 1.0
            && scrape.sum("meridian_gaps_total", &["reason=\"nats\""]) >= 1.0
    })
    .await;
    mesh.edge_link("us").cut();
    shows(&mesh, "eu", "the silent region", |scrape| {
        scrape.sum("meridian_region_silent", &["peer=\"us\""]) == 1.0
            && scrape.sum("meridian_region_silent", &["peer=\"eu\""]) == 0.0
    })
    .await;
    mesh.edge_mut("eu").drain();
    shows(&mesh, "eu", "the drain", |scrape| scrape.sum("meridian_draining", &[]) == 1.0).await;
}
