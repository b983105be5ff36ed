//! One socket that speaks HTTP: what it counts as, and how long it may do nothing.

use crate::parties::{NoSeat, Seat};
use crate::shard::Shard;
use crate::shard::shard_limits::Source;
use hyper::header::HeaderMap;
use meridian_core::Limit;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// Bodies of one socket that are read at once: each may hold a whole message. Others wait, and what
/// HTTP/2 has read of them is bounded by the socket's window.
const BODIES_MAX: usize = 4;

/// Owned by the task that serves the socket; its requests hold it too. Counts as a handshake until
/// it is dropped, on every path, except while it carries streams: these count as connections.
pub(crate) struct HttpSocket {
    shard: Rc<Shard>,
    /// Whose it is, as far as that is known.
    source: Cell<Source>,
    /// Its place among the sockets of its client's address.
    seat: RefCell<Option<Seat>>,
    /// Requests that are being answered.
    requests: Cell<u32>,
    /// Those of them that are streams.
    streams: Cell<u32>,
    /// Whether there was any.
    has_served: Cell<bool>,
    /// Since when there are none.
    quiet_since: Cell<Instant>,
    /// For requests that read a body.
    pub(super) bodies: Semaphore,
}

/// Whether a request asks for a stream beside the socket that it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IsStream {
    Yes,
    No,
}

/// A request that is being answered. The socket counts it until it is dropped.
pub(super) struct Busy(Rc<HttpSocket>);

/// A streamed response. The socket counts it until it is dropped.
pub(crate) struct Streaming(Busy);

impl HttpSocket {
    /// A socket that was just accepted.
    pub(crate) fn new(shard: &Rc<Shard>, source: Source, seat: Option<Seat>) -> Rc<Self> {
        shard.handshakes.set(shard.handshakes.get() + 1);
        Rc::new(Self {
            shard: Rc::clone(shard),
            source: Cell::new(source),
            seat: RefCell::new(seat),
            requests: Cell::new(0),
            streams: Cell::new(0),
            has_served: Cell::new(false),
            quiet_since: Cell::new(Instant::now()),
            bodies: Semaphore::new(BODIES_MAX),
        })
    }

    /// Whose it is, as far as that is known.
    pub(crate) fn source(&self) -> Source {
        self.source.get()
    }

    /// Its client has become known.
    pub(crate) fn sit(&self, client: IpAddr, seat: Option<Seat>) {
        self.source.set(Source::Client(client));
        *self.seat.borrow_mut() = seat;
    }

    /// Hands its place on, to the connection that it becomes.
    pub(crate) fn leave_seat(&self) -> Option<Seat> {
        self.seat.borrow_mut().take()
    }

    /// A place for what a request begins: an upgrade, or a stream beside the socket. Only a proxy
    /// that says of each request whose it is gives an upgrade a place of its own.
    pub(super) fn seat_request(
        &self,
        headers: &HeaderMap,
        is_stream: IsStream,
    ) -> Result<Option<Seat>, NoSeat> {
        let client = match self.source.get() {
            Source::Forwarded => {
                let values = headers.get_all("x-forwarded-for").iter();
                // What is no text is no address.
                let values = values.map(|value| value.to_str().unwrap_or("?"));
                self.shard.limits.addresses.forwarded(values)
            }
            Source::Client(client) if is_stream == IsStream::Yes => Some(client),
            Source::Client(_) | Source::ProxyHeader => None,
        };
        client.map_or(Ok(None), |client| self.shard.parties.seat_address(client))
    }

    /// Takes a place for the connection that the socket becomes.
    ///
    /// # Errors
    /// The limit that was reached.
    pub(super) fn seat_upgrade(&self, headers: &HeaderMap) -> Result<(), NoSeat> {
        if let Some(seat) = self.seat_request(headers, IsStream::No)? {
            *self.seat.borrow_mut() = Some(seat);
        }
        Ok(())
    }

    /// A request has come.
    pub(super) fn begin(self: &Rc<Self>) -> Busy {
        self.requests.set(self.requests.get() + 1);
        self.has_served.set(true);
        Busy(Rc::clone(self))
    }

    /// A response begins that goes on.
    pub(super) fn stream(self: &Rc<Self>) -> Streaming {
        if self.streams.replace(self.streams.get() + 1) == 0 {
            self.shard.handshakes.set(self.shard.handshakes.get() - 1);
        }
        Streaming(self.begin())
    }

    /// Whether it carries streams, and so does not count as a handshake.
    pub(super) fn has_streams(&self) -> bool {
        self.streams.get() > 0
    }

    /// Serves until the client leaves, the socket has done nothing for too long, or the shard
    /// drains and the last request is answered.
    pub(super) async fn run<C>(&self, mut serving: Pin<&mut C>, finish: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let mut ending = pin!(self.shard.ending.notified());
        let mut is_ending = self.shard.is_ending.get();
        if is_ending {
            finish(serving.as_mut());
        }
        loop {
            let look = self.due().max(Instant::now() + Duration::from_millis(1));
            tokio::select! {
                biased;
                // Polled by reference: nothing is lost when another arm is taken.
                served = serving.as_mut() => {
                    if let Err(error) = served {
                        self.count(&error);
                        debug!(shard = self.shard.index, %error, "HTTP failed");
                    }
                    return;
                }
                // The shard drains. Cancel-safe.
                () = ending.as_mut(), if !is_ending => {
                    is_ending = true;
                    finish(serving.as_mut());
                }
                // Cancel-safe.
                () = sleep_until(look) => if self.requests.get() == 0 && self.due() <= look {
                    debug!(shard = self.shard.index, "idle socket");
                    return;
                }
            }
        }
    }

    /// Counts the limit that ended the socket, if it was one.
    fn count(&self, error: &hyper::Error) {
        // An idle socket that is let go has served something, and broken no rule.
        let is_new = !self.has_served.get();
        if error.is_timeout() && is_new {
            self.shard.counters.add_limit(Limit::HandshakeTime);
        } else if error.is_parse_too_large() {
            self.shard.counters.add_limit(Limit::HeaderBytes);
        }
    }

    /// When the socket has done nothing for too long, if nothing happens until then.
    fn due(&self) -> Instant {
        let limit = Duration::from_millis(self.shard.limits.handshake_ms);
        match self.requests.get() {
            0 => self.quiet_since.get() + limit,
            _ => Instant::now() + limit,
        }
    }
}

impl Drop for HttpSocket {
    fn drop(&mut self) {
        self.shard.handshakes.set(self.shard.handshakes.get() - 1);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.quiet_since.set(Instant::now());
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let socket = &self.0.0;
        socket.streams.set(socket.streams.get() - 1);
        if socket.streams.get() == 0 {
            socket.shard.handshakes.set(socket.shard.handshakes.get() + 1);
        }
    }
}
