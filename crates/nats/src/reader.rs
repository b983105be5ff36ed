//! The receiving half of a data connection.
//!
//! The shard's upstream task awaits [`Reader::fill`], then takes what came with [`Reader::next`]
//! until there is no more. Nothing happens between calls: there is no task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;
use crate::operation::Op;
use crate::read_buffer::ReadBuffer;
use crate::stream::ReadSide;

/// Owned by the shard's upstream task.
#[derive(Debug)]
pub struct Reader {
    side: ReadSide,
    buffer: ReadBuffer,
    /// The server's `max_payload`, shared with the writer: INFO may change it at any time.
    max_payload: Arc<AtomicUsize>,
}

impl Reader {
    pub(crate) fn new(side: ReadSide, max_payload: Arc<AtomicUsize>) -> Self {
        Self { side, buffer: ReadBuffer::new(), max_payload }
    }

    /// Waits for bytes and takes what is there with one read; gives their number. Cancel-safe:
    /// bytes are in the buffer or still in the socket. Take operations until there is none before
    /// the next call: what is not taken stays in the buffer, and the buffer grows.
    ///
    /// # Errors
    /// [`Error::Closed`] when the server has closed the connection, [`Error::Io`] when it broke.
    pub async fn fill(&mut self) -> Result<usize, Error> {
        let count = self.side.read(self.buffer.space()).await?;
        if count == 0 {
            return Err(Error::Closed);
        }
        self.buffer.filled(count);
        Ok(count)
    }

    /// The stream alone, for TLS to take over.
    ///
    /// # Errors
    /// [`Error::Protocol`] when the server has said more than it may before TLS: somebody between
    /// could have put that there.
    pub(crate) fn into_side(self) -> Result<ReadSide, Error> {
        if self.buffer.is_empty() {
            return Ok(self.side);
        }
        Err(Error::Protocol("more than INFO came before TLS"))
    }

    /// The next whole operation in the buffer; None means that [`Reader::fill`] is due.
    ///
    /// # Errors
    /// [`Error::Protocol`], now and at every further call: the place in the stream is lost.
    #[expect(clippy::should_implement_trait, reason = "an operation borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Op<'_>>, Error> {
        let op = self.buffer.take(self.max_payload.load(Ordering::Relaxed))?;
        if let Some(Op::Info(info)) = &op {
            self.max_payload.store(info.max_payload, Ordering::Relaxed);
        }
        Ok(op)
    }
}
