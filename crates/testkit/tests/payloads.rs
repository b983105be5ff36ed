//! What a plain NATS publisher may put into a payload or a subject, and how it arrives. Read at
//! byte level: a payload that breaks out of its frame would break the reader of a client first.

#![allow(clippy::unwrap_used)]

use meridian_client::SubscribeOptions;
use meridian_testkit::{RawSocket, TestMesh, next_message};
use serde_json::Value;

/// Far over the outbound queue's bound, which one message may pass; no UTF-8.
fn large_payload() -> Vec<u8> {
    (0..900 * 1024).map(|index| (index % 251) as u8).collect()
}

/// Subscribes as command 2 and returns the subscription's id.
async fn subscribe(socket: &mut RawSocket, filter: &str) -> Value {
    socket.send_text(&format!(r#"{{"id":2,"subscribe":{{"f":"{filter}"}}}}"#)).await;
    let reply = socket.next_item().await;
    assert_eq!(reply["id"], 2, "{reply}");
    reply["subscribe"]["i"].clone()
}

#[tokio::test]
async fn every_payload_arrives_in_its_spelling() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let mut socket = mesh.raw_socket("eu").await;
    let i = subscribe(&mut socket, "demo.p").await;
    let nats = mesh.plain_nats("eu").await;
    let cases: [(&[u8], Option<&str>, &str); 18] = [
        // JSON is embedded byte by byte: numbers keep their digits.
        (b"1.0", None, r#","d":1.0"#),
        (b"12345678901234567890", None, r#","d":12345678901234567890"#),
        (b"1e400", None, r#","d":1e400"#),
        (b"{\"b\": 1, \"a\":1.50,\"a\":2}", None, r#","d":{"b": 1, "a":1.50,"a":2}"#),
        (b"null", None, r#","d":null"#),
        (b"\"x\"", None, r#","d":"x""#),
        (b"{\n\"a\":\r\n[1,\n2]}\n", None, r#","d":{ "a":  [1, 2]} "#),
        // What is no single JSON value stays inside a string.
        (b"hello", None, r#","t":"hello""#),
        (b"{}}\n{\"m\":{\"i\":1}}", None, r#","t":"{}}\n{\"m\":{\"i\":1}}""#),
        (b"1 2", None, r#","t":"1 2""#),
        (b"{\"a\":1", None, r#","t":"{\"a\":1""#),
        ("caf\u{e9}\u{2028}".as_bytes(), None, ",\"t\":\"caf\u{e9}\u{2028}\""),
        (b"\xff\x00\xfe", None, r#","b":"/wD+""#),
        (b"", None, ""),
        // The publisher's word wins, unless the bytes contradict it.
        (b"123", Some("text/plain"), r#","t":"123""#),
        (b"123", Some("Application/Octet-Stream"), r#","b":"MTIz""#),
        (b"{oops", Some("application/json"), r#","t":"{oops""#),
        (b"\xff", Some("text/plain"), r#","b":"/w==""#),
    ];
    for (payload, content_type, _) in &cases {
        let payload = payload.to_vec().into();
        let mut headers = async_nats::HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert("Content-Type", *content_type);
            nats.publish_with_headers("demo.p", headers, payload).await.unwrap();
        } else {
            nats.publish("demo.p", payload).await.unwrap();
        }
    }
    for (_, _, spelling) in &cases {
        let expected = format!(r#"{{"m":{{"i":{i},"s":"demo.p"{spelling}}}}}"#);
        assert_eq!(socket.next_text().await, expected);
    }
}

#[tokio::test]
async fn a_large_payload_arrives_whole_in_another_region() {
    let mesh = TestMesh::three_regions().await;
    let eu = mesh.client("eu").await;
    let mut all = eu.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let us = mesh.plain_nats("us").await;
    TestMesh::settle(&us, "demo.large", &mut [&mut all]).await;
    let large = large_payload();
    us.publish("demo.large", large.clone().into()).await.unwrap();
    let message = next_message(&mut all).await;
    assert!(message.content().to_bytes().unwrap() == large, "{}", message.s);
}

#[tokio::test]
async fn a_large_message_does_not_make_a_reading_client_slow() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    let mut all = client.subscribe("demo.>", SubscribeOptions::default()).await.unwrap();
    let nats = mesh.plain_nats("eu").await;
    for _ in 0..10 {
        nats.publish("demo.large", large_payload().into()).await.unwrap();
        nats.publish("demo.large", "small".into()).await.unwrap();
        assert!(next_message(&mut all).await.b.is_some());
        assert_eq!(next_message(&mut all).await.t.as_deref(), Some("small"));
    }
}

#[tokio::test]
async fn hostile_subjects_break_neither_the_stream_nor_other_messages() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let mut socket = mesh.raw_socket("eu").await;
    let i = subscribe(&mut socket, "demo.>").await;
    let mut nats = mesh.raw_nats("eu").await;
    let long = [b"demo.".as_slice(), &[b'x'; 3000]].concat();
    let deep = [b"demo".as_slice(), &b".x".repeat(100)].concat();
    let subjects: [&[u8]; 9] = [
        b"demo.\"}}",
        b"demo.\"}}{\"m\":{\"i\":1,\"s\":\"forged\"}}",
        b"demo.\\\\u0000\\",
        b"demo.\x01\x08\x1b\x7f",
        b"demo.\xff\xfe",
        b"demo.\xc3\x28.\xe2\x82",
        "demo.\u{2028}\u{feff}".as_bytes(),
        &long,
        &deep,
    ];
    for (number, subject) in subjects.iter().enumerate() {
        nats.publish(subject, number.to_string().as_bytes()).await;
        nats.publish(b"demo.good", b"\"between\"").await;
    }
    nats.round_trip().await;
    for (number, subject) in subjects.iter().enumerate() {
        let subject = String::from_utf8_lossy(subject);
        let expected = serde_json::json!({"m": {"i": i, "s": subject, "d": number}});
        assert_eq!(socket.next_item().await, expected);
        let between = serde_json::json!({"m": {"i": i, "s": "demo.good", "d": "between"}});
        assert_eq!(socket.next_item().await, between);
    }
}
