//! Clients that flood, do not read, come and go, or vanish in the middle of something: they lose
//! their own connection and leave nothing behind.

#![allow(clippy::unwrap_used)]

mod hostile;
#[path = "hostile/request.rs"]
mod request;

use hostile::Scene;
use meridian_client::{Event, SubscribeOptions};
use meridian_edge::Config;
use meridian_testkit::{RawSocket, ServerFrame, eventually, within};
use request::upgrade_request;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Clients that do not read, at once.
const NON_READERS: usize = 50;

/// Messages that everybody is sent before the next look at the edge's numbers.
const FLOOD_BATCH: usize = 16;

/// Far more than a client's queue and the kernel's buffers hold, so that the flood ends.
const FLOOD_BATCHES_MAX: usize = 200;

fn short_linger(config: &mut Config) {
    config.limits.interest_linger_ms = 300;
}

/// As short, and a stall limit below the time that a close may take.
fn short_stall(config: &mut Config) {
    config.limits.write_stall_ms = 500;
}

async fn slow_closes(scene: &Scene) -> u64 {
    scene.edge().stats().await["numbers"]["slow_closes"].as_u64().unwrap()
}

fn subscribe(id: u32, filter: &str) -> Vec<u8> {
    let command = format!(r#"{{"id":{id},"subscribe":{{"f":"{filter}"}}}}"#);
    RawSocket::frame(0x81, command.as_bytes())
}

#[tokio::test]
async fn control_frame_floods_are_closed() {
    let mut scene = Scene::start(|_| {}).await;
    for (name, first, payload) in [
        ("pings", 0x89, &b"flood"[..]),
        ("empty pings", 0x89, b""),
        ("the longest pings", 0x89, &[b'p'; 125]),
        ("pongs", 0x8a, b"flood"),
    ] {
        let mut socket = RawSocket::connected(scene.public()).await;
        // Nothing is read meanwhile.
        socket.write(&RawSocket::frame(first, payload).repeat(20_000)).await;
        let mut pongs = 0;
        let end = loop {
            match socket.next().await {
                ServerFrame::Pong(_) => pongs += 1,
                ServerFrame::Text(_) | ServerFrame::Ping => {}
                end => break end,
            }
        };
        assert!(matches!(end, ServerFrame::Close(1008, _)), "{name}: {end:?}");
        assert!(pongs < 2_000, "{name}: {pongs} pongs are more than the budget");
        scene.innocent_is_fine(name).await;
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn command_flood_of_a_client_that_does_not_read_is_closed() {
    let mut scene = Scene::start(|_| {}).await;
    let mut socket = RawSocket::connected(scene.public()).await;
    let lines = "{\"unsubscribe\":{\"i\":9}}\n".repeat(64);
    let frames = RawSocket::frame(0x81, lines.as_bytes()).repeat(50);
    for _ in 0..FLOOD_BATCHES_MAX {
        socket.write(&frames).await;
        if slow_closes(&scene).await > 0 {
            break;
        }
    }
    eventually("the flooder is closed as slow", async || slow_closes(&scene).await == 1).await;
    drop(socket);
    scene.innocent_is_fine("a flood of commands").await;
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn clients_that_do_not_read_are_closed_and_others_get_everything() {
    let mut scene = Scene::start(short_stall).await;
    let reader = scene.mesh.client("eu").await;
    let mut flood = reader.subscribe("demo.flood", SubscribeOptions::default()).await.unwrap();
    let mut sleepers = Vec::new();
    for _ in 0..NON_READERS {
        let mut socket = RawSocket::connected(scene.public()).await;
        socket.write(&subscribe(2, "demo.flood")).await;
        assert!(socket.next_text().await.contains("subscribe"));
        sleepers.push(socket);
    }
    let publisher = scene.mesh.plain_nats("eu").await;
    let mut sent = 0;
    while slow_closes(&scene).await < NON_READERS as u64 {
        assert!(sent < FLOOD_BATCH * FLOOD_BATCHES_MAX, "non-readers are never closed");
        for index in sent..sent + FLOOD_BATCH {
            let text = format!("{index} {}", "x".repeat(16 * 1024));
            publisher.publish("demo.flood", text.into()).await.unwrap();
        }
        publisher.flush().await.unwrap();
        for index in sent..sent + FLOOD_BATCH {
            match within("the reader's next message", flood.next()).await {
                Some(Event::Message(message)) => {
                    let bytes = message.content().to_bytes().unwrap().into_owned();
                    assert!(bytes.starts_with(format!("{index} ").as_bytes()), "{index}");
                }
                other => panic!("instead of message {index}: {other:?}"),
            }
        }
        sent += FLOOD_BATCH;
    }
    scene.innocent_is_fine("clients that do not read").await;
    for mut sleeper in sleepers {
        // The close frame is lost if the client does not begin to read in time.
        let code = sleeper.close_code().await;
        assert!(matches!(code, Some(3003) | None), "{code:?}");
    }
    drop((flood, reader));
    let before = slow_closes(&scene).await;
    assert_eq!(before, NON_READERS as u64, "each is counted once");
    eventually("only the innocent client is left", async || {
        scene.edge().stats().await["numbers"]["connections"] == 1
    })
    .await;
    assert_eq!(slow_closes(&scene).await, before, "each is counted once");
}

#[tokio::test]
async fn slow_client_that_reads_again_is_told_why_it_was_closed() {
    let mut scene = Scene::start(|_| {}).await;
    // The kernel would take the whole flood into a receive window of the usual size.
    let mut sleeper = RawSocket::narrow_tcp(scene.public()).await;
    sleeper.upgrade().await;
    sleeper.identify("{}").await;
    sleeper.write(&subscribe(2, "demo.flood")).await;
    assert!(sleeper.next_text().await.contains("subscribe"));
    let publisher = scene.mesh.plain_nats("eu").await;
    for _ in 0..400 {
        publisher.publish("demo.flood", vec![b'x'; 16 * 1024].into()).await.unwrap();
    }
    publisher.flush().await.unwrap();
    eventually("the client is slow", async || slow_closes(&scene).await == 1).await;
    // Within the 5 s that a close may take, or the edge has given up.
    assert_eq!(sleeper.close_code().await, Some(3003));
    drop(sleeper);
    scene.innocent_is_fine("a client that reads too late").await;
    assert_eq!(slow_closes(&scene).await, 1, "counted once");
}

#[tokio::test]
async fn connecting_and_leaving_500_times_leaves_nothing() {
    let mut scene = Scene::start(short_linger).await;
    for round in 0..50 {
        let mut sockets = Vec::new();
        for index in 0..10 {
            let mut socket = RawSocket::connected(scene.public()).await;
            socket.write(&subscribe(2, &format!("demo.churn.{round}.{index}"))).await;
            if index % 2 == 0 {
                assert!(socket.next_text().await.contains("subscribe"));
            }
            if index % 3 == 0 {
                socket.write(&RawSocket::frame(0x88, &1000_u16.to_be_bytes())).await;
            }
            sockets.push(socket);
        }
    }
    scene.innocent_is_fine("500 clients that came and went").await;
    scene.nothing_is_left().await;
}

/// Upgrades, sends these bytes behind the request, and resets the connection.
async fn vanish(address: SocketAddr, frames: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_zero_linger().unwrap();
    let request = upgrade_request("");
    stream.write_all(&[request.as_bytes(), frames].concat()).await.unwrap();
    // Some of them wait until the edge has begun.
    if frames.len().is_multiple_of(2) {
        let mut start = [0; 12];
        within("the upgrade", stream.read_exact(&mut start)).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 101");
    }
}

#[tokio::test]
async fn clients_reset_in_the_middle_of_anything_leave_nothing() {
    let mut scene = Scene::start(short_linger).await;
    let connect = RawSocket::frame(0x81, br#"{"id":1,"connect":{}}"#);
    let fragment = RawSocket::frame(0x01, br#"{"id":4,"#);
    let request = RawSocket::frame(0x81, br#"{"id":3,"request":{"s":"demo.nobody"}}"#);
    let all = [connect, subscribe(2, "demo.reset"), request, fragment].concat();
    for end in 0..all.len() {
        vanish(scene.public(), &all[..end]).await;
    }
    scene.innocent_is_fine("resets").await;
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn client_that_leaves_while_its_subscribe_waits_leaves_nothing() {
    let mut scene = Scene::start(short_linger).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(RawSocket::connected(scene.public()).await);
    }
    // While nats-server sleeps, no interest is proven and no publish acknowledged.
    scene.mesh.nats.region("eu").unwrap().server().pause().unwrap();
    for (index, socket) in waiting.iter_mut().enumerate() {
        socket.write(&subscribe(2, &format!("demo.pending.{}", index % 5))).await;
        socket.send_text(r#"{"id":3,"publish":{"s":"demo.x"}}"#).await;
        socket.send_text(r#"{"id":4,"request":{"s":"demo.nobody"}}"#).await;
        // Answered at once, so what came before it has been taken in.
        socket.send_text(r#"{"id":5,"unsubscribe":{"i":999}}"#).await;
        assert!(socket.next_text().await.contains(r#""id":5"#));
    }
    drop(waiting);
    eventually("the connections are gone", async || {
        scene.edge().stats().await["numbers"]["connections"] == 1
    })
    .await;
    // These take the places of those, and must not get their answers.
    let mut successors = Vec::new();
    for _ in 0..20 {
        let mut socket = RawSocket::connected(scene.public()).await;
        socket.write(&subscribe(77, "demo.pending.0")).await;
        successors.push(socket);
    }
    scene.mesh.nats.region("eu").unwrap().server().resume().unwrap();
    for mut socket in successors {
        let reply = socket.next_text().await;
        assert!(reply.contains(r#""id":77,"subscribe""#), "{reply}");
        socket.send_text(r#"{"id":78,"publish":{"s":"demo.x"}}"#).await;
        assert_eq!(socket.next_text().await, r#"{"id":78,"publish":{"ack":"edge"}}"#);
    }
    scene.innocent_is_fine("clients that left while they waited").await;
    scene.nothing_is_left().await;
}
