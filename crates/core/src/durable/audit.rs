//! The audit of tails: a lost last message shows no hole, so the copy is asked for the last message
//! of each subject, or read again from the mark on. What it shows has been delivered, or is still
//! on its way, or is lost.
//!
//! An answer holds for what the server that gave it had then. So it proves as much, and no more,
//! when that server was behind others.

use super::{Page, Stored, Tails};

/// Messages that one audit waits for. More are not on their way: they are lost.
const WAITING_MAX: usize = 2_048;

/// Owned by one audit of one filter.
#[derive(Debug, Default)]
pub struct Audit {
    /// When nothing is waited for, everything up to here was delivered.
    upto: u64,
    /// Messages that the copy has and the filter had not.
    waiting: Vec<(Box<[u8]>, u64)>,
    /// Whether there were too many of them.
    is_full: bool,
}

/// What an audit knows by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Everything up to here was delivered.
    Upto(u64),
    /// A message may be on its way: ask again.
    Waits,
    /// This message was not delivered, and later ones were.
    Lost(u64),
}

impl Audit {
    /// An audit by the last message of each subject. None if the answer does not say everything.
    /// Messages of other subjects are passed over.
    #[must_use]
    pub fn of_last(
        page: &Page,
        tails: &Tails,
        is_of_filter: impl Fn(&Stored) -> bool,
    ) -> Option<Self> {
        let upto = page.upto.filter(|_| page.pending == 0)?;
        let mut audit = Self::default();
        page.messages.iter().filter(|stored| is_of_filter(stored)).for_each(|stored| {
            audit.note(stored, tails);
        });
        audit.upto = upto;
        Some(audit)
    }

    /// An audit that reads everything from the mark on, for filters with too many subjects.
    #[must_use]
    pub fn walking(tails: &Tails) -> Self {
        Self { upto: tails.verified(), ..Self::default() }
    }

    /// Adds the page behind [`Audit::upto`].
    pub fn walk(&mut self, page: &Page, tails: &Tails) {
        page.messages.iter().for_each(|stored| self.note(stored, tails));
        self.upto = page.last().unwrap_or(self.upto).max(self.upto);
    }

    /// Where an audit that reads everything has come to.
    #[must_use]
    pub fn upto(&self) -> u64 {
        self.upto
    }

    /// Judges by what the filter has delivered by now, and from where on the copy is whole now.
    /// What was dropped behind the mark may have been lost before: the chain does not show it.
    pub fn judge(&mut self, tails: &Tails, whole_from: u64) -> Verified {
        self.waiting
            .retain(|(subject, sequence)| !tails.has(&String::from_utf8_lossy(subject), *sequence));
        let lost = self.waiting.iter().map(|(_, sequence)| *sequence).min();
        match lost {
            None if whole_from > tails.verified() + 1 => Verified::Lost(tails.verified() + 1),
            None => Verified::Upto(self.upto),
            Some(lost) if self.is_full || lost < tails.highest() => Verified::Lost(lost),
            Some(_) => Verified::Waits,
        }
    }

    /// The highest sequence that is waited for, 0 if none is.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.waiting.iter().map(|(_, sequence)| *sequence).max().unwrap_or_default()
    }

    fn note(&mut self, stored: &Stored, tails: &Tails) {
        if tails.has(&String::from_utf8_lossy(&stored.subject), stored.sequence) {
            return;
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push((stored.subject.clone(), stored.sequence));
        } else {
            self.is_full = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(sequences: &[u64], upto: Option<u64>) -> Page {
        let stored = |sequence: &u64| Stored {
            sequence: *sequence,
            subject: format!("s.{sequence}").as_bytes().into(),
            ..Stored::default()
        };
        Page { messages: sequences.iter().map(stored).collect(), pending: 0, upto }
    }

    #[test]
    fn what_is_on_its_way_is_waited_for_and_what_was_overtaken_is_lost() {
        let mut tails = Tails::new(10);
        tails.deliver("s.12", 12);
        let mut audit = Audit::of_last(&page(&[9, 12, 14], Some(15)), &tails, |_| true).unwrap();
        assert_eq!(audit.judge(&tails, 0), Verified::Waits);
        assert_eq!(audit.expected(), 14);
        let mut overtaken = tails;
        overtaken.deliver("s.16", 16);
        assert_eq!(audit.judge(&overtaken, 11), Verified::Lost(14));
        overtaken.deliver("s.14", 14);
        assert_eq!(audit.judge(&overtaken, 11), Verified::Upto(15));
        assert_eq!(
            audit.judge(&overtaken, 12),
            Verified::Lost(11),
            "11 is dropped, perhaps unseen"
        );
    }

    #[test]
    fn an_answer_that_does_not_say_everything_proves_nothing() {
        let tails = Tails::new(10);
        let cut = Page { pending: 1, ..page(&[9], Some(15)) };
        assert!(Audit::of_last(&cut, &tails, |_| true).is_none());
        assert!(Audit::of_last(&page(&[9], None), &tails, |_| true).is_none());
        let mut other = Audit::of_last(&page(&[9, 14], Some(15)), &tails, |_| false).unwrap();
        assert_eq!(other.judge(&tails, 0), Verified::Upto(15), "14 is on another subject");
    }

    #[test]
    fn more_than_can_be_on_their_way_are_lost() {
        let tails = Tails::new(0);
        let mut audit = Audit::walking(&tails);
        let all: Vec<u64> = (1..=WAITING_MAX as u64).collect();
        audit.walk(&page(&all, None), &tails);
        assert_eq!(audit.judge(&tails, 0), Verified::Waits);
        audit.walk(&page(&[WAITING_MAX as u64 + 1], None), &tails);
        assert_eq!(audit.judge(&tails, 0), Verified::Lost(1));
    }
}
