//! What a region's copy does not have although it may seem to: what its mirror skipped, and what a
//! purge is about to erase. The control plane finds out; here it reaches filters and their members.

use super::DurableFilter;
use crate::shard::Shard;
use meridian_core::durable::{Missed, Why};
use meridian_core::holes::Hole;
use std::collections::BTreeMap;
use std::rc::Rc;

impl Shard {
    /// What the region's copies skipped, as ordered, together with the epochs that it is of.
    /// Members of a filter that had come to a new hole are told: to them it looked as if nothing
    /// had come. Reading the copy tells everybody else, see [`Shard::hole_upto`].
    pub(in crate::shard) fn set_holes(
        self: &Rc<Self>,
        holes: BTreeMap<String, Hole>,
        epochs: &BTreeMap<String, String>,
    ) {
        let before = self.holes.replace(holes);
        let found = self.holes.borrow().clone();
        for durable in self.durables.all() {
            let Some(hole) = found.get(&durable.copy).copied() else { continue };
            let is_same = before.get(&durable.copy) == Some(&hole);
            // Of another epoch, the filter begins anew.
            if is_same || epochs.get(&durable.copy) != Some(&*durable.epoch.borrow()) {
                continue;
            }
            self.fall_into(&durable, hole);
        }
    }

    /// A filter that has not come to the hole's end reads up, and tells all that is missing. One
    /// that is past it has delivered what came behind it, so only the hole is told.
    fn fall_into(self: &Rc<Self>, durable: &Rc<DurableFilter>, hole: Hole) {
        let Hole { after, upto } = hole;
        if durable.state.borrow().tails.verified() >= upto {
            self.miss(durable, Missed { after, upto, why: Why::Expired });
            return self.flush();
        }
        durable.open();
        self.run_worker(durable);
    }

    /// The end of the last hole of a copy, 0 if there is none: the copy is whole behind it.
    pub(in crate::shard) fn hole_upto(&self, copy: &str) -> u64 {
        self.holes.borrow().get(copy).map_or(0, |hole| hole.upto)
    }

    /// Up to where streams were purged, as ordered. What filters keep of that is shown to nobody
    /// any more.
    pub(in crate::shard) fn set_purged(&self, purged: &BTreeMap<String, u64>) {
        self.purged.borrow_mut().clone_from(purged);
        for durable in self.durables.all() {
            let upto = self.purged_upto(&durable.copy);
            durable.state.borrow_mut().ring.miss(upto);
        }
    }

    /// Up to here a copy was purged, 0 if it never was.
    pub(super) fn purged_upto(&self, copy: &str) -> u64 {
        self.purged.borrow().get(copy).copied().unwrap_or_default()
    }
}
