//! Claims about a link proxy between two sockets of the test's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use meridian_local::{DELAY_MS_MAX, Link, LinkHandle, PortBlock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(20);

/// A link from a port of `_block` to `target`.
struct Line {
    link: Link,
    listen: SocketAddr,
    target: TcpListener,
    _block: PortBlock,
}

async fn line(one_way_delay_ms: u64) -> Line {
    let block = PortBlock::claim().unwrap();
    let mut ports = block.ports();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.next().unwrap()));
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.next().unwrap())).await.unwrap();
    let link = Link::start(listen, target.local_addr().unwrap(), one_way_delay_ms).unwrap();
    Line { link, listen, target, _block: block }
}

impl Line {
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.listen).await.unwrap();
        let (server, _) = timeout(DEADLINE, self.target.accept()).await.unwrap().unwrap();
        (client, server)
    }

    fn handle(&self) -> LinkHandle {
        self.link.handle()
    }
}

async fn read_exact(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(DEADLINE, stream.read_exact(&mut bytes)).await.expect("bytes in time").unwrap();
    bytes
}

/// Waits until the stream ends, orderly or not.
async fn ended(stream: &mut TcpStream) {
    let mut byte = [0];
    let read = timeout(DEADLINE, stream.read(&mut byte)).await.expect("an end in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

/// Bytes that differ at each place, so that a swap or a loss shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn delay_is_added_each_way() {
    let line = line(40).await;
    let (mut client, mut server) = line.connect().await;
    let start = Instant::now();
    client.write_all(b"ping").await.unwrap();
    assert_eq!(read_exact(&mut server, 4).await, b"ping");
    assert!(start.elapsed() >= Duration::from_millis(40));
    server.write_all(b"pong").await.unwrap();
    assert_eq!(read_exact(&mut client, 4).await, b"pong");
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn order_and_content_survive_ten_megabytes_and_a_changing_delay() {
    const LENGTH: usize = 10 << 20;
    let line = line(20).await;
    let (mut client, mut server) = line.connect().await;
    let sent = pattern(LENGTH);
    let expected = sent.clone();
    let handle = line.handle();
    let writer = tokio::spawn(async move {
        for (index, part) in sent.chunks(LENGTH / 7).enumerate() {
            // A smaller delay must not let later bytes overtake earlier ones.
            handle.set_delay_ms(20 - 3 * (index as u64 % 7)).unwrap();
            client.write_all(part).await.unwrap();
        }
        client
    });
    assert!(read_exact(&mut server, LENGTH).await == expected);
    drop(writer.await.unwrap());
    ended(&mut server).await;
}

#[tokio::test]
async fn cut_stops_bytes_and_heal_delivers_them_all() {
    let line = line(0).await;
    let (mut client, mut server) = line.connect().await;
    client.write_all(b"before").await.unwrap();
    assert_eq!(read_exact(&mut server, 6).await, b"before");

    line.handle().cut();
    client.write_all(b"during").await.unwrap();
    server.write_all(b"during").await.unwrap();
    // The proof needs some time to pass; a slow machine can only make it weaker, never fail it.
    for stream in [&mut client, &mut server] {
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(300), stream.read(&mut byte)).await.is_err());
    }

    line.handle().heal();
    assert_eq!(read_exact(&mut server, 6).await, b"during");
    assert_eq!(read_exact(&mut client, 6).await, b"during");
}

#[tokio::test]
async fn bytes_on_the_way_do_not_arrive_during_a_cut() {
    const DELAY: Duration = Duration::from_millis(100);
    let line = line(DELAY.as_millis() as u64).await;
    let (mut client, mut server) = line.connect().await;
    loop {
        let start = Instant::now();
        client.write_all(b"late").await.unwrap();
        // Time for the link to take them.
        sleep(DELAY / 4).await;
        line.handle().cut();
        let on_the_way = start.elapsed() < DELAY;
        let mut byte = [0];
        let arrived = timeout(3 * DELAY, server.peek(&mut byte)).await;
        line.handle().heal();
        assert_eq!(read_exact(&mut server, 4).await, b"late");
        // A machine that was too slow for the cut to come first has to try again.
        if on_the_way {
            assert!(arrived.is_err());
            return;
        }
    }
}

#[tokio::test]
async fn connection_made_during_a_cut_is_held_until_heal() {
    let line = line(0).await;
    line.handle().cut();
    let mut client = TcpStream::connect(line.listen).await.unwrap();
    client.write_all(b"early").await.unwrap();
    assert!(timeout(Duration::from_millis(300), line.target.accept()).await.is_err());
    line.handle().heal();
    let (mut server, _) = timeout(DEADLINE, line.target.accept()).await.unwrap().unwrap();
    assert_eq!(read_exact(&mut server, 5).await, b"early");
}

#[tokio::test]
async fn sender_is_slowed_down_when_the_receiver_does_not_read() {
    const PLENTY: usize = 256 << 20;
    let line = line(0).await;
    let (mut client, _server) = line.connect().await;
    let part = vec![0; 1 << 20];
    let mut written = 0;
    // Sockets and the link's queue are bounded, so a write must block long before this sum.
    while let Ok(result) = timeout(Duration::from_secs(1), client.write(&part)).await {
        written += result.unwrap();
        assert!(written < PLENTY, "{written} bytes were taken and nobody read one");
    }
}

#[tokio::test]
async fn severed_link_resets_and_refuses_until_healed() {
    let line = line(0).await;
    let (mut client, mut server) = line.connect().await;
    line.handle().sever();
    ended(&mut client).await;
    ended(&mut server).await;
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(line.listen).await.is_ok() {
        assert!(Instant::now() < deadline, "a severed link still accepts");
        sleep(Duration::from_millis(5)).await;
    }
    line.handle().heal();
    let mut client = loop {
        match TcpStream::connect(line.listen).await {
            Ok(client) => break client,
            Err(error) => assert!(Instant::now() < deadline, "no way in after heal: {error}"),
        }
        sleep(Duration::from_millis(5)).await;
    };
    let (mut server, _) = timeout(DEADLINE, line.target.accept()).await.unwrap().unwrap();
    client.write_all(b"again").await.unwrap();
    assert_eq!(read_exact(&mut server, 5).await, b"again");
}

#[tokio::test]
async fn end_of_one_direction_is_passed_on_and_the_other_still_works() {
    let line = line(5).await;
    let (mut client, mut server) = line.connect().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_exact(&mut server, 8).await, b"question");
    ended(&mut server).await;
    server.write_all(b"answer").await.unwrap();
    assert_eq!(read_exact(&mut client, 6).await, b"answer");
}

#[tokio::test]
async fn dropped_link_closes_its_connections() {
    let line = line(0).await;
    let (mut client, mut server) = line.connect().await;
    let handle = line.handle();
    drop(line.link);
    ended(&mut client).await;
    ended(&mut server).await;
    handle.heal();
}

#[tokio::test]
async fn delay_has_a_limit() {
    let line = line(DELAY_MS_MAX).await;
    assert!(line.handle().set_delay_ms(DELAY_MS_MAX).is_ok());
    assert!(line.handle().set_delay_ms(DELAY_MS_MAX + 1).is_err());
}
