//! Lost, duplicated and late messages of one subject on one socket, from the sequences alone.
//!
//! Pure. Exact within the last 64 sequences; what is older than that counts as duplicated, which is
//! the pessimistic reading. Owned by a socket's task, which adds the verdicts up.

/// What one sequence says about the stream so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The next one.
    InOrder,
    /// So many sequences before this one have not come (yet).
    Skipped(u64),
    /// One that had been skipped came after all, out of order.
    Late,
    /// Seen before.
    Duplicated,
}

/// Follows the sequences of one subject from 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct SequenceTracker {
    next: u64,
    /// Bit `k` is set when sequence `next - 1 - k` was seen.
    seen: u64,
}

impl SequenceTracker {
    /// Judges the next sequence to arrive.
    pub fn observe(&mut self, sequence: u64) -> Verdict {
        if sequence >= self.next {
            let skipped = sequence - self.next;
            let shift = skipped + 1;
            self.seen = if shift < 64 { self.seen << shift | 1 } else { 1 };
            self.next = sequence + 1;
            return if skipped == 0 { Verdict::InOrder } else { Verdict::Skipped(skipped) };
        }
        let age = self.next - 1 - sequence;
        if age >= 64 || self.seen >> age & 1 == 1 {
            return Verdict::Duplicated;
        }
        self.seen |= 1 << age;
        Verdict::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(sequences: &[u64]) -> Vec<Verdict> {
        let mut tracker = SequenceTracker::default();
        sequences.iter().map(|&sequence| tracker.observe(sequence)).collect()
    }

    #[test]
    fn a_hole_is_counted_and_filling_it_is_late_not_duplicated() {
        use Verdict::{Duplicated, InOrder, Late, Skipped};
        assert_eq!(
            verdicts(&[0, 1, 4, 2, 2, 3, 5, 5]),
            [InOrder, InOrder, Skipped(2), Late, Duplicated, Late, InOrder, Duplicated]
        );
    }

    #[test]
    fn one_that_came_is_remembered_when_later_ones_come() {
        assert_eq!(verdicts(&[0, 1, 2, 0])[3], Verdict::Duplicated);
        assert_eq!(verdicts(&[0, 3, 0])[2], Verdict::Duplicated);
    }

    #[test]
    fn lost_first_messages_are_noticed() {
        assert_eq!(verdicts(&[3]), [Verdict::Skipped(3)]);
    }

    #[test]
    fn window_is_exact_at_its_edge_and_pessimistic_past_it() {
        let mut tracker = SequenceTracker::default();
        tracker.observe(0);
        tracker.observe(64);
        assert_eq!(tracker.observe(1), Verdict::Late);
        tracker.observe(65);
        assert_eq!(tracker.observe(2), Verdict::Late);
        assert_eq!(tracker.observe(1), Verdict::Duplicated, "64 back: no longer known");
        tracker.observe(1_000_000);
        assert_eq!(tracker.observe(999_999), Verdict::Late);
        assert_eq!(tracker.observe(3), Verdict::Duplicated);
    }
}
