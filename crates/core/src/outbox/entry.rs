//! One thing that waits: a frame with what is known of it, or a gap that is still growing.

use meridian_proto::item::Gap;
use std::rc::Rc;

/// What a message that may give way takes beside its frame and subject, in bytes: its label and
/// its places in the queue and the index, generously. A gap takes as much, so that dropping a
/// message never makes the queue larger.
const LABEL_BYTES: usize = 192;

/// A subscription and a subject: of these the newest message counts.
pub(super) type Key = (u32, Rc<[u8]>);

/// Something that waits. Owned by the queue.
#[derive(Debug)]
pub(super) enum Entry {
    /// A whole frame, or several, but for a beginning that the socket has taken.
    Frame { bytes: Box<[u8]>, fate: Fate },
    /// A gap, spelled when it is about to leave.
    Gap { loss: Loss, bytes: Box<[u8]> },
}

/// What may happen to a frame that waits.
#[derive(Debug)]
pub(super) enum Fate {
    /// It leaves.
    Firm,
    /// It leaves, unless the place is needed.
    Droppable { subscription: u32, section: u32, sequence: Option<u64> },
    /// It leaves, unless a newer one takes its place.
    Conflatable { key: Key, sequence: Option<u64> },
}

/// Messages of one subscription that gave way, between two fences.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) subscription: u32,
    pub(super) section: u32,
    /// The lowest and the highest sequence, of a durable subscription.
    sequences: Option<(u64, u64)>,
    why: &'static str,
}

impl Entry {
    /// The bytes that go out. Of a gap they are there once it was spelled.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame { bytes, .. } | Self::Gap { bytes, .. } => bytes,
        }
    }

    /// What it takes of the outbox's bound.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Frame { bytes, fate } => fate.cost(bytes.len()),
            Self::Gap { .. } => LABEL_BYTES,
        }
    }

    /// Bytes that no policy takes away.
    pub(super) fn firm_bytes(&self) -> usize {
        match self {
            Self::Frame { bytes, fate: Fate::Firm } => bytes.len(),
            _ => 0,
        }
    }
}

impl Fate {
    /// Its message's sequence, as far as a policy knows it.
    pub(super) fn sequence(&self) -> Option<u64> {
        match self {
            Self::Firm => None,
            Self::Droppable { sequence, .. } | Self::Conflatable { sequence, .. } => *sequence,
        }
    }

    /// What a frame of this fate takes of the outbox's bound.
    pub(super) fn cost(&self, frame_bytes: usize) -> usize {
        frame_bytes
            + match self {
                Self::Firm => 0,
                Self::Droppable { .. } => LABEL_BYTES,
                Self::Conflatable { key, .. } => LABEL_BYTES + key.1.len(),
            }
    }
}

impl Loss {
    /// A message that was the oldest when the place was needed.
    pub(super) fn dropped(subscription: u32, section: u32, sequence: Option<u64>) -> Self {
        Self::new(subscription, section, sequence, "slow")
    }

    /// A message that a newer one on its subject has replaced.
    pub(super) fn conflated(subscription: u32, section: u32, sequence: Option<u64>) -> Self {
        Self::new(subscription, section, sequence, "conflated")
    }

    fn new(subscription: u32, section: u32, sequence: Option<u64>, why: &'static str) -> Self {
        let sequences = sequence.map(|sequence| (sequence, sequence));
        Self { subscription, section, sequences, why }
    }

    /// Takes in another loss of the same subscription.
    pub(super) fn widen(&mut self, other: &Self) {
        self.sequences = match (self.sequences, other.sequences) {
            (Some((low, high)), Some((lower, higher))) => Some((low.min(lower), high.max(higher))),
            (one, other) => one.or(other),
        };
    }

    /// The item that tells it.
    pub(super) fn gap(&self) -> Gap {
        Gap {
            i: self.subscription,
            after: self.sequences.map(|(low, _)| low.saturating_sub(1)),
            upto: self.sequences.map(|(_, high)| high),
            e: None,
            why: self.why.into(),
        }
    }
}
