//! The end of an edge: nobody is cut off without a word, and what was acknowledged is not lost.

#![allow(clippy::unwrap_used)]

use futures_util::StreamExt;
use meridian_client::{Client, Error, Notice, Options, PayloadBuf, PublishOptions};
use meridian_testkit::{RawSocket, ServerFrame, TestMesh, eventually, next_notice, within};
use tokio::net::TcpStream;

/// Publishes that wait for nothing, just before the end.
const LAST_WORDS: usize = 50;

#[tokio::test]
async fn a_drained_edge_says_goodbye_and_ends() {
    let mut mesh = TestMesh::one_region(|config| {
        // Long enough that the test can look at the edge while it drains.
        config.drain.window_ms = 3_000;
        config.edge.alternates = vec!["ws://127.0.0.1:1/v1/ws".into()];
    })
    .await;
    let nats = mesh.plain_nats("eu").await;
    let mut service = nats.subscribe("demo.>").await.unwrap();
    meridian_testkit::round_trip(&nats).await;
    let clients = [mesh.client("eu").await, mesh.client("eu").await];
    let mut notices = clients[0].notices();
    // This one answers no close frame.
    let mut rude = mesh.raw_socket("eu").await;

    let none = PublishOptions::default;
    for number in 0..LAST_WORDS {
        let text = PayloadBuf::text(number.to_string());
        clients[0].publish_no_ack("demo.last", text, none()).await.unwrap();
    }
    clients[0].publish("demo.last", PayloadBuf::text("acknowledged"), none()).await.unwrap();
    mesh.edge_mut("eu").drain();

    let Notice::GoAway(goaway) = next_notice(&mut notices).await else { panic!("no goaway") };
    assert_eq!((goaway.why.as_str(), goaway.deadline_ms), ("drain", 3_000));
    assert_eq!(goaway.server, ["ws://127.0.0.1:1/v1/ws"]);
    assert!(goaway.after_ms[0] <= goaway.after_ms[1] && goaway.after_ms[1] <= goaway.deadline_ms);
    let edge = mesh.edge("eu");
    eventually("it is not ready", async || edge.get("/readyz").await.0 == 503).await;
    assert!(edge.get("/readyz").await.1.contains("draining"));
    assert_eq!(edge.get("/healthz").await.0, 200);
    assert_eq!(edge.stats().await["draining"], true);
    eventually("new connections are refused", async || {
        TcpStream::connect(edge.public()).await.is_err()
    })
    .await;
    assert!(edge.is_running(), "refused by an edge that drains, not by one that is gone");
    let refused = Client::connect(&edge.url(), Options::default()).await;
    assert!(matches!(refused, Err(Error::Connect { .. })), "{refused:?}");

    for client in &clients {
        let closed = within("the close", client.closed()).await;
        assert_eq!((closed.code, closed.reason.as_str()), (3001, "drain"));
        assert!(closed.is_reconnectable());
    }
    assert_eq!(rude.close_code().await, Some(3001));
    within("every last word arrives", async {
        for number in 0..LAST_WORDS {
            assert_eq!(service.next().await.unwrap().payload, number.to_string());
        }
        assert_eq!(service.next().await.unwrap().payload, "acknowledged");
    })
    .await;
    // It waits for the rude one, but not for ever.
    mesh.edge_mut("eu").ended().await;
    assert_eq!(mesh.edge("eu").get("/healthz").await.0, 0);
    drop(rude);
}

#[tokio::test]
async fn goodbye_is_said_unasked_and_not_before_connect() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    let mut socket = mesh.raw_socket("eu").await;
    let mut unidentified = RawSocket::upgraded(mesh.edge("eu").public()).await;
    mesh.edge_mut("eu").drain();
    assert_eq!(socket.next_item().await["goaway"]["why"], "drain");
    for peer in [&mut socket, &mut unidentified] {
        assert_eq!(peer.next().await, ServerFrame::Close(3001, "drain".into()));
    }
    drop((socket, unidentified));
    mesh.edge_mut("eu").ended().await;
}

#[tokio::test]
async fn an_edge_drains_without_its_nats_server() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    let client = mesh.client("eu").await;
    mesh.nats.region("eu").unwrap().server().pause().unwrap();
    mesh.edge_mut("eu").drain();
    assert_eq!(within("the close", client.closed()).await.code, 3001);
    mesh.edge_mut("eu").ended().await;
}
