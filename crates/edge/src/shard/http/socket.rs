//! One socket that speaks HTTP: what it counts as, and how long it may do nothing.

use crate::shard::Shard;
use std::cell::Cell;
use std::fmt::Display;
use std::future::Future;
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
    /// Requests that are being answered.
    requests: Cell<u32>,
    /// Those of them that are streams.
    streams: Cell<u32>,
    /// Since when there are none.
    quiet_since: Cell<Instant>,
    /// For requests that read a body.
    pub(super) bodies: Semaphore,
}

/// A request that is being answered. The socket counts it until it is dropped.
pub(super) struct Busy(Rc<HttpSocket>);

/// A streamed response. The socket counts it until it is dropped.
pub(crate) struct Streaming(Busy);

impl HttpSocket {
    /// A socket that was just accepted.
    pub(crate) fn new(shard: &Rc<Shard>) -> Rc<Self> {
        shard.handshakes.set(shard.handshakes.get() + 1);
        Rc::new(Self {
            shard: Rc::clone(shard),
            requests: Cell::new(0),
            streams: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
            bodies: Semaphore::new(BODIES_MAX),
        })
    }

    /// A request has come.
    pub(super) fn begin(self: &Rc<Self>) -> Busy {
        self.requests.set(self.requests.get() + 1);
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
    pub(super) async fn run<C, E: Display>(
        &self,
        mut serving: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
    ) where
        C: Future<Output = Result<(), E>>,
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
