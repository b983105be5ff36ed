//! The outgoing side of a connection whose bytes hyper takes: a streamed HTTP response.
//!
//! hyper asks for bytes as its client takes them, and only then; what it has not asked for waits in
//! the connection's outbox, with the outbox's bounds. `connection` fills and ends it, `http::body`
//! takes from it.

use super::http::Streaming;
use meridian_core::Reorder;
use std::cell::{Cell, RefCell};
use std::task::Waker;

/// Owned by its connection.
pub(crate) struct Pump {
    /// Names the connection to those who send commands for it, if it takes any.
    pub(super) secret: Option<u128>,
    /// The order of those commands.
    pub(super) order: RefCell<Reorder>,
    /// Whoever waits for bytes.
    waker: RefCell<Option<Waker>>,
    /// Holds the socket busy, until the end.
    streaming: RefCell<Option<Streaming>>,
    /// The response is cut off here.
    is_over: Cell<bool>,
    /// When bytes were last taken or began to wait, in ms of the shard's clock.
    pub(super) moved_at_ms: Cell<u64>,
    /// Whether a look for a stall is due.
    pub(super) is_watched: Cell<bool>,
}

impl Pump {
    pub(super) fn new(streaming: Streaming, secret: Option<u128>) -> Self {
        Self {
            secret,
            order: RefCell::default(),
            waker: RefCell::default(),
            streaming: RefCell::new(Some(streaming)),
            is_over: Cell::new(false),
            moved_at_ms: Cell::new(0),
            is_watched: Cell::new(false),
        }
    }

    /// Bytes wait, or the end has come.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Wakes this waker when there is something.
    pub(super) fn wait(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Cuts the response off. The socket no longer counts it as a reason to live.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        *self.streaming.borrow_mut() = None;
        self.wake();
    }
}
