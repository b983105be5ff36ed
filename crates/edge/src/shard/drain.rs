//! The end of a shard: no new clients, a `goaway` to those that are here, closes spread over the
//! second half of the window, and NATS last.

use super::Shard;
use super::connection::SharedItem;
use super::orders::Drain;
use meridian_core::spread::due_in_window;
use meridian_proto::CloseCode;
use meridian_proto::item::{GoAway, Item};
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

/// How often closes go out within the window.
const STEP: Duration = Duration::from_millis(20);

/// How long the last closes may take to reach their clients, after the window.
const LAST_CLOSES: Duration = Duration::from_secs(6);

/// How long publishes may take to be acknowledged at the end.
const LAST_ACKS: Duration = Duration::from_secs(2);

/// Drains a shard. Returns when every connection is gone, at the latest some seconds after the
/// window.
pub(super) async fn run(shard: &Rc<Shard>, drain: Drain, listening: &JoinHandle<()>) {
    listening.abort();
    shard.is_ending.set(true);
    shard.ending.notify_waiters();
    let clients = shard.connections.borrow().len();
    info!(shard = shard.index, clients, window_ms = drain.window_ms, "draining");
    shard.tell_goaway(drain);
    let started = Instant::now();
    // Clients that leave by themselves, and connect elsewhere first, miss nothing: they have the
    // first half. Closes are for those that are still here, evenly over the second.
    let half_ms = drain.window_ms / 2;
    let (mut total, mut gone) = (0, 0);
    loop {
        let open = shard.open_connections();
        if open.is_empty() {
            break;
        }
        let elapsed_ms = started.elapsed().as_millis() as u64;
        if elapsed_ms < half_ms {
            sleep(STEP).await;
            continue;
        }
        // Who leaves meanwhile was due too.
        total = total.max(open.len());
        gone = gone.max(total - open.len());
        let due = due_in_window(total, elapsed_ms - half_ms, drain.window_ms - half_ms);
        for connection in open.iter().take(due.saturating_sub(gone)) {
            connection.close(shard, CloseCode::Drained);
        }
        sleep(STEP).await;
    }
    let end = Instant::now() + LAST_CLOSES;
    let is_empty = || shard.connections.borrow().is_empty() && shard.handshakes.get() == 0;
    while !is_empty() && Instant::now() < end {
        sleep(STEP).await;
    }
    // What clients published just now must not die with the socket.
    let acked = shard.upstream.settle(shard);
    tokio::select! {
        biased;
        // Cancel-safe: it only waits for a counter.
        () = acked => {}
        () = sleep_until(Instant::now() + LAST_ACKS) => {}
    }
}

impl Shard {
    fn open_connections(&self) -> Vec<Rc<super::connection::Connection>> {
        let connections = self.connections.borrow();
        connections.iter().map(|(_, one)| one).filter(|one| one.is_open()).cloned().collect()
    }

    fn tell_goaway(self: &Rc<Self>, drain: Drain) {
        let item = SharedItem::new(Item::GoAway(GoAway {
            why: "drain".into(),
            server: self.policy.alternates.clone(),
            after_ms: [0, drain.window_ms / 2],
            deadline_ms: drain.window_ms,
        }));
        for connection in self.open_connections() {
            if connection.session.borrow().is_some() {
                connection.write(self, &[IoSlice::new(item.frame(connection.wire))]);
            }
        }
    }
}
