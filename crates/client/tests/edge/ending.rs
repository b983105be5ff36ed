//! How a connection ends, and who hears of it.

use crate::fake_edge::connected;
use meridian_client::{Error, Notice, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_proto::{CloseCode, frame};
use std::time::Duration;

#[tokio::test]
async fn a_close_reaches_callers_subscriptions_and_notices() {
    let (client, mut edge) = connected(Options::default()).await;
    let (subscription, _) = tokio::join!(
        client.subscribe("demo.>", SubscribeOptions::default()),
        edge.accept_subscribe()
    );
    let mut subscription = subscription.unwrap();
    let closing = async {
        edge.line().await;
        edge.send(
            r#"{"goaway":{"why":"drain","server":[],"after_ms":[0,100],"deadline_ms":1000}}"#,
        )
        .await;
        let mut close = Vec::new();
        frame::close(&mut close, CloseCode::Drained);
        edge.send_raw(&close).await;
        edge.frame().await
    };
    let request = client.request("svc.a", PayloadBuf::Empty, Duration::from_secs(5));
    let (reply, answer) = tokio::join!(request, closing);
    assert_eq!((answer.opcode, answer.payload), (8, 3001_u16.to_be_bytes().to_vec()));
    assert!(matches!(reply, Err(Error::Closed(closed)) if closed.code == 3001));
    assert!(subscription.next().await.is_none());

    let mut notices = client.notices();
    assert!(matches!(notices.next().await, Some(Notice::GoAway(away)) if away.why == "drain"));
    let Some(Notice::Closed(closed)) = notices.next().await else { panic!("no close") };
    assert_eq!((closed.code, closed.reason.as_str()), (3001, "drain"));
    assert!(closed.is_reconnectable());
    assert!(notices.next().await.is_none());
    assert!(client.notices().next().await.is_none(), "and a later listener waits for nothing");
    assert_eq!(client.closed().await, closed);

    let publish = client.publish("a", PayloadBuf::Empty, PublishOptions::default()).await;
    assert!(matches!(publish, Err(Error::Closed(closed)) if closed.code == 3001));
}

#[tokio::test]
async fn a_lost_connection_is_1006() {
    let (client, edge) = connected(Options::default()).await;
    drop(edge);
    let closed = client.closed().await;
    assert_eq!(closed.code, 1006);
    assert!(closed.is_reconnectable());
}

#[tokio::test]
async fn what_is_queued_leaves_before_the_close() {
    let (client, mut edge) = connected(Options::default()).await;
    for _ in 0..200 {
        client.publish_no_ack("a", PayloadBuf::Empty, PublishOptions::default()).await.unwrap();
    }
    let closing = async {
        for _ in 0..200 {
            assert_eq!(edge.line().await["publish"]["s"], "a");
        }
        let close = edge.frame().await;
        assert_eq!((close.opcode, close.payload), (8, 1000_u16.to_be_bytes().to_vec()));
        let mut answer = Vec::new();
        frame::close(&mut answer, CloseCode::Normal);
        edge.send_raw(&answer).await;
    };
    let (closed, ()) = tokio::join!(client.close(), closing);
    assert_eq!((closed.code, closed.reason.as_str()), (1000, "bye"));
}

#[tokio::test]
async fn dropping_the_client_closes_though_a_subscription_lives() {
    let (client, mut edge) = connected(Options::default()).await;
    let (subscription, _) = tokio::join!(
        client.subscribe("demo.>", SubscribeOptions::default()),
        edge.accept_subscribe()
    );
    drop(client);
    assert_eq!(edge.frame().await.opcode, 8);
    drop(edge);
    assert!(subscription.unwrap().next().await.is_none());
}

#[tokio::test]
async fn an_edge_that_breaks_the_protocol_is_left() {
    for (bytes, code) in [
        (&[0x82, 1, b'x'][..], 1002),
        (&[0x81, 1, b'x'], 1002),
        (&[0x81, 2, 0xc3, b'x'], 1002),
        (&[0x80, 1, b'x'], 1002),
        (b"\x81\x08{\"m\":{}}", 1002),
        (&[0xc1, 1, b'x'], 1002),
        (&[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0], 1009),
    ] {
        let (client, mut edge) = connected(Options::default()).await;
        edge.send_raw(bytes).await;
        assert_eq!(client.closed().await.code, code, "{bytes:?}");
        let close = edge.frame().await;
        let answer = u16::to_be_bytes(code).to_vec();
        assert_eq!((close.opcode, close.payload), (8, answer), "{bytes:?}");
    }
}

#[tokio::test]
async fn an_edge_that_falls_silent_is_lost() {
    let (client, _edge) = connected(Options::default()).await;
    // From here on time runs by itself whenever nothing else can.
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let closed = client.closed().await;
    assert_eq!(closed.code, 1006);
    assert!(started.elapsed() >= Duration::from_secs(50), "two heartbeats may pass");
}
