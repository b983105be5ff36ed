//! Commands and their replies.

use crate::fake_edge::connected;
use meridian_client::{Error, Notice, Options, PayloadBuf, PublishOptions};
use meridian_proto::ErrorCode;
use meridian_proto::command::{Ack, HeaderValues};
use std::time::Duration;

#[tokio::test]
async fn replies_find_their_callers_in_any_order() {
    let (client, mut edge) = connected(Options::default()).await;
    let within = Duration::from_secs(5);
    let answering = async {
        let (first, second) = (edge.line().await, edge.line().await);
        for command in [second, first] {
            let (id, subject) = (&command["id"], &command["request"]["s"]);
            assert_eq!(command["request"]["timeout"], 5_000);
            edge.send(&format!(r#"{{"id":{id},"request":{{"t":{subject}}}}}"#)).await;
        }
    };
    let (a, b, ()) = tokio::join!(
        client.request("svc.a", PayloadBuf::Empty, within),
        client.request("svc.b", PayloadBuf::Empty, within),
        answering,
    );
    assert_eq!(a.unwrap().t.as_deref(), Some("svc.a"));
    assert_eq!(b.unwrap().t.as_deref(), Some("svc.b"));
}

#[tokio::test]
async fn a_publish_carries_what_was_asked_and_returns_how_far_it_got() {
    let (client, mut edge) = connected(Options::default()).await;
    let mut options = PublishOptions { mid: Some("m1".into()), ..PublishOptions::default() };
    options.headers.insert("x-kind".into(), HeaderValues::One("fill".into()));
    let payload = PayloadBuf::sniff(b"{\"a\":\n1}".to_vec());
    let answering = async {
        let command = edge.line().await;
        let id = &command["id"];
        edge.send(&format!(r#"{{"id":{id},"publish":{{"ack":"edge"}}}}"#)).await;
        command
    };
    let (reply, command) = tokio::join!(client.publish("demo.x", payload, options), answering);
    assert_eq!(reply.unwrap().map(|reply| reply.ack), Some(Ack::Edge));
    let expected = serde_json::json!({"s":"demo.x","d":{"a":1},"mid":"m1","h":{"x-kind":"fill"}});
    assert_eq!(command["publish"], expected);
}

#[tokio::test]
async fn a_publish_without_ack_has_no_id_and_its_failure_is_a_notice() {
    let (client, mut edge) = connected(Options::default()).await;
    let options = PublishOptions { ack: Some(Ack::None), ..PublishOptions::default() };
    let reply = client.publish("demo.x", PayloadBuf::text("hi"), options).await.unwrap();
    assert!(reply.is_none());
    assert_eq!(edge.line().await, serde_json::json!({"publish":{"s":"demo.x","t":"hi"}}));
    edge.send(r#"{"error":{"code":103,"msg":"no","retry":false}}"#).await;
    let notice = client.notices().next().await;
    assert!(matches!(notice, Some(Notice::Error(f)) if f.code == ErrorCode::Forbidden));
}

#[tokio::test]
async fn a_refusal_goes_to_the_caller_that_was_refused() {
    let (client, mut edge) = connected(Options::default()).await;
    let answering = async {
        let id = edge.line().await["id"].clone();
        edge.send(&format!(r#"{{"id":{id},"error":{{"code":201,"msg":"none","retry":true}}}}"#))
            .await;
    };
    let within = Duration::from_secs(5);
    let (reply, ()) = tokio::join!(client.request("svc.a", PayloadBuf::Empty, within), answering);
    assert!(matches!(reply, Err(Error::Refused(f)) if f.code == ErrorCode::NoResponders));
}

#[tokio::test]
async fn a_command_at_the_edges_limit_is_sent_and_one_byte_more_is_not() {
    let (client, mut edge) = connected(Options::default()).await;
    let bytes_max = client.connected().limits.frame;
    let overhead = r#"{"publish":{"s":"demo.x","t":""}}"#.len();
    let text = |length: usize| PayloadBuf::text("x".repeat(length));
    let publish = |payload| client.publish_no_ack("demo.x", payload, PublishOptions::default());
    let error = publish(text(bytes_max - overhead + 1)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    // A small one first: together they would pass the limit, so they must not share a frame.
    publish(text(1)).await.unwrap();
    publish(text(bytes_max - overhead)).await.unwrap();
    publish(text(2)).await.unwrap();
    let mut sizes = Vec::new();
    let mut texts = Vec::new();
    while texts.len() < 3 {
        let payload = edge.frame().await.payload;
        sizes.push(payload.len());
        let text = String::from_utf8(payload).unwrap();
        for line in text.lines() {
            let command: serde_json::Value = serde_json::from_str(line).unwrap();
            texts.push(command["publish"]["t"].as_str().unwrap().len());
        }
    }
    assert_eq!(texts, [1, bytes_max - overhead, 2]);
    assert!(sizes.iter().all(|size| *size <= bytes_max), "{sizes:?}");
}

#[tokio::test]
async fn commands_that_wait_together_share_a_frame() {
    let (client, mut edge) = connected(Options::default()).await;
    for _ in 0..100 {
        // Never waits while there is room, so the writer has no turn before the queue is full.
        client.publish_no_ack("a.b", PayloadBuf::Empty, PublishOptions::default()).await.unwrap();
    }
    let (mut lines, mut frames) = (0, 0);
    while lines < 100 {
        let text = String::from_utf8(edge.frame().await.payload).unwrap();
        assert!(text.len() <= 1024, "no edge has a smaller limit");
        lines += text.lines().count();
        frames += 1;
    }
    let line = r#"{"publish":{"s":"a.b"}}"#.len() + 1;
    assert_eq!(frames, 100_usize.div_ceil(1025 / line));
}
