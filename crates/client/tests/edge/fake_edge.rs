//! The other end of a client under test: one WebSocket at byte level, scripted by the test. A test
//! seam only; how a real edge answers is tested against a real edge.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meridian_client::{Client, Options};
use meridian_proto::frame;
use serde_json::Value;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The reply to a first command `connect`.
pub(crate) const CONNECTED: &str = concat!(
    r#"{"id":1,"connect":{"cid":"c1","node":"eu-1","region":"eu","ver":"0.1.0","ping":25,"#,
    r#""limits":{"frame":65536,"subs":128,"cmds":64}}}"#
);

/// Listens on a free port.
pub(crate) struct Listening(TcpListener);

/// One accepted connection.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    lines: std::collections::VecDeque<Value>,
}

/// One frame of the client.
pub(crate) struct ClientFrame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Listening {
    pub(crate) async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        (Self(listener), url)
    }

    /// Accepts and reads the head of the HTTP request.
    pub(crate) async fn accept(&self) -> (Accepted, String) {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let accepted = Accepted { stream, lines: std::collections::VecDeque::new() };
        (accepted, String::from_utf8(head).unwrap())
    }

    /// Accepts and upgrades. `first` are bytes sent in one write with the HTTP answer.
    pub(crate) async fn upgrade(&self, first: &[u8]) -> Accepted {
        let (mut accepted, head) = self.accept().await;
        let key = key(&head);
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("get /v1/ws http/1.1\r\n"), "{head}");
        assert!(head.contains("sec-websocket-protocol: meridian.v1.json\r\n"), "{head}");
        let mut answer = switching(&key).into_bytes();
        answer.extend_from_slice(first);
        accepted.stream.write_all(&answer).await.unwrap();
        accepted
    }
}

/// A client and the edge that it is connected to.
pub(crate) async fn connected(options: Options) -> (Client, Accepted) {
    let (listening, url) = Listening::start().await;
    let edge = async {
        let mut edge = listening.upgrade(b"").await;
        assert_eq!(edge.line().await["id"], 1);
        edge.send(CONNECTED).await;
        edge
    };
    let (client, edge) = tokio::join!(Client::connect(&url, options), edge);
    (client.unwrap(), edge)
}

fn key(head: &str) -> String {
    let is_key = |line: &&str| line.to_ascii_lowercase().starts_with("sec-websocket-key: ");
    head.lines().find(is_key).and_then(|line| line.split(": ").nth(1)).unwrap().to_owned()
}

fn switching(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: meridian.v1.json\r\n\r\n",
        STANDARD.encode(digest)
    )
}

impl Accepted {
    /// The next frame, which must be masked (RFC 6455 section 5.3).
    pub(crate) async fn frame(&mut self) -> ClientFrame {
        let [first, second] = [self.byte().await, self.byte().await];
        assert_eq!(first & 0x80, 0x80, "the client does not fragment");
        assert_eq!(second & 0x80, 0x80, "client frames are masked");
        let length = match second & 0x7f {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            127 => usize::try_from(self.stream.read_u64().await.unwrap()).unwrap(),
            short => usize::from(short),
        };
        let mask = self.stream.read_u32().await.unwrap().to_be_bytes();
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.unwrap();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        ClientFrame { opcode: first & 0x0f, payload }
    }

    /// The next command.
    pub(crate) async fn line(&mut self) -> Value {
        while self.lines.is_empty() {
            let frame = self.frame().await;
            assert_eq!(frame.opcode, 1, "expected a text frame");
            let text = String::from_utf8(frame.payload).unwrap();
            self.lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
        }
        self.lines.pop_front().unwrap()
    }

    pub(crate) async fn send(&mut self, text: &str) {
        let mut out = Vec::new();
        frame::text(&mut out, |out| out.extend_from_slice(text.as_bytes()));
        self.stream.write_all(&out).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Answers the next command, which must be a subscribe, with subscription id 7.
    pub(crate) async fn accept_subscribe(&mut self) -> Value {
        let command = self.line().await;
        assert!(command["subscribe"]["f"].is_string(), "{command}");
        let id = &command["id"];
        self.send(&format!(r#"{{"id":{id},"subscribe":{{"i":7,"recoverable":false}}}}"#)).await;
        command
    }

    async fn byte(&mut self) -> u8 {
        self.stream.read_u8().await.unwrap()
    }
}
