//! The client's byte stream as the WebSocket library sees it: every byte has passed the guard.

use super::connection::Connection;
use bytes::Bytes;
use meridian_proto::guard::{FrameGuard, GuardLimits, Inspected, Violation};
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Owned by the reader while a client sends; an idle connection has none.
pub(crate) struct Guarded<'a> {
    connection: &'a Connection,
    limits: GuardLimits,
    state: RefCell<State>,
    /// Frames that the library will hand out: whole messages and control frames.
    passed: Cell<u32>,
    controls: Cell<u32>,
}

struct State {
    guard: FrameGuard,
    /// Bytes that were read before the library asked.
    ahead: Bytes,
    violation: Option<Violation>,
}

/// The end of the stream that the library reads.
pub(crate) struct GuardedStream<'a>(pub(crate) &'a Guarded<'a>);

impl<'a> Guarded<'a> {
    /// A stream that begins at a message boundary with `ahead`.
    pub(crate) fn new(connection: &'a Connection, limits: GuardLimits, ahead: Bytes) -> Self {
        let state = RefCell::new(State { guard: FrameGuard::new(), ahead, violation: None });
        Self { connection, limits, state, passed: Cell::new(0), controls: Cell::new(0) }
    }

    /// The rule that the client broke, if it did.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.state.borrow().violation
    }

    /// Whether the library holds nothing back after it handed out `returned` frames: the client
    /// stands between two messages, and the read buffer can be given back.
    pub(crate) fn is_quiet(&self, returned: u32) -> bool {
        let state = self.state.borrow();
        self.passed.get() == returned
            && state.ahead.is_empty()
            && state.violation.is_none()
            && state.guard.is_at_message_boundary()
    }

    /// Control frames since the last call.
    pub(crate) fn take_controls(&self) -> u32 {
        self.controls.take()
    }

    fn admit(&self, state: &mut State, bytes: &[u8]) -> usize {
        let (seen, violation) = state.guard.inspect_prefix(&self.limits, bytes);
        let Inspected { control_frames, messages_completed, boundary_bytes, .. } = seen;
        self.passed.set(self.passed.get().wrapping_add(control_frames + messages_completed));
        self.controls.set(self.controls.get().saturating_add(control_frames));
        state.violation = violation;
        // What came whole before the violation is still served.
        if violation.is_some() { boundary_bytes } else { bytes.len() }
    }
}

impl AsyncRead for GuardedStream<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guarded = self.0;
        let mut state = guarded.state.borrow_mut();
        if let Some(violation) = state.violation {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)));
        }
        let start = buffer.filled().len();
        if state.ahead.is_empty() {
            ready!(guarded.connection.sink.poll_read(context, buffer))?;
        } else {
            let count = state.ahead.len().min(buffer.remaining());
            buffer.put_slice(&state.ahead.split_to(count));
        }
        let taken = buffer.filled().len() - start;
        let admitted = guarded.admit(&mut state, &buffer.filled()[start..]);
        buffer.set_filled(start + admitted);
        match state.violation {
            // Nothing whole came before the violation; an end of stream would hide it.
            Some(violation) if admitted == 0 && taken > 0 => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation)))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}
