//! A stream of events on one filter.

use crate::connection::WeakLink;
use crate::error::Error;
use crate::pending::{Effect, Waiting};
use crate::resume::{ResumePoint, Tracker};
use crate::writer::{self, Call};
use meridian_proto::command::{Body, Command, Unsubscribe};
use meridian_proto::item::{Gap, Mark, Message, SubscribeReply, Unsubscribed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What happens on a subscription, in the edge's order.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message.
    Message(Message),
    /// Messages may be missing here.
    Gap(Gap),
    /// The replay has ended; what follows is live.
    Live(Mark),
    /// Everything up to here was delivered: a resume may start after it.
    Position(Mark),
    /// The edge ended the subscription. The last event.
    Unsubscribed(Unsubscribed),
}

/// Events on one filter. Dropping it unsubscribes without waiting; [`Subscription::unsubscribe`]
/// waits for the edge. It does not keep the connection open: the [`crate::Client`] does.
///
/// It buffers a bounded number of events. When the buffer is full the reader stops, for the whole
/// connection and replies too, and TCP holds the edge back, until it counts this client as slow:
/// by the namespace it drops messages, which a gap tells, or closes with 3003. So read every
/// subscription, each in a task of its own if need be.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) filter: String,
    pub(crate) reply: SubscribeReply,
    pub(crate) events: mpsc::Receiver<Event>,
    /// None on an ephemeral filter.
    pub(crate) tracker: Option<Tracker>,
    pub(crate) closer: Closer,
}

/// Ends a subscription, once. Owned by the subscription.
pub(crate) struct Closer {
    pub(crate) link: WeakLink,
    pub(crate) reply_timeout: Duration,
    pub(crate) done: bool,
}

impl Subscription {
    /// The next event, or `None` when the subscription or the connection has ended; then
    /// [`crate::Client::closed`] says why. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.events.recv().await?;
            if self.note(&event) {
                return Some(self.named(event));
            }
        }
    }

    /// The next event if one has already arrived.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            let event = self.events.try_recv().ok()?;
            if self.note(&event) {
                return Some(self.named(event));
            }
        }
    }

    /// From where another subscription on this filter, at any edge of any region, goes on after the
    /// last event that was read here. `None` on an ephemeral filter, and while the last messages of
    /// all subjects still come.
    #[must_use]
    pub fn resume_point(&self) -> Option<ResumePoint> {
        self.tracker.as_ref().and_then(Tracker::point)
    }

    /// Notes where the subscription stands. False for a message that was shown before.
    fn note(&mut self, event: &Event) -> bool {
        let Some(tracker) = &mut self.tracker else { return true };
        match event {
            Event::Message(message) => return tracker.show(message),
            Event::Live(mark) => tracker.live(mark.q),
            Event::Position(mark) => tracker.mark(mark.q),
            Event::Gap(gap) => tracker.gap(gap),
            Event::Unsubscribed(_) => {}
        }
        true
    }

    /// Adds the subject that the binary codec leaves out where the filter is the subject.
    fn named(&self, mut event: Event) -> Event {
        if let Event::Message(message) = &mut event
            && message.s.is_empty()
        {
            message.s.clone_from(&self.filter);
        }
        event
    }

    /// The filter as it was asked for.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// What the edge answered.
    #[must_use]
    pub fn reply(&self) -> &SubscribeReply {
        &self.reply
    }

    /// Ends the subscription and waits until the edge has done so. Events that have not been read
    /// are dropped.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Timeout`] or [`Error::Closed`].
    pub async fn unsubscribe(mut self) -> Result<(), Error> {
        // First, so that a reader that waits for room here goes on and can read the reply.
        self.events.close();
        self.closer.done = true;
        let i = self.reply.i;
        let Some((commands, pending)) = self.closer.link.upgrade() else { return Ok(()) };
        let body = Body::Unsubscribe(Unsubscribe { i });
        let call = Call { body, effect: Effect::Close(i), bytes_max: usize::MAX };
        writer::exchange(&commands, pending, call, self.closer.reply_timeout).await.map(drop)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.events.close();
        if self.closer.done {
            return;
        }
        let i = self.reply.i;
        let Some((commands, pending)) = self.closer.link.upgrade() else { return };
        let waiting = Waiting { reply: oneshot::channel().0, effect: Effect::Close(i) };
        let Ok(id) = pending.register(waiting) else { return };
        let command = Command { id: Some(id), body: Body::Unsubscribe(Unsubscribe { i }) };
        if commands.try_send(pending.codec.part(&command)).is_err() {
            // The queue is full. The reader unsubscribes when the next message finds nobody.
            pending.take(id);
        }
    }
}

impl std::fmt::Debug for Closer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Closer").field("done", &self.done).finish_non_exhaustive()
    }
}
