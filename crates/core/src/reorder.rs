//! Commands that come by separate requests: in which order they count, and which came twice.
//!
//! A client numbers its requests from 1. Load balancers and retries bring them in any order, and
//! some twice; each number is carried out once, in its turn. Not for WebSockets, whose bytes come
//! in order anyway.

use std::collections::BTreeMap;

/// Requests that may come before their turn. A client that keeps to one request at a time never
/// needs any; browsers have six to an edge at once.
pub const AHEAD_MAX: u64 = 16;

/// Owned by a streamed connection.
#[derive(Debug)]
pub struct Reorder {
    /// The number whose turn it is.
    next: u64,
    ahead: BTreeMap<u64, Box<str>>,
    /// Bytes of all that wait.
    bytes: usize,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It is its turn: carry it out now, and then what [`Reorder::take_due`] has.
    Due,
    /// It waits for those before it.
    Kept,
    /// It was taken before, and counts once.
    Repeated,
    /// Too much waits already: the client may send it again when those before it have come.
    TooFarAhead,
}

impl Default for Reorder {
    fn default() -> Self {
        Self { next: 1, ahead: BTreeMap::new(), bytes: 0 }
    }
}

impl Reorder {
    /// Places the request with a number. At most `bytes_max` bytes wait.
    pub fn place(&mut self, number: u64, commands: &str, bytes_max: usize) -> Placement {
        if number < self.next || self.ahead.contains_key(&number) {
            return Placement::Repeated;
        }
        if number == self.next {
            self.next += 1;
            return Placement::Due;
        }
        if number - self.next > AHEAD_MAX || self.bytes + commands.len() > bytes_max {
            return Placement::TooFarAhead;
        }
        self.bytes += commands.len();
        self.ahead.insert(number, commands.into());
        Placement::Kept
    }

    /// The next request that waited and whose turn it is now.
    pub fn take_due(&mut self) -> Option<Box<str>> {
        let commands = self.ahead.remove(&self.next)?;
        self.bytes -= commands.len();
        self.next += 1;
        Some(commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000;

    /// Places requests, and returns the numbers carried out, in order.
    fn carried_out(numbers: &[u64]) -> Vec<u64> {
        let (mut reorder, mut done) = (Reorder::default(), Vec::new());
        for number in numbers {
            if reorder.place(*number, &number.to_string(), MAX) == Placement::Due {
                done.push(*number);
                while let Some(commands) = reorder.take_due() {
                    done.push(commands.parse().unwrap());
                }
            }
        }
        assert_eq!(reorder.bytes, reorder.ahead.values().map(|one| one.len()).sum::<usize>());
        done
    }

    #[test]
    fn each_number_counts_once_and_in_its_turn() {
        assert_eq!(carried_out(&[1, 2, 3]), [1, 2, 3]);
        assert_eq!(carried_out(&[3, 2, 3, 1, 2, 1, 4]), [1, 2, 3, 4]);
        assert!(carried_out(&[2, 3]).is_empty());
        assert_eq!(carried_out(&[0, 1]), [1]);
        let backwards: Vec<u64> = (1..=AHEAD_MAX + 1).rev().collect();
        let forwards: Vec<u64> = (1..=AHEAD_MAX + 1).collect();
        assert_eq!(carried_out(&backwards), forwards);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_in_bytes() {
        let mut reorder = Reorder::default();
        assert_eq!(reorder.place(1 + AHEAD_MAX, "", MAX), Placement::Kept);
        assert_eq!(reorder.place(2 + AHEAD_MAX, "", MAX), Placement::TooFarAhead);
        assert_eq!(reorder.place(u64::MAX, "", MAX), Placement::TooFarAhead);
        assert_eq!(reorder.place(2, &"x".repeat(MAX), MAX), Placement::Kept);
        assert_eq!(reorder.place(3, "x", MAX), Placement::TooFarAhead);
        assert_eq!(reorder.place(1, &"x".repeat(2 * MAX), MAX), Placement::Due, "never waits");
        assert_eq!(reorder.take_due().map(|commands| commands.len()), Some(MAX));
        assert_eq!(reorder.place(3, "x", MAX), Placement::Due);
        assert_eq!(reorder.take_due(), None);
    }

    #[test]
    fn a_request_that_was_refused_may_come_again() {
        let mut reorder = Reorder::default();
        assert_eq!(reorder.place(2 + AHEAD_MAX, "", MAX), Placement::TooFarAhead);
        assert_eq!(reorder.place(1, "", MAX), Placement::Due);
        assert_eq!(reorder.place(2 + AHEAD_MAX, "", MAX), Placement::Kept);
    }
}
