//! Durable filters: live messages of the region's copy, in order and with positions.
//!
//! A filter is *settling* until it stands and has nothing open; then it is *live*. Whatever might
//! have lost a message (a hole on a subject, a new NATS connection, an audit that found one) makes
//! it settle again: its worker reads the region's copy from the last verified position on, and
//! only then what came meanwhile. So there is one way to repair, and it is the way to start.

mod audit;
mod history;
mod holes;
mod join;
mod pages;
mod place;
mod replay;
mod worker;

pub(crate) use history::Histories;

use super::connection::item_frame;
use super::fanout::Incoming;
use super::store::number_of;
use super::{ConnectionKey, Shard};
use meridian_core::durable::{Missed, Ring, Span, Standing, Start, Stored, Tails, Verdict, Why};
use meridian_core::interest::Sid;
use meridian_core::namespace::{Namespace, Replication, Retention};
use meridian_core::session::From;
use meridian_nats::{Headers, Message};
use meridian_proto::item::{Gap, Item, Mark};
use meridian_proto::{Filter, Origin};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::rc::Rc;
use tracing::debug;

/// Live messages that are held while a filter settles. Beyond it they are fetched again.
const HELD_MAX: usize = 1_024;

/// Messages of a filter that are kept for clients that come back, and their bytes.
const RING_MESSAGES_MAX: usize = 256;
const RING_BYTES_MAX: usize = 128 * 1024;

/// Owned by the shard: its durable filters, at the places that their upstream sids have in the
/// interest table. Each message of NATS looks here, so there is no hashing.
#[derive(Default)]
pub(crate) struct Durables {
    filters: RefCell<Vec<Option<Rc<DurableFilter>>>>,
}

/// One filter on a durable namespace.
pub(crate) struct DurableFilter {
    sid: Sid,
    filter: Filter,
    /// The stream that holds the region's copy.
    copy: String,
    span: Span,
    /// What the copy drops, and who answers for it.
    retention: Retention,
    replication: Replication,
    epoch: RefCell<String>,
    /// Counts the epochs: whoever awaits an answer compares it before and after.
    epoch_number: Cell<u32>,
    state: RefCell<State>,
    /// Whether something happened that the worker has not yet settled.
    is_open: Cell<bool>,
    worker: Cell<Worker>,
    /// When the next audit is due, in s of the shard's clock.
    audit_due_s: Cell<u32>,
    audit: Cell<Worker>,
    /// Whether the last audit found more subjects than one answer holds.
    is_wide: Cell<bool>,
}

struct State {
    phase: Phase,
    tails: Tails,
    ring: Ring,
    held: Vec<Stored>,
    /// A sequence that the copy holds, as far as is known: reading it up has to get there.
    expected: u64,
    /// A subject's first message, if nothing else has opened an exact filter.
    first: Option<u64>,
    /// Whether members are still to be told that the epoch has changed.
    is_anew: bool,
    joiners: Vec<Joiner>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No position is known yet.
    New,
    /// Messages are held until the worker has read up.
    Settling,
    /// Messages go out as they come.
    Live,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    Absent,
    Running,
}

/// A client that waits for its filter to be live.
pub(crate) struct Joiner {
    pub(crate) member: ConnectionKey,
    pub(crate) command: Option<u32>,
    pub(crate) group: u32,
    pub(crate) from: From,
    /// When it asked, in µs of the shard's clock, see `meters`.
    pub(crate) asked_us: u32,
    /// Stored messages that it was sent.
    pub(crate) replayed: Cell<u64>,
}

impl Joiner {
    /// Whether it comes back from a position.
    pub(super) fn is_resume(&self) -> bool {
        matches!(self.from, From::Position(_))
    }

    /// Whether it asked for stored messages.
    pub(super) fn is_replay(&self) -> bool {
        self.from != From::New
    }

    fn note_replayed(&self) {
        self.replayed.set(self.replayed.get() + 1);
    }
}

impl Durables {
    /// The filter of a sid.
    pub(super) fn get(&self, sid: Sid) -> Option<Rc<DurableFilter>> {
        let filters = self.filters.borrow();
        // Another filter may have had the place before.
        filters.get(place_of(sid))?.as_ref().filter(|durable| durable.sid == sid).cloned()
    }

    fn insert(&self, durable: &Rc<DurableFilter>) {
        let (filters, place) = (&mut *self.filters.borrow_mut(), place_of(durable.sid));
        if filters.len() <= place {
            filters.resize(place + 1, None);
        }
        filters[place] = Some(Rc::clone(durable));
    }

    /// Forgets filters that nobody wants any more; their workers end by themselves.
    pub(super) fn retain(&self, is_wanted: impl Fn(Sid) -> bool) {
        for place in &mut *self.filters.borrow_mut() {
            place.take_if(|durable| !is_wanted(durable.sid));
        }
    }

    /// The NATS connection is gone: every filter reads up when it is back.
    pub(super) fn interrupt(&self) {
        self.all().iter().for_each(|durable| durable.open());
    }

    fn all(&self) -> Vec<Rc<DurableFilter>> {
        self.filters.borrow().iter().flatten().cloned().collect()
    }
}

impl State {
    fn new() -> Self {
        Self {
            phase: Phase::New,
            tails: Tails::new(0),
            ring: Ring::new(0, RING_MESSAGES_MAX, RING_BYTES_MAX),
            held: Vec::new(),
            expected: 0,
            first: None,
            is_anew: false,
            joiners: Vec::new(),
        }
    }
}

impl DurableFilter {
    fn new(sid: Sid, filter: Filter, epoch: String, namespace: &Namespace) -> Self {
        let state = State::new();
        Self {
            copy: namespace.copy.clone(),
            span: if filter.is_wildcard() { Span::Wildcard } else { Span::Exact },
            retention: namespace.retention,
            replication: namespace.replication,
            sid,
            filter,
            epoch: RefCell::new(epoch),
            epoch_number: Cell::new(0),
            state: RefCell::new(state),
            is_open: Cell::new(true),
            worker: Cell::new(Worker::Absent),
            audit_due_s: Cell::new(0),
            audit: Cell::new(Worker::Absent),
            is_wide: Cell::new(false),
        }
    }

    /// Whether a message may be delivered at once. A subject's first message may follow others that
    /// were lost and then dropped: a wildcard's mark waits for the audit; on an exact filter the
    /// message itself would be the position, so the copy is asked first.
    fn is_next(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Next => true,
            Verdict::First => self.span == Span::Wildcard,
            Verdict::Missing | Verdict::Duplicate => false,
        }
    }

    /// The epoch that makes a position of a message's sequence, with `epoch` as it is now: none
    /// under a wildcard, whose positions are its marks.
    fn position_epoch<'a>(&self, epoch: &'a str) -> Option<&'a str> {
        (!self.filter.is_wildcard()).then_some(epoch)
    }

    fn is_live(&self) -> bool {
        self.state.borrow().phase == Phase::Live
    }

    /// Whether a stored message is of this filter.
    fn is_of(&self, stored: &Stored) -> bool {
        self.filter.matches(&String::from_utf8_lossy(&stored.subject))
    }

    /// What a client's start is decided by.
    fn start<'a>(&self, state: &'a State) -> Start<'a> {
        let (epoch, span, retention) = (self.epoch_number.get(), self.span, self.retention);
        Start { epoch, span, retention, tails: &state.tails }
    }

    /// What a client's replay is decided by.
    fn standing<'a>(&self, state: &'a State) -> Standing<'a> {
        let (epoch, is_live) = (self.epoch_number.get(), state.phase == Phase::Live);
        Standing { epoch, is_live, tails: &state.tails, floor: state.ring.floor() }
    }

    /// Something may have been lost, and the copy holds this sequence.
    fn open_until(&self, expected: u64) {
        let state = &mut *self.state.borrow_mut();
        state.expected = state.expected.max(expected);
        self.is_open.set(true);
        if state.phase == Phase::Live {
            state.phase = Phase::Settling;
        }
    }

    /// Something may have been lost: hold what comes until the worker has read up.
    fn open(&self) {
        self.open_until(0);
    }
}

impl Shard {
    /// A client wants a durable filter whose upstream subscription is `sid`.
    pub(super) fn join_durable(self: &Rc<Self>, sid: Sid, filter: &Filter, joiner: Joiner) {
        let create = || {
            let (_, epoch) = self.copy_of(filter)?;
            let namespace = self.policy.namespaces.of_upstream_filter(filter)?;
            let durable = Rc::new(DurableFilter::new(sid, filter.clone(), epoch, namespace));
            self.durables.insert(&durable);
            Some(durable)
        };
        if let Some(durable) = self.durables.get(sid).or_else(create) {
            self.join_when_live(&durable, joiner);
        }
    }

    /// The stream of a filter's namespace in this region, and its epoch if the stream exists.
    pub(super) fn copy_of(&self, filter: &Filter) -> Option<(String, String)> {
        let copy = &self.policy.namespaces.of_upstream_filter(filter)?.copy;
        let epoch = self.epochs.borrow().get(copy)?.clone();
        Some((copy.clone(), epoch))
    }

    /// Forgets the durable filters that the interest table no longer holds.
    pub(super) fn prune_durables(&self) {
        let interest = self.interest.borrow();
        self.durables.retain(|sid| interest.filter_of(sid).is_some());
    }

    /// The epochs of the region's copies, as ordered. Where one is another than before, positions
    /// mean nothing any more: the filter begins anew, and its members are told when it is known
    /// where. A client that replays finds out by itself.
    pub(super) fn set_epochs(self: &Rc<Self>, epochs: &BTreeMap<String, String>) {
        self.epochs.borrow_mut().clone_from(epochs);
        for durable in self.durables.all() {
            let Some(epoch) = epochs.get(&durable.copy) else { continue };
            if *durable.epoch.borrow() == *epoch {
                continue;
            }
            durable.epoch.borrow_mut().clone_from(epoch);
            durable.epoch_number.set(durable.epoch_number.get() + 1);
            let joiners = std::mem::take(&mut durable.state.borrow_mut().joiners);
            *durable.state.borrow_mut() = State { joiners, is_anew: true, ..State::new() };
            durable.open();
            self.run_worker(&durable);
        }
    }

    /// The interest of a durable filter stands, for the first time or again.
    pub(super) fn durable_stands(self: &Rc<Self>, sid: Sid) {
        if let Some(durable) = self.durables.get(sid) {
            durable.open();
            self.run_worker(&durable);
        }
    }

    /// A message that the region's copy republished.
    pub(super) fn durable_message(
        self: &Rc<Self>,
        durable: &Rc<DurableFilter>,
        message: &Message<'_>,
    ) {
        let headers = message.headers;
        let Some(sequence) = number_of(headers.get("Nats-Sequence")) else { return };
        let previous = number_of(headers.get("Nats-Last-Sequence")).unwrap_or_default();
        let subject = headers.get("Nats-Subject").unwrap_or_default();
        let (phase, verdict) = {
            let state = durable.state.borrow();
            let name = String::from_utf8_lossy(subject);
            (state.phase, state.tails.judge(&name, previous, sequence))
        };
        if phase == Phase::Live && verdict == Verdict::Duplicate {
            return;
        }
        let stored = Stored {
            sequence,
            subject: subject.into(),
            headers: headers.as_bytes().into(),
            payload: message.payload.into(),
        };
        if phase == Phase::Live && durable.is_next(verdict) {
            return self.deliver(durable, stored);
        }
        if phase == Phase::Live && verdict == Verdict::First {
            let state = &mut *durable.state.borrow_mut();
            (state.phase, state.first) = (Phase::Settling, Some(sequence));
        } else if phase == Phase::Live {
            durable.open_until(sequence);
        }
        let is_full = durable.state.borrow().held.len() >= HELD_MAX;
        if is_full {
            // The worker will fetch it: it is stored.
            durable.open_until(sequence);
        } else {
            durable.state.borrow_mut().held.push(stored);
        }
        if phase == Phase::Live {
            self.run_worker(durable);
        }
    }

    /// Delivers the next message of a subject to every live member. The batch leaves by `flush`.
    fn deliver(self: &Rc<Self>, durable: &DurableFilter, stored: Stored) {
        let epoch = durable.epoch.borrow();
        let sent = self.meters.durable(&durable.copy, Headers::new(&stored.headers));
        let message = incoming(&stored, durable.position_epoch(&epoch), Origin::Live);
        let message = Incoming { sent, ..message };
        self.gather(durable.sid, &message);
        drop(epoch);
        let state = &mut *durable.state.borrow_mut();
        if durable.span == Span::Exact && state.phase == Phase::Live {
            // There is one subject, and its chain has no hole: everything is there.
            state.tails.settle(stored.sequence);
        } else {
            state.tails.deliver(&String::from_utf8_lossy(&stored.subject), stored.sequence);
        }
        state.ring.push(stored);
    }

    /// Tells every member of a filter how far everything was delivered.
    fn tell_position(self: &Rc<Self>, durable: &DurableFilter) {
        let q = durable.state.borrow().tails.verified();
        self.tell_members(durable, |i| Item::Position(Mark { i, q }));
    }

    /// Tells every member of a filter what may be missing for good. Clients that replay find out by
    /// themselves: the ring does not take them over it.
    fn miss(self: &Rc<Self>, durable: &DurableFilter, missed: Missed) {
        debug!(filter = %durable.filter, ?missed, "messages may be missing");
        self.tell_members(durable, |i| gap(i, missed));
        durable.state.borrow_mut().ring.miss(missed.upto);
    }

    /// Tells every member of a filter that positions are of another epoch from here on.
    fn tell_epoch(self: &Rc<Self>, durable: &DurableFilter) {
        let upto = durable.state.borrow().tails.highest();
        let epoch = durable.epoch.borrow().clone();
        self.tell_members(durable, |i| epoch_gap(i, None, upto, &epoch));
    }

    fn tell_members(self: &Rc<Self>, durable: &DurableFilter, item: impl Fn(u32) -> Item) {
        self.flush();
        let interest = self.interest.borrow();
        let epoch = durable.epoch.borrow();
        for index in interest.route(durable.sid) {
            let group = interest.group(*index);
            let item = item(index + 1);
            let bytes = item_frame(group.wire(), &item, Some(&epoch));
            if let Item::Gap(gap) = &item {
                self.meters.gaps(&gap.why, group.members().len());
            }
            for member in group.members() {
                if let Some(connection) = self.connection_at(*member) {
                    if matches!(item, Item::Gap(_)) {
                        connection.fence();
                    }
                    connection.write(self, &[IoSlice::new(&bytes)]);
                }
            }
        }
    }
}

/// A filter's place: the low half of its sid (`meridian_core::interest`).
fn place_of(sid: Sid) -> usize {
    sid as u32 as usize
}

fn gap(i: u32, missed: Missed) -> Item {
    let Missed { after, upto, why } = missed;
    let (after, upto, why) = (Some(after), Some(upto), why.as_str().to_owned());
    Item::Gap(Gap { i, after, upto, e: None, why })
}

fn epoch_gap(i: u32, after: Option<u64>, upto: u64, epoch: &str) -> Item {
    let (e, why) = (Some(epoch.to_owned()), Why::Epoch.as_str().to_owned());
    Item::Gap(Gap { i, after, upto: Some(upto), e, why })
}

/// A stored message as it goes out.
fn incoming<'a>(stored: &'a Stored, epoch: Option<&'a str>, origin: Origin) -> Incoming<'a> {
    Incoming {
        subject: &stored.subject,
        headers: Headers::new(&stored.headers),
        payload: &stored.payload,
        sequence: Some(stored.sequence),
        epoch,
        origin,
        trace: None,
        sent: None,
    }
}
