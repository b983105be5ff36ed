//! The `history` command: whose turn it is, and the answer. What stands in a page is decided in
//! `page`, where it is read from the region's copy.
//!
//! Histories have turns of their own and never those of replays, so that readers of old messages
//! cannot keep anybody from resuming. A connection has one at a time; the others wait their turn.

mod page;
mod window;

use super::super::ConnectionKey;
use super::super::connection::Connection;
use crate::shard::Shard;
use meridian_core::session::HistoryPage;
use meridian_proto::ErrorCode;
use meridian_proto::item::{Failure, HistoryReply, Item, Reply};
use meridian_proto::limits::HISTORY_PAGE_BYTES_MAX;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Pages that are read from the region's copy at once. A few keep the copy busy enough; resumes
/// and repairs read it too.
const READS_MAX: usize = 4;

/// Pages that wait in a shard, and for one client: a page takes some ms, and more than this would
/// wait for seconds.
const WAITING_MAX: usize = 1_024;
const WAITING_PER_CLIENT_MAX: usize = 16;

/// How long a page may wait for its turn, and then for room in the client's outbox. Clients give up
/// a little later.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How often a page looks whether the client has room for it.
const POLL: Duration = Duration::from_millis(10);

/// What a client that came too early is told to wait, in ms.
const RETRY_AFTER_MS: u64 = 1_000;

/// Owned by the shard: pages that were asked for, by connection, in order. A connection that has an
/// entry has a task that serves it.
pub(crate) struct Histories {
    waiting: RefCell<HashMap<(u32, u32), VecDeque<HistoryPage>>>,
    turns: Semaphore,
}

/// Whether a connection's pages are being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Absent,
    Running,
}

impl Default for Histories {
    fn default() -> Self {
        Self { waiting: RefCell::default(), turns: Semaphore::new(READS_MAX) }
    }
}

impl Histories {
    /// Takes a page that was asked for. None if too many wait.
    fn push(&self, key: ConnectionKey, page: HistoryPage) -> Option<Server> {
        let mut waiting = self.waiting.borrow_mut();
        let all: usize = waiting.values().map(VecDeque::len).sum();
        let of_client = waiting.get(&place_of(key)).map_or(0, VecDeque::len);
        if all >= WAITING_MAX || of_client >= WAITING_PER_CLIENT_MAX {
            return None;
        }
        let is_served = waiting.contains_key(&place_of(key));
        waiting.entry(place_of(key)).or_default().push_back(page);
        Some(if is_served { Server::Running } else { Server::Absent })
    }

    /// The next page of a connection. Forgets a connection that has none.
    fn next(&self, key: ConnectionKey) -> Option<HistoryPage> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.get_mut(&place_of(key))?.pop_front();
        if next.is_none() {
            waiting.remove(&place_of(key));
        }
        next
    }

    fn forget(&self, key: ConnectionKey) {
        self.waiting.borrow_mut().remove(&place_of(key));
    }
}

impl Shard {
    /// Takes a page that a client asks for.
    pub(in crate::shard) fn ask_history(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        page: HistoryPage,
    ) {
        let (key, id) = (connection.key, page.id);
        match self.histories.push(key, page) {
            Some(Server::Running) => {}
            Some(Server::Absent) => {
                let shard = Rc::clone(self);
                tokio::task::spawn_local(async move { shard.serve_histories(key).await });
            }
            None => {
                let failure = too_early("too many pages of history wait here");
                connection.send(self, &Item::Error(Some(id), failure));
            }
        }
    }

    /// Serves a connection's pages until there are none, or it has gone.
    async fn serve_histories(self: Rc<Self>, key: ConnectionKey) {
        while let Some(page) = self.histories.next(key) {
            // Room first: a client that reads nothing shall not have pages read for it.
            let read = match self.room_for(key, HISTORY_PAGE_BYTES_MAX).await {
                Ok(Some(_)) => self.read_in_turn(&page).await,
                Ok(None) => return self.histories.forget(key),
                Err(failure) => Err(failure),
            };
            let (item, bytes) = match read {
                Ok(reply) => {
                    let bytes = reply.m.iter().map(|message| message.json_bytes()).sum();
                    (Item::Reply(page.id, Reply::History(reply)), bytes)
                }
                Err(failure) => (Item::Error(Some(page.id), failure), 0),
            };
            match self.room_for(key, bytes).await {
                Ok(Some(connection)) => connection.send(&self, &item),
                Ok(None) => return self.histories.forget(key),
                Err(failure) => self.fail(key, page.id, failure),
            }
        }
    }

    async fn read_in_turn(self: &Rc<Self>, page: &HistoryPage) -> Result<HistoryReply, Failure> {
        let turn = timeout(WAIT_MAX, self.histories.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(too_early("no turn for this page in time")) };
        self.read_history(page).await
    }

    /// Waits until so many bytes fit the outbox of a connection; None if it has gone. A single
    /// message that is larger than the outbox waits for it to be empty.
    async fn room_for(
        &self,
        key: ConnectionKey,
        bytes: usize,
    ) -> Result<Option<Rc<Connection>>, Failure> {
        let room = async {
            loop {
                let connection = self.connection(key).filter(|connection| connection.is_open())?;
                let waiting = connection.waiting_bytes();
                if waiting == 0 || waiting + bytes <= self.limits.outbox_bytes_max {
                    return Some(connection);
                }
                drop(connection);
                sleep(POLL).await;
            }
        };
        timeout(WAIT_MAX, room).await.map_err(|_| too_early("this client has no room for a page"))
    }
}

fn place_of(key: ConnectionKey) -> (u32, u32) {
    (key.index, key.generation)
}

fn too_early(why: &str) -> Failure {
    let failure = Failure::new(ErrorCode::TooManyRequests, why);
    Failure { after_ms: Some(RETRY_AFTER_MS), ..failure }
}
