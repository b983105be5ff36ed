//! A WebSocket peer at byte level, for clients that break the rules.

use crate::within;
use serde_json::Value;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A socket on which a test writes any bytes and reads whole server frames.
pub struct RawSocket {
    stream: Box<dyn ByteStream>,
    /// Bytes of frames that are not yet taken.
    received: Vec<u8>,
    /// Items of a frame that are not yet taken.
    items: VecDeque<Value>,
}

/// TCP, or TLS over it.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// What the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
    /// The socket ended without a close frame.
    Ended,
}

impl RawSocket {
    /// A TCP connection, nothing sent.
    pub async fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// A connection that stands, nothing sent.
    pub fn over(stream: impl ByteStream + 'static) -> Self {
        Self { stream: Box::new(stream), received: Vec::new(), items: VecDeque::new() }
    }

    /// As [`RawSocket::tcp`], with the smallest receive buffer that the kernel gives: a peer that
    /// does not read blocks its sender soon.
    pub async fn narrow_tcp(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Upgraded, but not connected in the protocol's sense.
    pub async fn upgraded(address: SocketAddr) -> Self {
        let mut socket = Self::tcp(address).await;
        socket.upgrade().await;
        socket
    }

    /// Upgraded and connected.
    pub async fn connected(address: SocketAddr) -> Self {
        let mut socket = Self::upgraded(address).await;
        socket.identify(r#"{}"#).await;
        socket
    }

    /// Upgrades, which must succeed.
    pub async fn upgrade(&mut self) {
        let head = self.request_upgrade("Sec-WebSocket-Protocol: meridian.v1.json\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    }

    /// Sends `connect` as command 1 with this body, and returns the reply's.
    pub async fn identify(&mut self, body: &str) -> Value {
        self.send_text(&format!(r#"{{"id":1,"connect":{body}}}"#)).await;
        let reply = self.next_item().await;
        assert!(reply["connect"].is_object(), "{reply}");
        reply["connect"].clone()
    }

    /// Sends an upgrade request with more headers and returns the response's head.
    pub async fn request_upgrade(&mut self, headers: &str) -> String {
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             {headers}\r\n"
        );
        self.write(request.as_bytes()).await;
        self.read_head().await
    }

    /// Reads an HTTP head; what follows it stays for `next`.
    pub async fn read_head(&mut self) -> String {
        within("a response head", async {
            loop {
                let end = self.received.windows(4).position(|window| window == b"\r\n\r\n");
                if let Some(end) = end {
                    let rest = self.received.split_off(end + 4);
                    let head = std::mem::replace(&mut self.received, rest);
                    return String::from_utf8(head).unwrap();
                }
                if !self.fill().await {
                    return String::from_utf8_lossy(&self.received).into_owned();
                }
            }
        })
        .await
    }

    /// Writes any bytes. A peer that has closed already is not an error.
    pub async fn write(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Sends a well-formed masked text frame.
    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes()).await;
    }

    /// Sends a masked frame with this first byte (FIN, reserved bits, opcode).
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let frame = Self::frame(first, payload);
        self.write(&frame).await;
    }

    /// A masked frame with this first byte.
    pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            medium @ 126..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    /// The next server frame; the deadline bounds it.
    pub async fn next(&mut self) -> ServerFrame {
        within("a server frame", async {
            loop {
                if let Some(frame) = self.take_frame() {
                    return frame;
                }
                if !self.fill().await {
                    return ServerFrame::Ended;
                }
            }
        })
        .await
    }

    /// The next text frame; heartbeats are passed over.
    pub async fn next_text(&mut self) -> String {
        loop {
            match self.next().await {
                ServerFrame::Text(text) if text == "{}" => {}
                ServerFrame::Text(text) => return text,
                ServerFrame::Ping => {}
                other => panic!("not a text frame: {other:?}"),
            }
        }
    }

    /// The next item; heartbeats are passed over, and items that share a frame taken apart.
    pub async fn next_item(&mut self) -> Value {
        loop {
            if let Some(item) = self.items.pop_front() {
                return item;
            }
            let text = self.next_text().await;
            let lines = text.lines().filter(|line| !line.is_empty());
            self.items.extend(lines.map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
    }

    /// Reads until the server ends the stream, without a look at what comes; how many bytes.
    pub async fn drain_bytes(&mut self) -> usize {
        within("the end of the stream", async {
            while self.fill().await {}
            self.received.len()
        })
        .await
    }

    /// The code of the close frame that ends the connection; what comes before it is passed over.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                ServerFrame::Close(code, _) => return Some(code),
                ServerFrame::Ended => return None,
                _ => {}
            }
        }
    }

    /// Takes at most so many bytes and looks at none: a client that reads slowly. 0 at the end.
    pub async fn sip(&mut self, bytes_max: usize) -> usize {
        let mut taken = vec![0; bytes_max];
        self.stream.read(&mut taken).await.unwrap_or_default()
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk).await {
            Ok(count) if count > 0 => {
                self.received.extend_from_slice(&chunk[..count]);
                true
            }
            _ => false,
        }
    }

    fn take_frame(&mut self) -> Option<ServerFrame> {
        let (first, second) = (*self.received.first()?, *self.received.get(1)?);
        assert_eq!(second & 0x80, 0, "server frames are not masked");
        let (header, length) = match second {
            126 => (4, u16::from_be_bytes(self.received.get(2..4)?.try_into().unwrap()) as usize),
            127 => (10, u64::from_be_bytes(self.received.get(2..10)?.try_into().unwrap()) as usize),
            short => (2, short as usize),
        };
        let payload = self.received.get(header..header + length)?.to_vec();
        self.received.drain(..header + length);
        Some(match first {
            0x81 => ServerFrame::Text(String::from_utf8(payload).unwrap()),
            0x82 => ServerFrame::Binary(payload),
            0x89 => ServerFrame::Ping,
            0x8a => ServerFrame::Pong(payload),
            0x88 if payload.len() < 2 => ServerFrame::Close(1005, String::new()),
            0x88 => {
                let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
                ServerFrame::Close(u16::from_be_bytes([payload[0], payload[1]]), reason)
            }
            other => panic!("unexpected first byte {other:#x}"),
        })
    }
}
