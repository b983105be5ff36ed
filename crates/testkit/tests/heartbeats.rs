//! Signs of life, and what becomes of clients that give none.

#![allow(clippy::unwrap_used)]

use meridian_client::Options;
use meridian_testkit::{RawSocket, ServerFrame, TestMesh};

#[tokio::test]
async fn a_heartbeat_is_an_empty_object_and_a_ping_frame() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let mut socket = RawSocket::upgraded(mesh.edge("eu").public()).await;
    let reply = socket.identify(r#"{"ping":5}"#).await;
    assert_eq!(reply["ping"], 5);
    // The second comes an interval after the first.
    for _ in 0..2 {
        assert_eq!(socket.next().await, ServerFrame::Text("{}".into()));
        assert_eq!(socket.next().await, ServerFrame::Ping);
    }
    socket.send_text("{}").await;
    socket.send_frame(0x89, b"mine").await;
    assert_eq!(socket.next().await, ServerFrame::Pong(b"mine".to_vec()));
}

#[tokio::test]
async fn the_wanted_interval_is_moved_into_its_range() {
    let mesh = TestMesh::one_region(|_| {}).await;
    for (wanted, held) in [(Some(1), 5), (Some(5), 5), (None, 25), (Some(10_000), 300)] {
        let client = mesh.client_with("eu", Options { ping: wanted, ..Options::default() }).await;
        assert_eq!(client.connected().ping, held);
    }
}

#[tokio::test]
async fn a_client_that_never_connects_is_closed() {
    let mesh = TestMesh::one_region(|config| config.limits.handshake_ms = 1_000).await;
    let public = mesh.edge("eu").public();
    let mut bare = RawSocket::tcp(public).await;
    let mut upgraded = RawSocket::upgraded(public).await;
    let mut babbling = RawSocket::upgraded(public).await;
    babbling.send_text("{}").await;
    assert_eq!(upgraded.next().await, ServerFrame::Close(3004, "stale".into()));
    assert_eq!(babbling.next().await, ServerFrame::Close(3004, "stale".into()), "{{}} is no word");
    assert_eq!(bare.drain_bytes().await, 0, "without an upgrade there is no close frame");
    let mut connected = mesh.raw_socket("eu").await;
    connected.send_text(r#"{"id":2,"publish":{"s":"demo.a"}}"#).await;
    assert_eq!(connected.next_item().await["id"], 2);
}
