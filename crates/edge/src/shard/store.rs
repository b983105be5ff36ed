//! Reading the region's copy of a stream: batched direct gets over the shard's own connection
//! (NATS ADR-31). No consumer, no meta leader: it works while the home region is down.

use super::Shard;
use super::asker::Asker;
pub(crate) use meridian_core::durable::Page;
use meridian_core::durable::Stored;
use meridian_core::namespace::Replication;
use meridian_nats::Message;
use serde::Deserialize;
use serde_json::json;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long one batch may take: a copy that answers later is as good as down.
const GET_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes of one batch that are kept; the server cuts batches by bytes too.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most gets in flight in one shard.
const GETS_MAX: usize = 1024;

/// Owned by the shard. Gets in flight, by the ticket in their token.
#[derive(Default)]
pub(crate) struct Gets {
    waiting: RefCell<Slab<Get>>,
    next_nonce: Cell<u64>,
}

/// Names a get in flight, and never another one: places are used again, nonces not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket {
    number: usize,
    nonce: u64,
}

type Answer = oneshot::Receiver<Result<Page, GetFailure>>;

struct Get {
    nonce: u64,
    expected: Expected,
    messages: Vec<Stored>,
    bytes: usize,
    pending: u64,
    upto: Option<u64>,
    /// Messages that came over the bound and were left out.
    cut: u64,
    /// Taken by the end of the batch.
    done: Option<oneshot::Sender<Result<Page, GetFailure>>>,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// With its one message.
    One,
    /// With a status, after any number of messages.
    Batch,
    /// With one answer that is no stored message.
    Info,
}

/// What a stream says of itself (`$JS.API.STREAM.INFO`), as far as it is needed.
#[derive(Debug, Deserialize)]
struct StreamInfo {
    state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    /// The oldest message's sequence, or the next one's if there is none.
    pub(super) first_seq: u64,
    /// The newest message's, also after it was dropped.
    pub(super) last_seq: u64,
}

/// Why a get brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GetFailure {
    /// No connection, no copy, or no whole answer in time.
    Unreachable,
    /// More subjects than one audit may ask for.
    TooManySubjects,
    /// The store does not understand the request.
    Refused,
}

impl Gets {
    fn insert(&self, expected: Expected) -> Option<(Ticket, Answer)> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= GETS_MAX {
            return None;
        }
        let nonce = self.next_nonce.get();
        self.next_nonce.set(nonce + 1);
        let (done, answer) = oneshot::channel();
        let (messages, done) = (Vec::new(), Some(done));
        let get = Get { nonce, expected, messages, bytes: 0, pending: 0, upto: None, cut: 0, done };
        Some((Ticket { number: waiting.insert(get), nonce }, answer))
    }

    fn remove(&self, ticket: Ticket) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.get(ticket.number).is_some_and(|get| get.nonce == ticket.nonce) {
            waiting.remove(ticket.number);
        }
    }

    /// Fails every get: the connection that answers would come on is gone.
    pub(super) fn interrupt(&self) {
        self.waiting.borrow_mut().clear();
    }

    /// Takes a message that came for the get with this ticket.
    pub(super) fn take(&self, ticket: &str, message: &Message<'_>) {
        let Some(ticket) = Ticket::parse(ticket) else { return };
        let mut waiting = self.waiting.borrow_mut();
        let get = waiting.get_mut(ticket.number).filter(|get| get.nonce == ticket.nonce);
        // What comes too late belongs to nobody.
        let Some(get) = get else { return };
        let header = |name| number_of(message.headers.get(name));
        match message.headers.status() {
            None => get.keep(message, header("Nats-Num-Pending").unwrap_or_default()),
            Some(204) => {
                get.upto = header("Nats-UpTo-Sequence");
                // At the end of an audit it is one too few: there the last message's holds.
                if get.upto.is_none() {
                    get.pending = header("Nats-Num-Pending").unwrap_or_default();
                }
                get.finish(Ok(()));
            }
            // A message of an audit was dropped before it was read, and so the rest is not said.
            Some(404) if !get.messages.is_empty() => get.finish(Err(GetFailure::Unreachable)),
            Some(404) => get.finish(Ok(())),
            Some(413) => get.finish(Err(GetFailure::TooManySubjects)),
            Some(503) => get.finish(Err(GetFailure::Unreachable)),
            Some(_) => get.finish(Err(GetFailure::Refused)),
        }
    }
}

impl Ticket {
    fn parse(text: &str) -> Option<Self> {
        let (number, nonce) = text.split_once('-')?;
        Some(Self { number: number.parse().ok()?, nonce: nonce.parse().ok()? })
    }
}

impl Get {
    fn keep(&mut self, message: &Message<'_>, pending: u64) {
        let stored = match self.expected {
            Expected::Info => Some(Stored { payload: message.payload.into(), ..Stored::default() }),
            Expected::One | Expected::Batch => stored(message),
        };
        let Some(stored) = stored else { return };
        self.bytes += stored.bytes();
        self.pending = pending;
        // What is over the bound is asked for again: the page ends before it.
        if self.bytes <= BATCH_BYTES_MAX || self.messages.is_empty() {
            self.messages.push(stored);
        } else {
            self.cut += 1;
        }
        if self.expected != Expected::Batch {
            self.finish(Ok(()));
        }
    }

    fn finish(&mut self, end: Result<(), GetFailure>) {
        let Some(done) = self.done.take() else { return };
        let page = end.map(|()| Page {
            messages: std::mem::take(&mut self.messages),
            pending: self.pending + self.cut,
            upto: self.upto,
        });
        // Whoever asked may have gone.
        drop(done.send(page));
    }
}

impl Shard {
    /// Asks a copy for a batch, or for one message. `request` is the JSON of ADR-31.
    pub(super) async fn get(
        self: &Rc<Self>,
        copy: &str,
        request: &serde_json::Value,
    ) -> Result<Page, GetFailure> {
        let is_batch = request.get("batch").is_some() || request.get("multi_last").is_some();
        let expected = if is_batch { Expected::Batch } else { Expected::One };
        let subject = format!("$JS.API.DIRECT.GET.{copy}");
        self.exchange(&subject, request.to_string().as_bytes(), expected).await
    }

    /// The sequence from which on a copy is whole: behind what its mirror skipped, that of its
    /// oldest message, and of an empty one the next, or at most 1 if it never held any. Only the
    /// stream itself can tell these apart. Of several replicas the leader is asked: one that is
    /// behind has dropped less than another that was read.
    pub(super) async fn whole_from(
        self: &Rc<Self>,
        copy: &str,
        replication: Replication,
    ) -> Result<u64, GetFailure> {
        let behind_hole = self.hole_upto(copy) + 1;
        if replication == Replication::Single {
            let oldest = json!({"seq": 1, "next_by_subj": ">", "batch": 1});
            if let Some(stored) = self.get(copy, &oldest).await?.messages.first() {
                return Ok(stored.sequence.max(behind_hole));
            }
        }
        Ok(self.stream_state(copy).await?.first_seq.max(behind_hole))
    }

    /// What the copy's leader says of it.
    pub(super) async fn stream_state(
        self: &Rc<Self>,
        copy: &str,
    ) -> Result<StreamState, GetFailure> {
        let subject = format!("$JS.API.STREAM.INFO.{copy}");
        let page = self.exchange(&subject, b"", Expected::Info).await?;
        let payload = page.messages.first().map_or(&b""[..], |answer| &answer.payload);
        // An error is no state: the stream has no leader now.
        let info = serde_json::from_slice::<StreamInfo>(payload);
        let info = info.map_err(|_| GetFailure::Unreachable)?;
        Ok(info.state)
    }

    async fn exchange(
        self: &Rc<Self>,
        subject: &str,
        request: &[u8],
        expected: Expected,
    ) -> Result<Page, GetFailure> {
        let (ticket, answer) = self.gets.insert(expected).ok_or(GetFailure::Unreachable)?;
        let question = format!("{}-{}", ticket.number, ticket.nonce);
        let sent = self.upstream.ask(subject, Asker::Store, &question, request);
        let answered = match sent {
            Ok(()) => timeout(GET_TIMEOUT, answer).await,
            Err(_) => Ok(Ok(Err(GetFailure::Unreachable))),
        };
        self.gets.remove(ticket);
        match answered {
            Ok(Ok(page)) => page,
            Ok(Err(_)) | Err(_) => Err(GetFailure::Unreachable),
        }
    }
}

/// A message of a stream, from a direct get or a republish, copied.
fn stored(message: &Message<'_>) -> Option<Stored> {
    Some(Stored {
        sequence: number_of(message.headers.get("Nats-Sequence"))?,
        subject: message.headers.get("Nats-Subject")?.into(),
        headers: message.headers.as_bytes().into(),
        payload: message.payload.into(),
    })
}

/// A decimal number in a header.
pub(super) fn number_of(value: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}
