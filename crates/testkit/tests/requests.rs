//! Requests of clients: to a responder in any region, the nearest first, and every way to fail.

#![allow(clippy::unwrap_used)]

use futures_util::StreamExt;
use meridian_client::{Client, Options, PayloadBuf};
use meridian_proto::ErrorCode;
use meridian_proto::command::HeaderValues;
use meridian_proto::item::RequestReply;
use meridian_testkit::{DEADLINE, TestMesh, code_of, eventually, round_trip, within};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Short, for requests that nobody answers.
const SHORT: Duration = Duration::from_millis(200);

/// A service that answers each request with the same bytes, until it is aborted.
async fn service(nats: async_nats::Client, subject: &'static str, name: &'static str) -> Service {
    let mut requests = nats.queue_subscribe(subject, "workers".into()).await.unwrap();
    round_trip(&nats).await;
    let answering = nats.clone();
    let running = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            answering.publish(request.reply.unwrap(), name.into()).await.unwrap();
        }
    });
    Service { nats, running }
}

struct Service {
    nats: async_nats::Client,
    running: JoinHandle<()>,
}

impl Service {
    /// Ends the subscription; the server learns of it soon.
    async fn stop(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
        self.nats.drain().await.unwrap();
    }
}

async fn ask(client: &Client, subject: &str) -> Result<RequestReply, meridian_client::Error> {
    client.request(subject, PayloadBuf::text("hi"), DEADLINE).await
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let _service = service(mesh.plain_nats("eu").await, "demo.svc", "eu").await;
    // More than the digits of any number that may stand in a reply subject.
    let asked = (0..40).map(|_| ask(&client, "demo.svc"));
    let answers = within("forty answers", futures_util::future::join_all(asked)).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test]
async fn the_nearest_responder_answers_and_another_region_takes_over() {
    let mesh = TestMesh::three_regions().await;
    let client = mesh.client("eu").await;
    let far = service(mesh.plain_nats("us").await, "demo.svc", "us").await;
    let soon = async || client.request("demo.svc", PayloadBuf::Empty, SHORT).await;
    eventually("the service in another region is reached", async || {
        soon().await.is_ok_and(|reply| reply.t.as_deref() == Some("us"))
    })
    .await;
    let near = service(mesh.plain_nats("eu").await, "demo.svc", "eu").await;
    for _ in 0..20 {
        assert_eq!(ask(&client, "demo.svc").await.unwrap().t.as_deref(), Some("eu"));
    }
    near.stop().await;
    // One may still be handed to the service that has just stopped.
    eventually("the near service is gone", async || {
        soon().await.is_ok_and(|reply| reply.t.as_deref() == Some("us"))
    })
    .await;
    for _ in 0..20 {
        assert_eq!(ask(&client, "demo.svc").await.unwrap().t.as_deref(), Some("us"));
    }
    far.stop().await;
    eventually("nobody is left", async || code_of(soon().await) == ErrorCode::NoResponders).await;
}

#[tokio::test]
async fn an_answer_keeps_its_kind_and_its_allowed_headers() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let mut requests = nats.subscribe("demo.echo").await.unwrap();
    round_trip(&nats).await;
    let echo = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let mut headers = request.headers.unwrap_or_default();
            headers.insert("X-Kind", "echo");
            headers.insert("X-Secret", "s");
            let reply = request.reply.unwrap();
            nats.publish_with_headers(reply, headers, request.payload).await.unwrap();
        }
    });
    let json = PayloadBuf::json(&serde_json::json!({"a": [1, null]})).unwrap();
    let reply = client.request("demo.echo", json, DEADLINE).await.unwrap();
    assert_eq!(reply.d.as_ref().unwrap().get(), r#"{"a":[1,null]}"#);
    let kind = HeaderValues::One("echo".into());
    assert_eq!(reply.h, [("x-kind".to_owned(), kind)].into(), "allowed ones, in lower case");

    let reply = client.request("demo.echo", PayloadBuf::text("1"), DEADLINE).await.unwrap();
    assert_eq!(reply.t.as_deref(), Some("1"), "text that reads like JSON");
    let reply = client.request("demo.echo", PayloadBuf::bytes(*b"\xff"), DEADLINE).await.unwrap();
    assert_eq!(reply.b.as_ref().unwrap().bytes, b"\xff");
    let reply = client.request("demo.echo", PayloadBuf::Empty, DEADLINE).await.unwrap();
    assert!(reply.d.is_none() && reply.t.is_none() && reply.b.is_none());
    echo.abort();
}

#[tokio::test]
async fn no_answer_nobody_there_and_not_allowed_are_told_apart() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let silent = nats.subscribe("demo.silent").await.unwrap();
    round_trip(&nats).await;
    for (subject, code) in [
        ("demo.silent", ErrorCode::UpstreamTimeout),
        ("demo.nobody", ErrorCode::NoResponders),
        ("quiet.x", ErrorCode::Forbidden),
        ("other.x", ErrorCode::UnknownSubjectSpace),
        ("demo..x", ErrorCode::InvalidSubject),
    ] {
        let refused = client.request(subject, PayloadBuf::Empty, SHORT).await;
        assert_eq!(code_of(refused), code, "{subject}");
    }
    drop(silent);
}

#[tokio::test]
async fn an_answer_that_is_too_late_reaches_nobody() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let mut socket = mesh.raw_socket("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let mut requests = nats.subscribe("demo.slow").await.unwrap();
    round_trip(&nats).await;
    socket.send_text(r#"{"id":2,"request":{"s":"demo.slow","timeout":1}}"#).await;
    let late = within("the first request", requests.next()).await.unwrap();
    assert_eq!(socket.next_item().await["error"]["code"], 200);

    // The second waits in the place of the first when the first's answer comes.
    socket.send_text(r#"{"id":3,"request":{"s":"demo.slow"}}"#).await;
    let second = within("the second request", requests.next()).await.unwrap();
    for _ in 0..2 {
        nats.publish(late.reply.clone().unwrap(), "late".into()).await.unwrap();
    }
    nats.publish(second.reply.unwrap(), "second".into()).await.unwrap();
    let expected = serde_json::json!({"id": 3, "request": {"t": "second"}});
    assert_eq!(socket.next_item().await, expected);
    socket.send_text(r#"{"id":4,"publish":{"s":"demo.x"}}"#).await;
    assert_eq!(socket.next_item().await["id"], 4, "nothing came between");
}

#[tokio::test]
async fn a_request_whose_edge_loses_nats_fails_at_once() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client_with("eu", Options::default()).await;
    let nats = mesh.plain_nats("eu").await;
    let mut requests = nats.subscribe("demo.silent").await.unwrap();
    round_trip(&nats).await;
    let asked = tokio::spawn(async move {
        let result = ask(&client, "demo.silent").await;
        (client, result)
    });
    within("the request arrives", requests.next()).await.unwrap();
    mesh.nats.kill_region("eu").await.unwrap();
    let (client, result) = within("the request fails", asked).await.unwrap();
    assert_eq!(code_of(result), ErrorCode::RegionUnreachable);
    let again = ask(&client, "demo.silent").await;
    assert_eq!(code_of(again), ErrorCode::RegionUnreachable, "and so does one without NATS");
}
