//! What a whole edge logs while clients use it: JSON, with the trace where there is one, and
//! neither payloads nor tokens, at any level.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

use meridian_client::{Client, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_edge::auth::{KeyAlgorithm, Signer, unix_time_s};
use meridian_local::MeshPorts;
use meridian_testkit::{LineStream, TestMesh, curl, eventually, next_message};
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A shared secret of an issuer that exists here only.
const SECRET: &str = "a-secret-that-nobody-may-ever-see-in-a-log";

/// What clients send. Nothing else of this run is called so.
const PAYLOAD: &str = "payload-that-nobody-may-ever-see-in-a-log";

/// The trace of a client that is refused.
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn token(expires_in_s: i64) -> String {
    let signer = Signer::new(None, KeyAlgorithm::Hs256, SECRET.as_bytes()).unwrap();
    let expires_at_s = unix_time_s().checked_add_signed(expires_in_s).unwrap();
    let all = json!({"allow": [">"]});
    let permissions = json!({"sub": all, "pub": all, "req": all, "hist": all});
    let claims = json!({"iss": "test", "aud": "mesh", "sub": "ann", "exp": expires_at_s,
                        "permissions": permissions});
    signer.sign(&claims).unwrap()
}

fn config(nats: &str, public: u16, admin: u16, level: &str) -> String {
    format!(
        r#"
[edge]
id = "eu-logs"
region = "eu"
shards = 1
[listen]
public = "127.0.0.1:{public}"
admin = "127.0.0.1:{admin}"
[nats]
servers = ["{nats}"]
[auth]
mode = "token"
[[auth.issuers]]
issuer = "test"
audience = "mesh"
algorithm = "HS256"
key_env = "LOGS_TEST_KEY"
[tracing]
otlp_endpoint = "http://127.0.0.1:1"
[log]
format = "json"
level = "{level}"
[[namespaces]]
name = "demo"
pattern = "demo.>"
publish = true
request = true
"#
    )
}

/// Ends when it is dropped.
fn edge(folder: &Path, config: &str) -> Child {
    let (file, log) = (folder.join("edge.toml"), folder.join("log"));
    std::fs::write(&file, config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(["edge", "--config"])
        .arg(&file)
        .env("LOGS_TEST_KEY", SECRET)
        .stderr(Stdio::from(File::create(log).unwrap()))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Uses every way in, with a good token, an expired one and one that was changed.
async fn use_it(base: &str, good: &str, bad: &[String]) {
    let url = format!("ws://{base}/v1/ws");
    let options = |token: &str| Options { token: Some(token.into()), ..Options::default() };
    let client = Client::connect(&url, options(good)).await.unwrap();
    let mut live = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    client.publish("demo.a", PayloadBuf::text(PAYLOAD), PublishOptions::default()).await.unwrap();
    next_message(&mut live).await;
    let request =
        client.request("demo.nobody", PayloadBuf::text(PAYLOAD), std::time::Duration::from_secs(5));
    assert!(request.await.is_err(), "nobody answers");
    let bearer = format!("Authorization: Bearer {good}");
    let body = format!(
        "{}\n{}\n",
        r#"{"id":1,"connect":{}}"#,
        json!({"id": 2, "publish": {"s": "demo.b", "t": PAYLOAD}})
    );
    let stream = format!("http://{base}/v1/stream");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let mut lines =
            LineStream::start(&[version, "-X", "POST", "-H", &bearer, "-d", &body, &stream]);
        lines.next_that(|line| line.contains("\"publish\"")).await;
        next_message(&mut live).await;
        lines.kill().await;
    }
    for token in bad {
        let tp = Some(format!("00-{TRACE_ID}-00f067aa0ba902b7-01"));
        assert!(Client::connect(&url, Options { tp, ..options(token) }).await.is_err());
        let bearer = format!("Authorization: Bearer {token}");
        curl(&["-m", "5", "-X", "POST", "-H", &bearer, "-d", &body, &stream]).await;
    }
    let malformed = format!("{{\"id\":1,\"connect\":{{\"token\":\"{good}\",\"x\":{PAYLOAD}}}}}\n");
    curl(&["-m", "5", "-X", "POST", "-d", &malformed, &stream]).await;
}

async fn logged_at(level: &str) -> String {
    let mesh = TestMesh::one_region(|_| {}).await;
    let ports = MeshPorts::claimed(1, 1).unwrap();
    let ports_of_edge = ports.regions()[0].edges[0];
    let folder = TempDir::new().unwrap();
    let nats = mesh.nats.region("eu").unwrap().nats_edge_url();
    let (public, admin) = (ports_of_edge.public, ports_of_edge.admin);
    let mut running = edge(folder.path(), &config(&nats, public, admin, level));
    let ready = format!("http://127.0.0.1:{admin}/readyz");
    eventually("the edge is ready", async || curl(&[&ready]).await.status == 200).await;
    let (good, expired) = (token(600), token(-600));
    let changed = good.rsplit_once('.').unwrap().0.to_owned() + ".c2lnbmF0dXJl";
    let bad = [expired, changed];
    use_it(&format!("127.0.0.1:{public}"), &good, &bad).await;
    running.kill().await.unwrap();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        for field in ["timestamp", "level", "target"] {
            assert!(event[field].is_string(), "no {field} in {line}");
        }
    }
    let parts = [good.as_str()].into_iter().chain(bad.iter().map(String::as_str));
    let parts = parts.flat_map(|token| token.split('.').skip(1));
    for secret in parts.chain([PAYLOAD, SECRET]) {
        let told = log.lines().find(|line| line.contains(secret));
        assert_eq!(told, None, "{secret:?} is in the log");
    }
    log
}

#[tokio::test]
async fn nothing_is_logged_of_payloads_and_tokens_at_the_lowest_level() {
    let log = logged_at("trace").await;
    let trace = format!("\"trace_id\":\"{TRACE_ID}\"");
    let closing = log.lines().find(|line| line.contains("\"closing\"") && line.contains(&trace));
    assert!(closing.is_some(), "what is logged of a refused connect is of its trace");
}

#[tokio::test]
async fn info_holds_no_line_for_a_message_or_a_connection() {
    let log = logged_at("info").await;
    assert!(log.contains("edge listens"));
    assert!(!log.contains("demo.") && !log.contains("\"connection\":"), "{log}");
}
