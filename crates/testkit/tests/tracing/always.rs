//! What leaves spans though nothing is sampled: failures, slow deliveries, clients that are to be
//! followed. And nothing else does.

use crate::tree::{send_to, with_tracing};
use meridian_client::{Client, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_edge::Config;
use meridian_edge::auth::{KeyAlgorithm, Signer, unix_time_s};
use meridian_edge::config::{AuthMode, AuthSection, IssuerSection};
use meridian_proto::ErrorCode;
use meridian_testkit::{Otlp, OtlpReceiver, TestMesh, code_of, eventually, next_message};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Spans a second of what went wrong or was slow; twice as many at once.
const ALWAYS_PER_SECOND: u32 = 2;

const TRIES: usize = 30;

fn with_budget(config: &mut Config) {
    with_tracing(config);
    config.tracing.nats_spans = false;
    config.tracing.always_per_second = ALWAYS_PER_SECOND;
}

async fn one_region(configure: fn(&mut Config)) -> (TestMesh, OtlpReceiver) {
    let receiver = OtlpReceiver::start(Otlp::Grpc).await;
    send_to(receiver.endpoint(), Otlp::Grpc);
    (TestMesh::one_region(configure).await, receiver)
}

#[tokio::test]
async fn what_the_mesh_fails_at_leaves_spans_within_a_budget_and_good_messages_none() {
    let (mesh, receiver) = one_region(with_budget).await;
    let client = mesh.client("eu").await;
    let mut heard = client.subscribe("demo.fine", SubscribeOptions::default()).await.unwrap();
    let started = std::time::Instant::now();
    for _ in 0..TRIES {
        let fine = PublishOptions::default();
        client.publish("demo.fine", PayloadBuf::text("x"), fine).await.unwrap();
        next_message(&mut heard).await;
        let nobody = client.request("demo.nobody", PayloadBuf::Empty, Duration::from_secs(5)).await;
        assert_eq!(code_of(nobody), ErrorCode::NoResponders);
    }
    let seconds = started.elapsed().as_secs() as usize + 1;
    let least = ALWAYS_PER_SECOND as usize * 2;
    eventually("the failures are there", async || receiver.spans().len() >= least).await;
    let spans = receiver.spans();
    let most = ALWAYS_PER_SECOND as usize * (2 + seconds);
    assert!(spans.len() <= most, "{} of {most}", spans.len());
    for span in &spans {
        assert_eq!((span.name.as_str(), span.is_error), ("failed command", true));
        let code = (ErrorCode::NoResponders as u16).to_string();
        assert_eq!(span.attributes["meridian.error_code"], code);
    }
}

#[tokio::test]
async fn a_slow_delivery_leaves_a_span_though_nothing_is_sampled() {
    // Everything is slower than no time at all.
    let (mesh, receiver) = one_region(|config| {
        with_budget(config);
        config.tracing.slow_ms = 0;
    })
    .await;
    let client = mesh.client("eu").await;
    let mut heard = client.subscribe("demo.slow", SubscribeOptions::default()).await.unwrap();
    for _ in 0..TRIES {
        let options = PublishOptions::default();
        client.publish("demo.slow", PayloadBuf::text("x"), options).await.unwrap();
        next_message(&mut heard).await;
    }
    eventually("the slow ones are there", async || !receiver.spans().is_empty()).await;
    let spans = receiver.spans();
    assert!(spans.len() < TRIES, "within a budget");
    for span in &spans {
        assert_eq!(span.name, "slow fan-out");
        assert_eq!(span.attributes["messaging.destination.name"], "demo.slow");
    }
}

fn key_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/src/auth/test_keys").join(name)
}

fn token(sub: &str, debug: bool) -> String {
    let key = std::fs::read(key_path("eddsa.pem")).unwrap();
    let claims = json!({"iss": "test", "aud": "mesh", "sub": sub, "exp": unix_time_s() + 600,
                        "debug": debug, "permissions": {"pub": {"allow": ["demo.>"]}}});
    Signer::new(Some("d1".into()), KeyAlgorithm::EdDsa, &key).unwrap().sign(&claims).unwrap()
}

#[tokio::test]
async fn a_client_with_a_debug_claim_is_always_traced_and_others_are_not() {
    let (mesh, receiver) = one_region(|config| {
        with_budget(config);
        config.tracing.client_per_second = 0;
        config.auth = AuthSection {
            mode: AuthMode::Token,
            issuers: vec![IssuerSection {
                issuer: "test".into(),
                audience: "mesh".into(),
                jwks_file: Some(key_path("jwks.json").display().to_string()),
                ..IssuerSection::default()
            }],
            ..AuthSection::default()
        };
    })
    .await;
    for (sub, debug) in [("plain", false), ("followed", true)] {
        let options = Options { token: Some(token(sub, debug)), ..Options::default() };
        let client = Client::connect(&mesh.edge("eu").url(), options).await.unwrap();
        for _ in 0..TRIES {
            let subject = format!("demo.{sub}");
            let options = PublishOptions::default();
            client.publish(&subject, PayloadBuf::text("x"), options).await.unwrap();
        }
    }
    eventually("all of the followed client's", async || receiver.spans().len() >= TRIES).await;
    let spans = receiver.spans();
    assert_eq!(spans.len(), TRIES);
    for span in &spans {
        assert_eq!(span.name, "edge publish");
        assert_eq!(span.attributes["messaging.destination.name"], "demo.followed");
        assert_eq!(span.parent, "", "the edge made the root");
    }
}
