//! The last messages of one durable filter, for clients that come back soon.

use std::collections::VecDeque;

/// Owned by one durable filter of a shard. Bounded in messages and bytes.
#[derive(Debug)]
pub struct Ring {
    messages: VecDeque<Stored>,
    bytes: usize,
    bytes_max: usize,
    messages_max: usize,
    /// Every delivered message above this is in the ring.
    floor: u64,
}

/// One stored message, copied out of the read buffer: a kept slice would pin the whole buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Sequence in the stream.
    pub sequence: u64,
    /// The subject that it was published on, any bytes.
    pub subject: Box<[u8]>,
    /// The NATS header block, as it came.
    pub headers: Box<[u8]>,
    /// The payload.
    pub payload: Box<[u8]>,
}

impl Stored {
    /// Bytes that it takes, but for a constant.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.subject.len() + self.headers.len() + self.payload.len()
    }
}

impl Ring {
    /// An empty ring for messages above `floor`.
    #[must_use]
    pub fn new(floor: u64, messages_max: usize, bytes_max: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, bytes_max, messages_max, floor }
    }

    /// Keeps a delivered message; the oldest leave.
    pub fn push(&mut self, message: Stored) {
        self.bytes += message.bytes();
        self.messages.push_back(message);
        while self.messages.len() > self.messages_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= oldest.bytes();
            // Repairs come late, so an older message may leave after a newer one.
            self.floor = self.floor.max(oldest.sequence);
        }
    }

    /// Messages up to a sequence may be missing: whoever comes from before it has to find out by
    /// itself, not here.
    pub fn miss(&mut self, upto: u64) {
        self.floor = self.floor.max(upto);
    }

    /// Every delivered message above this is kept.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Every delivered message above `sequence`, in order of delivery, or None if some have left.
    pub fn since(&self, sequence: u64) -> Option<impl Iterator<Item = &Stored>> {
        let above = move |message: &&Stored| message.sequence > sequence;
        (sequence >= self.floor).then(|| self.messages.iter().filter(above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u64, size: usize) -> Stored {
        let payload = vec![0; size].into();
        Stored { sequence, subject: Box::default(), headers: Box::default(), payload }
    }

    fn since(ring: &Ring, sequence: u64) -> Option<Vec<u64>> {
        Some(ring.since(sequence)?.map(|message| message.sequence).collect())
    }

    #[test]
    fn what_is_kept_is_complete_above_the_floor() {
        let mut ring = Ring::new(10, 3, 1000);
        assert_eq!(since(&ring, 10), Some(vec![]));
        assert_eq!(since(&ring, 9), None);
        for sequence in [11, 13, 12, 15] {
            ring.push(message(sequence, 1));
        }
        assert_eq!(since(&ring, 10), None, "11 has left");
        assert_eq!(since(&ring, 11), Some(vec![13, 12, 15]));
        assert_eq!(since(&ring, 13), Some(vec![15]));
    }

    #[test]
    fn behind_what_was_missed_nothing_is_complete() {
        let mut ring = Ring::new(10, 9, 1000);
        [11, 15].into_iter().for_each(|sequence| ring.push(message(sequence, 1)));
        ring.miss(13);
        assert_eq!(since(&ring, 12), None);
        assert_eq!(since(&ring, 13), Some(vec![15]));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut ring = Ring::new(0, 100, 10);
        ring.push(message(1, 6));
        ring.push(message(2, 6));
        assert_eq!(since(&ring, 1), Some(vec![2]));
        ring.push(message(3, 11));
        assert_eq!(since(&ring, 2), None, "a message over the bound is not kept");
        assert_eq!(since(&ring, 3), Some(vec![]));
    }
}
