//! The queue of an outbox that is not empty: what waits, by its place, and who gives way.
//!
//! Each frame gets an odd place, and the even one before it is kept for a gap that tells what is
//! missing there. The first frame and the gaps before it are *on their way*: they change no more.

use super::entry::{Entry, Fate, Key, Loss};
use super::index::Index;
use super::{Full, Label, Shed};
use meridian_proto::item::Gap;
use std::collections::BTreeMap;
use std::io::IoSlice;

/// Most pieces handed to one vectored write: enough to fill a socket buffer with small frames.
const SLICES_MAX: usize = 64;

/// Owned by its outbox.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<u64, Entry>,
    index: Index,
    /// Frames that were given a place up to now.
    count: u64,
    /// Fences up to now.
    section: u32,
    /// Bytes of the first entry that the socket has taken.
    head_written: usize,
    /// Whether the wire stands inside a frame, so that the first entry must be finished.
    is_inside_frame: bool,
    /// The place of the first frame, which the bound does not count.
    first_frame: Option<u64>,
    /// What all other entries take.
    behind: usize,
    /// Bytes of the firm frames, the first included until all of it has left.
    firm_bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        let first = self.first_frame.and_then(|place| self.entries.get(&place));
        self.behind + first.map_or(0, Entry::cost) - self.head_written
    }

    pub(super) fn firm_bytes(&self) -> usize {
        self.firm_bytes
    }

    pub(super) fn push(
        &mut self,
        frame: &[u8],
        written: usize,
        bytes_max: usize,
    ) -> Result<Shed, Full> {
        let (rest, mut shed) = (&frame[written..], Shed::default());
        self.make_room(rest.len(), bytes_max, &mut shed)?;
        let place = self.next_place();
        self.insert(place, rest, Fate::Firm);
        self.is_inside_frame |= written > 0;
        Ok(shed)
    }

    /// The oldest droppable messages give way, and if there are none left, this one.
    pub(super) fn push_droppable(
        &mut self,
        frame: &[u8],
        label: &Label<'_>,
        bytes_max: usize,
    ) -> Result<Shed, Full> {
        let Label { subscription, sequence, .. } = *label;
        let (section, mut shed) = (self.section, Shed::default());
        let fate = Fate::Droppable { subscription, section, sequence };
        let room = self.make_room(fate.cost(frame.len()), bytes_max, &mut shed);
        let place = self.next_place();
        if room.is_ok() {
            if self.insert(place, frame, fate) == Standing::Waits {
                self.index.droppable.push_back(place);
            }
            return Ok(shed);
        }
        shed.dropped += 1;
        self.lose(place, Loss::dropped(subscription, section, sequence));
        if self.behind > bytes_max { Err(Full) } else { Ok(shed) }
    }

    /// Takes the place of the last message on its subject, so that a subject which changes faster
    /// than the client reads has its turn like the others.
    pub(super) fn push_conflatable(
        &mut self,
        frame: &[u8],
        label: &Label<'_>,
        bytes_max: usize,
    ) -> Result<Shed, Full> {
        let Label { subscription, sequence, .. } = *label;
        let mut shed = Shed::default();
        let key: Key = (subscription, label.subject.into());
        let replaced = self.index.newest.get(&key).copied();
        let place = replaced.unwrap_or_else(|| self.next_place());
        if let Some(old) = self.remove(place) {
            shed.conflated += 1;
            let sequence = old.sequence();
            self.lose(place, Loss::conflated(subscription, self.section, sequence));
        }
        let fate = Fate::Conflatable { key: key.clone(), sequence };
        self.make_room(fate.cost(frame.len()), bytes_max, &mut shed)?;
        if self.insert(place, frame, fate) == Standing::Waits {
            self.index.newest.insert(key, place);
        }
        Ok(shed)
    }

    pub(super) fn fence(&mut self) {
        self.section += 1;
        self.index.newest.clear();
    }

    pub(super) fn slices<'a>(
        &'a mut self,
        slices: &mut Vec<IoSlice<'a>>,
        encode: impl Fn(Gap) -> Vec<u8>,
    ) {
        for (index, entry) in self.entries.values_mut().take(SLICES_MAX).enumerate() {
            if let Entry::Gap { loss, bytes } = entry
                && bytes.is_empty()
            {
                *bytes = encode(loss.gap()).into();
            }
            let start = if index == 0 { self.head_written } else { 0 };
            slices.push(IoSlice::new(&entry.bytes()[start..]));
        }
    }

    pub(super) fn consume(&mut self, mut written: usize) {
        while let Some((place, head)) = self.entries.first_key_value() {
            let rest = head.bytes().len() - self.head_written;
            if written < rest {
                self.head_written += written;
                self.is_inside_frame |= written > 0;
                break;
            }
            // A gap that was never spelled was not among the slices.
            if rest == 0 {
                break;
            }
            written -= rest;
            self.head_written = 0;
            self.is_inside_frame = false;
            let place = *place;
            self.remove(place);
        }
        self.send_off();
    }

    pub(super) fn keep_started(&mut self) {
        let started = self.entries.pop_first().filter(|_| self.is_inside_frame);
        *self = Self {
            head_written: self.head_written,
            is_inside_frame: self.is_inside_frame,
            count: self.count,
            ..Self::default()
        };
        if let Some((place, entry)) = started {
            self.add(place, entry);
        }
    }

    fn next_place(&mut self) -> u64 {
        self.count += 1;
        2 * self.count + 1
    }

    /// Drops the oldest until so much more may wait behind the first frame.
    fn make_room(&mut self, cost: usize, bytes_max: usize, shed: &mut Shed) -> Result<(), Full> {
        while self.first_frame.is_some() && self.behind + cost > bytes_max {
            let Some(oldest) = self.index.droppable.front().copied() else { return Err(Full) };
            let dropped = self.remove(oldest);
            if let Some(Fate::Droppable { subscription, section, sequence }) = dropped {
                shed.dropped += 1;
                self.lose(oldest, Loss::dropped(subscription, section, sequence));
            }
        }
        Ok(())
    }

    /// Notes that the message of a place is not there. The gap of its subscription stands at the
    /// first place where one is missing: whatever comes behind may rest on it.
    fn lose(&mut self, place: u64, mut loss: Loss) {
        let place = place - 1;
        let key = (loss.subscription, loss.section);
        let mut at = place;
        if let Some(grown) = self.index.gaps.get(&key).copied()
            && let Some(Entry::Gap { loss: earlier, .. }) = self.entries.get(&grown)
        {
            loss.widen(earlier);
            at = at.min(grown);
            self.remove(grown);
        }
        self.index.gaps.insert(key, at);
        self.add(at, Entry::Gap { loss, bytes: Box::default() });
    }

    fn insert(&mut self, place: u64, frame: &[u8], fate: Fate) -> Standing {
        self.add(place, Entry::Frame { bytes: frame.into(), fate });
        if self.first_frame == Some(place) { Standing::OnItsWay } else { Standing::Waits }
    }

    fn add(&mut self, place: u64, entry: Entry) {
        self.behind += entry.cost();
        self.firm_bytes += entry.firm_bytes();
        self.entries.insert(place, entry);
        self.send_off();
    }

    /// Takes an entry out; what was known of its frame.
    fn remove(&mut self, place: u64) -> Option<Fate> {
        let entry = self.entries.remove(&place)?;
        self.index.forget(place, &entry);
        self.firm_bytes -= entry.firm_bytes();
        match self.first_frame.take_if(|first| *first == place) {
            Some(_) => {}
            None => self.behind -= entry.cost(),
        }
        match entry {
            Entry::Frame { fate, .. } => Some(fate),
            Entry::Gap { .. } => None,
        }
    }

    /// Puts the first frame, and the gaps before it, on their way.
    fn send_off(&mut self) {
        if self.first_frame.is_some() {
            return;
        }
        let mut frames = self.entries.iter();
        let Some(first) = frames.find(|(_, entry)| matches!(entry, Entry::Frame { .. })) else {
            return;
        };
        let first = *first.0;
        for (place, entry) in self.entries.range(..=first) {
            self.index.forget(*place, entry);
        }
        self.behind -= self.entries[&first].cost();
        self.first_frame = Some(first);
    }
}

/// Where a frame stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    OnItsWay,
    Waits,
}
