//! One client's socket: writes where it stands, and queues only what would block.

use super::Shard;
use super::leftover::Room;
use super::sink::Sink;
use crate::parties::Seat;
use bytes::Bytes;
use meridian_core::outbox::{Full, Shed};
use meridian_core::{Limit, Outbox, Session};
use meridian_proto::item::{Gap, Item, Reply};
use meridian_proto::{CloseCode, Wire};
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::timeout;
use tracing::debug;

/// How long a closing connection may take to hand over its last frames and to answer the close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes that hyper is given at once: an HTTP/2 frame, and all that a client that takes
/// nothing can pin beside its outbox.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

/// Names a connection of a shard, and never another one: places are used again, generations not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Owned by its reader task; the shard's table holds it for the fan-out until the reader ends.
///
/// What a delivery looks at stands first, in one line of the processor's cache: a fan-out comes to
/// each connection anew, and finds nothing of it there.
#[repr(C, align(64))]
pub(crate) struct Connection {
    pub(crate) sink: Sink,
    outbox: RefCell<Outbox>,
    phase: Cell<Phase>,
    writer: Cell<Writer>,
    pub(crate) key: ConnectionKey,
    /// How items are put on the socket, from the handshake on.
    pub(crate) wire: Wire,
    /// None until `connect` succeeded.
    pub(crate) session: RefCell<Option<Box<Session>>>,
    /// When the client was last heard, in s of the shard's clock.
    pub(crate) heard_at_s: Cell<u32>,
    /// A token that came beside `connect`, until that is read.
    pub(crate) token: Cell<Option<Box<str>>>,
    /// What waits while somebody else decides about its `connect`.
    pub(crate) asking: RefCell<Option<Box<super::ask::Held>>>,
    /// Counts the looks at its tokens, see `clock`.
    pub(crate) look: Cell<u32>,
    /// Control frames before `connect`, for which there is no command budget yet.
    pub(crate) early_controls: Cell<u8>,
    /// First and last delivery of the batch in the making, see `fanout`.
    pub(crate) chain: Cell<(u32, u32)>,
    /// The last subscribe that waits for its reply, and when it came, see `meters`.
    pub(super) asked: Asked,
    /// What the shard's memory has noted of the outbox. None once the connection is let go.
    held: Cell<Option<usize>>,
    /// Its places among the connections of its address, user and tenant.
    seats: RefCell<Vec<Seat>>,
}

/// Where the cache line ends.
const _: () = assert!(std::mem::offset_of!(Connection, key) <= 64);

/// A command's id and µs of the shard's clock. A client with several subscribes on their way is
/// measured by the last.
#[derive(Debug, Default)]
pub(super) struct Asked(Cell<Option<(u32, u32)>>);

impl Asked {
    pub(super) fn set(&self, id: u32, now_us: u32) {
        self.0.set(Some((id, now_us)));
    }

    /// When this command came, if it is the last.
    pub(super) fn take(&self, id: u32) -> Option<u32> {
        let (_, asked_us) = self.0.get().filter(|(asked, _)| *asked == id)?;
        self.0.set(None);
        Some(asked_us)
    }
}

/// How far a connection's life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Frames flow.
    Open,
    /// The close frame is queued or sent: nothing more may follow it.
    Closing,
}

/// Whether a task writes the outbox out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Absent,
    Running,
}

impl Connection {
    pub(crate) fn new(key: ConnectionKey, sink: Sink, wire: Wire, now_s: u32) -> Self {
        Self {
            key,
            sink,
            wire,
            session: RefCell::new(None),
            heard_at_s: Cell::new(now_s),
            token: Cell::new(None),
            asking: RefCell::new(None),
            look: Cell::new(0),
            early_controls: Cell::new(0),
            chain: Cell::new(super::fanout::NO_CHAIN),
            asked: Asked::default(),
            outbox: RefCell::new(Outbox::default()),
            held: Cell::new(Some(0)),
            seats: RefCell::default(),
            phase: Cell::new(Phase::Open),
            writer: Cell::new(Writer::Absent),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    /// Bytes that wait because the socket would block, but for those that may be dropped.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.outbox.borrow().firm_bytes()
    }

    /// All bytes that wait, as the shard's memory has them.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.get().unwrap_or_default()
    }

    /// Takes places that end with the connection.
    pub(crate) fn sit(&self, seats: impl IntoIterator<Item = Seat>) {
        self.seats.borrow_mut().extend(seats);
    }

    /// Gives back what the connection holds of the shard and of the edge.
    pub(super) fn release(&self, shard: &Shard) {
        if let Some(held) = self.held.take() {
            shard.held(held, 0);
        }
        self.seats.borrow_mut().clear();
    }

    /// Tells the shard's memory how much waits now.
    fn note_held(&self, shard: &Shard) {
        let Some(before) = self.held.get() else { return };
        let now = self.outbox.borrow().bytes();
        if now != before {
            self.held.set(Some(now));
            shard.held(before, now);
        }
    }

    /// Sends one item.
    pub(crate) fn send(self: &Rc<Self>, shard: &Rc<Shard>, item: &Item) {
        self.put(shard, item, None);
        if self.wire == Wire::Sse && matches!(item, Item::Error(..)) {
            // A receive-only client cannot ask again, but it comes back by itself.
            self.close(shard, CloseCode::Internal);
        }
    }

    /// Sends one item about a subscription on a stream of this epoch.
    pub(crate) fn send_in(self: &Rc<Self>, shard: &Rc<Shard>, item: &Item, epoch: &str) {
        self.put(shard, item, Some(epoch));
    }

    fn put(self: &Rc<Self>, shard: &Rc<Shard>, item: &Item, epoch: Option<&str>) {
        shard.measure_item(self, item);
        if matches!(item, Item::Gap(_) | Item::Reply(_, Reply::Subscribe(_))) {
            self.fence();
        }
        self.write(shard, &[IoSlice::new(&item_frame(self.wire, item, epoch))]);
    }

    /// What comes next begins a subscription or another count of sequences: messages that were
    /// dropped before it and behind it are told apart.
    pub(super) fn fence(&self) {
        self.outbox.borrow_mut().fence();
    }

    /// Writes whole frames to the socket, or queues what it does not take, to leave in any case.
    pub(crate) fn write(self: &Rc<Self>, shard: &Rc<Shard>, frames: &[IoSlice<'_>]) {
        self.write_or_queue(shard, frames, |outbox, mut taken, room| {
            let mut shed = Shed::default();
            for slice in frames {
                let written = taken.min(slice.len());
                taken -= written;
                shed += outbox.push(slice, written, room.bytes_max)?;
            }
            Ok(shed)
        });
    }

    /// Writes whole frames to the socket. What it does not take `queue` adds to the outbox, given
    /// how many bytes were taken and how many may wait. Over the bound the client is too slow and
    /// is closed.
    pub(super) fn write_or_queue(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        frames: &[IoSlice<'_>],
        queue: impl FnOnce(&mut Outbox, usize, Room) -> Result<Shed, Full>,
    ) {
        if !self.is_open() {
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        let mut taken = 0;
        if outbox.is_empty() {
            match self.sink.try_write(frames) {
                Some(Ok(written)) => taken = written,
                Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    drop(outbox);
                    return self.abort(&error);
                }
                Some(Err(_)) | None => {}
            }
        }
        shard.meters.client_bytes_out(taken);
        if taken == frames.iter().map(|frame| frame.len()).sum::<usize>() {
            return;
        }
        // Where the shard's memory is used up, nobody's outbox grows.
        let room = outbox.bytes() + shard.memory.get().room();
        let bytes_max = shard.limits.outbox_bytes_max.min(room);
        let slack_bytes = self.sink.slack_bytes().min(bytes_max / 4);
        let queued = queue(&mut outbox, taken, Room { bytes_max, slack_bytes });
        drop(outbox);
        self.note_held(shard);
        match queued {
            Ok(shed) => {
                shard.counters.add_shed(shed);
                self.pass_on(shard);
            }
            Err(Full) => {
                let is_own = bytes_max == shard.limits.outbox_bytes_max;
                shard.counters.add_limit(if is_own { Limit::Outbox } else { Limit::MemoryShed });
                self.close(shard, CloseCode::Slow);
            }
        }
        shard.shed_if_full();
    }

    /// Closes with a code and its own reason.
    pub(crate) fn close(self: &Rc<Self>, shard: &Rc<Shard>, code: CloseCode) {
        self.close_with(shard, code, code.reason());
    }

    /// Closes: what is not yet begun is dropped, the close frame follows, and the socket ends
    /// when the client has answered or the time is over.
    pub(crate) fn close_with(self: &Rc<Self>, shard: &Rc<Shard>, code: CloseCode, reason: &str) {
        if !self.is_open() {
            return;
        }
        debug!(connection = self.key.index, code = code.number(), reason, "closing");
        shard.count_close(code);
        self.phase.set(Phase::Closing);
        let mut bytes = Vec::new();
        self.wire.close(&mut bytes, code, reason);
        let mut outbox = self.outbox.borrow_mut();
        if code == CloseCode::Slow {
            // The queue is what the client could not read: waiting for it would pin it further.
            outbox.keep_started();
        }
        // The close frame is small and the last: it may pass the bound.
        let pushed = outbox.push(&bytes, 0, usize::MAX);
        debug_assert!(pushed.is_ok(), "the bound is out of the way");
        drop(outbox);
        self.note_held(shard);
        self.pass_on(shard);
        let (this, shard) = (Rc::clone(self), Rc::clone(shard));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(CLOSE_TIMEOUT).await;
            this.end();
            shard.remove(&this);
        });
    }

    /// Ends the socket now: the reader wakes and cleans up.
    pub(crate) fn end(&self) {
        self.phase.set(Phase::Closing);
        self.sink.end();
        if matches!(self.sink, Sink::Pumped(_)) {
            // hyper may hold the body for a while, but nobody takes this any more.
            *self.outbox.borrow_mut() = Outbox::default();
        }
    }

    /// Looks after what waits: a task writes it, or hyper takes it.
    fn pass_on(self: &Rc<Self>, shard: &Rc<Shard>) {
        let Sink::Pumped(pump) = &self.sink else { return self.run_writer(shard) };
        pump.wake();
        if !pump.is_watched.replace(true) {
            pump.moved_at_ms.set(shard.now_ms());
            shard.schedule_stall(self, shard.limits.write_stall_ms);
        }
    }

    /// Takes some of what waits, for a streamed response. None at its end.
    ///
    /// # Errors
    /// When the response is to be cut off.
    pub(super) fn poll_take(
        &self,
        shard: &Shard,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        let Sink::Pumped(pump) = &self.sink else { return Poll::Ready(None) };
        if pump.is_over() {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() && !self.is_open() {
            return Poll::Ready(None);
        }
        if outbox.is_empty() {
            pump.wait(context.waker());
            return Poll::Pending;
        }
        let (mut slices, mut chunk) = (Vec::new(), Vec::new());
        outbox.slices(&mut slices, |gap| self.gap_frame(shard, gap));
        for slice in &slices {
            let room = CHUNK_BYTES_MAX - chunk.len();
            chunk.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        drop(slices);
        outbox.consume(chunk.len());
        shard.meters.client_bytes_out(chunk.len());
        drop(outbox);
        self.note_held(shard);
        pump.moved_at_ms.set(shard.now_ms());
        Poll::Ready(Some(Ok(chunk.into())))
    }

    /// A gap that the outbox tells. Without an epoch: under a wildcard, what is told here is no
    /// place to resume from.
    fn gap_frame(&self, shard: &Shard, gap: Gap) -> Vec<u8> {
        shard.meters.gaps(&gap.why, 1);
        item_frame(self.wire, &Item::Gap(gap), None)
    }

    /// Ends a streamed response whose client has taken nothing for too long.
    pub(super) fn look_for_stall(&self, shard: &Shard) {
        let Sink::Pumped(pump) = &self.sink else { return };
        pump.is_watched.set(false);
        if self.outbox.borrow().is_empty() {
            return;
        }
        let stalled_ms = shard.now_ms().saturating_sub(pump.moved_at_ms.get());
        let left_ms = shard.limits.write_stall_ms.saturating_sub(stalled_ms);
        if left_ms > 0 {
            pump.is_watched.set(true);
            return shard.schedule_stall(self, left_ms);
        }
        if self.is_open() {
            shard.count_close(CloseCode::Slow);
            shard.counters.add_limit(Limit::WriteStall);
        }
        self.abort(&io::Error::new(io::ErrorKind::TimedOut, "write stalled"));
        shard.remove(self);
    }

    fn abort(&self, error: &io::Error) {
        debug!(connection = self.key.index, %error, "socket failed");
        self.end();
    }

    fn run_writer(self: &Rc<Self>, shard: &Rc<Shard>) {
        if self.writer.replace(Writer::Running) == Writer::Running {
            return;
        }
        let stall = Duration::from_millis(shard.limits.write_stall_ms);
        let (this, shard) = (Rc::clone(self), Rc::clone(shard));
        tokio::task::spawn_local(async move {
            let result = this.write_out(&shard, stall).await;
            this.writer.set(Writer::Absent);
            match result {
                Ok(()) if this.is_open() => {}
                // The close frame is out: now the client closes, or the time is over.
                Ok(()) => this.sink.finish().await,
                Err(error) => {
                    // A connection that is closing has been counted already.
                    if error.kind() == io::ErrorKind::TimedOut && this.is_open() {
                        shard.count_close(CloseCode::Slow);
                        shard.counters.add_limit(Limit::WriteStall);
                    }
                    this.abort(&error);
                }
            }
        });
    }

    /// Writes until nothing waits.
    async fn write_out(&self, shard: &Shard, stall: Duration) -> io::Result<()> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "write stalled");
        loop {
            if self.outbox.borrow().is_empty() {
                timeout(stall, self.sink.flush()).await.map_err(late)??;
                if self.outbox.borrow().is_empty() {
                    return Ok(());
                }
            }
            let write = poll_fn(|context| self.poll_write(shard, context));
            timeout(stall, write).await.map_err(late)??;
            self.note_held(shard);
        }
    }

    /// Writes some of what waits as soon as it is taken.
    fn poll_write(&self, shard: &Shard, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.outbox.borrow_mut();
        let mut slices = Vec::new();
        outbox.slices(&mut slices, |gap| self.gap_frame(shard, gap));
        let written = ready!(self.sink.poll_write(context, &slices))?;
        drop(slices);
        outbox.consume(written);
        shard.meters.client_bytes_out(written);
        Poll::Ready(Ok(()))
    }
}

/// One item as a wire has it, for one client or for many. `epoch` as in [`Wire::item`].
pub(super) fn item_frame(wire: Wire, item: &Item, epoch: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire.item(&mut bytes, item, epoch);
    bytes
}

/// One item for connections of any wire: encoded once for each that there is.
pub(super) struct SharedItem {
    item: Item,
    frames: [OnceCell<Vec<u8>>; Wire::ALL.len()],
}

impl SharedItem {
    pub(super) fn new(item: Item) -> Self {
        Self { item, frames: Default::default() }
    }

    /// The item as a connection's wire has it.
    pub(super) fn frame(&self, wire: Wire) -> &[u8] {
        self.frames[wire.index()].get_or_init(|| item_frame(wire, &self.item, None))
    }
}
