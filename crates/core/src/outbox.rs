//! What waits for one socket that would block: whole frames in order, bounded in bytes.
//!
//! A connection whose socket takes everything never has one allocated frame in here: the edge
//! writes where it stands, and only the rest comes here.

use std::collections::VecDeque;
use std::io::IoSlice;

/// Most pieces handed to one vectored write: enough to fill a socket buffer with small frames.
const SLICES_MAX: usize = 64;

/// Owned by one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Whole frames, but the first may have lost its beginning to the socket.
    frames: VecDeque<Box<[u8]>>,
    /// Bytes of the first entry that the socket has taken.
    head_written: usize,
    /// Whether the wire stands inside a frame, so that the first entry must be finished.
    is_inside_frame: bool,
    /// Bytes that wait, all frames together.
    bytes: usize,
}

/// The outbox is full: the slow-client policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Outbox {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds frames of which the socket has taken the first `written` bytes already. `written` is
    /// not 0 only when the outbox is empty: later frames wait for earlier ones.
    ///
    /// # Errors
    /// [`Full`] when more than `bytes_max` would wait behind the first frame. That one does not
    /// count: a large message is on its way for a while, and its reader is not slow for that.
    /// Nothing is added.
    pub fn push(&mut self, frame: &[u8], written: usize, bytes_max: usize) -> Result<(), Full> {
        debug_assert!(written == 0 || self.is_empty(), "frames leave in order");
        let rest = frame.len() - written;
        if rest == 0 {
            return Ok(());
        }
        if let Some(head) = self.frames.front() {
            let behind = self.bytes - (head.len() - self.head_written);
            if behind + rest > bytes_max {
                return Err(Full);
            }
        }
        self.frames.push_back(frame[written..].into());
        self.bytes += rest;
        self.is_inside_frame |= written > 0;
        Ok(())
    }

    /// What to write next, in order, at most 64 pieces.
    pub fn slices<'a>(&'a self, slices: &mut Vec<IoSlice<'a>>) {
        for (index, frame) in self.frames.iter().take(SLICES_MAX).enumerate() {
            let start = if index == 0 { self.head_written } else { 0 };
            slices.push(IoSlice::new(&frame[start..]));
        }
    }

    /// Forgets the first `written` bytes of what waits.
    pub fn consume(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(head) = self.frames.front() {
            let rest = head.len() - self.head_written;
            if written < rest {
                self.head_written += written;
                self.is_inside_frame |= written > 0;
                return;
            }
            written -= rest;
            self.head_written = 0;
            self.is_inside_frame = false;
            self.frames.pop_front();
        }
        // A drained queue keeps no memory: slow clients recover, and idle ones must stay small.
        self.frames = VecDeque::new();
    }

    /// Drops every frame that has not begun to leave, so that a close frame can follow at a frame
    /// boundary.
    pub fn keep_started(&mut self) {
        self.frames.truncate(usize::from(self.is_inside_frame));
        let head = self.frames.front().map_or(0, |frame| frame.len());
        self.bytes = head - self.head_written;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 10;

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = Vec::new();
        outbox.slices(&mut slices);
        slices.iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn frames_leave_in_order_however_the_socket_takes_them() {
        let mut outbox = Outbox::default();
        outbox.push(b"abcd", 1, MAX).unwrap();
        outbox.push(b"efg", 0, MAX).unwrap();
        let mut taken = Vec::new();
        for step in [1, 2, 1, 2] {
            taken.extend_from_slice(&waiting(&outbox)[..step]);
            outbox.consume(step);
        }
        assert_eq!(taken, b"bcdefg");
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn the_bound_is_exact_and_a_refused_frame_leaves_no_trace() {
        let mut outbox = Outbox::default();
        outbox.push(&[1], 0, MAX).unwrap();
        outbox.push(&[2; MAX], 0, MAX).unwrap();
        assert_eq!(outbox.push(&[3], 0, MAX), Err(Full));
        assert_eq!(waiting(&outbox), [&[1][..], &[2; MAX]].concat());
    }

    #[test]
    fn the_message_on_its_way_may_be_of_any_size() {
        let mut outbox = Outbox::default();
        outbox.push(&[1; MAX + 3], 1, MAX).unwrap();
        outbox.push(&[2; MAX], 0, MAX).unwrap();
        assert_eq!(outbox.push(&[3], 0, MAX), Err(Full));
        assert_eq!(outbox.bytes(), MAX + 2 + MAX);
    }

    #[test]
    fn a_close_frame_can_follow_a_started_frame_only() {
        let mut outbox = Outbox::default();
        outbox.push(b"abc", 0, MAX).unwrap();
        outbox.push(b"def", 0, MAX).unwrap();
        outbox.consume(1);
        outbox.keep_started();
        assert_eq!((waiting(&outbox), outbox.bytes()), (b"bc".to_vec(), 2));
        outbox.consume(2);

        outbox.push(b"abc", 0, MAX).unwrap();
        outbox.keep_started();
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);

        outbox.push(b"abc", 2, MAX).unwrap();
        outbox.push(b"def", 0, MAX).unwrap();
        outbox.keep_started();
        assert_eq!(waiting(&outbox), b"c");
    }
}
