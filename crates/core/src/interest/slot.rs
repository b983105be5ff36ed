//! One filter's upstream subscription. Called by the interest table only.

use super::{Admission, Sid};
use crate::namespace::SlowClient;
use meridian_proto::Filter;
use slab::Slab;

/// How far the upstream subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No SUB went out on the present connection.
    New,
    /// SUB went out, its proof did not come back.
    Proving,
    /// The local NATS server has the interest.
    Live,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) sid: Sid,
    pub(super) filter: Filter,
    pub(super) groups: Vec<u32>,
    pub(super) state: State,
    /// Whether it was live on a connection that is gone.
    pub(super) interrupted: bool,
    /// When its members begin to receive.
    pub(super) admission: Admission,
    /// What happens to its messages for slow members.
    pub(super) slow_client: SlowClient,
    /// When the linger ends, while nobody wants the filter.
    pub(super) idle_until_ms: Option<u64>,
}

impl Slot {
    pub(super) fn new(sid: Sid, filter: Filter) -> Self {
        Self {
            sid,
            filter,
            groups: Vec::new(),
            state: State::New,
            interrupted: false,
            admission: Admission::AtProof,
            slow_client: SlowClient::default(),
            idle_until_ms: None,
        }
    }
}

/// The high half tells apart slots that had the same index at different times.
pub(super) fn sid(generation: u32, index: u32) -> Sid {
    u64::from(generation) << 32 | u64::from(index)
}

pub(super) fn index(sid: Sid) -> usize {
    sid as u32 as usize
}

pub(super) fn find(slots: &Slab<Slot>, sid: Sid) -> Option<&Slot> {
    slots.get(index(sid)).filter(|slot| slot.sid == sid)
}

pub(super) fn find_mut(slots: &mut Slab<Slot>, sid: Sid) -> Option<&mut Slot> {
    slots.get_mut(index(sid)).filter(|slot| slot.sid == sid)
}
