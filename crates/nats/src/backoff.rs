//! How long to wait before the next attempt to connect. Pure: randomness and time are passed in.

use crate::defaults::{RECONNECT_FIRST_MS_MAX, RECONNECT_MS_MAX, STABLE_AFTER_MS};

/// Full jitter over a doubling range: 0 to 250 ms before the first attempt after a loss, then 0 to
/// 500 ms, and so on up to 0 to 4 s. Owned by whoever reconnects.
///
/// A connection that was lost before it had lived 10 s counts as one more failed attempt. So an
/// edge whose own subscriptions make the server close does not come back hundreds of times a
/// second.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Starts with the shortest range.
    pub fn new() -> Self {
        Self::default()
    }

    /// The delay before the next attempt, in milliseconds. `random` is any u64 of even
    /// distribution.
    pub fn next_delay_ms(&mut self, random: u64) -> u64 {
        self.attempts = self.attempts.saturating_add(1);
        jittered_ms(self.attempts, random)
    }

    /// A connection that was established has ended after so many milliseconds. Only a life of 10 s
    /// or more is a success.
    pub fn connection_lived(&mut self, lived_ms: u64) {
        if lived_ms >= STABLE_AFTER_MS {
            self.reset();
        }
    }

    /// Back to the shortest range. Only for a connection that has proved itself; see
    /// [`Backoff::connection_lived`].
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// The delay before the attempt of this number, counted from 1.
pub(crate) fn jittered_ms(attempt: u32, random: u64) -> u64 {
    let doublings = attempt.saturating_sub(1).min(16);
    let widest_ms = (RECONNECT_FIRST_MS_MAX << doublings).min(RECONNECT_MS_MAX);
    random % (widest_ms + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widest delay that the next attempt may have; counts as that attempt.
    fn widest(backoff: &mut Backoff) -> u64 {
        let before = backoff.clone();
        backoff.next_delay_ms(0);
        let delays = (0..=RECONNECT_MS_MAX).map(|random| before.clone().next_delay_ms(random));
        delays.max().unwrap()
    }

    #[test]
    fn ranges_double_from_a_quarter_second_to_four_seconds_and_stay_there() {
        let mut backoff = Backoff::new();
        let ranges: Vec<u64> = (0..8).map(|_| widest(&mut backoff)).collect();
        assert_eq!(ranges, [250, 500, 1000, 2000, 4000, 4000, 4000, 4000]);
        let mut old = Backoff { attempts: u32::MAX };
        assert!(old.next_delay_ms(u64::MAX) <= RECONNECT_MS_MAX);
    }

    #[test]
    fn every_delay_of_a_range_is_possible_down_to_zero() {
        assert_eq!(Backoff::new().next_delay_ms(0), 0);
        assert_eq!(Backoff::new().next_delay_ms(250), 250);
        assert_eq!(Backoff::new().next_delay_ms(251), 0);
    }

    #[test]
    fn only_a_connection_that_has_lived_ten_seconds_resets_the_range() {
        let mut backoff = Backoff::new();
        for _ in 0..4 {
            backoff.next_delay_ms(0);
        }
        backoff.connection_lived(STABLE_AFTER_MS - 1);
        assert_eq!(widest(&mut backoff), 4000);
        backoff.connection_lived(STABLE_AFTER_MS);
        assert_eq!(widest(&mut backoff), 250);
    }
}
