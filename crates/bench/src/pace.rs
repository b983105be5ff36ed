//! An absolute schedule: message `k` is due at `start + k / rate`, whatever happened before it.
//!
//! A late sender catches up instead of drifting, so that a run sends what it promised or is seen
//! not to have. Used by the publisher and the floor, each on a thread of its own.

use std::time::{Duration, Instant};

use rustix::thread::{ClockId, Timespec, clock_nanosleep_absolute};

use crate::plan::Published;

/// The most messages handed out at once, so that catching up stays interruptible and batches stay
/// small.
const BATCH_MAX: u64 = 256;

/// A sender that cannot keep the rate stops at 1.05 times the time that it should have taken: it
/// would otherwise turn ten seconds of a burst into a minute.
const PATIENCE: f64 = 1.05;

/// Hands out how many messages are due, sleeping until at least one is.
#[derive(Debug)]
pub(crate) struct Pacer {
    started: Instant,
    rate_per_s: u32,
    sent: u64,
    total: u64,
    give_up_at: Duration,
}

impl Pacer {
    /// A schedule of at most `total` messages that begins now.
    pub(crate) fn start(rate_per_s: u32, total: u64) -> Self {
        let give_up_at = due_at(total, rate_per_s).mul_f64(PATIENCE);
        Self { started: Instant::now(), rate_per_s, sent: 0, total, give_up_at }
    }

    /// Waits for the next message's time; returns the sequences that are due, or `None` after the
    /// last.
    pub(crate) fn next_batch(&mut self) -> Option<std::ops::Range<u64>> {
        if self.sent == self.total {
            return None;
        }
        loop {
            let elapsed = self.started.elapsed();
            if elapsed > self.give_up_at {
                return None;
            }
            let due = due(elapsed, self.rate_per_s).min(self.total);
            if due > self.sent {
                let until = due.min(self.sent + BATCH_MAX);
                let batch = self.sent..until;
                self.sent = until;
                return Some(batch);
            }
            sleep(due_at(self.sent, self.rate_per_s).saturating_sub(elapsed));
        }
    }

    /// What was handed out until now, to be called when the last of it has been sent.
    pub(crate) fn published(&self, failed_sends: u64) -> Published {
        Published { messages: self.sent, elapsed: self.started.elapsed(), failed_sends }
    }
}

/// How many messages are due after so long.
fn due(elapsed: Duration, rate_per_s: u32) -> u64 {
    let due = elapsed.as_nanos() * u128::from(rate_per_s) / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
}

/// When message `index` is due, from the start; rounded up, so that it is due when a sleep until
/// then ends.
fn due_at(index: u64, rate_per_s: u32) -> Duration {
    let nanos = (u128::from(index) * 1_000_000_000).div_ceil(u128::from(rate_per_s));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Sleeps with the system's resolution (about 60 µs); tokio's timer has only 1 ms, which would turn
/// 5,000 messages a second into 1,000 little bursts. A sleep that a signal cuts short is harmless:
/// the caller looks at the clock again.
fn sleep(duration: Duration) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanos = now.tv_nsec + i64::from(duration.subsec_nanos());
    let until = Timespec {
        tv_sec: now.tv_sec + duration.as_secs().cast_signed() + nanos / 1_000_000_000,
        tv_nsec: nanos % 1_000_000_000,
    };
    let _interrupted = clock_nanosleep_absolute(ClockId::Monotonic, &until);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_exactly_when_its_time_has_come() {
        for rate in [1, 3, 7, 80, 4_999, 20_000] {
            for index in [0, 1, 2, 99, 12_345] {
                let at = due_at(index, rate);
                assert_eq!(due(at, rate), index + 1, "rate {rate}, message {index}");
                if index > 0 {
                    assert_eq!(due(at - Duration::from_nanos(1), rate), index);
                }
            }
        }
    }

    #[test]
    fn every_sequence_is_handed_out_once_and_batches_are_bounded() {
        // Endless patience, so that a busy machine does not cut it short.
        let mut pacer = Pacer { give_up_at: Duration::MAX, ..Pacer::start(1_000_000, 5_000) };
        let mut next = 0;
        while let Some(batch) = pacer.next_batch() {
            assert_eq!(batch.start, next);
            assert!(batch.end - batch.start <= BATCH_MAX);
            next = batch.end;
        }
        assert_eq!(next, 5_000);
        assert_eq!(pacer.published(0).messages, 5_000);
    }

    #[test]
    fn a_sender_that_is_too_late_stops_with_what_it_has_sent() {
        let mut pacer = Pacer { give_up_at: Duration::ZERO, sent: 3, ..Pacer::start(1, 1_000) };
        assert_eq!(pacer.next_batch(), None);
        assert_eq!(pacer.published(0).messages, 3);
    }
}
