//! One bounded HTTP GET in a private network: for nats-server's monitor and an edge's readiness.
//! Not a client for anything else: no TLS, no redirects, no chunked bodies.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;

/// A monitor on loopback answers in milliseconds; a paused process never does.
const TIMEOUT: Duration = Duration::from_secs(2);

/// `/gatewayz` of forty regions is some tens of kilobytes.
const RESPONSE_BYTES_MAX: u64 = 1 << 20;

/// What came back.
pub struct Response {
    /// HTTP's status.
    pub status: u16,
    /// At most 1 MiB.
    pub body: Vec<u8>,
}

/// Asks with HTTP/1.0, so that the end of the stream ends the body. 2 s at most.
///
/// # Errors
/// When nothing comes that is an HTTP answer.
pub async fn http_get(address: impl ToSocketAddrs + Display, path: &str) -> io::Result<Response> {
    timeout(TIMEOUT, exchange(address, path))
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 2 s")))
}

async fn exchange(address: impl ToSocketAddrs + Display, path: &str) -> io::Result<Response> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut answer).await?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let head_end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = str::from_utf8(&answer[..head_end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, body: answer[head_end + 4..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_found() {
        let response = parse(b"HTTP/1.0 503 Unavailable\r\nA: b\r\n\r\nnot yet").unwrap();
        assert_eq!((response.status, response.body.as_slice()), (503, b"not yet".as_slice()));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert!(parse(b"INFO {}\r\n\r\n").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
