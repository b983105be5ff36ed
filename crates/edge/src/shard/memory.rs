//! What waits for slow clients, all together: who holds how much is noted here, and the slowest are
//! closed when the shard's share of the edge's memory is all but used up.
//!
//! Called by `connection` when its outbox has changed, which it has only for a slow client.

use super::Shard;
use meridian_core::{Limit, Pressure};
use meridian_proto::CloseCode;
use std::rc::Rc;
use tracing::warn;

impl Shard {
    /// Notes that a connection holds `after` bytes instead of `before`.
    pub(super) fn held(&self, before: usize, after: usize) {
        let mut memory = self.memory.get();
        memory.moved(before, after);
        self.memory.set(memory);
    }

    /// Closes the slowest, if it must be, as soon as what is under way is done.
    pub(super) fn shed_if_full(self: &Rc<Self>) {
        if self.memory.get().pressure() < Pressure::Shed || self.is_shedding.replace(true) {
            return;
        }
        let shard = Rc::clone(self);
        // Not here: a batch is going out, and those whom it closes stand in it.
        tokio::task::spawn_local(async move { shard.shed() });
    }

    fn shed(self: &Rc<Self>) {
        self.is_shedding.set(false);
        let connections = self.connections.borrow();
        let open = connections.iter().map(|(_, one)| one).filter(|one| one.is_open());
        let holders = open.map(|one| (Rc::clone(one), one.held_bytes())).collect();
        drop(connections);
        let slowest = self.memory.get().slowest(holders);
        if slowest.is_empty() {
            return;
        }
        let bytes = self.memory.get().bytes();
        warn!(shard = self.index, clients = slowest.len(), bytes, "memory is short: closing");
        for connection in slowest {
            self.counters.add_limit(Limit::MemoryShed);
            connection.close(self, CloseCode::Slow);
        }
    }
}
