//! A NATS client of a dozen lines, as far from the edge's own as can be: what any service speaks.

use meridian_local::APP_USER;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct PlainNats(BufReader<TcpStream>);

impl PlainNats {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut nats = Self(BufReader::new(stream));
        assert!(nats.line().await.starts_with("INFO "));
        let (user, password) = APP_USER;
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
        );
        nats.send(&connect).await;
        nats.round_trip().await;
        nats
    }

    /// Subscribes, and waits until the server has the interest.
    pub(crate) async fn subscribe(&mut self, subject: &str) {
        self.send(&format!("SUB {subject} 1\r\n")).await;
        self.round_trip().await;
    }

    pub(crate) async fn publish(&mut self, subject: &str, payload: &str) {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())).await;
    }

    /// Answers the next request.
    pub(crate) async fn answer_one(&mut self, payload: &str) {
        let reply = loop {
            let line = self.line().await;
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields.as_slice() {
                ["MSG", _, _, reply, length] => {
                    self.skip(length).await;
                    break (*reply).to_owned();
                }
                ["HMSG", _, _, reply, _, length] => {
                    self.skip(length).await;
                    break (*reply).to_owned();
                }
                ["PING"] => self.send("PONG\r\n").await,
                _ => panic!("unexpected: {line}"),
            }
        };
        self.publish(&reply, payload).await;
    }

    async fn round_trip(&mut self) {
        self.send("PING\r\n").await;
        while self.line().await != "PONG" {}
    }

    async fn skip(&mut self, length: &str) {
        let mut body = vec![0; length.parse::<usize>().unwrap() + 2];
        self.0.read_exact(&mut body).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).await.unwrap() > 0, "nats-server hung up");
        line.trim_end().to_owned()
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }
}
