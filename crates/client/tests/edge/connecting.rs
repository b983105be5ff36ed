//! From the URL to the connect reply.

use crate::fake_edge::{CONNECTED, Listening, connected};
use meridian_client::{Client, Error, Notice, Options};
use meridian_proto::{ErrorCode, frame};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

#[tokio::test]
async fn connect_is_the_first_command_and_its_reply_is_kept() {
    let (listening, url) = Listening::start().await;
    let options = Options { name: Some("test".into()), ping: Some(60), ..Options::default() };
    let edge = async {
        let mut edge = listening.upgrade(b"").await;
        let command = edge.line().await;
        edge.send(CONNECTED).await;
        (edge, command)
    };
    let (client, (_edge, command)) = tokio::join!(Client::connect(&url, options), edge);
    assert_eq!(command["connect"]["name"], "test");
    assert_eq!(command["connect"]["ping"], 60);
    assert_eq!(command["connect"]["feat"], serde_json::json!(["gap", "goaway", "mesh"]));
    let client = client.unwrap();
    assert_eq!(client.connected().node, "eu-1");
    assert_eq!(client.connected().limits.subs, 128);
}

#[tokio::test]
async fn frames_that_arrive_with_the_http_answer_are_read() {
    let (listening, url) = Listening::start().await;
    let mut first = Vec::new();
    frame::text(&mut first, |out| out.extend_from_slice(br#"{"mesh":{"degraded":["us"]}}"#));
    let edge = async {
        let mut edge = listening.upgrade(&first).await;
        edge.line().await;
        edge.send(CONNECTED).await;
        edge
    };
    let (client, _edge) = tokio::join!(Client::connect(&url, Options::default()), edge);
    let notice = client.unwrap().notices().next().await;
    assert!(matches!(notice, Some(Notice::Mesh(mesh)) if mesh.degraded == ["us"]));
}

#[tokio::test]
async fn a_refused_connect_keeps_its_code() {
    let (listening, url) = Listening::start().await;
    let edge = async {
        let mut edge = listening.upgrade(b"").await;
        edge.line().await;
        edge.send(r#"{"id":1,"error":{"code":101,"msg":"no token","retry":false,"hint":"ask"}}"#)
            .await;
        edge
    };
    let (client, _edge) = tokio::join!(Client::connect(&url, Options::default()), edge);
    let error = client.unwrap_err();
    assert_eq!(error.to_string(), "the edge refused (101): no token: ask");
    assert!(matches!(error, Error::Refused(failure) if failure.code == ErrorCode::Unauthorized));
}

#[tokio::test]
async fn a_close_before_the_connect_reply_keeps_its_code() {
    let (listening, url) = Listening::start().await;
    let edge = async {
        let mut edge = listening.upgrade(b"").await;
        let mut close = Vec::new();
        frame::close(&mut close, meridian_proto::CloseCode::Overloaded);
        edge.send_raw(&close).await;
        edge
    };
    let (client, _edge) = tokio::join!(Client::connect(&url, Options::default()), edge);
    assert!(matches!(client.unwrap_err(), Error::Closed(closed) if closed.code == 3007));
}

#[tokio::test]
async fn nobody_listening_is_told_apart_from_somebody_else_listening() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::connect(&url, Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");

    let (listening, url) = Listening::start().await;
    let edge = async {
        let (mut edge, _) = listening.accept().await;
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n";
        edge.stream.write_all(answer).await.unwrap();
        edge
    };
    let (client, _edge) = tokio::join!(Client::connect(&url, Options::default()), edge);
    let text = client.unwrap_err().to_string();
    assert!(text.contains("HTTP 404 Not Found: not here"), "{text}");
}

#[tokio::test]
async fn an_answer_to_another_key_or_subprotocol_is_refused() {
    for (accept, protocol, expected) in
        [("AAAA", "meridian.v1.json", "Sec-WebSocket-Accept"), ("", "other", "Accept")]
    {
        let (listening, url) = Listening::start().await;
        let edge = async {
            let (mut edge, _) = listening.accept().await;
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
            );
            edge.stream.write_all(answer.as_bytes()).await.unwrap();
            edge
        };
        let (client, _edge) = tokio::join!(Client::connect(&url, Options::default()), edge);
        let text = client.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn an_edge_that_says_nothing_is_given_up() {
    let (listening, url) = Listening::start().await;
    let options = Options { connect_timeout: Duration::from_millis(50), ..Options::default() };
    let (client, _edge) = tokio::join!(Client::connect(&url, options), listening.upgrade(b""));
    assert!(matches!(client.unwrap_err(), Error::Timeout { after_ms: 50, .. }));
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_payload() {
    let (_client, mut edge) = connected(Options::default()).await;
    edge.send_raw(&frame::HEARTBEAT).await;
    edge.send_raw(&[0x89, 3, b'a', b'b', b'c']).await;
    let (first, second) = (edge.frame().await, edge.frame().await);
    assert_eq!((first.opcode, first.payload.as_slice()), (10, &b""[..]));
    assert_eq!((second.opcode, second.payload.as_slice()), (10, &b"abc"[..]));
}
