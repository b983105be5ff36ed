//! Who decides is somebody else: an authorization service over NATS and over HTTP, and key sets
//! that come from an address.

#![allow(clippy::unwrap_used)]

use futures_util::StreamExt;
use meridian_client::{Client, Error, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_edge::Config;
use meridian_edge::config::AuthMode;
use meridian_proto::ErrorCode;
use meridian_testkit::{
    RawSocket, RunningEdge, TestIssuer, TestMesh, ask_for_tokens, code_of, config_for, eventually,
    next_message, refusal, round_trip, text_of,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn connect(edge: &RunningEdge, token: &str) -> Result<Client, Error> {
    let options = Options { token: Some(token.to_owned()), ..Options::default() };
    Client::connect(&edge.url(), options).await
}

/// What the test's service says: `ann-…` is ann, who may publish, and may have `demo.room`.
fn decide(question: &Value) -> Value {
    if let Some(filter) = question["subscribe"]["filter"].as_str() {
        return json!({"allow": filter == "demo.room"});
    }
    match question["connect"]["token"].as_str() {
        Some(token) if token.starts_with("ann-") => json!({
            "user": "ann",
            "permissions": {"pub": {"allow": ["demo.>"]}, "sub": {"deny": ["demo.secret"]}},
        }),
        _ => json!({"error": "nobody knows you"}),
    }
}

/// Answers on a subject until the test ends, and counts.
async fn serve(nats: &async_nats::Client, subject: &'static str) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let mut asked = nats.subscribe(subject).await.unwrap();
    round_trip(nats).await;
    let (nats, counted) = (nats.clone(), Arc::clone(&count));
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let question: Value = serde_json::from_slice(&message.payload).unwrap();
            let answer = decide(&question).to_string();
            nats.publish(message.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
    count
}

fn ask_by_nats(config: &mut Config) {
    config.auth.mode = AuthMode::Service;
    config.auth.service.ask = "nats".into();
    config.auth.service.subscribe = true;
}

/// Connects as soon as the desk has its connection to NATS.
async fn connected(edge: &RunningEdge, token: &str) -> Client {
    let mut client = None;
    eventually("the service is asked", async || {
        client = connect(edge, token).await.ok();
        client.is_some()
    })
    .await;
    client.unwrap()
}

#[tokio::test]
async fn a_service_behind_nats_decides_who_connects_and_who_subscribes() {
    let mesh = TestMesh::one_region(ask_by_nats).await;
    let nats = mesh.plain_nats("eu").await;
    serve(&nats, "_mrd.auth.connect").await;
    let subscribes = serve(&nats, "_mrd.auth.subscribe").await;
    let edge = mesh.edge("eu");
    let client = connected(edge, "ann-1").await;
    assert_eq!(client.connected().user.as_deref(), Some("ann"));
    let refused = connect(edge, "bob-1").await.unwrap_err();
    assert!(refused.to_string().contains("nobody knows you"), "{refused}");

    let subscribe =
        async |filter: &str| client.subscribe(filter, SubscribeOptions::default()).await;
    let mut room = subscribe("demo.room").await.unwrap();
    client.publish("demo.room", PayloadBuf::text("hi"), PublishOptions::default()).await.unwrap();
    assert_eq!(text_of(&next_message(&mut room).await), "hi");
    let refused = refusal(subscribe("demo.hall").await);
    assert_eq!(refused.msg, "the authorization service does not allow it");
    assert_eq!(subscribes.load(Ordering::Relaxed), 2);
    // What is denied, and what no namespace declares, is not asked about.
    assert_eq!(code_of(subscribe("demo.secret").await), ErrorCode::Forbidden);
    assert_eq!(code_of(subscribe("other.x").await), ErrorCode::UnknownSubjectSpace);
    assert_eq!(subscribes.load(Ordering::Relaxed), 2);
    client.refresh("ann-2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_one_user_is_one_question() {
    let mesh = TestMesh::one_region(ask_by_nats).await;
    let nats = mesh.plain_nats("eu").await;
    let asked = serve(&nats, "_mrd.auth.connect").await;
    let edge = mesh.edge("eu");
    drop(connected(edge, "ann-first").await);
    let before = asked.load(Ordering::Relaxed);
    let storm = (0..50).map(|_| connect(edge, "ann-storm"));
    let clients = futures_util::future::join_all(storm).await;
    assert!(clients.iter().all(Result::is_ok));
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
}

#[tokio::test]
async fn what_is_sent_behind_connect_waits_for_the_decision_and_keeps_its_order() {
    let mesh = TestMesh::one_region(ask_by_nats).await;
    let nats = mesh.plain_nats("eu").await;
    serve(&nats, "_mrd.auth.connect").await;
    serve(&nats, "_mrd.auth.subscribe").await;
    drop(connected(mesh.edge("eu"), "ann-1").await);
    let mut socket = RawSocket::upgraded(mesh.edge("eu").public()).await;
    let frame = [
        r#"{"id":1,"connect":{"token":"ann-piped"}}"#,
        r#"{"id":2,"publish":{"s":"demo.x","ack":"edge"}}"#,
    ];
    socket.send_text(&frame.join("\n")).await;
    socket.send_text(r#"{"id":3,"unsubscribe":{"i":9}}"#).await;
    assert_eq!(socket.next_item().await["connect"]["user"], "ann");
    let mut ids =
        vec![socket.next_item().await["id"].clone(), socket.next_item().await["id"].clone()];
    ids.sort_by_key(|id| id.as_u64());
    assert_eq!(ids, [json!(2), json!(3)]);
}

#[tokio::test]
async fn a_service_that_does_not_answer_lets_nobody_in() {
    // Nobody serves the subject, nor is there a NATS server.
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    ask_by_nats(&mut config);
    config.auth.service.timeout_ms = 100;
    let edge = RunningEdge::start_unready(config);
    let refused = refusal(connect(&edge, "ann-1").await);
    assert_eq!(refused.msg, "the authorization service does not answer");
    assert!(refused.retry, "{refused:?}");
    edge.stop().await;
}

/// A web server that answers each request with what `body` is at the time, or not at all.
async fn web(answer: Arc<Mutex<String>>, is_up: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if !is_up.load(Ordering::Relaxed) {
                continue;
            }
            let mut request = vec![0; 8192];
            let count = stream.read(&mut request).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            let asked =
                text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
            let body = match asked {
                Some(question) => decide(&question).to_string(),
                None => answer.lock().unwrap().clone(),
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
        }
    });
    url
}

#[tokio::test]
async fn a_webhook_decides_as_a_service_behind_nats_does() {
    let url = web(Arc::default(), Arc::new(AtomicBool::new(true))).await;
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    ask_by_nats(&mut config);
    config.auth.service.ask = url;
    let edge = RunningEdge::start_unready(config);
    let client = connect(&edge, "ann-1").await.unwrap();
    assert_eq!(client.connected().user.as_deref(), Some("ann"));
    assert_eq!(code_of(connect(&edge, "bob-1").await), ErrorCode::Unauthorized);
    edge.stop().await;
}

/// The test issuer's set with one key only.
fn only(kid: &str) -> String {
    let all = std::fs::read(TestIssuer::key_path("jwks.json")).unwrap();
    let all: Value = serde_json::from_slice(&all).unwrap();
    let keys = all["keys"].as_array().unwrap();
    let of_id: Vec<&Value> = keys.iter().filter(|key| key["kid"] == kid).collect();
    json!({ "keys": of_id }).to_string()
}

#[tokio::test]
async fn a_key_set_comes_from_its_address_rotates_and_outlives_it() {
    let (set, is_up) = (Arc::new(Mutex::new(only("d1"))), Arc::new(AtomicBool::new(true)));
    let url = web(Arc::clone(&set), Arc::clone(&is_up)).await;
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.json");
    let start = || {
        let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
        ask_for_tokens(&mut config);
        let issuer = &mut config.auth.issuers[0];
        (issuer.jwks_file, issuer.jwks_url) = (None, Some(url.clone()));
        issuer.jwks_copy = Some(copy.display().to_string());
        RunningEdge::start_unready(config)
    };
    let token = |kid: &str| {
        let exp = meridian_edge::auth::unix_time_s() + 600;
        TestIssuer::sign(kid, &json!({"iss": "test", "aud": "mesh", "sub": "ann", "exp": exp}))
    };
    let edge = start();
    let is_taken = async |edge: &RunningEdge, kid: &str| connect(edge, &token(kid)).await.is_ok();
    eventually("the set was fetched", async || is_taken(&edge, "d1").await).await;
    assert_eq!(code_of(connect(&edge, &token("e1")).await), ErrorCode::Unauthorized);
    // The issuer rotates, and signs with the new key before the next look: the token asks for it.
    *set.lock().unwrap() = only("e1");
    eventually("the new key is in use", async || is_taken(&edge, "e1").await).await;
    assert!(!is_taken(&edge, "d1").await, "the old key is gone with the same change");
    // Nonsense, then nothing: the last good set stays, also for an edge that starts then.
    *set.lock().unwrap() = "{\"keys\":[]}".into();
    is_up.store(false, Ordering::Relaxed);
    edge.stop().await;
    let later = start();
    assert!(is_taken(&later, "e1").await, "from the copy, at once");
    later.stop().await;
}
