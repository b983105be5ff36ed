//! A client of `POST /v1/stream` that is curl.

use meridian_testkit::LineStream;
use serde_json::Value;
use std::net::SocketAddr;

/// The first command, as a client without wishes sends it.
pub(crate) const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

/// An open stream. Ends with its test.
pub(crate) struct Stream {
    pub(crate) lines: LineStream,
    /// What `POST /v1/cmd` calls it by.
    pub(crate) session: String,
}

impl Stream {
    /// Opens a stream, connects it, and sends more commands along.
    pub(crate) async fn open(address: SocketAddr, commands: &str) -> Self {
        let mut stream = Self::with(address, &format!("{CONNECT}\n{commands}"), &[]).await;
        let reply = stream.next_item().await;
        assert!(reply["connect"].is_object(), "{reply}");
        stream
    }

    /// Opens a stream with any body and options of curl.
    pub(crate) async fn with(address: SocketAddr, body: &str, options: &[&str]) -> Self {
        let url = format!("http://{address}/v1/stream");
        let mut lines = LineStream::start(&[options, &["-d", body, &url]].concat());
        let first = lines.next().await.expect("a session");
        let first: Value = serde_json::from_str(&first).unwrap_or_else(|_| panic!("{first}"));
        let session = first["session"]["id"].as_str().expect("its id").to_owned();
        Self { lines, session }
    }

    /// The next item; heartbeats are passed over.
    pub(crate) async fn next_item(&mut self) -> Value {
        let line = self.lines.next_that(|line| line != "{}").await;
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }
}
