//! A NATS publisher at byte level, for subjects that no client library lets through.

use crate::within;
use meridian_local::APP_USER;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One connection of the plain user. Owned by its test.
pub struct RawNats {
    stream: BufReader<TcpStream>,
}

impl RawNats {
    /// Connects to a region's server.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, APP_USER).await
    }

    /// Connects as a user, with a password.
    pub async fn connect_as(address: SocketAddr, (user, password): (&str, &str)) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream: BufReader::new(stream) };
        assert!(client.line().await.starts_with("INFO "));
        let options = format!(r#"{{"user":"{user}","pass":"{password}","verbose":false}}"#);
        client.send(format!("CONNECT {options}\r\n").as_bytes()).await;
        client.round_trip().await;
        client
    }

    /// Publishes without waiting. A subject holds any bytes but white space.
    pub async fn publish(&mut self, subject: &[u8], payload: &[u8]) {
        let mut bytes = b"PUB ".to_vec();
        bytes.extend_from_slice(subject);
        bytes.extend_from_slice(format!(" {}\r\n", payload.len()).as_bytes());
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes).await;
    }

    /// Waits until the server has processed everything, and panics if it refused something.
    pub async fn round_trip(&mut self) {
        self.send(b"PING\r\n").await;
        loop {
            match self.line().await.as_str() {
                "PONG" => return,
                "PING" => self.send(b"PONG\r\n").await,
                other => assert!(other.starts_with("INFO "), "{other}"),
            }
        }
    }

    /// Sends one operation and waits until the server has processed it: what it said against it.
    pub async fn refusal(&mut self, operation: &str) -> Option<String> {
        self.send(format!("{operation}\r\nPING\r\n").as_bytes()).await;
        let mut refusal = None;
        loop {
            match self.line().await.as_str() {
                "PONG" => return refusal,
                "PING" => self.send(b"PONG\r\n").await,
                error if error.starts_with("-ERR ") => refusal = Some(error.to_owned()),
                // Messages of what it is subscribed to, and news of the cluster.
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let length = within("a line of NATS", self.stream.read_line(&mut line)).await.unwrap();
        assert!(length > 0, "the server closed the connection");
        line.trim_end().to_owned()
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }
}
