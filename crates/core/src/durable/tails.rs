//! The tails of one durable filter: the last sequence delivered on each subject.

use std::collections::HashMap;

/// Owned by one durable filter of a shard.
///
/// Everything up to `verified` is settled on every subject; above it, each subject that had a
/// message has its own tail. An audit moves `verified` up and forgets the tails below, so the
/// table holds only what came since.
#[derive(Debug)]
pub struct Tails {
    verified: u64,
    /// The highest sequence delivered.
    highest: u64,
    tails: HashMap<Box<str>, u64>,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was delivered, or settled, before.
    Duplicate,
    /// It is the next one of its subject: deliver it.
    Next,
    /// The copy had no message of its subject before it. It is the next one, unless others were
    /// lost on their way and then dropped by the copy: what is whole there tells.
    First,
    /// Something on its subject between these two is missing: fetch it first.
    Missing,
}

impl Tails {
    /// A filter that is settled up to a sequence, on every subject.
    #[must_use]
    pub fn new(verified: u64) -> Self {
        Self { verified, highest: verified, tails: HashMap::new() }
    }

    /// Judges a message by its sequence and the one before it on its subject (0 if none).
    #[must_use]
    pub fn judge(&self, subject: &str, previous: u64, sequence: u64) -> Verdict {
        let last = self.last(subject);
        if sequence <= last {
            Verdict::Duplicate
        } else if previous == 0 {
            Verdict::First
        } else if previous <= last {
            Verdict::Next
        } else {
            Verdict::Missing
        }
    }

    /// Notes a delivery.
    pub fn deliver(&mut self, subject: &str, sequence: u64) {
        self.highest = self.highest.max(sequence);
        match self.tails.get_mut(subject) {
            Some(tail) => *tail = (*tail).max(sequence),
            None => drop(self.tails.insert(subject.into(), sequence)),
        }
    }

    /// Settles everything up to a sequence: the caller knows that all of it was delivered.
    pub fn settle(&mut self, sequence: u64) {
        if sequence > self.verified {
            self.verified = sequence;
            self.highest = self.highest.max(sequence);
            self.tails.retain(|_, tail| *tail > sequence);
        }
    }

    /// Whether the last message of a subject, as the store has it, was delivered.
    #[must_use]
    pub fn has(&self, subject: &str, sequence: u64) -> bool {
        sequence <= self.last(subject)
    }

    /// Everything up to here was delivered: a client may resume after it.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// The highest sequence delivered. Below it may be holes that the next audit finds.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Subjects with a tail of their own.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.tails.len()
    }

    fn last(&self, subject: &str) -> u64 {
        self.tails.get(subject).copied().unwrap_or_default().max(self.verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hole_shows_at_the_next_message_of_its_subject_only() {
        let mut tails = Tails::new(10);
        assert_eq!(tails.judge("a", 7, 11), Verdict::Next, "what was before 10 is settled");
        tails.deliver("a", 11);
        assert_eq!(tails.judge("a", 11, 11), Verdict::Duplicate);
        assert_eq!(tails.judge("b", 9, 13), Verdict::Next, "12 may be missing on another subject");
        tails.deliver("b", 13);
        assert_eq!(tails.judge("c", 0, 14), Verdict::First);
        assert_eq!(tails.judge("a", 12, 14), Verdict::Missing);
        assert!(!tails.has("a", 12), "the audit finds it before that");
        assert_eq!((tails.verified(), tails.highest()), (10, 13));
    }

    #[test]
    fn settling_forgets_what_is_below() {
        let mut tails = Tails::new(0);
        for (subject, sequence) in [("a", 1), ("b", 2), ("a", 3)] {
            tails.deliver(subject, sequence);
        }
        tails.settle(2);
        assert_eq!((tails.verified(), tails.subjects()), (2, 1));
        tails.settle(1);
        assert_eq!(tails.verified(), 2, "never back");
    }

    proptest! {
        /// A subscriber that goes by the rule, fetches what is missing and audits at the end has
        /// every message once and in order per subject, whatever was lost, repeated or late.
        #[test]
        fn the_rule_finds_every_loss(
            subjects in prop::collection::vec(0_u8..3, 1..40),
            arrivals in prop::collection::vec(0_usize..40, 0..80),
        ) {
            let names = ["a", "b", "c"];
            let mut last = [0_u64; 3];
            let store: Vec<(usize, u64, u64)> = subjects.iter().zip(1..).map(|(name, sequence)| {
                let subject = usize::from(*name);
                (subject, std::mem::replace(&mut last[subject], sequence), sequence)
            }).collect();
            let mut tails = Tails::new(0);
            let mut delivered: Vec<u64> = Vec::new();
            let fetch = |tails: &mut Tails, delivered: &mut Vec<u64>, upto: u64| {
                for (subject, _, sequence) in store.iter().take_while(|message| message.2 <= upto) {
                    if !tails.has(names[*subject], *sequence) {
                        tails.deliver(names[*subject], *sequence);
                        delivered.push(*sequence);
                    }
                }
            };
            for arrival in arrivals {
                let Some(message) = store.get(arrival) else { continue };
                let (subject, previous, sequence) = *message;
                match tails.judge(names[subject], previous, sequence) {
                    Verdict::Duplicate => {}
                    Verdict::Next | Verdict::First => {
                        tails.deliver(names[subject], sequence);
                        delivered.push(sequence);
                    }
                    Verdict::Missing => fetch(&mut tails, &mut delivered, sequence),
                }
            }
            let complete = last.iter().zip(names).all(|(last, name)| tails.has(name, *last));
            if !complete {
                fetch(&mut tails, &mut delivered, u64::MAX);
            }
            for (index, _) in names.iter().enumerate() {
                let of = |sequences: &[u64]| -> Vec<u64> {
                    sequences.iter().copied()
                        .filter(|sequence| store[*sequence as usize - 1].0 == index).collect()
                };
                let expected: Vec<u64> = store.iter().map(|(.., sequence)| *sequence).collect();
                prop_assert_eq!(of(&delivered), of(&expected));
            }
        }
    }
}
