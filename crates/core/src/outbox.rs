//! What waits for one socket that would block: whole frames in order, bounded in bytes, and what
//! gives way when the bound is reached.
//!
//! A connection whose socket takes everything never has one allocated frame in here: the edge
//! writes where it stands, and only the rest comes here. What a frame says is not known here; a
//! message's [`Label`] says enough for the policies of `namespace::SlowClient`.

mod entry;
mod index;
mod queue;
#[cfg(test)]
mod tests;

use crate::namespace::SlowClient;
use meridian_proto::item::Gap;
use queue::Queue;
use std::io::IoSlice;
use std::ops::AddAssign;

/// Owned by one connection. Without memory of its own while nothing waits: there are many.
#[derive(Debug, Default)]
pub struct Outbox(Option<Box<Queue>>);

/// What a policy must know of a message's frame.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// The subscription that it is for.
    pub subscription: u32,
    /// What happens to it when the client is slow.
    pub slow_client: SlowClient,
    /// Its sequence in the stream, of a durable message.
    pub sequence: Option<u64>,
    /// The subject that it was published on; only [`SlowClient::Conflate`] looks at it.
    pub subject: &'a [u8],
}

/// The outbox is full, and nothing in it may give way: the client is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// How many messages gave way. The client is told by gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shed {
    /// Dropped as the oldest.
    pub dropped: u64,
    /// Replaced by a newer message on their subject.
    pub conflated: u64,
}

impl Outbox {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that wait, with what is kept to know of each message.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.bytes())
    }

    /// Bytes of the frames that no policy takes away: who fills the outbox by himself, as a replay
    /// does, goes by these. A flood that is dropped must not hold him up.
    #[must_use]
    pub fn firm_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.firm_bytes())
    }

    /// Adds frames that must leave, of which the socket has taken the first `written` bytes
    /// already. `written` is not 0 only when the outbox is empty: later frames wait for earlier
    /// ones. Messages that may be dropped make room for it.
    ///
    /// # Errors
    /// [`Full`] when more than `bytes_max` would wait behind the first frame. That one does not
    /// count: a large message is on its way for a while, and its reader is not slow for that.
    /// Nothing is added.
    pub fn push(&mut self, frame: &[u8], written: usize, bytes_max: usize) -> Result<Shed, Full> {
        debug_assert!(written == 0 || self.is_empty(), "frames leave in order");
        if frame.len() == written {
            return Ok(Shed::default());
        }
        self.0.get_or_insert_default().push(frame, written, bytes_max)
    }

    /// Adds the frame of a message, by its namespace's policy.
    ///
    /// # Errors
    /// As for [`Outbox::push`].
    pub fn push_message(
        &mut self,
        frame: &[u8],
        label: &Label<'_>,
        bytes_max: usize,
    ) -> Result<Shed, Full> {
        let queue = self.0.get_or_insert_default();
        match label.slow_client {
            SlowClient::Disconnect => queue.push(frame, 0, bytes_max),
            SlowClient::DropOldest => queue.push_droppable(frame, label, bytes_max),
            SlowClient::Conflate => queue.push_conflatable(frame, label, bytes_max),
        }
    }

    /// What comes next begins a subscription or another count of sequences: what is lost before
    /// and behind it is told apart, and nothing behind it takes a place before it.
    pub fn fence(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.fence();
        }
    }

    /// What to write next, in order, at most 64 pieces. Gaps among them are spelled by `encode`,
    /// as whole frames.
    pub fn slices<'a>(
        &'a mut self,
        slices: &mut Vec<IoSlice<'a>>,
        encode: impl Fn(Gap) -> Vec<u8>,
    ) {
        if let Some(queue) = &mut self.0 {
            queue.slices(slices, encode);
        }
    }

    /// Forgets the first `written` bytes of what waits, as [`Outbox::slices`] gave it.
    pub fn consume(&mut self, written: usize) {
        if let Some(queue) = &mut self.0 {
            queue.consume(written);
            self.forget_empty();
        }
    }

    /// Drops every frame that has not begun to leave, so that a close frame can follow at a frame
    /// boundary.
    pub fn keep_started(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.keep_started();
            self.forget_empty();
        }
    }

    /// A drained queue keeps no memory: slow clients recover, and idle ones must stay small.
    fn forget_empty(&mut self) {
        self.0.take_if(|queue| queue.is_empty());
    }
}

impl AddAssign for Shed {
    fn add_assign(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.conflated += other.conflated;
    }
}
