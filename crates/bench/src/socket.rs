//! One receiving thread's work: reads whatever a socket has into the thread's one buffer and counts
//! the messages.
//!
//! A socket holds no buffer of its own, so that ten thousand idle ones cost the load generator
//! little. Called by the receivers, once a thread; never across threads.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use hdrhistogram::Histogram;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::dialect::{Dialect, Event};
use crate::frame::{FrameWalker, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, client_frame};
use crate::payload::now_ns;
use crate::receivers::Counters;
use crate::sequence::{SequenceTracker, Verdict};

/// One read's worth: large enough that a burst of gathered frames comes with one system call.
const SCRATCH_BYTES: usize = 256 * 1024;

/// Latencies above a minute count as a minute.
const LATENCY_MAX_US: u64 = 60_000_000;

/// What a thread has seen. Owned by the thread; merged when the run ends.
#[derive(Debug)]
pub struct Tally {
    /// Latencies of messages sent inside the measured window, in µs.
    pub latency_us: Histogram<u64>,
    /// Messages that came for the first time.
    pub unique: u64,
    /// Sequences that were jumped over; those that came after all are among `late`.
    pub skipped: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that came after a later one.
    pub late: u64,
    /// Gaps that the server told of.
    pub gaps: u64,
    /// Sockets that the server closed, or that broke the framing.
    pub closed: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latency_us =
            Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("constant bounds are valid");
        Self { latency_us, unique: 0, skipped: 0, duplicated: 0, late: 0, gaps: 0, closed: 0 }
    }

    /// Deliveries that never came, of so many expected: by the count, and by the holes in the
    /// sequences. The two agree unless something is wrong with the counting; the worse is told.
    pub(crate) fn lost(&self, expected: u64) -> u64 {
        let holes = self.skipped.saturating_sub(self.late);
        expected.saturating_sub(self.unique).max(holes)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.latency_us.add(&other.latency_us).expect("all histograms have the same bounds");
        self.unique += other.unique;
        self.skipped += other.skipped;
        self.duplicated += other.duplicated;
        self.late += other.late;
        self.gaps += other.gaps;
        self.closed += other.closed;
    }
}

/// A thread's buffer and tally. Owned by the thread, lent to one socket's poll at a time.
#[derive(Debug)]
pub(crate) struct Desk {
    scratch: Box<[u8]>,
    pub(crate) tally: Tally,
    counters: Arc<Counters>,
}

impl Desk {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(), tally: Tally::new(), counters }
    }
}

/// One subscribed socket. Owned by its task.
pub(crate) struct Socket<D> {
    dialect: D,
    stream: TcpStream,
    walker: FrameWalker,
    carry: Vec<u8>,
    sequences: SequenceTracker,
}

impl<D: Dialect> Socket<D> {
    pub(crate) fn new(dialect: D, stream: TcpStream, walker: FrameWalker) -> Self {
        let sequences = SequenceTracker::default();
        Self { dialect, stream, walker, carry: Vec::new(), sequences }
    }

    /// Counts until the server closes; the run ends by dropping the task.
    pub(crate) async fn receive(mut self, desk: Rc<RefCell<Desk>>) {
        while poll_fn(|cx| self.poll_read(cx, &desk)).await.is_ok() {}
        let mut desk = desk.borrow_mut();
        desk.tally.closed += 1;
        desk.counters.closed.fetch_add(1, Relaxed);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, desk: &RefCell<Desk>) -> Poll<io::Result<()>> {
        let Desk { scratch, tally, counters } = &mut *desk.borrow_mut();
        let mut buffer = ReadBuf::new(scratch);
        // `poll_read` rather than `try_read`: after a short read tokio knows that the socket is
        // empty, which saves the second system call.
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(Ok(())) => {
                let received = tally.unique + tally.duplicated;
                let reply = self.count(buffer.filled(), tally, counters)?;
                counters.received.fetch_add(tally.unique + tally.duplicated - received, Relaxed);
                if !reply.is_empty() {
                    // A pong that does not fit an empty send buffer of an idle direction cannot
                    // happen; if it did, the server's own timeout would show it as a closed socket.
                    let _sent = self.stream.try_write(&reply);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Counts what is in `bytes`; returns what must be answered.
    fn count(
        &mut self,
        mut bytes: &[u8],
        tally: &mut Tally,
        counters: &Counters,
    ) -> io::Result<Vec<u8>> {
        let Self { dialect, walker, carry, sequences, .. } = self;
        let now_ns = now_ns();
        let measure_from_ns = counters.measure_from_ns.load(Relaxed);
        let mut reply = Vec::new();
        while let Some(piece) = walker.next(&mut bytes).map_err(io::Error::other)? {
            match piece.opcode {
                OPCODE_PING => reply.extend(client_frame(OPCODE_PONG, piece.bytes)),
                OPCODE_PONG => {}
                OPCODE_CLOSE => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => dialect.read(piece.bytes, piece.is_last, carry, &mut |event| match event {
                    Event::Message(stamp) => {
                        match sequences.observe(stamp.sequence) {
                            Verdict::InOrder => tally.unique += 1,
                            Verdict::Skipped(count) => {
                                tally.unique += 1;
                                tally.skipped += count;
                            }
                            Verdict::Late => {
                                tally.unique += 1;
                                tally.late += 1;
                            }
                            Verdict::Duplicated => tally.duplicated += 1,
                        }
                        if stamp.sent_ns >= measure_from_ns {
                            let latency_us = now_ns.saturating_sub(stamp.sent_ns) / 1_000;
                            tally.latency_us.saturating_record(latency_us.max(1));
                        }
                    }
                    Event::Gap => tally.gaps += 1,
                    Event::Ping => reply.extend(dialect.pong()),
                }),
            }
        }
        Ok(reply)
    }
}
