//! The page's orders to `meridian dev`, sent by a test. For `dev_mesh.rs` only.

use serde_json::Value;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Where the page's orders go, as an edge's file says.
pub(crate) struct Orders {
    address: String,
    token: String,
}

impl Orders {
    pub(crate) fn of(file: &Path) -> Self {
        let file = std::fs::read_to_string(file).unwrap();
        let file: toml::Value = toml::from_str(&file).unwrap();
        let text = |key: &str| file["demo"][key].as_str().unwrap().to_owned();
        let address = text("control").strip_prefix("http://").unwrap().to_owned();
        Self { address, token: text("control_token") }
    }

    /// The status, and what the answer says.
    pub(crate) async fn send(&self, method: &str, path: &str, origin: &str) -> (u16, Value) {
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nOrigin: {origin}\r\n\
             Authorization: Bearer {}\r\n\r\n",
            self.address, self.token
        );
        let exchange = async {
            let mut stream = tokio::net::TcpStream::connect(&self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(super::DEADLINE, exchange).await.expect("an answer in time");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}
