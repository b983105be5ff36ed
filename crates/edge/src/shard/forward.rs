//! Commands for a stream that another shard holds, of this edge or another: they go to it by an
//! internal subject, and its word comes back. So a load balancer may send them anywhere.

use super::Shard;
use super::asker::Asker;
use super::http::Envelope;
use super::sessions::{Delivery, SessionId};
use meridian_nats::{Message, subjects};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

/// How long the owner may take: it answers at once, so this is a way through the mesh and back.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Commands of others under way at once in one shard. Each holds at most one message's bytes.
const FORWARDS_MAX: usize = 256;

/// Owned by the shard. Forwards under way, by number.
#[derive(Default)]
pub(crate) struct Forwards {
    waiting: RefCell<HashMap<u64, oneshot::Sender<Answer>>>,
    next: Cell<u64>,
}

/// What comes back.
type Answer = Result<Delivery, ForwardFailure>;

/// A forward under way. Nobody waits for it any more when this is dropped.
struct Waiting<'a> {
    forwards: &'a Forwards,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.forwards.waiting.borrow_mut().remove(&self.number);
    }
}

/// Why commands did not reach their stream, or may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForwardFailure {
    /// Too many are under way here.
    Full,
    /// This edge has no connection to NATS.
    Unreachable,
    /// Nobody listens for the owner: it is gone, or has lost NATS.
    NoOwner,
    /// No answer in time: they may have been carried out.
    Late,
    /// More bytes than the NATS servers take.
    TooLarge,
}

impl Forwards {
    fn begin(&self) -> Option<(Waiting<'_>, oneshot::Receiver<Answer>)> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= FORWARDS_MAX {
            return None;
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let (done, answer) = oneshot::channel();
        waiting.insert(number, done);
        Some((Waiting { forwards: self, number }, answer))
    }

    /// Takes a message that answers the forward of this number.
    pub(super) fn take(&self, number: &str, message: &Message<'_>) {
        let Ok(number) = number.parse() else { return };
        // What comes too late belongs to nobody.
        let Some(done) = self.waiting.borrow_mut().remove(&number) else { return };
        let answer = match message.headers.status() {
            Some(_) => Err(ForwardFailure::NoOwner),
            None => Delivery::of_word(message.payload).ok_or(ForwardFailure::Late),
        };
        // Whoever asked may have gone.
        let _ = done.send(answer);
    }

    /// Fails every forward: the connection that answers would come on is gone.
    pub(super) fn interrupt(&self) {
        self.waiting.borrow_mut().clear();
    }
}

impl Shard {
    /// The subject on which this shard takes commands for its streams.
    pub(super) fn command_subject(&self) -> String {
        subjects::edge_commands(&self.policy.node, self.index)
    }

    /// Whether a stream is, or was, this shard's own.
    pub(super) fn owns(&self, session: &SessionId) -> bool {
        session.node == self.policy.node && session.shard == self.index
    }

    /// Hands commands to the shard that holds their stream. `request` is the client's request as it
    /// came.
    ///
    /// # Errors
    /// The commands may be sent again, under the same number.
    pub(super) async fn forward(
        &self,
        session: &SessionId,
        request: &[u8],
    ) -> Result<Delivery, ForwardFailure> {
        let (waiting, answer) = self.forwards.begin().ok_or(ForwardFailure::Full)?;
        let subject = subjects::edge_commands(&session.node, session.shard);
        let number = waiting.number.to_string();
        self.upstream.ask(&subject, Asker::Forward, &number, request).map_err(
            |error| match error {
                meridian_nats::Error::TooLarge { .. } => ForwardFailure::TooLarge,
                _ => ForwardFailure::Unreachable,
            },
        )?;
        match timeout(FORWARD_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            // The connection was lost before the answer, or there was none.
            Ok(Err(_)) | Err(_) => Err(ForwardFailure::Late),
        }
    }

    /// Commands that another shard was given for a stream of this one.
    pub(super) fn forwarded(self: &Rc<Self>, message: &Message<'_>) {
        // What the batch holds was for those who were subscribed until now.
        self.flush();
        let delivery = match Envelope::parse(message.payload) {
            Ok((envelope, commands)) if self.owns(&envelope.session) => {
                self.deliver_commands(envelope.session.secret, envelope.number, commands)
            }
            // Only an edge of another version could send one: its client may begin anew.
            Ok(_) | Err(_) => Delivery::Gone,
        };
        let Some(reply) = message.reply.and_then(|reply| std::str::from_utf8(reply).ok()) else {
            return;
        };
        if let Err(error) = self.upstream.answer(reply, delivery.word().as_bytes()) {
            warn!(shard = self.index, %error, "cannot answer forwarded commands");
        }
    }
}
