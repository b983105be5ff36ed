//! From nothing to a subscribed socket: TCP, the HTTP upgrade, the dialect's opening, and the
//! server's proof.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Error;
use crate::dialect::{Dialect, Upgrade};
use crate::frame::FrameWalker;

/// One socket's handshake; generous, because thousands queue for one server at once.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// An HTTP head or an INFO line longer than this is not one we know.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Connects and subscribes. The walker stands where the stream stands.
pub(crate) async fn open<D: Dialect>(
    dialect: &D,
    subject: &str,
) -> Result<(TcpStream, FrameWalker), Error> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, open_inner(dialect, subject)).await {
        Ok(opened) => opened,
        Err(_) => Err(Error::TimedOut {
            what: "a socket's handshake",
            seconds: HANDSHAKE_TIMEOUT.as_secs(),
        }),
    }
}

async fn open_inner<D: Dialect>(
    dialect: &D,
    subject: &str,
) -> Result<(TcpStream, FrameWalker), Error> {
    let address = dialect.endpoint().authority.as_str();
    let connect = |source| Error::Connect { address: address.to_owned(), source };
    let mut stream = TcpStream::connect(dialect.endpoint().address).await.map_err(connect)?;
    stream.set_nodelay(true).map_err(connect)?;
    // A reset instead of TIME_WAIT: thousands of sockets a run would use up the local ports.
    stream.set_zero_linger().map_err(connect)?;
    let mut walker = FrameWalker::default();
    if dialect.upgrade() == Upgrade::None {
        return Ok((stream, walker));
    }
    let rest = upgrade(dialect, &mut stream).await?;
    stream.write_all(&dialect.opening(subject)).await.map_err(connect)?;

    let refused = |why: String| Error::Refused { address: address.to_owned(), why };
    let mut text = Vec::new();
    let mut received = rest;
    loop {
        let mut bytes = &received[..];
        while let Some(piece) = walker.next(&mut bytes).map_err(|e| refused(e.to_string()))? {
            text.extend_from_slice(piece.bytes);
        }
        if dialect.is_open(&text).map_err(refused)? {
            return Ok((stream, walker));
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(refused("no proof of the subscription in 64 KiB".into()));
        }
        received.clear();
        if stream.read_buf(&mut received).await.map_err(connect)? == 0 {
            let said = String::from_utf8_lossy(&text).into_owned();
            return Err(refused(format!("closed before the subscription stood; it said {said:?}")));
        }
    }
}

/// Sends the upgrade and reads the response's head; returns what came after it.
async fn upgrade<D: Dialect>(dialect: &D, stream: &mut TcpStream) -> Result<Vec<u8>, Error> {
    let address = dialect.endpoint().authority.as_str();
    let connect = |source| Error::Connect { address: address.to_owned(), source };
    let refused = |why: String| Error::Refused { address: address.to_owned(), why };
    let request = dialect.upgrade().request(dialect.endpoint());
    stream.write_all(request.as_bytes()).await.map_err(connect)?;
    let mut head = Vec::with_capacity(1024);
    loop {
        if let Some(at) = memchr::memmem::find(&head, b"\r\n\r\n") {
            let rest = head.split_off(at + 4);
            dialect.upgrade().check(&String::from_utf8_lossy(&head)).map_err(refused)?;
            return Ok(rest);
        }
        if head.len() > TEXT_BYTES_MAX || stream.read_buf(&mut head).await.map_err(connect)? == 0 {
            return Err(refused("no HTTP response".into()));
        }
    }
}
