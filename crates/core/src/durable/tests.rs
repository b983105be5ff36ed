//! The whole way against a model of the copy: a filter that loses republished messages and repairs
//! itself, and clients that replay, while the copy drops messages and its replicas lag.

use super::model::{Copy, SUBJECTS};
use super::*;
use crate::namespace::Retention;
use proptest::prelude::*;
use std::collections::BTreeSet;

const PAGE: usize = 3;
const EPOCH: u32 = 7;

/// What somebody was shown and told, in its order.
#[derive(Debug, Default)]
struct Told {
    /// Nothing up to here is shown.
    start: u64,
    /// Everything above this is.
    due_from: u64,
    shown: Vec<u64>,
    gaps: Vec<Missed>,
    /// What an exact filter's client takes for its position: everything up to here is accounted.
    position: u64,
}

impl Told {
    fn gap(&mut self, missed: Missed) {
        self.position = self.position.max(missed.upto);
        self.gaps.push(missed);
    }

    fn show(&mut self, sequence: u64) {
        self.position = self.position.max(sequence);
        self.shown.push(sequence);
    }

    /// Nothing up to a sequence is lost in silence, and nothing was shown twice.
    fn check(&self, copy: &Copy, filter: &[usize], upto: u64) -> Result<(), TestCaseError> {
        let shown: BTreeSet<u64> = self.shown.iter().copied().collect();
        prop_assert_eq!(shown.len(), self.shown.len(), "twice: {:?}", self.shown);
        let is_new = shown.first().is_none_or(|first| *first > self.start);
        prop_assert!(is_new, "behind the position: {:?}", self);
        for sequence in copy.of(filter) {
            let is_told = self.gaps.iter().any(|gap| sequence > gap.after && sequence <= gap.upto);
            let is_due = sequence > self.due_from && sequence <= upto;
            prop_assert!(
                !is_due || shown.contains(&sequence) || is_told,
                "{} lost in silence: {:?}",
                sequence,
                self
            );
        }
        for name in SUBJECTS {
            let of_it = self.shown.iter().filter(|sequence| copy.subject_of(**sequence) == name);
            prop_assert!(of_it.is_sorted(), "{}: {:?}", name, self.shown);
        }
        Ok(())
    }
}

/// One filter of an edge, with a member from its beginning on.
struct Filter {
    subjects: Vec<usize>,
    span: Span,
    retention: Retention,
    tails: Tails,
    ring: Ring,
    is_live: bool,
    audit: Option<Audit>,
    member: Told,
}

impl Filter {
    fn new(subjects: Vec<usize>, retention: Retention, ring: usize) -> Self {
        let span = if subjects.len() == 1 { Span::Exact } else { Span::Wildcard };
        let (tails, ring) = (Tails::new(0), Ring::new(0, ring, 1 << 20));
        let member = Told::default();
        Self { subjects, span, retention, tails, ring, is_live: true, audit: None, member }
    }

    fn deliver(&mut self, stored: Stored) {
        self.member.show(stored.sequence);
        self.tails.deliver(&String::from_utf8_lossy(&stored.subject), stored.sequence);
        if self.span == Span::Exact && self.is_live {
            self.tails.settle(stored.sequence);
        }
        self.ring.push(stored);
    }

    fn republished(&mut self, copy: &Copy, stored: Stored, previous: u64) {
        let is_whole = copy.whole_from() <= self.tails.verified() + 1;
        let name = String::from_utf8_lossy(&stored.subject).into_owned();
        match self.tails.judge(&name, previous, stored.sequence) {
            Verdict::Duplicate => {}
            Verdict::Next if self.is_live => self.deliver(stored),
            Verdict::First if self.is_live && (self.span == Span::Wildcard || is_whole) => {
                self.deliver(stored);
            }
            Verdict::Next | Verdict::First | Verdict::Missing => self.is_live = false,
        }
    }

    fn miss(&mut self, missed: Missed) {
        self.member.gap(missed);
        self.ring.miss(missed.upto);
    }

    /// As the worker does. What came meanwhile it finds there.
    fn read_up(&mut self, copy: &Copy, replica: usize) {
        let mut reading = Reading::new(self.tails.verified(), 0, self.span, self.retention);
        loop {
            let page = copy.page(replica, &self.subjects, reading.after(), PAGE);
            let missed = reading.page(&page, copy.whole_from(), |stored| {
                self.tails.has(&String::from_utf8_lossy(&stored.subject), stored.sequence)
            });
            missed.into_iter().for_each(|missed| self.miss(missed));
            let is_last = page.pending == 0;
            for stored in page.messages {
                if !self.tails.has(&String::from_utf8_lossy(&stored.subject), stored.sequence) {
                    self.deliver(stored);
                }
            }
            if is_last {
                break;
            }
        }
        reading.end().into_iter().for_each(|missed| self.miss(missed));
        self.tails.settle(reading.after());
        self.is_live = true;
    }

    /// Asks the copy; the answer is judged later.
    fn audit(&mut self, copy: &Copy, replica: usize) {
        let page = copy.tails(replica, &self.subjects);
        self.audit = Audit::of_last(&page, &self.tails, |_| true);
    }

    /// As a filter with too many subjects is audited: everything from the mark on is read again.
    fn walk(&mut self, copy: &Copy, replica: usize, pages: usize) {
        let mut audit = Audit::walking(&self.tails);
        for _ in 0..pages {
            let page = copy.page(replica, &self.subjects, audit.upto(), PAGE);
            audit.walk(&page, &self.tails);
            if page.pending == 0 {
                self.audit = Some(audit);
                return;
            }
        }
        // Between what is left of a subject others may have been dropped: only all of it proves.
        self.audit = (self.retention == Retention::Oldest).then_some(audit);
    }

    fn judge(&mut self, copy: &Copy) {
        let whole_from = copy.whole_from();
        match self.audit.as_mut().map(|audit| audit.judge(&self.tails, whole_from)) {
            Some(Verified::Upto(upto)) => {
                self.tails.settle(upto);
                self.audit = None;
            }
            Some(Verified::Lost(_)) => self.is_live = false,
            Some(Verified::Waits) | None => {}
        }
    }

    fn standing(&self) -> Standing<'_> {
        let floor = self.ring.floor();
        Standing { epoch: EPOCH, is_live: self.is_live, tails: &self.tails, floor }
    }
}

/// A client that resumes.
struct Client {
    told: Told,
    replay: Option<Replay>,
    is_live: bool,
}

impl Client {
    fn new(filter: &Filter, copy: &Copy, replica: usize, after: u64) -> Self {
        let (tails, retention) = (&filter.tails, filter.retention);
        let start = Start { epoch: EPOCH, span: filter.span, retention, tails };
        let whole_from = copy.whole_from();
        let opening = Opening::by_ring(&start, after, &filter.ring, whole_from);
        let mut opening = opening.unwrap_or_else(|| {
            let page = copy.page(replica, &filter.subjects, after, PAGE);
            Opening::by_page(&start, after, page, whole_from)
        });
        let mut told = Told { start: after, due_from: after, position: after, ..Told::default() };
        match opening.recovered {
            Some(Err(why)) => {
                opening.live_from(tails.highest(), after);
                told.gap(Missed { after, upto: opening.after, why });
                // It begins anew, perhaps with what it has had already.
                told.start = 0;
            }
            _ => opening.first.iter().for_each(|stored| told.show(stored.sequence)),
        }
        Self { told, is_live: opening.replay.is_none(), replay: opening.replay }
    }

    fn step(&mut self, filter: &mut Filter, copy: &Copy, replica: usize, takes: usize) {
        let Some(replay) = &mut self.replay else { return };
        match replay.next(&filter.standing()) {
            Next::Read(after) => {
                let page = copy.page(replica, &filter.subjects, after, PAGE);
                let missed = replay.page(&page, copy.whole_from(), &filter.standing());
                missed.into_iter().for_each(|missed| self.told.gap(missed));
                let (taken, rest) = page.messages.split_at(takes.min(page.messages.len()));
                taken.iter().for_each(|stored| self.told.show(stored.sequence));
                if !rest.is_empty() {
                    let sent = taken.last().map_or(after, |stored| stored.sequence);
                    replay.rewind(sent, rest);
                }
            }
            Next::Verify(_) => {
                filter.audit(copy, 0);
                filter.judge(copy);
                // As it does when what it waits for does not come.
                filter.is_live &= filter.audit.is_none();
            }
            Next::Repair => filter.is_live = false,
            Next::Wait => {}
            Next::HandOver { after, missed } => {
                missed.into_iter().for_each(|missed| self.told.gap(missed));
                let rest = filter.ring.since(after).expect("the ring reaches as far as it said");
                rest.for_each(|stored| self.told.show(stored.sequence));
                self.replay = None;
                self.is_live = true;
            }
            Next::Over => unreachable!("the epoch stays"),
        }
    }
}

impl Client {
    /// A live client sees what the filter's other member sees from then on.
    fn see(&mut self, filter: &Filter, (shown, gaps): (usize, usize)) {
        if self.is_live {
            filter.member.gaps[gaps..].iter().for_each(|gap| self.told.gap(*gap));
            filter.member.shown[shown..].iter().for_each(|one| self.told.show(*one));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A message is stored; it is republished, or that is lost.
    Store(usize, bool),
    Follow(usize, usize),
    ReadUp(usize),
    Audit(usize),
    Walk(usize, usize),
    Judge,
    Join(u64, usize),
    Client(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..3, prop::bool::weighted(0.8)).prop_map(|(s, heard)| Step::Store(s, heard)),
        3 => (1_usize..3, 1_usize..8).prop_map(|(replica, count)| Step::Follow(replica, count)),
        1 => (0_usize..3).prop_map(Step::ReadUp),
        2 => (0_usize..3).prop_map(Step::Audit),
        1 => (0_usize..3, 1_usize..4).prop_map(|(replica, pages)| Step::Walk(replica, pages)),
        2 => Just(Step::Judge),
        1 => (0_u64..40, 0_usize..3).prop_map(|(back, replica)| Step::Join(back, replica)),
        4 => (0_usize..3, 0_usize..5).prop_map(|(replica, takes)| Step::Client(replica, takes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is lost, dropped or late: everybody has every message once and in order, or was
    /// told that it may be missing, before a position behind it was taken for granted.
    #[test]
    fn nothing_is_lost_in_silence(
        steps in prop::collection::vec(step(), 1..120),
        is_wide in any::<bool>(),
        replicas in 1_usize..4,
        messages_max in prop_oneof![Just(usize::MAX), 3_usize..30],
        per_subject in prop::option::of(1_u64..6),
        ring in 1_usize..12,
    ) {
        let subjects = if is_wide { vec![0, 1] } else { vec![0] };
        let retention = per_subject
            .map_or(Retention::Oldest, |messages_max| Retention::PerSubject { messages_max });
        let per_subject_max = per_subject.map_or(usize::MAX, |max| max as usize);
        let mut copy = Copy::new(replicas, messages_max, per_subject_max);
        let mut filter = Filter::new(subjects.clone(), retention, ring);
        let mut clients: Vec<Client> = Vec::new();
        for step in steps {
            let before = (filter.member.shown.len(), filter.member.gaps.len());
            match step {
                Step::Store(subject, is_heard) => {
                    let (sequence, previous) = copy.store(subject);
                    if is_heard && subjects.contains(&subject) {
                        filter.republished(&copy, copy.stored(sequence as usize - 1), previous);
                    }
                }
                Step::Follow(replica, count) if replicas > 1 => {
                    copy.follow(1 + replica % (replicas - 1), count);
                }
                Step::Follow(..) => {}
                Step::ReadUp(replica) => filter.read_up(&copy, replica),
                Step::Audit(replica) => filter.audit(&copy, replica),
                Step::Walk(replica, pages) => filter.walk(&copy, replica, pages),
                Step::Judge => filter.judge(&copy),
                Step::Join(back, replica) => {
                    let after = copy.last().saturating_sub(back);
                    clients.push(Client::new(&filter, &copy, replica, after));
                }
                Step::Client(replica, takes) => {
                    for client in &mut clients {
                        client.step(&mut filter, &copy, replica, takes);
                    }
                }
            }
            clients.iter_mut().for_each(|client| client.see(&filter, before));
            // What a client may resume from has nothing untold below it, at any moment.
            filter.member.check(&copy, &subjects, filter.tails.verified())?;
            for client in &clients {
                if filter.span == Span::Exact {
                    client.told.check(&copy, &subjects, client.told.position)?;
                } else if client.is_live {
                    client.told.check(&copy, &subjects, filter.tails.verified())?;
                }
            }
        }
        copy.follow_all();
        let before = (filter.member.shown.len(), filter.member.gaps.len());
        filter.read_up(&copy, 0);
        clients.iter_mut().for_each(|client| client.see(&filter, before));
        filter.member.check(&copy, &subjects, u64::MAX)?;
        for client in &mut clients {
            for _ in 0..200 {
                client.step(&mut filter, &copy, 0, PAGE);
            }
            prop_assert!(client.is_live, "a client that catches up is let in");
            client.told.check(&copy, &subjects, u64::MAX)?;
        }
    }
}
