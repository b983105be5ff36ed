//! Reading a copy page by page without losing anything in silence: what is dropped while it is
//! read, or was before, comes out as [`Missed`]. For repairs and for clients that catch up.
//!
//! A copy drops its oldest messages, by age and size; and, where a namespace keeps a number of
//! messages a subject, the oldest of a subject, between others. The first kind shows by the
//! sequence from which on the copy is whole, asked after the page was read. The second kind shows
//! by counting: when a message is dropped, that many newer ones of its subject are there. So where
//! fewer are found, none was dropped.

use super::{Missed, Page, Stored, Why};
use crate::namespace::Retention;
use std::collections::HashMap;

/// Subjects whose messages are counted. With more, messages count as perhaps dropped.
const SUBJECTS_MAX: usize = 4_096;

/// Owned by one reader of one filter.
#[derive(Debug)]
pub struct Reading {
    /// Everything up to here was read, or told as missed.
    after: u64,
    /// Up to here a reader wants what is left, not everything that ever was: history.
    history_upto: u64,
    span: Span,
    retention: Retention,
    /// Messages found of each subject, since everything before `counted_from` was proven.
    counts: HashMap<Box<[u8]>, u64>,
    counted_from: u64,
    /// Messages that an earlier page has announced and none has brought yet.
    owed: u64,
    /// Whether messages above `counted_from` may have been dropped.
    is_doubtful: bool,
}

/// What a filter covers. It decides what a client takes for its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// One subject: each message is a position, so what is missing is told before it.
    Exact,
    /// Several: only a mark is a position, so what is missing is told before the mark.
    Wildcard,
}

impl Reading {
    /// A reader that has everything up to `after`, and for which up to `history_upto` whatever is
    /// left is enough.
    #[must_use]
    pub fn new(after: u64, history_upto: u64, span: Span, retention: Retention) -> Self {
        Self {
            after,
            history_upto,
            span,
            retention,
            counts: HashMap::new(),
            counted_from: after.max(history_upto),
            owed: 0,
            is_doubtful: false,
        }
    }

    /// Everything up to here was read, or told as missed: the next page begins behind it.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Up to here nothing was dropped unseen, whatever the pages behind it show: a place to go on
    /// from. Where a subject keeps a few messages, that takes all of what was announced.
    #[must_use]
    pub fn proven(&self) -> u64 {
        match self.retention {
            Retention::Oldest => self.after,
            Retention::PerSubject { .. } => self.counted_from.min(self.after),
        }
    }

    /// Takes a page from behind [`Reading::after`]. `whole_from` is the first sequence from which
    /// on the copy was whole *after* the page was read; `is_known` says what the reader has
    /// already. What is returned has to be told before the page's messages.
    pub fn page(
        &mut self,
        page: &Page,
        whole_from: u64,
        is_known: impl Fn(&Stored) -> bool,
    ) -> Option<Missed> {
        let before = self.after;
        let last = page.last().unwrap_or(before).max(before);
        self.after = last.max(whole_from.saturating_sub(1));
        let limited = self.count(page, before, last, is_known);
        if whole_from > before + 1 {
            let upto = if limited { self.after } else { whole_from - 1 };
            return Some(Missed { after: before, upto, why: Why::Expired });
        }
        limited.then_some(Missed { after: before, upto: last, why: Why::Limit })
    }

    /// What has to be told before a position behind everything read so far is.
    pub fn end(&mut self) -> Option<Missed> {
        // A page that was announced and never came: whoever answered last was behind.
        let is_doubtful = std::mem::take(&mut self.is_doubtful) || self.owes();
        let after = std::mem::replace(&mut self.counted_from, self.after);
        self.counts.clear();
        self.owed = 0;
        is_doubtful.then_some(Missed { after, upto: self.after, why: Why::Limit })
    }

    /// Gives up reading up to a sequence: the copy does not show what must be there.
    pub fn give_up(&mut self, upto: u64) -> Missed {
        let after = self.after;
        self.after = upto.max(after);
        Missed { after, upto: self.after, why: Why::Expired }
    }

    /// The reader has taken only what is up to `sent` of the last page: the rest is read again.
    pub fn rewind(&mut self, sent: u64, rest: &[Stored]) {
        self.after = sent.min(self.after);
        self.counted_from = self.counted_from.min(self.after.max(self.history_upto));
        self.owed += rest.len() as u64;
        for stored in rest {
            if let Some(count) = self.counts.get_mut(&stored.subject) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Whether the pages up to now have already failed to prove that nothing was dropped.
    pub(super) fn doubt(&self) -> Option<Missed> {
        let (after, upto) = (self.counted_from, self.after);
        self.is_doubtful.then_some(Missed { after, upto, why: Why::Limit })
    }

    fn owes(&self) -> bool {
        self.owed > 0 && matches!(self.retention, Retention::PerSubject { .. })
    }

    /// Counts what a page brings. True if messages may have been dropped before or between them,
    /// and that must be told before the page.
    fn count(
        &mut self,
        page: &Page,
        before: u64,
        last: u64,
        is_known: impl Fn(&Stored) -> bool,
    ) -> bool {
        let Retention::PerSubject { messages_max } = self.retention else { return false };
        if last <= self.history_upto {
            self.counted_from = self.counted_from.max(last);
            return false;
        }
        self.owed = self.owed.saturating_sub(page.messages.len() as u64).max(page.pending);
        let from = before.max(self.history_upto);
        let counts = |stored: &&Stored| stored.sequence > from && !is_known(stored);
        if self.span == Span::Exact {
            let found = page.messages.iter().filter(counts).count() as u64;
            return found > 0 && found + page.pending >= messages_max;
        }
        for stored in page.messages.iter().filter(counts) {
            if let Some(count) = self.counts.get_mut(&stored.subject) {
                *count += 1;
                self.is_doubtful |= *count >= messages_max;
            } else if self.counts.len() < SUBJECTS_MAX {
                self.counts.insert(stored.subject.clone(), 1);
                self.is_doubtful |= messages_max <= 1;
            } else {
                self.is_doubtful = true;
            }
        }
        if self.owed == 0 && !self.is_doubtful {
            // Everything that was there has been read: nothing up to here was dropped.
            self.counts.clear();
            self.counted_from = last;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Retention = Retention::PerSubject { messages_max: 3 };

    fn page(messages: &[(u64, &str)], pending: u64) -> Page {
        let stored = |(sequence, subject): &(u64, &str)| Stored {
            sequence: *sequence,
            subject: subject.as_bytes().into(),
            ..Stored::default()
        };
        Page { messages: messages.iter().map(stored).collect(), pending, upto: None }
    }

    fn missed(after: u64, upto: u64, why: Why) -> Option<Missed> {
        Some(Missed { after, upto, why })
    }

    #[test]
    fn what_the_copy_dropped_before_a_page_is_missed() {
        let mut reading = Reading::new(10, 0, Span::Exact, Retention::Oldest);
        assert_eq!(reading.page(&page(&[(12, "a")], 1), 11, |_| false), None);
        let told = reading.page(&page(&[(20, "a")], 0), 16, |_| false);
        assert_eq!(told, missed(12, 15, Why::Expired));
        assert_eq!(reading.page(&page(&[], 0), 31, |_| false), missed(20, 30, Why::Expired));
        assert_eq!((reading.after(), reading.end()), (30, None));
    }

    #[test]
    fn fewer_than_a_subject_keeps_were_not_thinned_and_as_many_may_have_been() {
        let mut exact = Reading::new(0, 0, Span::Exact, FEW);
        assert_eq!(exact.page(&page(&[(3, "a"), (5, "a")], 0), 1, |_| false), None);
        let told = exact.page(&page(&[(7, "a"), (8, "a")], 1), 1, |_| false);
        assert_eq!(told, missed(5, 8, Why::Limit), "two and one behind them");
        let known =
            exact.page(&page(&[(9, "a"), (10, "a"), (12, "a")], 0), 1, |one| one.sequence == 9);
        assert_eq!(known, None);
        let mut wide = Reading::new(0, 0, Span::Wildcard, FEW);
        wide.page(&page(&[(1, "a"), (2, "b"), (3, "a"), (4, "b")], 1), 1, |_| false);
        assert_eq!(wide.page(&page(&[(5, "c")], 0), 1, |_| false), None);
        assert_eq!(wide.end(), None, "two of each");
        wide.page(&page(&[(6, "a"), (7, "a")], 1), 1, |_| false);
        wide.page(&page(&[(8, "a")], 0), 1, |_| false);
        assert_eq!(wide.end(), missed(5, 8, Why::Limit));
    }

    #[test]
    fn a_page_that_was_announced_and_does_not_come_is_missed_where_it_may_be_thinned() {
        for (retention, told) in [(FEW, missed(0, 2, Why::Limit)), (Retention::Oldest, None)] {
            let mut wide = Reading::new(0, 0, Span::Wildcard, retention);
            wide.page(&page(&[(1, "a"), (2, "b")], 4), 1, |_| false);
            wide.page(&page(&[], 0), 1, |_| false);
            assert_eq!(wide.end(), told);
        }
    }

    #[test]
    fn a_place_to_go_on_from_is_proven_by_each_page_or_by_the_last_one() {
        let mut oldest = Reading::new(0, 0, Span::Wildcard, Retention::Oldest);
        oldest.page(&page(&[(1, "a"), (2, "b")], 9), 1, |_| false);
        assert_eq!(oldest.proven(), 2);
        let mut few = Reading::new(0, 0, Span::Wildcard, FEW);
        few.page(&page(&[(2, "a"), (4, "b")], 2), 1, |_| false);
        assert_eq!(few.proven(), 0, "1 may have been a's, dropped for what is still to come");
        few.page(&page(&[(5, "a"), (6, "b")], 0), 1, |_| false);
        assert_eq!(few.proven(), 6);
        few.rewind(5, &page(&[(6, "b")], 0).messages);
        assert_eq!(few.proven(), 5);
    }

    #[test]
    fn history_is_what_is_left_of_it() {
        let mut reading = Reading::new(0, 9, Span::Exact, FEW);
        let old = [(5, "a"), (7, "a"), (9, "a")];
        assert_eq!(reading.page(&page(&old, 7), 0, |_| false), None);
        assert_eq!(reading.page(&page(&[(10, "a")], 2), 1, |_| false), missed(9, 10, Why::Limit));
    }

    #[test]
    fn what_is_read_again_is_counted_once() {
        let mut wide = Reading::new(0, 0, Span::Wildcard, FEW);
        let first = page(&[(1, "a"), (2, "a")], 0);
        wide.page(&first, 1, |_| false);
        wide.rewind(1, &first.messages[1..]);
        assert_eq!(wide.after(), 1);
        wide.page(&page(&[(2, "a")], 0), 1, |_| false);
        assert_eq!(wide.end(), None);
    }
}
