//! The listener: takes sockets in, as many as there may be.

use super::handshake::Subprotocol;
use super::http::{self, HttpSocket, Transport};
use super::{Shard, reader};
use meridian_proto::CloseCode;
use meridian_telemetry::metrics::labels::Handshake;
use socket2::SockRef;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// What a client gets when the edge is full. Plain bytes, before any parsing.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// How long a refused client has to take its answer. Short, because it is one more socket.
const FULL_LINGER: Duration = Duration::from_millis(300);

/// How long a peer may leave bytes unacknowledged: some heartbeats go unanswered within it.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// How long to wait when the process has no descriptor left, so that the loop does not spin.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Accepts until the shard drains.
pub(super) async fn run(shard: Rc<Shard>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(&shard, stream),
            Err(error) => {
                warn!(shard = shard.index, %error, "cannot accept");
                sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

fn admit(shard: &Rc<Shard>, mut stream: TcpStream) {
    let connections = shard.connections.borrow().len();
    let handshakes = shard.handshakes.get();
    let is_full = connections + handshakes >= shard.limits.connections_max
        || handshakes >= shard.limits.handshakes_max;
    if is_full {
        debug!(shard = shard.index, connections, handshakes, "full");
        let is_crowded = handshakes >= shard.limits.handshakes_max;
        shard.meters.handshake(Handshake::Full);
        shard.meters.limit(if is_crowded { "handshakes" } else { "connections" });
        tokio::task::spawn_local(async move {
            // A failure means that the client is gone, which is all that was wanted.
            drop(timeout(FULL_LINGER, refuse(&mut stream)).await);
        });
        return;
    }
    // Frames leave when they are written; a failure here costs latency only.
    drop(stream.set_nodelay(true));
    drop(SockRef::from(&stream).set_keepalive(true));
    // A streamed response is told of a client that is gone by nothing else. A WebSocket asks.
    drop(SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)));
    tokio::task::spawn_local(greet(Rc::clone(shard), HttpSocket::new(shard), stream));
}

/// Says that the edge is full, and reads what the client sends until it closes: a socket that is
/// closed with its request unread is reset, and the answer is lost with it.
async fn refuse(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    let mut request = [0; 512];
    while stream.read(&mut request).await? > 0 {}
    Ok(())
}

/// From a socket to a connection. One deadline covers everything up to `connect`.
async fn greet(shard: Rc<Shard>, socket: Rc<HttpSocket>, stream: TcpStream) {
    let limit = Duration::from_millis(shard.limits.handshake_ms);
    let started = tokio::time::Instant::now();
    let Some(transport) = secure(&shard, stream).await else { return };
    let upgraded = http::serve(&shard, &socket, transport).await;
    drop(socket);
    let Some(upgraded) = upgraded else { return };
    upgraded.transport.forget_user_timeout();
    let connection = shard.insert(upgraded.transport.into(), upgraded.subprotocol.wire());
    let is_served = upgraded.subprotocol != Subprotocol::Unserved;
    shard.meters.handshake(if is_served { Handshake::Accepted } else { Handshake::Subprotocol });
    if !is_served {
        connection.close(&shard, CloseCode::Version);
    }
    let left = limit.saturating_sub(started.elapsed());
    shard.schedule_connect(&connection, left.as_secs().max(1));
    // A task of its own: this one carries the handshake's state for as long as it lives.
    tokio::task::spawn_local(reader::run(shard, connection, upgraded.ahead));
}

/// TLS first, where it is configured. None if the client cannot or is too slow.
async fn secure(shard: &Shard, stream: TcpStream) -> Option<Transport> {
    let Some(tls) = shard.tls.borrow().clone() else { return Some(Transport::Plain(stream)) };
    let limits = &shard.limits;
    let patience = Duration::from_millis(limits.header_read_ms.min(limits.handshake_ms));
    match timeout(patience, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => Some(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            debug!(shard = shard.index, %error, "TLS failed");
            shard.meters.handshake(Handshake::Tls);
            None
        }
        Err(_) => {
            shard.meters.handshake(Handshake::Slow);
            None
        }
    }
}
