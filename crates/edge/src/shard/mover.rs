//! Clients that an operator sends elsewhere: one after the other at an even pace, each told where
//! to go, and closed when it has not gone some seconds later.
//!
//! What a client has received is its own knowledge: it resumes there from its positions.

use super::orders::Move;
use super::{ConnectionKey, Shard};
use meridian_core::spread::due_at_rate;
use meridian_proto::CloseCode;
use meridian_proto::item::{GoAway, Item};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::info;

/// How often some are told.
const STEP: Duration = Duration::from_millis(20);

/// How long a client may take to connect elsewhere before it is closed.
const PATIENCE: Duration = Duration::from_secs(10);

impl Shard {
    /// Obeys an order to send clients away, or to stop doing so. The order before it ends.
    pub(super) fn order_move(self: &Rc<Self>, moving: Option<Move>) {
        let mut current = self.moving.borrow_mut();
        if current.as_ref().map(|(order, _)| order) == moving.as_ref() {
            return;
        }
        if let Some((_, task)) = current.take() {
            task.abort();
        }
        *current = moving.map(|order| {
            let task = tokio::task::spawn_local(run(Rc::clone(self), order.clone()));
            (order, task)
        });
    }
}

async fn run(shard: Rc<Shard>, order: Move) {
    info!(shard = shard.index, per_second = order.per_second, "clients are sent elsewhere");
    // Each shard has its part of the edge's pace.
    let per_1000_s = u64::from(order.per_second) * 1_000 / shard.limits.shards as u64;
    let started = Instant::now();
    let mut told = Told::default();
    loop {
        let elapsed_ms = started.elapsed().as_millis() as u64;
        let due = due_at_rate(per_1000_s, elapsed_ms);
        told.tell(&shard, &order, due);
        told.close_late(&shard);
        sleep(STEP).await;
    }
}

/// Who was told to go. Owned by the task that tells them.
#[derive(Default)]
struct Told {
    count: usize,
    keys: HashSet<ConnectionKey>,
    /// The oldest first.
    deadlines: VecDeque<(Instant, ConnectionKey)>,
}

impl Told {
    /// Tells some more, until `due` of all were told.
    fn tell(&mut self, shard: &Rc<Shard>, order: &Move, due: usize) {
        let waiting: Vec<_> = {
            let connections = shard.connections.borrow();
            let open = connections.iter().map(|(_, one)| one);
            let open = open.filter(|one| one.is_open() && one.session.borrow().is_some());
            let new = open.filter(|one| !self.keys.contains(&one.key));
            new.take(due.saturating_sub(self.count)).cloned().collect()
        };
        // A pause without clients saves up nothing: who comes later goes at the same pace.
        self.count = due.max(self.count);
        for connection in waiting {
            let mut server = order.servers.to_vec();
            // In turn, so that they share what is sent.
            let first = self.keys.len() % server.len();
            server.rotate_left(first);
            let deadline_ms = PATIENCE.as_millis() as u64;
            let why = "rebalance".into();
            let goaway = GoAway { why, server, after_ms: [0, 0], deadline_ms };
            connection.send(shard, &Item::GoAway(goaway));
            self.keys.insert(connection.key);
            self.deadlines.push_back((Instant::now() + PATIENCE, connection.key));
        }
    }

    /// Closes who has not gone.
    fn close_late(&mut self, shard: &Rc<Shard>) {
        while let Some((deadline, key)) = self.deadlines.front().copied() {
            let connection = shard.connection(key);
            if connection.is_some() && deadline > Instant::now() {
                return;
            }
            self.deadlines.pop_front();
            self.keys.remove(&key);
            if let Some(connection) = connection {
                connection.close(shard, CloseCode::Drained);
            }
        }
    }
}
