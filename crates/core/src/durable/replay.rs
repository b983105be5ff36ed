//! One client's way from where it starts to live: what to answer, what to read next, when the ring
//! has the rest, and what must be told as missing. Pure: the edge reads, sends and waits.

use super::{Missed, Page, Reading, Ring, Span, Stored, Tails, Why};
use crate::namespace::Retention;

/// Most messages that one resume may bring; more is cheaper to fetch as state.
const REPLAY_MESSAGES_MAX: u64 = 5_000;

/// Pages in a row that bring nothing where something must be. The copy's replicas are seldom more
/// than ms behind each other; between attempts the edge waits, in all some seconds.
const EMPTY_PAGES_MAX: u32 = 12;

/// Messages that a client has and the filter has not, remembered one by one. With more, the client
/// waits until the filter has verified all of them.
const AHEAD_MAX: usize = 256;

/// How often a client that resumes waits for the filter to verify what the client has already: some
/// 9 s. A filter whose mark cannot follow its stream may then show a message twice.
const VERIFY_LOOKS_MAX: u32 = 16;

/// Owned by one joining client.
#[derive(Debug)]
pub struct Replay {
    epoch: u32,
    reading: Reading,
    /// The client's position: what the filter repairs below it, the client has from elsewhere.
    has_upto: u64,
    looks: u32,
    /// Messages read that the filter had not delivered: on their way to it, or lost. A client that
    /// is let in before it has them is shown them twice.
    ahead: Vec<(Box<[u8]>, u64)>,
    /// The highest that found no place there.
    ahead_upto: u64,
    /// Pages without anything since one had something.
    empty: u32,
}

/// How a client's subscription begins.
#[derive(Debug)]
pub struct Opening {
    /// Everything up to here is behind the client.
    pub after: u64,
    /// The first messages, already read.
    pub first: Vec<Stored>,
    /// Answers `recover`.
    pub recovered: Option<Result<(), Why>>,
    /// How many messages follow, as far as is known.
    pub count: Option<u64>,
    /// How it goes on, unless the client is live at once.
    pub replay: Option<Replay>,
    /// Where the first messages are the last of each subject.
    pub snapshot: Option<Snapshot>,
}

/// The last message of each subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// As of this sequence.
    pub upto: u64,
    /// How many there are.
    pub left: u64,
}

/// What a start is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The epoch that all answers belong to, by a number of its own.
    pub epoch: u32,
    /// What the filter covers.
    pub span: Span,
    /// What its namespace keeps.
    pub retention: Retention,
    /// What the filter has delivered.
    pub tails: &'a Tails,
}

/// The filter as it is at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Its epoch's number.
    pub epoch: u32,
    /// Whether it is live, or settles.
    pub is_live: bool,
    /// What it has delivered.
    pub tails: &'a Tails,
    /// Every message above this is in the ring, or still to be delivered.
    pub floor: u64,
}

/// What a replay needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A page of the copy above this sequence.
    Read(u64),
    /// The client is ahead of the filter: it has to be audited before anybody knows what the client
    /// has already, when the copy has this sequence.
    Verify(u64),
    /// The filter has lost a message that the client has: it has to read up.
    Repair,
    /// The filter settles.
    Wait,
    /// Tell what is missed, then everything that the ring has above `after`, then let the client
    /// in: in one step, with nothing between.
    HandOver {
        /// The client has everything up to here.
        after: u64,
        /// To be told before that.
        missed: Option<Missed>,
    },
    /// The stream has begun anew: the replay is over.
    Over,
}

impl Replay {
    /// What to do now. After [`Next::HandOver`] the replay is over.
    pub fn next(&mut self, standing: &Standing<'_>) -> Next {
        let after = self.reading.after();
        self.ahead.retain(|(subject, sequence)| !has(standing.tails, subject, *sequence));
        let is_ahead = !self.ahead.is_empty() || self.ahead_upto > standing.tails.verified();
        if standing.epoch != self.epoch {
            Next::Over
        } else if after < standing.floor {
            Next::Read(after)
        } else if !standing.is_live {
            Next::Wait
        } else if standing.tails.highest() < after {
            Next::Verify(after)
        } else if is_ahead {
            Next::Repair
        } else if standing.tails.verified() < self.has_upto && self.looks < VERIFY_LOOKS_MAX {
            self.looks += 1;
            Next::Verify(self.has_upto)
        } else {
            Next::HandOver { after, missed: self.reading.end() }
        }
    }

    /// Takes the page that [`Next::Read`] asked for, and the sequence from which on the copy was
    /// whole after that. What is returned has to be told before the page's messages.
    pub fn page(
        &mut self,
        page: &Page,
        whole_from: u64,
        standing: &Standing<'_>,
    ) -> Option<Missed> {
        let before = self.reading.after();
        self.note(&page.messages, standing.tails);
        let missed = self.reading.page(page, whole_from, |_| false);
        if self.reading.after() > before {
            self.empty = 0;
            return missed;
        }
        // The filter had a message at the floor. Whoever answers is behind, or it is deleted.
        self.empty += 1;
        let is_below = self.reading.after() < standing.floor;
        (is_below && self.empty >= EMPTY_PAGES_MAX).then(|| self.reading.give_up(standing.floor))
    }

    /// Notes what the client is sent and the filter has not delivered.
    fn note(&mut self, messages: &[Stored], tails: &Tails) {
        for stored in messages.iter().filter(|one| !has(tails, &one.subject, one.sequence)) {
            if self.ahead.len() < AHEAD_MAX {
                self.ahead.push((stored.subject.clone(), stored.sequence));
            } else {
                self.ahead_upto = self.ahead_upto.max(stored.sequence);
            }
        }
    }

    /// Once the pages so far are with the client it has everything up to here: where it may go on
    /// if it is cut off. Pages come in order of the stream, live messages under a wildcard do not.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.reading.proven()
    }

    /// The client did not take all of a page: `rest` is read again, from behind `sent`.
    pub fn rewind(&mut self, sent: u64, rest: &[Stored]) {
        self.reading.rewind(sent, rest);
        self.ahead.retain(|(_, sequence)| *sequence <= sent);
    }
}

fn has(tails: &Tails, subject: &[u8], sequence: u64) -> bool {
    tails.has(&String::from_utf8_lossy(subject), sequence)
}

impl Opening {
    /// Nothing was asked for, or nothing can be recovered: live from the highest sequence on.
    #[must_use]
    pub fn live(start: &Start<'_>, recovered: Option<Result<(), Why>>) -> Self {
        let after = start.tails.highest();
        Self { after, first: Vec::new(), recovered, count: None, replay: None, snapshot: None }
    }

    /// The highest sequence delivered has moved while the copy was asked. Nobody is told to be
    /// behind the position that the client came with, even if the filter is.
    pub fn live_from(&mut self, highest: u64, position: u64) {
        self.after = highest.max(position);
    }

    /// After a position that the ring still reaches. `None` if it does not, or if the copy has
    /// dropped what would come out of it: what is erased is not shown again.
    #[must_use]
    pub fn by_ring(start: &Start<'_>, after: u64, ring: &Ring, whole_from: u64) -> Option<Self> {
        let rest: Vec<u64> = ring.since(after)?.map(|stored| stored.sequence).collect();
        if start.tails.highest() < after || rest.iter().any(|sequence| *sequence < whole_from) {
            return None;
        }
        let replay = Some(start.replay(after, after, after));
        let (first, count) = (Vec::new(), Some(rest.len() as u64));
        Some(Self { after, first, recovered: Some(Ok(())), count, replay, snapshot: None })
    }

    /// After a position, by the first page behind it and from where on the copy was whole after
    /// that page was read.
    #[must_use]
    pub fn by_page(start: &Start<'_>, after: u64, page: Page, whole_from: u64) -> Self {
        let mut replay = start.replay(after, after, after);
        let count = page.count();
        replay.note(&page.messages, start.tails);
        let missed = replay.reading.page(&page, whole_from, |_| false);
        if let Some(missed) = missed.or_else(|| replay.reading.doubt()) {
            return Self::live(start, Some(Err(missed.why)));
        }
        if count > REPLAY_MESSAGES_MAX {
            return Self::live(start, Some(Err(Why::Limit)));
        }
        let (first, recovered) = (page.messages, Some(Ok(())));
        let (count, replay) = (Some(count), Some(replay));
        Self { after, first, recovered, count, replay, snapshot: None }
    }

    /// History from behind a sequence: whatever is left of it. None of it is missed that was
    /// dropped before.
    #[must_use]
    pub fn by_history(start: &Start<'_>, after: u64, page: Page) -> Self {
        let mut replay = start.replay(after, start.tails.highest(), 0);
        let count = page.count();
        if count > REPLAY_MESSAGES_MAX {
            return Self::live(start, Some(Err(Why::Limit)));
        }
        replay.note(&page.messages, start.tails);
        replay.reading.page(&page, 0, |_| false);
        let (first, count, replay) = (page.messages, Some(count), Some(replay));
        Self { after, first, recovered: None, count, replay, snapshot: None }
    }

    /// The last message of each subject, and then what follows the last of these. Without any,
    /// what follows `floor`: an answer that was behind has no more to say.
    #[must_use]
    pub fn by_snapshot(start: &Start<'_>, page: Page, floor: u64) -> Self {
        // Up to where the answer holds only if it is cut: that may be on other subjects, and the
        // filter has to be audited to get there.
        let last = if page.pending > 0 { page.upto } else { page.last() };
        let after = last.unwrap_or(floor.min(start.tails.highest()));
        let mut replay = start.replay(after, after, 0);
        replay.note(&page.messages, start.tails);
        let snapshot = Snapshot { upto: page.upto.unwrap_or(after), left: page.count() };
        let (count, replay, snapshot) = (Some(snapshot.left), Some(replay), Some(snapshot));
        Self { after, first: page.messages, recovered: None, count, replay, snapshot }
    }
}

impl Start<'_> {
    fn replay(&self, after: u64, history_upto: u64, has_upto: u64) -> Replay {
        let reading = Reading::new(after, history_upto, self.span, self.retention);
        let (ahead, ahead_upto, looks, empty) = (Vec::new(), 0, 0, 0);
        Replay { epoch: self.epoch, reading, has_upto, looks, ahead, ahead_upto, empty }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumed(tails: &Tails, after: u64) -> Replay {
        let (span, retention) = (Span::Wildcard, Retention::Oldest);
        let start = Start { epoch: 1, span, retention, tails };
        Opening::by_page(&start, after, Page::default(), 1).replay.unwrap()
    }

    fn standing(tails: &Tails, floor: u64) -> Standing<'_> {
        Standing { epoch: 1, is_live: true, tails, floor }
    }

    #[test]
    fn it_reads_to_the_ring_waits_for_the_filter_and_ends_with_its_epoch() {
        let tails = Tails::new(20);
        let mut replay = resumed(&tails, 10);
        assert_eq!(replay.next(&standing(&tails, 15)), Next::Read(10));
        let settles = Standing { is_live: false, ..standing(&tails, 5) };
        assert_eq!(replay.next(&settles), Next::Wait);
        let behind = Tails::new(7);
        assert_eq!(replay.next(&standing(&behind, 5)), Next::Verify(10));
        let anew = Standing { epoch: 2, ..standing(&tails, 5) };
        assert_eq!(replay.next(&anew), Next::Over);
        let end = Next::HandOver { after: 10, missed: None };
        assert_eq!(replay.next(&standing(&tails, 10)), end);
    }

    #[test]
    fn a_client_that_has_what_the_filter_may_have_lost_waits_for_the_audit_but_not_for_ever() {
        let mut tails = Tails::new(8);
        tails.deliver("s.b", 12);
        let mut replay = resumed(&tails, 10);
        assert_eq!(replay.next(&standing(&tails, 10)), Next::Verify(10), "9 may come yet");
        let mut verified = Tails::new(8);
        verified.settle(12);
        assert!(matches!(replay.next(&standing(&verified, 10)), Next::HandOver { .. }));
        let looks = (0..VERIFY_LOOKS_MAX).map(|_| replay.next(&standing(&tails, 10)));
        assert!(matches!(looks.last(), Some(Next::HandOver { .. })));
    }

    #[test]
    fn what_a_copy_never_shows_is_missed_in_the_end() {
        let tails = Tails::new(20);
        let mut replay = resumed(&tails, 10);
        for _ in 1..EMPTY_PAGES_MAX {
            assert_eq!(replay.page(&Page::default(), 1, &standing(&tails, 15)), None);
        }
        let told = replay.page(&Page::default(), 1, &standing(&tails, 15));
        assert_eq!(told, Some(Missed { after: 10, upto: 15, why: Why::Expired }));
        assert!(matches!(replay.next(&standing(&tails, 15)), Next::HandOver { after: 15, .. }));
    }

    #[test]
    fn a_client_that_has_what_the_filter_lost_is_not_let_in_before_it() {
        let mut tails = Tails::new(10);
        tails.deliver("s.b", 12);
        let mut replay = resumed(&tails, 10);
        let lost = Stored { sequence: 11, subject: (*b"s.a").into(), ..Stored::default() };
        let page = Page { messages: vec![lost], ..Page::default() };
        replay.page(&page, 1, &standing(&tails, 10));
        assert_eq!(replay.next(&standing(&tails, 10)), Next::Repair);
        tails.deliver("s.a", 11);
        assert!(matches!(replay.next(&standing(&tails, 10)), Next::HandOver { after: 11, .. }));
    }

    #[test]
    fn the_ring_does_not_bring_back_what_the_copy_has_dropped() {
        let mut tails = Tails::new(10);
        let mut ring = Ring::new(10, 8, 1024);
        for sequence in [11, 14] {
            tails.deliver("s.a", sequence);
            ring.push(Stored { sequence, subject: (*b"s.a").into(), ..Stored::default() });
        }
        let (span, retention) = (Span::Exact, Retention::Oldest);
        let start = Start { epoch: 1, span, retention, tails: &tails };
        let count = |after, whole_from| {
            Opening::by_ring(&start, after, &ring, whole_from).map(|opening| opening.count)
        };
        assert_eq!(count(10, 11), Some(Some(2)));
        assert_eq!(count(11, 14), Some(Some(1)));
        assert_eq!(count(10, 12), None, "11 is dropped");
        assert_eq!(count(14, 99), Some(Some(0)), "nothing came since");
        assert_eq!(count(9, 1), None, "the ring does not reach back that far");
        assert_eq!(count(15, 1), None, "the filter is not there yet");
    }
}
