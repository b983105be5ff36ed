//! The reading half of a connection: items in, replies and events out.
//!
//! One task of its own, because a read that is given up half-way would lose its place.

use crate::defaults::{CONNECT_TIMEOUT, SILENCE_SLACK};
use crate::error::{Closed, Error};
use crate::frames::{Frames, Received};
use crate::notice::Notice;
use crate::pending::{Effect, Pending, Waiting};
use crate::subscription::Event;
use crate::writer::Control;
use meridian_proto::command::{Body, Command, Unsubscribe};
use meridian_proto::item::{Item, Reply};
use meridian_proto::{CloseCode, DecodeError, json, pb};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;
use tracing::debug;

/// Owned by its task.
pub(crate) struct Reader<R> {
    frames: Frames<R>,
    pending: Arc<Pending>,
    controls: mpsc::Sender<Control>,
    notices: broadcast::Sender<Notice>,
    subscriptions: HashMap<u32, mpsc::Sender<Event>>,
    /// How long an edge may say nothing at all: two heartbeats, once their interval is known.
    silence_max: Duration,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(
        frames: Frames<R>,
        pending: Arc<Pending>,
        controls: mpsc::Sender<Control>,
        notices: broadcast::Sender<Notice>,
    ) -> Self {
        let silence_max = CONNECT_TIMEOUT + SILENCE_SLACK;
        Self { frames, pending, controls, notices, subscriptions: HashMap::new(), silence_max }
    }

    /// Reads until the connection ends, and says how. Subscriptions end with it.
    pub(crate) async fn run(mut self) -> Closed {
        loop {
            let received = match timeout(self.silence_max, self.frames.next()).await {
                Ok(Ok(received)) => received,
                Ok(Err(closed)) => {
                    self.control(Control::Close(answer_to(&closed)));
                    return closed;
                }
                // The read is lost, and so is the connection.
                Err(_) => return Closed::lost("nothing heard from the edge for two heartbeats"),
            };
            match received {
                Received::Text(text) => {
                    if let Err(closed) = self.on_items(json::items(&text)).await {
                        self.control(Control::Close(answer_to(&closed)));
                        return closed;
                    }
                }
                Received::Binary(bytes) => {
                    if let Err(closed) = self.on_items(pb::items(&bytes)).await {
                        self.control(Control::Close(answer_to(&closed)));
                        return closed;
                    }
                }
                Received::Ping(payload) => {
                    self.control(Control::Pong(payload));
                }
                Received::Pong => {}
                Received::Close(closed) => {
                    self.control(Control::Close(answer_to(&closed)));
                    return closed;
                }
            }
        }
    }

    async fn on_items(
        &mut self,
        items: impl Iterator<Item = Result<Item, DecodeError>>,
    ) -> Result<(), Closed> {
        for item in items {
            match item {
                Ok(item) => self.on_item(item).await,
                Err(DecodeError::Refused(Some(id), failure)) => {
                    self.on_answer(id, Err(Error::Malformed(failure.msg)));
                }
                // A push that cannot be read may have been a message: better an end than silence.
                Err(error) => {
                    let reason = format!("the edge sent what is not understood: {error}");
                    return Err(Closed { code: CloseCode::ProtocolError.number(), reason });
                }
            }
        }
        Ok(())
    }

    async fn on_item(&mut self, item: Item) {
        match item {
            Item::Message(message) => self.deliver(message.i, Event::Message(message)).await,
            Item::Gap(gap) => self.deliver(gap.i, Event::Gap(gap)).await,
            Item::Live(mark) => self.deliver(mark.i, Event::Live(mark)).await,
            Item::Position(mark) => self.deliver(mark.i, Event::Position(mark)).await,
            Item::Unsubscribed(end) => {
                let i = end.i;
                self.deliver(i, Event::Unsubscribed(end)).await;
                self.subscriptions.remove(&i);
            }
            Item::Reply(id, reply) => self.on_answer(id, Ok(reply)),
            Item::Error(Some(id), failure) => self.on_answer(id, Err(Error::Refused(failure))),
            Item::Error(None, failure) => self.notify(Notice::Error(failure)),
            Item::GoAway(goaway) => self.notify(Notice::GoAway(goaway)),
            Item::Mesh(mesh) => self.notify(Notice::Mesh(mesh)),
            Item::Expire(expire) => self.notify(Notice::Expire(expire)),
            // That something came is all a heartbeat says.
            Item::Heartbeat => {}
            Item::Unknown(name) => debug!(name, "a push of a later version was skipped"),
        }
    }

    /// Waits while the subscription is full: that is the backpressure.
    async fn deliver(&mut self, i: u32, event: Event) {
        // Messages may still arrive between an unsubscribe and its reply.
        let Some(events) = self.subscriptions.get(&i) else { return };
        if events.send(event).await.is_err() && (self.pending.is_closing(i) || self.unsubscribe(i))
        {
            self.subscriptions.remove(&i);
        }
    }

    fn on_answer(&mut self, id: u32, answer: Result<Reply, Error>) {
        let Some(Waiting { reply, effect }) = self.pending.take(id) else {
            // Its caller gave up, but the edge did as it was asked.
            if let Ok(Reply::Subscribe(reply)) = answer {
                self.unsubscribe(reply.i);
            }
            return;
        };
        let mut opened = None;
        match (&answer, effect) {
            (Ok(Reply::Connect(connected)), _) => {
                self.silence_max = 2 * Duration::from_secs(connected.ping.into()) + SILENCE_SLACK;
            }
            (Ok(Reply::Subscribe(reply)), Effect::Open(events)) => {
                self.subscriptions.insert(reply.i, events);
                opened = Some(reply.i);
            }
            (Ok(Reply::Unsubscribe), Effect::Close(i)) => {
                self.subscriptions.remove(&i);
            }
            _ => {}
        }
        if reply.send(answer).is_err()
            && let Some(i) = opened
        {
            self.subscriptions.remove(&i);
            self.unsubscribe(i);
        }
    }

    /// Ends a subscription that nobody holds. False if the writer has no room: try again later.
    fn unsubscribe(&self, i: u32) -> bool {
        let id = Some(self.pending.unattended_id());
        let command = Command { id, body: Body::Unsubscribe(Unsubscribe { i }) };
        self.control(Control::Command(self.pending.codec.part(&command)))
    }

    /// Never waits: a writer that is stuck must not stop the reader, or both ends may wait for
    /// each other. A lost pong is made good by the next.
    fn control(&self, control: Control) -> bool {
        self.controls.try_send(control).is_ok()
    }

    fn notify(&self, notice: Notice) {
        // Nobody may listen; that is the caller's choice.
        let _ = self.notices.send(notice);
    }
}

/// The code that answers a close: the same one, if it may stand on the wire (RFC 6455 section
/// 7.4.1).
fn answer_to(closed: &Closed) -> u16 {
    match closed.code {
        1004..=1006 | 1015 | 0..=999 | 5000.. => CloseCode::Normal.number(),
        code => code,
    }
}
