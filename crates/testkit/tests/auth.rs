//! Tokens: who gets in, what a token allows, when it ends, and how keys rotate.

#![allow(clippy::unwrap_used)]

use meridian_client::{
    Client, Error, HistoryOptions, Options, PayloadBuf, PublishOptions, SubscribeOptions,
};
use meridian_edge::Config;
use meridian_edge::auth::{KeyAlgorithm, Signer, unix_time_s};
use meridian_edge::config::{AuthMode, AuthSection, IssuerSection};
use meridian_proto::ErrorCode;
use meridian_testkit::{
    DEADLINE, RawSocket, RunningEdge, TestMesh, config_for, eventually, next_message, refusal,
    text_of,
};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// Keys of an issuer that exists in tests only.
fn key_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/src/auth/test_keys").join(name)
}

fn ask_for_tokens(config: &mut Config, jwks: &Path) {
    config.auth = AuthSection {
        mode: AuthMode::Token,
        clock_skew_s: 0,
        issuers: vec![IssuerSection {
            issuer: "test".into(),
            audience: "mesh".into(),
            jwks_file: Some(jwks.display().to_string()),
            ..IssuerSection::default()
        }],
        ..AuthSection::default()
    };
}

/// An edge that asks for tokens, with the keys of this file. Without NATS: it greets all the same.
fn edge(jwks: &Path) -> RunningEdge {
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    ask_for_tokens(&mut config, jwks);
    RunningEdge::start_unready(config)
}

fn sign(kid: &str, expires_in_s: u64, permissions: Value) -> String {
    let (algorithm, file) = match kid {
        "d1" => (KeyAlgorithm::EdDsa, "eddsa.pem"),
        _ => (KeyAlgorithm::Es256, "es256.pem"),
    };
    let key = std::fs::read(key_path(file)).unwrap();
    let expires_at_s = unix_time_s() + expires_in_s;
    let claims = json!({"iss": "test", "aud": "mesh", "sub": "ann", "exp": expires_at_s,
                        "permissions": permissions});
    Signer::new(Some(kid.into()), algorithm, &key).unwrap().sign(&claims).unwrap()
}

/// What the edge says to a `connect` with this token: the first item and the close code.
async fn said_to(edge: &RunningEdge, token: Option<&str>) -> (Value, Option<u16>) {
    let mut socket = RawSocket::upgraded(edge.public()).await;
    let connect = json!({"id": 1, "connect": {"token": token}});
    socket.send_text(&connect.to_string()).await;
    let item = socket.next_item().await;
    let code = if item["error"].is_null() { None } else { socket.close_code().await };
    (item, code)
}

/// The code and the hint of a refusal.
fn refused<T: Debug>(outcome: Result<T, Error>) -> (ErrorCode, String) {
    let failure = refusal(outcome);
    (failure.code, failure.hint.unwrap_or_default())
}

#[tokio::test]
async fn a_client_whose_token_is_not_taken_is_upgraded_told_why_and_closed() {
    let edge = edge(&key_path("jwks.json"));
    let good = sign("d1", 600, json!({}));
    let expired = sign("d1", 0, json!({}));
    let (message, _) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{message}.");
    for (token, reason) in [
        (None, "no token: send one in connect"),
        (Some("nonsense"), "malformed token: not three parts with dots between"),
        (Some(expired.as_str()), "token expired: get a new one"),
        (Some(unsigned.as_str()), "wrong signature"),
    ] {
        let (item, code) = said_to(&edge, token).await;
        assert_eq!((&item["error"]["code"], code), (&json!(101), Some(3500)), "{item}");
        assert_eq!(item["error"]["msg"], reason);
    }
    let (item, code) = said_to(&edge, Some(&good)).await;
    assert_eq!((&item["connect"]["user"], code), (&json!("ann"), None), "{item}");
    edge.stop().await;
}

#[tokio::test]
async fn a_token_decides_what_its_client_may_do_and_hints_name_the_rule() {
    let configure = |config: &mut Config| ask_for_tokens(config, &key_path("jwks.json"));
    let mesh = TestMesh::one_region(configure).await;
    let token = sign(
        "d1",
        600,
        json!({
            "sub": {"allow": ["demo.{user}.>"], "deny": ["demo.*.secret"]},
            "pub": {"allow": ["demo.ann.in"]},
        }),
    );
    let options = Options { token: Some(token), ..Options::default() };
    let client: Client = mesh.client_with("eu", options).await;
    assert_eq!(client.connected().user.as_deref(), Some("ann"));
    let expires = client.connected().expires.unwrap();
    assert!((unix_time_s()..=unix_time_s() + 600).contains(&expires), "{expires}");

    let subscribe =
        async |filter: &str| client.subscribe(filter, SubscribeOptions::default()).await;
    let forbidden = |hint: &str| (ErrorCode::Forbidden, hint.to_owned());
    let all = refused(subscribe("demo.>").await);
    assert_eq!(all, forbidden("denied by sub rule demo.*.secret"));
    let others = refused(subscribe("demo.bob.>").await);
    assert_eq!(others, forbidden("denied by sub rule demo.*.secret"));
    let others = refused(subscribe("demo.bob.in").await);
    assert_eq!(others, forbidden("no sub rule allows demo.bob.in"));
    let quiet = refused(subscribe("quiet.>").await);
    assert_eq!(quiet, forbidden("no sub rule allows quiet.*"));
    let mut own = subscribe("demo.ann.in").await.unwrap();

    let publish = async |subject: &str| {
        client.publish(subject, PayloadBuf::text("hi"), PublishOptions::default()).await
    };
    publish("demo.ann.in").await.unwrap();
    assert_eq!(text_of(&next_message(&mut own).await), "hi");
    let other = refused(publish("demo.ann.out").await);
    assert_eq!(other, forbidden("no pub rule allows demo.ann.out"));
    let request = client.request("demo.ann.in", PayloadBuf::text("hi"), DEADLINE).await;
    assert_eq!(refused(request), forbidden("no req rule allows demo.ann.in"));
    let history = client.history("demo.ann.in", HistoryOptions::default()).await;
    assert_eq!(refused(history), forbidden("no hist rule allows demo.ann.in"));
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let edge = edge(&key_path("jwks.json"));
    let mut socket = RawSocket::upgraded(edge.public()).await;
    let connect = json!({"id": 1, "connect": {"token": sign("d1", 2, json!({}))}});
    socket.send_text(&connect.to_string()).await;
    assert_eq!(socket.next_item().await["connect"]["user"], "ann");
    assert_eq!(socket.close_code().await, Some(3002));
    edge.stop().await;
}

#[tokio::test]
async fn keys_that_are_published_are_in_use_soon_and_removed_ones_no_longer() {
    let all: Value =
        serde_json::from_slice(&std::fs::read(key_path("jwks.json")).unwrap()).unwrap();
    let only = |kid: &str| {
        let keys = all["keys"].as_array().unwrap();
        let of_id: Vec<&Value> = keys.iter().filter(|key| key["kid"] == kid).collect();
        json!({"keys": of_id}).to_string()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), only("d1")).unwrap();
    let edge = edge(file.path());
    let is_taken = async |kid: &str| {
        let token = sign(kid, 600, json!({}));
        said_to(&edge, Some(&token)).await.1.is_none()
    };
    assert!(is_taken("d1").await && !is_taken("e1").await);
    std::fs::write(file.path(), only("e1")).unwrap();
    eventually("the new key is in use", async || is_taken("e1").await).await;
    assert!(!is_taken("d1").await, "the old key is gone with the same change");
    edge.stop().await;
}
