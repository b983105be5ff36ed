//! A filter's worker: reads the copy up to what is live, then lets joiners in.

use super::pages::PAGE_MESSAGES;
use super::{DurableFilter, Phase, Worker};
use crate::shard::Shard;
use crate::shard::store::{GetFailure, number_of};
use meridian_core::durable::{Missed, Reading, Stored, Tails, Verdict, Why};
use meridian_core::namespace::Replication;
use meridian_nats::Headers;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{debug, warn};

/// Waits between attempts while the copy does not answer, or is behind, in ms.
const RETRY_MS: (u64, u64) = (50, 2_000);

/// Attempts to read what must be there, of a copy with replicas: so many before the leader is asked
/// whether it is there at all, since anybody on the mesh's NATS can claim it; and so many, some
/// 20 s, before it is given up.
const BEHIND_ATTEMPTS: (u32, u32) = (4, 15);

impl Shard {
    /// Runs a filter's worker, unless it runs.
    pub(super) fn run_worker(self: &Rc<Self>, durable: &Rc<DurableFilter>) {
        if durable.worker.replace(Worker::Running) == Worker::Running {
            return;
        }
        let (shard, durable) = (Rc::clone(self), Rc::clone(durable));
        tokio::task::spawn_local(async move {
            shard.settle(&durable).await;
            durable.worker.set(Worker::Absent);
            // What opened between the last look and this line. Without a connection the next one
            // begins with all filters.
            let is_wanted = shard.durables.get(durable.sid).is_some();
            let is_connected = shard.upstream.payload_bytes_max().is_some();
            if durable.is_open.get() && is_wanted && is_connected {
                shard.run_worker(&durable);
            }
        });
    }

    /// Settles a filter, however long that takes. Ends early when nobody wants it any more.
    async fn settle(self: &Rc<Self>, durable: &Rc<DurableFilter>) {
        if !durable.is_open.get() && self.prove_first(durable).await {
            return;
        }
        let (mut wait_ms, mut attempts) = (RETRY_MS.0, 0);
        while self.durables.get(durable.sid).is_some() {
            // Without a connection the next one opens the filter again.
            if self.upstream.payload_bytes_max().is_none() {
                return;
            }
            durable.is_open.set(false);
            match self.read_up(durable).await {
                Ok(()) if self.is_behind(durable, attempts).await => attempts += 1,
                Ok(()) if !durable.is_open.get() && self.go_live(durable, 0) => return,
                Ok(()) => continue,
                Err(failure) => {
                    warn!(filter = %durable.filter, copy = durable.copy, ?failure, "cannot read");
                }
            }
            durable.is_open.set(true);
            sleep(Duration::from_millis(wait_ms)).await;
            wait_ms = (wait_ms * 2).min(RETRY_MS.1);
        }
    }

    /// Whether a subject's first message has nothing before it that was lost and then dropped by
    /// the copy. If so the filter is live again, and what came meanwhile is not read but applied.
    async fn prove_first(self: &Rc<Self>, durable: &Rc<DurableFilter>) -> bool {
        let Some(first) = durable.state.borrow_mut().first.take() else { return false };
        let epoch_number = durable.epoch_number.get();
        let whole_from = self.whole_from(&durable.copy, durable.replication).await;
        let verified = durable.state.borrow().tails.verified();
        whole_from.is_ok_and(|whole_from| whole_from <= verified + 1)
            && durable.epoch_number.get() == epoch_number
            && !durable.is_open.get()
            && self.go_live(durable, first)
    }

    /// Reads everything above the verified position, or finds where a new filter stands.
    async fn read_up(self: &Rc<Self>, durable: &Rc<DurableFilter>) -> Result<(), GetFailure> {
        if durable.state.borrow().phase == Phase::New {
            return self.find_place(durable).await;
        }
        let epoch_number = durable.epoch_number.get();
        let verified = durable.state.borrow().tails.verified();
        let mut reading = Reading::new(verified, 0, durable.span, durable.retention);
        loop {
            let (after, filter) = (reading.after(), durable.filter.as_str());
            let page = self.page_after(&durable.copy, filter, after, PAGE_MESSAGES).await?;
            // Asked after the page was read: what it did not drop by now was there then.
            let whole_from = self.whole_from(&durable.copy, durable.replication).await?;
            if durable.epoch_number.get() != epoch_number {
                return Ok(());
            }
            let missed = {
                let tails = &durable.state.borrow().tails;
                reading.page(&page, whole_from, |stored| has(tails, stored))
            };
            if let Some(missed) = missed {
                self.miss(durable, missed);
            }
            let is_last = page.pending == 0;
            for stored in page.messages {
                let is_known = has(&durable.state.borrow().tails, &stored);
                if !is_known {
                    self.deliver(durable, stored);
                }
            }
            self.flush();
            if is_last {
                break;
            }
        }
        if let Some(missed) = reading.end() {
            self.miss(durable, missed);
        }
        durable.state.borrow_mut().tails.settle(reading.after());
        Ok(())
    }

    /// Whether reading up has not come as far as it must. The copy's replicas may be behind the one
    /// that republishes; but nobody waits for a message that is not there.
    async fn is_behind(self: &Rc<Self>, durable: &Rc<DurableFilter>, attempts: u32) -> bool {
        let (expected, verified) = {
            let state = durable.state.borrow();
            (state.expected, state.tails.verified())
        };
        if expected <= verified {
            return false;
        }
        let is_single = durable.replication == Replication::Single;
        if !is_single && attempts < BEHIND_ATTEMPTS.0 {
            return true;
        }
        let epoch_number = durable.epoch_number.get();
        let is_there = !is_single
            && match self.stream_state(&durable.copy).await {
                Ok(state) => state.last_seq >= expected,
                Err(_) => return true,
            };
        if durable.epoch_number.get() != epoch_number {
            return false;
        }
        if is_there && attempts < BEHIND_ATTEMPTS.1 {
            return true;
        }
        if is_there {
            let (after, upto, why) = (verified, expected, Why::Expired);
            self.miss(durable, Missed { after, upto, why });
            durable.state.borrow_mut().tails.settle(expected);
        } else {
            debug!(filter = %durable.filter, expected, "the copy holds no such message");
        }
        durable.state.borrow_mut().expected = 0;
        false
    }

    /// Applies what came meanwhile, `first` among it a first message that is proven. True if
    /// nothing is missing: the filter is live.
    fn go_live(self: &Rc<Self>, durable: &Rc<DurableFilter>, first: u64) -> bool {
        let held = std::mem::take(&mut durable.state.borrow_mut().held);
        for stored in held {
            let previous = number_of(Headers::new(&stored.headers).get("Nats-Last-Sequence"));
            match self.judge(durable, &stored, previous.unwrap_or_default()) {
                Verdict::Duplicate => {}
                Verdict::First if stored.sequence == first => self.deliver(durable, stored),
                verdict if durable.is_next(verdict) => self.deliver(durable, stored),
                _ => {
                    self.flush();
                    durable.open_until(stored.sequence);
                    return false;
                }
            }
        }
        let joiners = {
            let state = &mut *durable.state.borrow_mut();
            state.phase = Phase::Live;
            state.expected = 0;
            if !durable.filter.is_wildcard() {
                let highest = state.tails.highest();
                state.tails.settle(highest);
            }
            std::mem::take(&mut state.joiners)
        };
        self.flush();
        if durable.filter.is_wildcard() {
            self.tell_position(durable);
        }
        debug!(filter = %durable.filter, joiners = joiners.len(), "durable filter is live");
        joiners.into_iter().for_each(|joiner| self.start_join(durable, joiner));
        true
    }

    fn judge(&self, durable: &DurableFilter, stored: &Stored, previous: u64) -> Verdict {
        let subject = String::from_utf8_lossy(&stored.subject);
        durable.state.borrow().tails.judge(&subject, previous, stored.sequence)
    }
}

fn has(tails: &Tails, stored: &Stored) -> bool {
    tails.has(&String::from_utf8_lossy(&stored.subject), stored.sequence)
}
