//! Requests of clients that wait for an answer from NATS.

use slab::Slab;
use std::collections::BTreeSet;

/// Most requests that wait at once in one shard: beyond it a responder is stuck, and more waiting
/// helps nobody.
const WAITING_MAX: usize = 65_536;

/// Owned by the shard. `K` names a connection.
#[derive(Debug)]
pub struct Requests<K> {
    waiting: Slab<Entry<K>>,
    deadlines: BTreeSet<(u64, usize)>,
    /// Makes every token unique, so that a late answer cannot reach another request.
    next_nonce: u32,
}

#[derive(Debug)]
struct Entry<K> {
    nonce: u32,
    deadline_ms: u64,
    request: Waiting<K>,
}

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<K> {
    /// The connection.
    pub member: K,
    /// The command to answer.
    pub command: u32,
    /// What the answer is for.
    pub purpose: Purpose,
}

/// What an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A client's request, whose answer goes by the header rules of the namespace at this place.
    Answer(usize),
    /// The proof that a stream has stored a client's publish.
    Stored(Repeat),
}

/// What happens when a client sends a publish again whose acknowledgement was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It has a message id: the stream keeps it once.
    Once,
    /// It has none, and may be stored twice.
    Twice,
}

impl<K: Copy> Default for Requests<K> {
    fn default() -> Self {
        Self { waiting: Slab::new(), deadlines: BTreeSet::new(), next_nonce: 0 }
    }
}

impl<K: Copy> Requests<K> {
    /// Notes a request. The token is one subject token, for the end of the reply subject. `None`
    /// when too many wait.
    pub fn insert(&mut self, request: Waiting<K>, deadline_ms: u64) -> Option<String> {
        if self.waiting.len() >= WAITING_MAX {
            return None;
        }
        self.next_nonce = self.next_nonce.wrapping_add(1);
        let nonce = self.next_nonce;
        let index = self.waiting.insert(Entry { nonce, deadline_ms, request });
        self.deadlines.insert((deadline_ms, index));
        Some(format!("{index:x}-{nonce:x}"))
    }

    /// Takes the request that an answer with this token belongs to. `None` for an answer that is
    /// too late, or is no answer of ours.
    pub fn answer(&mut self, token: &str) -> Option<Waiting<K>> {
        let (index, nonce) = token.split_once('-')?;
        let index = usize::from_str_radix(index, 16).ok()?;
        let nonce = u32::from_str_radix(nonce, 16).ok()?;
        self.waiting.get(index).filter(|entry| entry.nonce == nonce)?;
        let entry = self.waiting.remove(index);
        self.deadlines.remove(&(entry.deadline_ms, index));
        Some(entry.request)
    }

    /// Takes every request whose deadline has passed.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Waiting<K>> {
        let mut expired = Vec::new();
        while let Some((deadline_ms, index)) = self.deadlines.first().copied() {
            if deadline_ms > now_ms {
                break;
            }
            self.deadlines.pop_first();
            expired.push(self.waiting.remove(index).request);
        }
        expired
    }

    /// When the next request expires, in ms of the edge's clock.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Takes all: the connection that answers would come on is gone.
    pub fn interrupt(&mut self) -> Vec<Waiting<K>> {
        self.deadlines.clear();
        self.waiting.drain().map(|entry| entry.request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(command: u32) -> Waiting<u8> {
        Waiting { member: 1, command, purpose: Purpose::Answer(0) }
    }

    #[test]
    fn an_answer_reaches_its_request_once() {
        let mut requests = Requests::default();
        let first = requests.insert(request(1), 100).unwrap();
        let second = requests.insert(request(2), 50).unwrap();
        assert_eq!(requests.next_deadline_ms(), Some(50));
        assert_eq!(requests.answer(&second), Some(request(2)));
        assert_eq!(requests.answer(&second), None);
        let reused = requests.insert(request(3), 100).unwrap();
        assert_ne!(reused, second, "a late answer must not find the new request");
        assert_eq!(requests.answer("zz-1"), None);
        assert_eq!(requests.answer(&first), Some(request(1)));
    }

    #[test]
    fn deadlines_expire_in_order() {
        let mut requests = Requests::default();
        for (command, deadline_ms) in [(1, 30), (2, 10), (3, 20)] {
            requests.insert(request(command), deadline_ms);
        }
        assert_eq!(requests.expire(9), []);
        assert_eq!(requests.expire(20), [request(2), request(3)]);
        assert_eq!(requests.interrupt(), [request(1)]);
        assert_eq!(requests.next_deadline_ms(), None);
    }

    #[test]
    fn the_last_request_is_taken_and_one_more_is_refused() {
        let mut requests = Requests::default();
        for _ in 0..WAITING_MAX {
            assert!(requests.insert(request(1), 1).is_some());
        }
        assert!(requests.insert(request(1), 1).is_none());
    }
}
