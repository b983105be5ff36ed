//! Where a new filter stands, or one whose epoch has changed.

use super::{DurableFilter, Phase, RING_BYTES_MAX, RING_MESSAGES_MAX};
use crate::shard::Shard;
use crate::shard::store::GetFailure;
use meridian_core::durable::{Ring, Tails};
use std::rc::Rc;

/// A place in a stream.
struct Place {
    /// Everything up to here is behind the filter.
    stands: u64,
    /// Above this, and up to where the filter stands, the copy has nothing of it, and has not
    /// dropped anything either: who comes from there has missed nothing.
    floor: u64,
}

impl Shard {
    /// Lets a filter begin where the copy ends.
    pub(super) async fn find_place(
        self: &Rc<Self>,
        durable: &Rc<DurableFilter>,
    ) -> Result<(), GetFailure> {
        let epoch_number = durable.epoch_number.get();
        let Place { stands, floor } = self.place_of(durable).await?;
        if durable.epoch_number.get() != epoch_number {
            return Ok(());
        }
        let is_anew = {
            let state = &mut *durable.state.borrow_mut();
            state.tails = Tails::new(stands);
            state.ring = Ring::new(floor.min(stands), RING_MESSAGES_MAX, RING_BYTES_MAX);
            state.ring.miss(self.purged_upto(&durable.copy));
            state.phase = Phase::Settling;
            std::mem::take(&mut state.is_anew)
        };
        if is_anew {
            self.tell_epoch(durable);
        }
        Ok(())
    }

    /// At the copy's last message, of whatever subject: a position by an old message of a quiet
    /// filter would seem to be out of reach as soon as the copy drops what is older.
    async fn place_of(self: &Rc<Self>, durable: &DurableFilter) -> Result<Place, GetFailure> {
        let copy = durable.copy.as_str();
        let Some(newest) = self.newest_of(copy).await? else {
            let last = self.stream_state(copy).await?.last_seq;
            return Ok(Place { stands: last, floor: last });
        };
        let page = match self.tails_of(durable, Some(&newest)).await {
            Ok(page) if page.pending == 0 => page,
            // More than one answer holds. What the filter has up to its last message is there,
            // whoever answers.
            Ok(_) | Err(GetFailure::TooManySubjects) => {
                durable.is_wide.set(true);
                let last = self.last_of(copy, durable.filter.as_str()).await?;
                return Ok(Place { stands: last, floor: last });
            }
            Err(failure) => return Err(failure),
        };
        // Whoever answers may not have stored the newest message yet, or has dropped it by now.
        let upto = page.upto.filter(|upto| *upto >= newest.sequence);
        let stands = upto.ok_or(GetFailure::Unreachable)?;
        let of_filter = page.messages.iter().filter(|stored| durable.is_of(stored));
        let floor = match of_filter.map(|stored| stored.sequence).max() {
            // Behind it the mirror may have skipped some.
            Some(last) => last.max(self.hole_upto(copy)),
            // What the copy has dropped may have been the filter's.
            None => self.whole_from(copy, durable.replication).await?.saturating_sub(1),
        };
        Ok(Place { stands, floor })
    }
}
