//! A filter's worker: finds where it stands, reads the copy up to what is live, lets joiners in.

use super::pages::PAGE_MESSAGES;
use super::{DurableFilter, Phase, RING_BYTES_MAX, RING_MESSAGES_MAX, Worker};
use crate::shard::Shard;
use crate::shard::store::{GetFailure, number_of};
use meridian_core::durable::{Ring, Stored, Tails, Verdict};
use meridian_nats::Headers;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{debug, warn};

/// Waits between attempts while the copy does not answer, in ms.
const RETRY_MS: (u64, u64) = (50, 2_000);

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
        let mut wait_ms = RETRY_MS.0;
        while self.durables.get(durable.sid).is_some() {
            // Without a connection the next one opens the filter again.
            if self.upstream.payload_bytes_max().is_none() {
                return;
            }
            durable.is_open.set(false);
            match self.read_up(durable).await {
                Ok(()) if !durable.is_open.get() && self.go_live(durable) => return,
                Ok(()) => {}
                Err(failure) => {
                    warn!(filter = %durable.filter, copy = durable.copy, ?failure, "cannot read");
                    durable.is_open.set(true);
                    sleep(Duration::from_millis(wait_ms)).await;
                    wait_ms = (wait_ms * 2).min(RETRY_MS.1);
                }
            }
        }
    }

    /// Reads everything above the verified position, or finds where a new filter stands.
    async fn read_up(self: &Rc<Self>, durable: &Rc<DurableFilter>) -> Result<(), GetFailure> {
        let filter = durable.filter.as_str();
        if durable.state.borrow().phase == Phase::New {
            // Of the whole copy: a position by an old message of a quiet filter would seem to be
            // out of reach as soon as the copy drops what is older.
            let last = self.last_of(&durable.copy, ">").await?;
            let state = &mut *durable.state.borrow_mut();
            state.tails = Tails::new(last);
            state.ring = Ring::new(last, RING_MESSAGES_MAX, RING_BYTES_MAX);
            state.phase = Phase::Settling;
            return Ok(());
        }
        let verified = durable.state.borrow().tails.verified();
        let first = self.whole_from(&durable.copy).await?;
        if first > verified + 1 {
            // What was not yet delivered of these is gone; the rest was delivered.
            self.tell_durable_gap(durable, verified, first - 1);
        }
        let mut after = verified.max(first.saturating_sub(1));
        loop {
            let page = self.page_after(&durable.copy, filter, after, PAGE_MESSAGES).await?;
            let is_last = page.pending == 0;
            let Some(last) = page.messages.last().map(|stored| stored.sequence) else { break };
            for stored in page.messages {
                let subject = String::from_utf8_lossy(&stored.subject).into_owned();
                let is_known = durable.state.borrow().tails.has(&subject, stored.sequence);
                if !is_known {
                    self.deliver(durable, stored);
                }
            }
            self.flush();
            after = last;
            if is_last {
                break;
            }
        }
        durable.state.borrow_mut().tails.settle(after);
        Ok(())
    }

    /// Applies what came meanwhile. True if nothing is missing: the filter is live.
    fn go_live(self: &Rc<Self>, durable: &Rc<DurableFilter>) -> bool {
        let held = std::mem::take(&mut durable.state.borrow_mut().held);
        for stored in held {
            let previous = number_of(Headers::new(&stored.headers).get("Nats-Last-Sequence"));
            match self.judge(durable, &stored, previous.unwrap_or_default()) {
                Verdict::Duplicate => {}
                Verdict::Next => self.deliver(durable, stored),
                Verdict::Missing => {
                    self.flush();
                    return false;
                }
            }
        }
        let joiners = {
            let state = &mut *durable.state.borrow_mut();
            state.phase = Phase::Live;
            if !durable.filter.is_wildcard() {
                let highest = state.tails.highest();
                state.tails.settle(highest);
            }
            std::mem::take(&mut state.joiners)
        };
        self.flush();
        self.tell_position(durable);
        debug!(filter = %durable.filter, joiners = joiners.len(), "durable filter is live");
        joiners.into_iter().for_each(|joiner| self.start_join(durable, joiner));
        true
    }

    fn judge(&self, durable: &DurableFilter, stored: &Stored, previous: u64) -> Verdict {
        let subject = String::from_utf8_lossy(&stored.subject);
        durable.state.borrow().tails.judge(&subject, previous, stored.sequence)
    }
}
