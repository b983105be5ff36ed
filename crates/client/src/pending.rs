//! The table of replies that are waited for: the only thing that callers and the reader share.

use crate::codec::Codec;
use crate::error::{Closed, Error};
use crate::subscription::Event;
use meridian_proto::item::Reply;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// One caller that waits.
pub(crate) struct Waiting {
    pub(crate) reply: oneshot::Sender<Result<Reply, Error>>,
    pub(crate) effect: Effect,
}

/// What the reader does when the reply arrives, before the caller sees it: so no message between
/// a subscribe reply and the caller's next step is lost.
pub(crate) enum Effect {
    Nothing,
    /// Deliver the new subscription's events here.
    Open(mpsc::Sender<Event>),
    /// Forget this subscription.
    Close(u32),
}

/// Waiting callers by command id. The lock is held for one look-up, never across an await. Its
/// size is bounded by the callers: an entry leaves with the future that waits for it.
#[derive(Default)]
pub(crate) struct Pending {
    /// How everybody spells their commands.
    pub(crate) codec: Codec,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<u32, Waiting>,
    last_id: u32,
    closed: Option<Closed>,
}

impl Pending {
    /// An empty table for a connection of this codec.
    pub(crate) fn new(codec: Codec) -> Self {
        Self { codec, table: Mutex::default() }
    }

    /// Takes the next free id for a caller.
    ///
    /// # Errors
    /// [`Error::Closed`] once the connection has ended: nobody would ever answer.
    pub(crate) fn register(&self, waiting: Waiting) -> Result<u32, Error> {
        let mut table = self.lock();
        if let Some(closed) = &table.closed {
            return Err(Error::Closed(closed.clone()));
        }
        let id = table.next_id();
        table.waiting.insert(id, waiting);
        Ok(id)
    }

    /// An id whose reply nobody waits for.
    pub(crate) fn unattended_id(&self) -> u32 {
        self.lock().next_id()
    }

    pub(crate) fn take(&self, id: u32) -> Option<Waiting> {
        self.lock().waiting.remove(&id)
    }

    /// Whether an unsubscribe of this subscription is on its way.
    pub(crate) fn is_closing(&self, subscription: u32) -> bool {
        let is_it =
            |waiting: &Waiting| matches!(waiting.effect, Effect::Close(i) if i == subscription);
        self.lock().waiting.values().any(is_it)
    }

    /// Fails every waiting caller, and every later one.
    pub(crate) fn close(&self, closed: &Closed) {
        let waiting = {
            let mut table = self.lock();
            table.closed = Some(closed.clone());
            std::mem::take(&mut table.waiting)
        };
        for (_, waiting) in waiting {
            // The caller may have given up in the meantime.
            let _ = waiting.reply.send(Err(Error::Closed(closed.clone())));
        }
    }

    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code under this lock can panic half-way through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

/// Removes a caller's entry when its future ends, however it ends.
pub(crate) struct Registration<'a> {
    pub(crate) pending: &'a Pending,
    pub(crate) id: u32,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.pending.take(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> (Waiting, oneshot::Receiver<Result<Reply, Error>>) {
        let (reply, answer) = oneshot::channel();
        (Waiting { reply, effect: Effect::Nothing }, answer)
    }

    #[test]
    fn ids_wrap_past_zero_and_skip_those_in_use() {
        let pending = Pending::default();
        assert_eq!(pending.register(waiting().0).unwrap(), 1);
        pending.lock().last_id = u32::MAX - 1;
        assert_eq!(pending.register(waiting().0).unwrap(), u32::MAX);
        assert_eq!(pending.register(waiting().0).unwrap(), 2, "0 is no id, and 1 is taken");
    }

    #[test]
    fn a_closed_connection_fails_callers_of_before_and_after() {
        let pending = Pending::default();
        let (before, mut answer) = waiting();
        pending.register(before).unwrap();
        let closed = Closed { code: 3003, reason: "slow".into() };
        pending.close(&closed);
        assert!(matches!(answer.try_recv().unwrap(), Err(Error::Closed(c)) if c == closed));
        assert!(matches!(pending.register(waiting().0), Err(Error::Closed(c)) if c == closed));
    }

    #[test]
    fn a_registration_leaves_with_its_future() {
        let pending = Pending::default();
        let id = pending.register(waiting().0).unwrap();
        drop(Registration { pending: &pending, id });
        assert!(pending.take(id).is_none());
    }
}
