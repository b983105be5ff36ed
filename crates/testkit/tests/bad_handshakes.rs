//! Handshakes that are malformed, oversized, slow or never end: refused or cut, and good clients
//! still get in.

#![allow(clippy::unwrap_used)]

mod hostile;
#[path = "hostile/request.rs"]
mod request;

use hostile::Scene;
use meridian_edge::Config;
use meridian_testkit::{RawSocket, ServerFrame, eventually, within};
use request::upgrade_request;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// RFC 6455 section 1.3: the answer to the key of `upgrade_request`.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Sends a request and reads until the edge ends the socket.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The edge may refuse before it has read everything.
    drop(stream.write_all(request).await);
    read_to_end(&mut stream).await
}

/// What comes until the end of the socket; a reset is an end too.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = within("the end of the socket", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

/// Requests that are no upgrade, and the status that they get.
fn refused() -> Vec<(&'static str, String, &'static str)> {
    let good = upgrade_request("");
    let without = |name: &str| -> String {
        good.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect()
    };
    let with_key = |key: &str| good.replace("dGhlIHNhbXBsZSBub25jZQ==", key);
    let with_version = |version: &str| good.replace("Version: 13", &format!("Version: {version}"));
    vec![
        ("no Upgrade", without("Upgrade"), "426"),
        ("no Connection", without("Connection"), "426"),
        ("no upgrade headers at all", "GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n".into(), "426"),
        ("another upgrade", good.replace("Upgrade: websocket", "Upgrade: h2c"), "426"),
        ("keep-alive", good.replace("Connection: Upgrade", "Connection: keep-alive"), "426"),
        ("no version", without("Sec-WebSocket-Version"), "426"),
        ("version 8", with_version("8"), "426"),
        ("version 0", with_version("0"), "426"),
        ("version 14", with_version("14"), "426"),
        ("version 013", with_version("013"), "426"),
        ("version with more behind", with_version("13, 8"), "426"),
        ("no key", without("Sec-WebSocket-Key"), "400"),
        ("an empty key", with_key(""), "400"),
        ("a key of 15 bytes", with_key("AAAAAAAAAAAAAAAAAAAA"), "400"),
        ("a key of 17 bytes", with_key("AAAAAAAAAAAAAAAAAAAAAAA="), "400"),
        ("a key without padding", with_key("AAAAAAAAAAAAAAAAAAAAAA"), "400"),
        ("a key that is no base64", with_key("!!!!!!!!!!!!!!!!!!!!!!=="), "400"),
        ("two keys", upgrade_request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), "400"),
        ("two versions", upgrade_request("Sec-WebSocket-Version: 8\r\n"), "400"),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), "505"),
        ("POST", good.replace("GET", "POST"), "405"),
        ("HEAD", good.replace("GET", "HEAD"), "405"),
        ("OPTIONS", good.replace("GET", "OPTIONS"), "405"),
        ("another path", good.replace("/v1/ws", "/v1/wss"), "404"),
        ("a path behind it", good.replace("/v1/ws", "/v1/ws/x"), "404"),
        ("a path out of it", good.replace("/v1/ws", "/v1/../v1/ws"), "404"),
        ("an operator's path", good.replace("/v1/ws", "/stats"), "404"),
        ("POST elsewhere", good.replace("GET /v1/ws", "POST /x"), "405"),
        ("not HTTP", "hello\r\n\r\n".into(), "400"),
        ("a TLS greeting", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n".into(), "400"),
        ("HTTP/9", good.replace("HTTP/1.1", "HTTP/9.9"), "400"),
        ("a header without a name", upgrade_request(": x\r\n"), "400"),
        ("a header with a space", upgrade_request("x y: z\r\n"), "400"),
        ("a folded header", upgrade_request("x: y\r\n z\r\n"), "400"),
        ("a NUL in a header", upgrade_request("x: a\u{0}b\r\n"), "400"),
        ("two lengths", upgrade_request("Content-Length: 1\r\nContent-Length: 2\r\n"), "400"),
        ("65 headers", upgrade_request(&"x: y\r\n".repeat(60)), "431"),
        ("a head of over 8 KiB", upgrade_request(&format!("x: {}\r\n", "y".repeat(8_192))), "431"),
        ("a path of over 8 KiB", good.replace("/v1/ws", &"/x".repeat(5_000)), "431"),
        ("an endless head", format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(100_000)), "431"),
    ]
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused() {
    let mut scene = Scene::start(|_| {}).await;
    for (name, request, expected) in refused() {
        let answer = exchange(scene.public(), request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{name}: {answer}");
        if expected == "426" {
            assert!(answer.to_lowercase().contains("sec-websocket-version: 13\r\n"), "{answer}");
        }
        scene.innocent_is_fine(name).await;
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn unusual_but_good_upgrades_are_accepted() {
    let mut scene = Scene::start(|_| {}).await;
    let good = upgrade_request("");
    for (name, request) in [
        ("plain", good.clone()),
        ("lower case", good.replace("Upgrade: websocket", "upgrade: WebSocket")),
        ("a list", good.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade")),
        ("a query", good.replace("/v1/ws", "/v1/ws?a=b")),
        ("64 headers", upgrade_request(&"x: y\r\n".repeat(59))),
        ("nearly 8 KiB", upgrade_request(&format!("x: {}\r\n", "y".repeat(7_500)))),
    ] {
        let mut socket = RawSocket::tcp(scene.public()).await;
        socket.write(request.as_bytes()).await;
        let head = socket.read_head().await;
        assert_eq!(status(&head), "101", "{name}: {head}");
        assert!(head.contains(ACCEPT), "{name}: {head}");
        socket.send_text(r#"{"id":1,"connect":{}}"#).await;
        assert!(socket.next_text().await.contains(r#""connect""#), "{name}");
        scene.innocent_is_fine(name).await;
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn subprotocols_and_extensions_are_negotiated_as_documented() {
    let mut scene = Scene::start(|_| {}).await;
    let field = "sec-websocket-protocol";
    for (offers, is_served) in [
        ("Sec-WebSocket-Protocol: meridian.v1.json\r\n", true),
        ("Sec-WebSocket-Protocol: mqtt, meridian.v1.json, x\r\n", true),
        ("Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: meridian.v1.json\r\n", true),
        ("Sec-WebSocket-Protocol: meridian.v1.pb2\r\n", false),
        ("Sec-WebSocket-Protocol: meridian.v2.json, mqtt\r\n", false),
        ("Sec-WebSocket-Protocol: meridian.v1.json2\r\n", false),
        ("Sec-WebSocket-Protocol: \r\n", false),
    ] {
        let mut socket = RawSocket::tcp(scene.public()).await;
        // A command that comes along must not be carried out when the subprotocol is not served.
        let connect = RawSocket::frame(0x81, br#"{"id":1,"connect":{}}"#);
        socket.write(&[upgrade_request(offers).as_bytes(), &connect].concat()).await;
        let head = socket.read_head().await.to_lowercase();
        assert_eq!(status(&head), "101", "{offers}: {head}");
        let echoed = format!("{field}: meridian.v1.json\r\n");
        assert_eq!(head.contains(&echoed), is_served, "{offers}: {head}");
        assert_eq!(head.matches(field).count(), usize::from(is_served), "{offers}: {head}");
        match socket.next().await {
            ServerFrame::Text(_) => assert!(is_served, "{offers}"),
            ServerFrame::Close(code, _) => assert_eq!((code, is_served), (3505, false), "{offers}"),
            other => panic!("{offers}: {other:?}"),
        }
        scene.innocent_is_fine(offers).await;
    }

    let mut socket = RawSocket::tcp(scene.public()).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let head = socket.request_upgrade(offer).await.to_lowercase();
    assert_eq!(status(&head), "101", "{head}");
    assert!(!head.contains("extensions") && !head.contains("deflate"), "{head}");
    // A compressed frame, as if it had been agreed on.
    socket.send_frame(0xc1, &[0xaa, 0x56, 0xca]).await;
    assert_eq!(socket.close_code().await, Some(1002), "compressed frame");
    drop(socket);
    scene.innocent_is_fine("compression").await;
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn frames_in_the_same_write_as_the_upgrade_are_served() {
    let mut scene = Scene::start(|_| {}).await;
    let connect = RawSocket::frame(0x81, br#"{"id":1,"connect":{}}"#);
    let publish = |id: u32, length: usize| {
        let command = format!(r#"{{"id":{id},"publish":{{"s":"demo.early"}}}}"#);
        RawSocket::frame(0x81, format!("{command}{}", " ".repeat(length)).as_bytes())
    };
    let request = upgrade_request("").into_bytes();
    for length in [0, 7_000, 9_000, 60_000] {
        let mut socket = RawSocket::tcp(scene.public()).await;
        let frames = [connect.clone(), publish(2, length), publish(3, 0)].concat();
        socket.write(&[request.clone(), frames].concat()).await;
        assert_eq!(status(&socket.read_head().await), "101");
        assert!(socket.next_text().await.contains(r#""connect""#), "{length}");
        assert!(socket.next_text().await.contains(r#""id":2,"publish""#), "{length}");
        assert!(socket.next_text().await.contains(r#""id":3,"publish""#), "{length}");
        scene.innocent_is_fine("early frames").await;
    }
    // A violation right behind the request, and one behind a good frame.
    for frames in [vec![0x81, 2, b'{', b'}'], [connect, vec![0xf1]].concat()] {
        let mut socket = RawSocket::tcp(scene.public()).await;
        socket.write(&[request.clone(), frames].concat()).await;
        assert_eq!(status(&socket.read_head().await), "101");
        assert_eq!(socket.close_code().await, Some(1002));
        scene.innocent_is_fine("early violation").await;
    }
    scene.nothing_is_left().await;
}

fn only_the_head_is_timed(config: &mut Config) {
    config.limits.header_read_ms = 1_000;
    config.limits.handshake_ms = 120_000;
}

fn only_the_handshake_is_timed(config: &mut Config) {
    config.limits.header_read_ms = 60_000;
    config.limits.handshake_ms = 2_000;
}

#[tokio::test]
async fn slow_heads_are_cut_and_good_clients_get_in_meanwhile() {
    let mut scene = Scene::start(only_the_head_is_timed).await;
    let request = upgrade_request("");
    let mut half_open = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(scene.public()).await.unwrap();
        stream.write_all(&request.as_bytes()[..40]).await.unwrap();
        half_open.push(stream);
    }
    for _ in 0..20 {
        let mut socket = RawSocket::connected(scene.public()).await;
        socket.send_text(r#"{"id":2,"publish":{"s":"demo.x"}}"#).await;
        assert!(socket.next_text().await.contains("ack"));
    }
    scene.innocent_is_fine("100 half-open sockets").await;
    for mut stream in half_open {
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.contains("101"), "{answer}");
    }

    // One byte now and then; the whole head would take longer than the test's deadline.
    let stream = TcpStream::connect(scene.public()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let dribble = async {
        for byte in request.bytes() {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        _ = within("a slow head is cut", read.read_to_end(&mut answer)) => {}
        () = dribble => {}
    }
    assert!(!String::from_utf8_lossy(&answer).contains("101"));
    scene.innocent_is_fine("a slow head").await;
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn sockets_that_never_connect_are_closed() {
    let mut scene = Scene::start(only_the_handshake_is_timed).await;
    let mut silent = TcpStream::connect(scene.public()).await.unwrap();
    let mut upgraded = RawSocket::upgraded(scene.public()).await;
    let mut heartbeats = RawSocket::upgraded(scene.public()).await;
    let beats = async {
        loop {
            heartbeats.send_text("{}").await;
            heartbeats.send_frame(0x89, b"").await;
            match heartbeats.next().await {
                ServerFrame::Pong(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                other => return other,
            }
        }
    };
    let (answer, code, beats) = tokio::join!(
        read_to_end(&mut silent),
        upgraded.close_code(),
        within("a client that only says it is there is closed", beats)
    );
    assert_eq!(answer, "", "a socket that sends nothing gets nothing");
    assert_eq!(code, Some(3004), "upgraded and silent");
    assert!(matches!(beats, ServerFrame::Close(3004, _)), "{beats:?}");
    drop((upgraded, heartbeats));
    scene.innocent_is_fine("sockets that never connect").await;
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn handshakes_over_the_limit_are_refused_and_the_limit_recovers() {
    let mut scene = Scene::start(|config| {
        config.limits.handshakes_max = 10;
        config.limits.header_read_ms = 60_000;
    })
    .await;
    let mut half_open = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(scene.public()).await.unwrap();
        stream.write_all(b"GET /v1/ws").await.unwrap();
        half_open.push(stream);
    }
    let refused = exchange(scene.public(), b"").await;
    assert_eq!(status(&refused), "503", "{refused}");
    assert!(refused.contains("Retry-After"), "{refused}");
    scene.innocent_is_fine("too many handshakes").await;
    drop(half_open);
    eventually("there is room again", async || {
        let mut socket = RawSocket::tcp(scene.public()).await;
        status(&socket.request_upgrade("").await) == "101"
    })
    .await;
    scene.innocent_is_fine("room again").await;
    scene.nothing_is_left().await;
}
