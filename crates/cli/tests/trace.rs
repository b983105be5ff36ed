//! `meridian trace` against real edges and nats-servers: the waterfall in the terminal, and the
//! spans of the process itself.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

use meridian_client::{Client, Options, SubscribeOptions};
use meridian_edge::Config;
use meridian_edge::config::{ClassName, NamespaceSection, SlowClientName};
use meridian_local::Links;
use meridian_testkit::{Otlp, OtlpReceiver, ProcessMesh, ProcessMeshOptions, eventually};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(60);

static ENDPOINT: OnceLock<String> = OnceLock::new();

fn configure(config: &mut Config) {
    config.tracing.otlp_endpoint.clone_from(ENDPOINT.get().unwrap());
    config.tracing.nats_spans = true;
    config.tracing.live_subject = "traces".into();
    config.tracing.client_per_second = 100;
    config.namespaces.push(NamespaceSection {
        name: "traces".into(),
        pattern: "traces.>".into(),
        class: ClassName::Ephemeral,
        publish: false,
        request: false,
        headers: Vec::new(),
        slow_client: SlowClientName::Disconnect,
        stream: None,
    });
}

async fn trace(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.arg("trace").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env_remove("MERIDIAN_URL").env_remove("MERIDIAN_TOKEN").env("NO_COLOR", "1");
    timeout(DEADLINE, command.output()).await.expect("ends in time").unwrap()
}

#[tokio::test]
async fn trace_draws_the_way_of_a_message_through_the_gateway() {
    let receiver = OtlpReceiver::start(Otlp::Grpc).await;
    ENDPOINT.set(receiver.endpoint()).unwrap();
    let mesh = ProcessMesh::start(ProcessMeshOptions {
        program: env!("CARGO_BIN_EXE_meridian").into(),
        regions: ["eu", "us"].map(String::from).to_vec(),
        edges_per_region: 1,
        links: Links::Direct,
        edge_links: Links::Direct,
        configure,
    })
    .await;
    let tp = format!("00-{:032x}-{:016x}-01", 0xabc, 0xdef);
    let options = Options { tp: Some(tp), ..Options::default() };
    let us = Client::connect(&mesh.urls("us")[0], options).await.unwrap();
    let _heard = us.subscribe("demo.way", SubscribeOptions::default()).await.unwrap();
    let url = mesh.urls("eu")[0].as_str();

    // The interest crosses the gateway a little after the subscription stands.
    let mut drawn = String::new();
    eventually("the whole way", async || {
        let output = trace(&["demo.way", "hi", "--url", url]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        drawn = String::from_utf8(output.stdout).unwrap();
        drawn.contains("fan-out") && drawn.contains("nats gateway")
    })
    .await;
    let indent = |name: &str| {
        let line = drawn.lines().find(|line| line.contains(name));
        line.and_then(|line| line.find(name)).unwrap_or_else(|| panic!("{name} in {drawn}"))
    };
    let way = ["edge publish", "nats eu-1", "nats gateway eu→us", "nats us-1", "fan-out"];
    for pair in way.windows(2) {
        assert!(indent(pair[0]) < indent(pair[1]), "{} above {} in {drawn}", pair[0], pair[1]);
    }
    assert!(drawn.contains("the longest step: "), "{drawn}");

    let connect = "the client's connect, by way of `tracing`";
    eventually(connect, async || {
        let spans = receiver.spans().into_iter();
        let mut found = spans.filter(|span| span.name == "connect");
        found.any(|span| span.parent == format!("{:016x}", 0xdef))
    })
    .await;
}

#[tokio::test]
async fn trace_says_why_it_has_nothing_to_draw() {
    let receiver = OtlpReceiver::start(Otlp::Grpc).await;
    ENDPOINT.set(receiver.endpoint()).unwrap();
    let mesh = ProcessMesh::start(ProcessMeshOptions {
        program: env!("CARGO_BIN_EXE_meridian").into(),
        regions: vec!["eu".into()],
        edges_per_region: 1,
        links: Links::Direct,
        edge_links: Links::Direct,
        configure: |config| {
            configure(config);
            config.tracing.live_subject.clear();
        },
    })
    .await;
    let output = trace(&["demo.way", "--url", &mesh.urls("eu")[0], "--wait-ms", "50"]).await;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("tracing.live_subject"), "{said}");
}
