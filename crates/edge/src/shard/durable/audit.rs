//! The audit of tails: a lost last message shows no hole, so the store is asked for the last
//! message of each subject.

use super::DurableFilter;
use crate::shard::Shard;
use crate::shard::store::GetFailure;
use serde_json::json;
use std::rc::Rc;

/// A busy wildcard filter's position is at most so old, in s: what a client that resumes may get
/// twice from the wire (and drops by its sequence).
const BUSY_AUDIT_S: u32 = 2;

/// A quiet filter is audited this often, in s.
const QUIET_AUDIT_S: u32 = 30;

/// Nothing is on its way to a filter that was quiet for so long, in ms.
const QUIET_MS: u64 = 1_000;

/// Most audits that one shard begins in a second.
const AUDITS_PER_SECOND: usize = 64;

impl Shard {
    /// Begins the audits that are due. Called once a second.
    pub(in crate::shard) fn audit_durables(self: &Rc<Self>) {
        let now_s = self.now_s();
        let is_due =
            |durable: &Rc<DurableFilter>| durable.is_live() && durable.audit_due_s.get() <= now_s;
        let due: Vec<_> = self.durables.all().into_iter().filter(is_due).collect();
        for durable in due.into_iter().take(AUDITS_PER_SECOND) {
            let is_busy = {
                let state = durable.state.borrow();
                state.tails.highest() > state.tails.verified()
            };
            let wait_s = if is_busy { BUSY_AUDIT_S } else { QUIET_AUDIT_S };
            durable.audit_due_s.set(now_s + wait_s);
            let shard = Rc::clone(self);
            tokio::task::spawn_local(async move { shard.audit(&durable).await });
        }
    }

    async fn audit(self: &Rc<Self>, durable: &Rc<DurableFilter>) {
        let highest = durable.state.borrow().tails.highest();
        let is_quiet = self.now_ms() - durable.delivered_at_ms.get() > QUIET_MS;
        let filter = durable.filter.as_str();
        // Of a busy filter only what was delivered is audited: more is always on its way.
        let request = if is_quiet || highest == 0 {
            json!({"multi_last": [filter]})
        } else {
            json!({"multi_last": [filter], "up_to_seq": highest})
        };
        let page = match self.get(&durable.copy, &request).await {
            Ok(page) => page,
            // More subjects than one answer holds: reading up settles them all.
            Err(GetFailure::TooManySubjects) => {
                durable.open();
                return self.run_worker(durable);
            }
            // The next audit comes; a copy that is down has nothing new either.
            Err(GetFailure::Unreachable | GetFailure::Refused) => return,
        };
        let is_complete = {
            let state = durable.state.borrow();
            page.messages.iter().all(|stored| {
                state.tails.has(&String::from_utf8_lossy(&stored.subject), stored.sequence)
            })
        };
        if !is_complete {
            durable.open();
            return self.run_worker(durable);
        }
        let (before, after) = {
            let tails = &mut durable.state.borrow_mut().tails;
            let before = tails.verified();
            tails.settle(highest);
            (before, tails.verified())
        };
        if after > before {
            self.tell_position(durable);
        }
    }
}
