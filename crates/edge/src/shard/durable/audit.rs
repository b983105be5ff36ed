//! The audit of tails: a lost last message shows no hole, so the copy is asked for the last
//! message of each subject; where there are too many, it is read again from the mark on.

use super::pages::PAGE_MESSAGES;
use super::{DurableFilter, Worker};
use crate::shard::Shard;
use crate::shard::store::GetFailure;
use meridian_core::durable::{Audit, Verified};
use meridian_core::namespace::Retention;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

/// A busy filter's position is at most so old, in s: what a client that resumes may get twice from
/// the wire (and drops by its sequence).
const BUSY_AUDIT_S: u32 = 2;

/// A quiet filter is audited this often, in s. Its mark moves with the stream, so that a position
/// is not dropped although nothing was missed.
const QUIET_AUDIT_S: u32 = 30;

/// Most audits that one shard begins in a second.
const AUDITS_PER_SECOND: usize = 64;

/// After how long an audit looks first whether the messages that it found have arrived; each time
/// it waits twice as long. In all 2.5 s, longer than any way from a region's copy to its edges.
const LOOK_FIRST: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 8;

/// Pages that the audit of a filter with too many subjects reads, and then rests for a second: at
/// most 4,096 messages a second. The mark of a filter with more falls behind.
const WALK_PAGES: usize = 16;
const WALK_REST: Duration = Duration::from_secs(1);

impl Shard {
    /// Begins the audits that are due. Called once a second.
    pub(in crate::shard) fn audit_durables(self: &Rc<Self>) {
        let now_s = self.now_s();
        let is_due =
            |durable: &Rc<DurableFilter>| durable.is_live() && durable.audit_due_s.get() <= now_s;
        let due: Vec<_> = self.durables.all().into_iter().filter(is_due).collect();
        for durable in due.into_iter().take(AUDITS_PER_SECOND) {
            let wait_s = if durable.is_busy() { BUSY_AUDIT_S } else { QUIET_AUDIT_S };
            durable.audit_due_s.set(now_s + wait_s);
            let shard = Rc::clone(self);
            tokio::task::spawn_local(async move { shard.audit(&durable).await });
        }
    }

    /// Audits a filter, unless that is being done.
    pub(super) async fn audit(self: &Rc<Self>, durable: &Rc<DurableFilter>) {
        if durable.audit.replace(Worker::Running) == Worker::Absent {
            // The next audit comes; a copy that is down has nothing new either.
            let _ = self.audit_now(durable).await;
            durable.audit.set(Worker::Absent);
        }
    }

    async fn audit_now(self: &Rc<Self>, durable: &Rc<DurableFilter>) -> Result<(), GetFailure> {
        let epoch_number = durable.epoch_number.get();
        let Some(mut audit) = self.ask(durable).await? else { return Ok(()) };
        for look in 0..LOOKS_MAX {
            if durable.epoch_number.get() != epoch_number {
                return Ok(());
            }
            // What the copy has dropped is asked only when everything else is there.
            let mut verified = audit.judge(&durable.state.borrow().tails, 0);
            if let Verified::Upto(_) = verified {
                let whole_from = self.whole_from(&durable.copy, durable.replication).await?;
                verified = audit.judge(&durable.state.borrow().tails, whole_from);
            }
            match verified {
                Verified::Waits => sleep(LOOK_FIRST * 2_u32.pow(look)).await,
                Verified::Lost(_) => break,
                Verified::Upto(_) if durable.epoch_number.get() != epoch_number => return Ok(()),
                Verified::Upto(upto) => {
                    self.settle_upto(durable, upto);
                    return Ok(());
                }
            }
        }
        // Still not there, so it was lost.
        durable.open_until(audit.expected());
        self.run_worker(durable);
        Ok(())
    }

    fn settle_upto(self: &Rc<Self>, durable: &DurableFilter, upto: u64) {
        let (before, after) = {
            let tails = &mut durable.state.borrow_mut().tails;
            let before = tails.verified();
            tails.settle(upto);
            (before, tails.verified())
        };
        if after > before {
            self.tell_position(durable);
        }
    }

    async fn ask(self: &Rc<Self>, durable: &DurableFilter) -> Result<Option<Audit>, GetFailure> {
        if durable.is_wide.get() && durable.is_busy() {
            return self.walk(durable).await;
        }
        let page = match self.tails_of(durable, None).await {
            // Nothing of the filter: so that the answer says up to where, with another subject.
            Ok(page) if page.upto.is_none() => {
                let newest = self.newest_of(&durable.copy).await?;
                self.tails_of(durable, newest.as_ref()).await?
            }
            Err(GetFailure::TooManySubjects) => {
                durable.is_wide.set(true);
                return self.walk(durable).await;
            }
            answer => answer?,
        };
        durable.is_wide.set(page.pending > 0);
        let state = durable.state.borrow();
        Ok(Audit::of_last(&page, &state.tails, |stored| durable.is_of(stored)))
    }

    /// Reads everything from the mark on, while the filter stays live.
    async fn walk(self: &Rc<Self>, durable: &DurableFilter) -> Result<Option<Audit>, GetFailure> {
        let epoch_number = durable.epoch_number.get();
        let mut audit = Audit::walking(&durable.state.borrow().tails);
        while self.durables.get(durable.sid).is_some() {
            for _ in 0..WALK_PAGES {
                let (after, filter) = (audit.upto(), durable.filter.as_str());
                let page = self.page_after(&durable.copy, filter, after, PAGE_MESSAGES).await?;
                if durable.epoch_number.get() != epoch_number {
                    return Ok(None);
                }
                audit.walk(&page, &durable.state.borrow().tails);
                if page.pending == 0 {
                    return Ok(Some(audit));
                }
            }
            // Where others may have been dropped between what is left, only all of it proves.
            if durable.retention == Retention::Oldest {
                return Ok(Some(audit));
            }
            sleep(WALK_REST).await;
        }
        Ok(None)
    }
}

impl DurableFilter {
    /// Whether more was delivered than is verified.
    fn is_busy(&self) -> bool {
        let tails = &self.state.borrow().tails;
        tails.highest() > tails.verified()
    }
}
