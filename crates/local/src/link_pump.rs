//! Moves the bytes of one direction of one link connection, late by the link's delay.
//!
//! A deadline queue, not a sleep for each chunk: chunks are read as they come, stamped with the
//! moment at which they are due, and written in that order, so delay costs no throughput. The
//! queue is bounded in bytes; when it is full, reading stops and TCP pushes back on the sender.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio::{select, try_join};

use crate::link::{LinkState, Mode};

/// At 40 ms one way this still carries 100 MB/s, and it bounds a link connection to 8 MiB.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// Bounds the cost of many tiny chunks.
const QUEUE_CHUNKS_MAX: usize = 8 << 10;

const READ_BYTES_MAX: usize = 64 << 10;

/// What is due at a moment; no bytes mean that the sender closed its direction.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    /// Gives the bytes back to the budget once they are written.
    _budget: Option<OwnedSemaphorePermit>,
}

/// Runs until the direction is closed (`Ok`) or one of the two sockets fails. `first` was read
/// from the source already and is as late as what follows.
pub(crate) async fn pump(
    first: Vec<u8>,
    source: ReadHalf<'_>,
    sink: WriteHalf<'_>,
    state: watch::Receiver<LinkState>,
) -> io::Result<()> {
    let (queue, due) = mpsc::channel(QUEUE_CHUNKS_MAX);
    try_join!(fill(first, source, queue, state.clone()), drain(due, sink, state))?;
    Ok(())
}

async fn fill(
    first: Vec<u8>,
    mut source: ReadHalf<'_>,
    queue: mpsc::Sender<Chunk>,
    mut state: watch::Receiver<LinkState>,
) -> io::Result<()> {
    let budget = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
    let mut scratch = vec![0; READ_BYTES_MAX];
    if !first.is_empty() {
        let due = Instant::now() + until_open(&mut state).await?;
        // The queue is empty, so this neither waits nor needs a budget.
        let _ = queue.send(Chunk { due, bytes: first, _budget: None }).await;
    }
    loop {
        let delay = until_open(&mut state).await?;
        let length = select! {
            biased;
            // First: once a link is cut, bytes that come later must not move.
            changed = state.changed() => {
                changed.map_err(|_| link_is_gone())?;
                continue;
            }
            // Cancel-safe: a read that was not chosen has taken nothing.
            read = source.read(&mut scratch) => read?,
        };
        let due = Instant::now() + delay;
        let cost = u32::try_from(length).expect("a read is at most 64 KiB");
        let permit = budget.clone().acquire_many_owned(cost).await;
        let bytes = scratch[..length].to_vec();
        // The receiver is gone only when the other half failed, which reports the reason.
        if queue.send(Chunk { due, bytes, _budget: permit.ok() }).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

async fn drain(
    mut queue: mpsc::Receiver<Chunk>,
    mut sink: WriteHalf<'_>,
    mut state: watch::Receiver<LinkState>,
) -> io::Result<()> {
    while let Some(chunk) = queue.recv().await {
        if chunk.due > Instant::now() {
            sleep_until(chunk.due).await;
        }
        let mut rest = chunk.bytes.as_slice();
        while !rest.is_empty() {
            until_open(&mut state).await?;
            select! {
                biased;
                // First: a write that waits for room must not go on after a cut.
                changed = state.changed() => changed.map_err(|_| link_is_gone())?,
                // Cancel-safe: a write that was not chosen has written nothing.
                written = sink.write(rest) => match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    length => rest = &rest[length..],
                },
            }
        }
    }
    until_open(&mut state).await?;
    sink.shutdown().await
}

/// Waits while the link is cut or severed, and returns the one-way delay.
async fn until_open(state: &mut watch::Receiver<LinkState>) -> io::Result<std::time::Duration> {
    let open = state.wait_for(|state| state.mode == Mode::Open).await;
    open.map(|state| state.one_way_delay).map_err(|_| link_is_gone())
}

fn link_is_gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the link was dropped")
}
