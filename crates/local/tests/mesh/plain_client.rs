//! A NATS client by hand, so that these tests need none of the project's own.

use std::time::Duration;

use meridian_local::Region;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

/// One connection with text payloads.
pub(crate) struct PlainClient {
    stream: BufReader<TcpStream>,
}

impl PlainClient {
    /// Connects as the plain user of the region.
    pub(crate) async fn connect(region: &Region) -> Self {
        let url = region.nats_url();
        let (credentials, address) = url.strip_prefix("nats://").unwrap().split_once('@').unwrap();
        let (user, password) = credentials.split_once(':').unwrap();
        let stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut client = Self { stream };
        assert!(client.line().await.starts_with("INFO "));
        let options = format!(r#"{{"user":"{user}","pass":"{password}","verbose":false}}"#);
        client.send(&format!("CONNECT {options}\r\n")).await;
        assert_eq!(client.messages_until_pong().await, Vec::<String>::new());
        client
    }

    /// Subscribes, and has the local server's word that it knows.
    pub(crate) async fn subscribe(&mut self, subject: &str) {
        self.send(&format!("SUB {subject} 1\r\n")).await;
        assert_eq!(self.messages_until_pong().await, Vec::<String>::new());
    }

    /// Publishes without waiting.
    pub(crate) async fn publish(&mut self, subject: &str, payload: &str) {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())).await;
    }

    /// The payload of the next message.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            let line = self.line().await;
            if let Some(payload) = self.message(&line).await {
                return payload;
            }
        }
    }

    /// The payloads of everything that the local server had sent before it answered a PING.
    pub(crate) async fn messages_until_pong(&mut self) -> Vec<String> {
        self.send("PING\r\n").await;
        let mut payloads = Vec::new();
        loop {
            let line = self.line().await;
            if line == "PONG" {
                return payloads;
            }
            payloads.extend(self.message(&line).await);
        }
    }

    async fn message(&mut self, line: &str) -> Option<String> {
        if line == "PING" {
            self.send("PONG\r\n").await;
        }
        assert!(!line.starts_with("-ERR"), "{line}");
        let length: usize = line.strip_prefix("MSG ")?.rsplit(' ').next()?.parse().unwrap();
        let mut payload = vec![0; length + 2];
        self.stream.read_exact(&mut payload).await.unwrap();
        payload.truncate(length);
        Some(String::from_utf8(payload).unwrap())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        let length = timeout(DEADLINE, read).await.expect("a line in time").unwrap();
        assert!(length > 0, "the server closed the connection");
        line.trim_end().to_owned()
    }

    async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }
}
