//! Where in a queue the entries stand that may still change: what is on its way is not in here.

use super::entry::{Entry, Fate, Key};
use std::collections::{BTreeMap, VecDeque};

/// Owned by the queue.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Places of the droppable frames, oldest first.
    pub(super) droppable: VecDeque<u64>,
    /// The place of the newest message of each subject, behind the last fence.
    pub(super) newest: BTreeMap<Key, u64>,
    /// The place of the growing gap of each subscription and section.
    pub(super) gaps: BTreeMap<(u32, u32), u64>,
}

impl Index {
    /// Forgets an entry that is on its way or gone. Without effect for one that is not in here.
    pub(super) fn forget(&mut self, place: u64, entry: &Entry) {
        match entry {
            Entry::Frame { fate: Fate::Firm, .. } => {}
            // Whoever leaves or goes is the oldest.
            Entry::Frame { fate: Fate::Droppable { .. }, .. } => {
                self.droppable.pop_front_if(|front| *front == place);
            }
            Entry::Frame { fate: Fate::Conflatable { key, .. }, .. } => {
                if self.newest.get(key) == Some(&place) {
                    self.newest.remove(key);
                }
            }
            Entry::Gap { loss, .. } => {
                let key = (loss.subscription, loss.section);
                if self.gaps.get(&key) == Some(&place) {
                    self.gaps.remove(&key);
                }
            }
        }
    }
}
