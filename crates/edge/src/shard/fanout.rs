//! The fan-out: one encoded frame for all members of a group, one write a connection and batch.
//!
//! Messages that came in one read of the NATS socket are gathered: their frames stand behind each
//! other in one buffer, so that a member of one group takes the whole batch with one plain write,
//! and a member of several takes its pieces with one vectored write, in order. Nothing is
//! allocated for a delivery once the buffers have grown.

use super::Shard;
use super::connection::Connection;
use super::leftover::{BatchBytes, queue};
use super::meters::Sent;
use super::tracer::{Outcome, Received, sampled_context};
use meridian_core::SlowClient;
use meridian_core::interest::{Group, Sid, Wishes};
use meridian_nats::{Headers, Message};
use meridian_proto::trace::TraceContext;
use meridian_proto::{Origin, Outgoing, Payload};
use meridian_telemetry::metrics::labels::Class;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Instant;

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
    /// What clients that ask for it are told of its trace.
    pub(super) trace: Option<TraceContext>,
    /// When and where it was published, of a live one that says so.
    pub(super) sent: Option<Sent>,
}

impl<'a> Incoming<'a> {
    /// A message of core NATS.
    pub(super) fn ephemeral(message: &Message<'a>, sent: Option<Sent>) -> Self {
        let Message { subject, headers, payload, .. } = *message;
        let (sequence, epoch, origin) = (None, None, Origin::Live);
        Self { subject, headers, payload, sequence, epoch, origin, trace: None, sent }
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
    /// Messages of the batch that leave a span, with what they became.
    traced: Vec<(Received, Outcome)>,
    /// When the first message came, and its subject; only while spans are made.
    began: Option<Instant>,
    first_subject: Vec<u8>,
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
            let received = self.tracer.received(message);
            let trace = match &received {
                Some(received) => Some(received.context),
                None => sampled_context(message.headers),
            };
            let message = &Incoming { trace, ..*message };
            let batch = &mut *self.batch.borrow_mut();
            if batch.frames.is_empty() && self.tracer.is_on() {
                batch.begin(message.subject);
            }
            let mut outcome = Outcome::default();
            let (slow_client, sequence) = (interest.slow_client(sid), message.sequence);
            let subject = batch.keep_subject(slow_client, message.subject);
            let mut receivers = 0;
            for index in groups {
                let group = interest.group(*index);
                if group.members().is_empty() {
                    continue;
                }
                let start = batch.bytes.len();
                encode(&mut batch.bytes, *index + 1, message, payload, group);
                receivers += group.members().len();
                let (group, end) = (*index, batch.bytes.len());
                let frame = EncodedFrame { group, start, end, slow_client, sequence, subject };
                batch.frames.push(frame);
                outcome.add(interest.group(group).members().len(), end - start);
            }
            batch.traced.extend(received.map(|received| (received, outcome)));
            batch.deliveries += receivers;
            let class = if sequence.is_some() { Class::Durable } else { Class::Ephemeral };
            self.meters.gathered(class, receivers, message.sent);
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
        let mut writes = Writes::new(&batch);
        if is_one_group {
            self.flush_group(first.group, &batch, &mut writes);
        } else {
            self.flush_groups(&mut batch, &mut writes);
        }
        self.trace_batch(&mut batch, &writes);
        self.meters.flushed();
        batch.bytes.clear();
        batch.bytes.shrink_to(BATCH_BYTES_MAX);
        batch.frames.clear();
        batch.subjects.clear();
        batch.deliveries = 0;
        *self.batch.borrow_mut() = batch;
    }

    /// The frames are all for the same members: the whole buffer goes to each.
    fn flush_group(self: &Rc<Self>, group: u32, batch: &Batch, writes: &mut Writes) {
        let interest = self.interest.borrow();
        let connections = self.connections.borrow();
        let bytes = BatchBytes { frames: &batch.bytes, subjects: &batch.subjects };
        for member in interest.group(group).members() {
            let pieces = [IoSlice::new(&batch.bytes)];
            let connection = &connections[*member as usize];
            connection.write_or_queue(self, &pieces, |outbox, taken, room| {
                queue(outbox, bytes, batch.frames.iter(), taken, room)
            });
            writes.note(connection);
        }
    }

    /// Chains each connection's frames in order of arrival, then writes each chain at once.
    fn flush_groups(self: &Rc<Self>, batch: &mut Batch, writes: &mut Writes) {
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
            writes.note(connection);
            slices.clear();
        }
        batch.arena.clear();
    }

    /// Leaves the spans of a batch that has gone out.
    fn trace_batch(&self, batch: &mut Batch, writes: &Writes) {
        let Some(began) = batch.began.take() else { return };
        if batch.traced.is_empty() {
            let took_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.tracer.slow_batch(&batch.first_subject, took_ns);
        }
        for (received, outcome) in batch.traced.drain(..) {
            let (blocked, slowest_ns) = (writes.blocked, writes.slowest_ns);
            self.tracer.delivered(received, Outcome { blocked, slowest_ns, ..outcome });
        }
    }
}

/// How the writes of a batch went. Looked at only where a message of the batch leaves a span.
struct Writes {
    last: Option<Instant>,
    blocked: usize,
    slowest_ns: u64,
}

impl Writes {
    fn new(batch: &Batch) -> Self {
        let last = (!batch.traced.is_empty()).then(Instant::now);
        Self { last, blocked: 0, slowest_ns: 0 }
    }

    /// One socket has been written to.
    fn note(&mut self, connection: &Connection) {
        let Some(last) = self.last else { return };
        let now = Instant::now();
        let took_ns = u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX);
        self.slowest_ns = self.slowest_ns.max(took_ns);
        self.blocked += usize::from(connection.waiting_bytes() > 0);
        self.last = Some(now);
    }
}

impl Batch {
    /// Its first message has come.
    fn begin(&mut self, subject: &[u8]) {
        self.began = Some(Instant::now());
        self.first_subject.clear();
        self.first_subject.extend_from_slice(subject);
    }

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
    let Incoming { subject, sequence, epoch, origin, trace, .. } = *message;
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
    let traceparent = trace.filter(|_| wishes.trace).map(|trace| trace.to_string());
    let full = Outgoing { headers: &headers, traceparent: traceparent.as_deref(), ..plain };
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
