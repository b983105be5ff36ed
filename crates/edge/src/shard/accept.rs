//! The listener: takes sockets in, as many as there may be.

use super::handshake::Subprotocol;
use super::http::{self, HttpSocket, Transport};
use super::refusal::refuse;
use super::shard_limits::{BURST_S, Source};
use super::{Shard, reader};
use crate::parties::NoSeat;
use meridian_core::address::client_key;
use meridian_core::proxy_header::{self, Step};
use meridian_core::{Limit, Pressure};
use meridian_proto::CloseCode;
use meridian_telemetry::metrics::labels::Handshake;
use socket2::SockRef;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// When a client that finds the edge full should come back, in s.
const AFTER_FULL_S: u64 = 4;

/// How long a peer may leave bytes unacknowledged: some heartbeats go unanswered within it.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// How long to wait when the process has no descriptor left, so that the loop does not spin.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Accepts until the shard drains.
pub(super) async fn run(shard: Rc<Shard>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(&shard, stream, peer.ip()),
            Err(error) => {
                warn!(shard = shard.index, %error, "cannot accept");
                sleep(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

/// Cheapest questions first: nothing is spent on a socket before all of them are answered.
fn admit(shard: &Rc<Shard>, stream: TcpStream, peer: IpAddr) {
    if let Err((limit, after_s)) = shard.admits() {
        return refuse(shard, stream, limit, after_s);
    }
    let source = shard.limits.addresses.source(peer);
    let seat = match source {
        Source::Client(client) => shard.parties.seat_address(client),
        Source::ProxyHeader | Source::Forwarded => Ok(None),
    };
    let seat = match seat {
        Ok(seat) => seat,
        Err(NoSeat { limit, after_s }) => return refuse(shard, stream, limit, after_s),
    };
    // Frames leave when they are written; a failure here costs latency only.
    drop(stream.set_nodelay(true));
    drop(SockRef::from(&stream).set_keepalive(true));
    // A streamed response is told of a client that is gone by nothing else. A WebSocket asks.
    drop(SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)));
    let socket = HttpSocket::new(shard, source, seat);
    tokio::task::spawn_local(greet(Rc::clone(shard), socket, stream));
}

/// From a socket to a connection. One deadline covers everything up to `connect`.
async fn greet(shard: Rc<Shard>, socket: Rc<HttpSocket>, stream: TcpStream) {
    let limit = Duration::from_millis(shard.limits.handshake_ms);
    let started = tokio::time::Instant::now();
    let Some(stream) = introduce(&shard, &socket, stream).await else { return };
    let Some(transport) = secure(&shard, stream).await else { return };
    let upgraded = http::serve(&shard, &socket, transport).await;
    let seat = socket.leave_seat();
    drop(socket);
    let Some(upgraded) = upgraded else { return };
    upgraded.transport.forget_user_timeout();
    let connection = shard.insert(upgraded.transport.into(), upgraded.subprotocol.wire());
    connection.sit(seat);
    let is_served = upgraded.subprotocol != Subprotocol::Unserved;
    let outcome = match (upgraded.is_foreign, is_served) {
        (true, _) => Handshake::Origin,
        (false, true) => Handshake::Accepted,
        (false, false) => Handshake::Subprotocol,
    };
    shard.meters.handshake(outcome);
    if upgraded.is_foreign {
        connection.close(&shard, CloseCode::Origin);
    } else if !is_served {
        connection.close(&shard, CloseCode::Version);
    }
    connection.token.set(upgraded.token.map(Into::into));
    let left = limit.saturating_sub(started.elapsed());
    shard.schedule_connect(&connection, left.as_secs().max(1));
    // A task of its own: this one carries the handshake's state for as long as it lives.
    tokio::task::spawn_local(reader::run(shard, connection, upgraded.ahead));
}

/// Hears a trusted proxy out about whose socket this is, where it is to say so. None if it cannot,
/// or if that client has its share.
async fn introduce(shard: &Rc<Shard>, socket: &HttpSocket, stream: TcpStream) -> Option<TcpStream> {
    if socket.source() != Source::ProxyHeader {
        return Some(stream);
    }
    let mut stream = stream;
    let patience = Duration::from_millis(shard.limits.header_read_ms);
    let Ok(client) = timeout(patience, proxy_header(&mut stream)).await else {
        shard.meters.handshake(Handshake::Slow);
        shard.counters.add_limit(Limit::HandshakeTime);
        return None;
    };
    match client {
        // The proxy speaks for itself.
        Ok(None) => Some(stream),
        Ok(Some(client)) => match shard.parties.seat_address(client_key(client)) {
            Ok(seat) => {
                socket.sit(client_key(client), seat);
                Some(stream)
            }
            Err(NoSeat { limit, after_s }) => {
                refuse(shard, stream, limit, after_s);
                None
            }
        },
        Err(error) => {
            warn!(shard = shard.index, %error, "a trusted proxy sends no PROXY header");
            None
        }
    }
}

/// Reads a PROXY header and nothing of what follows.
async fn proxy_header(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut header = Vec::new();
    loop {
        match proxy_header::step(&header) {
            Step::Need(more) => {
                let held = header.len();
                header.resize(held + more, 0);
                stream.read_exact(&mut header[held..]).await?;
            }
            Step::Client(client) => return Ok(client),
            Step::Malformed => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
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
            shard.counters.add_limit(Limit::HandshakeTime);
            None
        }
    }
}

impl Shard {
    /// Whether the shard has room and time for one more socket, or which limit it is that says no,
    /// and after how many seconds to come back.
    fn admits(&self) -> Result<(), (Limit, u64)> {
        let handshakes = self.handshakes.get();
        if self.connections.borrow().len() + handshakes >= self.limits.connections_max {
            return Err((Limit::Connections, AFTER_FULL_S));
        }
        if handshakes >= self.limits.handshakes_max {
            return Err((Limit::Handshakes, AFTER_FULL_S));
        }
        if self.memory.get().pressure() >= Pressure::Refuse {
            return Err((Limit::Memory, AFTER_FULL_S));
        }
        let (rate, now_ms) = (self.limits.handshakes_per_second, self.now_ms());
        let mut bucket = self.handshake_rate.get();
        let taken = bucket.take(rate, rate.saturating_mul(BURST_S), now_ms);
        self.handshake_rate.set(bucket);
        taken.map_err(|after_ms| (Limit::HandshakeRate, after_ms / 1_000))
    }
}
