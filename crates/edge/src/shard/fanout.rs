//! The fan-out: one encoded frame for all members of a group, one write a connection and batch.
//!
//! Messages that came in one read of the NATS socket are gathered: their frames stand behind each
//! other in one buffer, so that a member of one group takes the whole batch with one plain write,
//! and a member of several takes its pieces with one vectored write, in order. Nothing is
//! allocated for a delivery once the buffers have grown.

use super::Shard;
use super::leftover::{BatchBytes, queue};
use meridian_core::SlowClient;
use meridian_core::interest::{Group, Sid, Wishes};
use meridian_nats::{Headers, Message};
use meridian_proto::{Origin, Outgoing, Payload, trace};
use std::io::IoSlice;
use std::rc::Rc;

/// A message as it goes out, whatever way it came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a> {
    /// The subject that it was published on.
    pub(super) subject: &'a [u8],
    /// Its header block.
    pub(super) headers: Headers<'a>,
    /// Its payload.
    pub(super) payload: &'a [u8],
    /// Its sequence, of a durable message.
    pub(super) sequence: Option<u64>,
    /// The sequence's epoch, where both together are a position.
    pub(super) epoch: Option<&'a str>,
    /// Whether it is live or from the store.
    pub(super) origin: Origin,
}

impl<'a> Incoming<'a> {
    /// A message of core NATS.
    pub(super) fn ephemeral(message: &Message<'a>) -> Self {
        let Message { subject, headers, payload, .. } = *message;
        Self { subject, headers, payload, sequence: None, epoch: None, origin: Origin::Live }
    }

    /// The payload with its kind.
    pub(super) fn classified(&self) -> Payload<'a> {
        Payload::classify(self.headers.get("Content-Type"), self.payload)
    }
}

/// A connection without a delivery in the batch.
pub(crate) const NO_CHAIN: (u32, u32) = (END, END);

/// The end of a chain.
const END: u32 = u32::MAX;

/// Frames of this many bytes leave before more are gathered: a batch that a socket does not take
/// must fit its outbox.
const BATCH_BYTES_MAX: usize = 128 * 1024;

/// So many deliveries leave before more are gathered, which bounds the arena at 1 MiB.
const BATCH_DELIVERIES_MAX: usize = 64 * 1024;

/// Owned by the shard. What came in one read of the NATS socket.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<EncodedFrame>,
    /// The subjects of messages that may be conflated.
    subjects: Vec<u8>,
    /// Deliveries that the frames will make.
    deliveries: usize,
    /// Scratch of the flush with several groups.
    arena: Vec<Delivery>,
    touched: Vec<u32>,
}

/// One frame for one group: a range of the batch's bytes.
#[derive(Clone, Copy)]
pub(super) struct EncodedFrame {
    pub(super) group: u32,
    pub(super) start: usize,
    pub(super) end: usize,
    /// What happens to it for a slow client.
    pub(super) slow_client: SlowClient,
    pub(super) sequence: Option<u64>,
    /// Start and end of its subject in the batch's subjects.
    pub(super) subject: (usize, usize),
}

/// One frame for one connection, in the connection's chain.
#[derive(Clone, Copy)]
struct Delivery {
    frame: u32,
    next: u32,
}

impl Shard {
    /// Encodes a message for each group that wants it, and flushes a batch that has grown large.
    pub(super) fn gather(self: &Rc<Self>, sid: Sid, message: &Incoming<'_>) {
        let is_large = {
            let interest = self.interest.borrow();
            let groups = interest.route(sid);
            if groups.is_empty() {
                return;
            }
            let payload = message.classified();
            let batch = &mut *self.batch.borrow_mut();
            let (slow_client, sequence) = (interest.slow_client(sid), message.sequence);
            let subject = batch.keep_subject(slow_client, message.subject);
            for index in groups {
                let group = interest.group(*index);
                if group.members().is_empty() {
                    continue;
                }
                let start = batch.bytes.len();
                encode(&mut batch.bytes, *index + 1, message, payload, group);
                batch.deliveries += group.members().len();
                let (group, end) = (*index, batch.bytes.len());
                let frame = EncodedFrame { group, start, end, slow_client, sequence, subject };
                batch.frames.push(frame);
            }
            batch.bytes.len() > BATCH_BYTES_MAX || batch.deliveries > BATCH_DELIVERIES_MAX
        };
        if is_large {
            self.flush();
        }
    }

    /// Writes the batch to everybody it is for.
    pub(super) fn flush(self: &Rc<Self>) {
        let mut batch = std::mem::take(&mut *self.batch.borrow_mut());
        let Some(first) = batch.frames.first() else { return };
        let is_one_group = batch.frames.iter().all(|frame| frame.group == first.group);
        self.counters.add_deliveries(batch.deliveries as u64);
        if is_one_group {
            self.flush_group(first.group, &batch);
        } else {
            self.flush_groups(&mut batch);
        }
        batch.bytes.clear();
        batch.bytes.shrink_to(BATCH_BYTES_MAX);
        batch.frames.clear();
        batch.subjects.clear();
        batch.deliveries = 0;
        *self.batch.borrow_mut() = batch;
    }

    /// The frames are all for the same members: the whole buffer goes to each.
    fn flush_group(self: &Rc<Self>, group: u32, batch: &Batch) {
        let interest = self.interest.borrow();
        let connections = self.connections.borrow();
        let bytes = BatchBytes { frames: &batch.bytes, subjects: &batch.subjects };
        for member in interest.group(group).members() {
            let pieces = [IoSlice::new(&batch.bytes)];
            let connection = &connections[*member as usize];
            connection.write_or_queue(self, &pieces, |outbox, taken, room| {
                queue(outbox, bytes, batch.frames.iter(), taken, room)
            });
        }
    }

    /// Chains each connection's frames in order of arrival, then writes each chain at once.
    fn flush_groups(self: &Rc<Self>, batch: &mut Batch) {
        let interest = self.interest.borrow();
        let connections = self.connections.borrow();
        for (index, frame) in batch.frames.iter().enumerate() {
            for member in interest.group(frame.group).members() {
                let delivery = batch.arena.len() as u32;
                batch.arena.push(Delivery { frame: index as u32, next: END });
                let chain = &connections[*member as usize].chain;
                match chain.get() {
                    NO_CHAIN => {
                        batch.touched.push(*member);
                        chain.set((delivery, delivery));
                    }
                    (head, tail) => {
                        batch.arena[tail as usize].next = delivery;
                        chain.set((head, delivery));
                    }
                }
            }
        }
        let mut slices = Vec::new();
        let Batch { bytes, frames, subjects, arena, touched, .. } = batch;
        let (frames, arena) = (&*frames, &*arena);
        let bytes = BatchBytes { frames: bytes, subjects };
        for member in touched.drain(..) {
            let connection = &connections[member as usize];
            let (head, _) = connection.chain.replace(NO_CHAIN);
            let chain = || Chain { arena, next: head }.map(|index| &frames[index as usize]);
            collect(bytes.frames, chain(), &mut slices);
            connection.write_or_queue(self, &slices, |outbox, taken, room| {
                queue(outbox, bytes, chain(), taken, room)
            });
            slices.clear();
        }
        batch.arena.clear();
    }
}

impl Batch {
    /// Keeps the subject of a message that may be conflated; its start and end.
    fn keep_subject(&mut self, slow_client: SlowClient, subject: &[u8]) -> (usize, usize) {
        let start = self.subjects.len();
        if slow_client == SlowClient::Conflate {
            self.subjects.extend_from_slice(subject);
        }
        (start, self.subjects.len())
    }
}

/// A connection's frames, by their places in the batch.
struct Chain<'a> {
    arena: &'a [Delivery],
    next: u32,
}

impl Iterator for Chain<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let delivery = self.arena.get(self.next as usize)?;
        self.next = delivery.next;
        Some(delivery.frame)
    }
}

/// Takes a connection's frames as pieces of the batch; neighbours become one piece.
fn collect<'a, 'f>(
    bytes: &'a [u8],
    frames: impl Iterator<Item = &'f EncodedFrame>,
    slices: &mut Vec<IoSlice<'a>>,
) {
    let mut piece: Option<(usize, usize)> = None;
    for frame in frames {
        piece = match piece {
            Some((start, end)) if end == frame.start => Some((start, frame.end)),
            Some((start, end)) => {
                slices.push(IoSlice::new(&bytes[start..end]));
                Some((frame.start, frame.end))
            }
            None => Some((frame.start, frame.end)),
        };
    }
    if let Some((start, end)) = piece {
        slices.push(IoSlice::new(&bytes[start..end]));
    }
}

/// Appends the frame of a message for a group.
pub(super) fn encode(
    out: &mut Vec<u8>,
    i: u32,
    message: &Incoming<'_>,
    payload: Payload<'_>,
    group: &Group<u32>,
) {
    let Incoming { subject, sequence, epoch, origin, .. } = *message;
    let subject = group.shown(subject);
    let plain = Outgoing {
        i,
        subject,
        naming: group.naming(),
        sequence,
        epoch,
        origin,
        payload,
        headers: &[],
        traceparent: None,
    };
    let Some(wishes) = group.wishes() else {
        return group.wire().message(out, &plain);
    };
    let headers = wanted_headers(message.headers, wishes);
    let traceparent = wishes.trace.then(|| sampled_traceparent(message.headers)).flatten();
    let full = Outgoing { headers: &headers, traceparent, ..plain };
    wishes.wire.message(out, &full);
}

/// The headers that a group asked for, under the names that it asked with. Values that are not
/// UTF-8 are left out.
pub(super) fn wanted_headers<'a>(
    block: Headers<'a>,
    wishes: &'a Wishes,
) -> Vec<(&'a str, &'a str)> {
    let mut headers = Vec::new();
    if wishes.headers.is_empty() {
        return headers;
    }
    for (name, value) in block.iter() {
        let wanted = wishes.headers.iter().find(|wish| name.eq_ignore_ascii_case(wish.as_bytes()));
        if let (Some(wish), Ok(value)) = (wanted, std::str::from_utf8(value)) {
            headers.push((wish.as_str(), value));
        }
    }
    headers
}

/// A publisher's trace context, if it is well formed and sampled: others would only cost bytes.
pub(super) fn sampled_traceparent(block: Headers<'_>) -> Option<&str> {
    let value = std::str::from_utf8(block.get("traceparent")?).ok()?;
    (trace::sampled_flag(value) == Some(true)).then_some(value)
}
