//! A client joins a live filter: the reply, what it missed out of the ring or the copy, and then
//! live, without a gap and without a message twice.

use super::pages::{PAGE_MESSAGES, count};
use super::{DurableFilter, Joiner, incoming};
use crate::shard::Shard;
use crate::shard::connection::Connection;
use crate::shard::fanout::encode;
use crate::shard::store::{GetFailure, Page};
use meridian_core::durable::Stored;
use meridian_core::namespace::Retention;
use meridian_core::session::From;
use meridian_proto::item::{Failure, Gap, Item, Mark, Reply, SubscribeReply};
use meridian_proto::{ErrorCode, Origin};
use serde_json::json;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use tokio::time::sleep;

/// Most messages that one resume may bring; more is cheaper to fetch as state.
const REPLAY_MESSAGES_MAX: u64 = 5_000;

/// Bytes that may wait in a joiner's outbox before the next page is fetched.
const OUTBOX_BYTES_LOW: usize = 64 * 1024;

/// How often a replay looks whether it may go on: at first, and when it waits for long, as for a
/// mirror that is behind.
const POLL: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_secs(1);

/// How a joiner's replay begins.
struct Opening {
    /// Everything up to here is behind the client.
    after: u64,
    /// The first messages, already read.
    first: Vec<Stored>,
    /// Answers `recover`.
    recovered: Option<Result<(), &'static str>>,
    /// How many messages follow, as far as is known.
    count: Option<u64>,
}

impl Shard {
    /// Lets a client into a live filter.
    pub(super) fn start_join(self: &Rc<Self>, durable: &Rc<DurableFilter>, joiner: Joiner) {
        // Places in the table are used again: whoever has left must not be let in.
        if self.joiner_connection(&joiner).is_none() {
            return;
        }
        if joiner.from == From::New {
            let after = durable.state.borrow().tails.highest();
            let opening = Opening { after, first: Vec::new(), recovered: None, count: None };
            self.reply(durable, &joiner, &opening);
            return self.admit(&joiner);
        }
        let (shard, durable) = (Rc::clone(self), Rc::clone(durable));
        tokio::task::spawn_local(async move { shard.join(&durable, &joiner).await });
    }

    async fn join(self: &Rc<Self>, durable: &Rc<DurableFilter>, joiner: &Joiner) {
        // Replays queue here, so that a storm of resumes does not become a storm of reads.
        let Ok(permit) = self.replays.acquire().await else { return };
        let mut opening = match self.open_replay(durable, joiner).await {
            Ok(opening) => opening,
            Err(failure) => return self.refuse_join(joiner, failure),
        };
        if matches!(opening.recovered, Some(Err(_))) {
            // The gap ends where live begins, not where it would have begun before the reads.
            self.flush();
            opening.after = durable.state.borrow().tails.highest();
            self.reply(durable, joiner, &opening);
            return self.admit(joiner);
        }
        self.reply(durable, joiner, &opening);
        self.replay(durable, joiner, opening, permit).await;
    }

    /// Reads the first messages, and decides whether everything is there.
    async fn open_replay(
        self: &Rc<Self>,
        durable: &Rc<DurableFilter>,
        joiner: &Joiner,
    ) -> Result<Opening, GetFailure> {
        let (copy, filter) = (durable.copy.as_str(), durable.filter.as_str());
        let highest = durable.state.borrow().tails.highest();
        let not = |why| Opening {
            after: highest,
            first: Vec::new(),
            recovered: Some(Err(why)),
            count: None,
        };
        match &joiner.from {
            From::New => {
                Ok(Opening { after: highest, first: Vec::new(), recovered: None, count: None })
            }
            From::Position(position) if position.e != *durable.epoch.borrow() => Ok(not("epoch")),
            From::Position(position) => {
                let page = self.page_after(copy, filter, position.q, PAGE_MESSAGES).await?;
                // Asked after the page was read: what is there now was there then.
                if self.whole_from(copy).await? > position.q + 1 {
                    return Ok(not("expired"));
                }
                let is_thinned = self.thins_out(durable) && !page.messages.is_empty();
                if is_thinned || count(&page) > REPLAY_MESSAGES_MAX {
                    return Ok(not("limit"));
                }
                Ok(opening(position.q, page, Some(Ok(()))))
            }
            From::Time(time) => {
                let batch = json!({
                    "start_time": time, "next_by_subj": filter, "batch": PAGE_MESSAGES
                });
                let page = self.get(copy, &batch).await?;
                if count(&page) > REPLAY_MESSAGES_MAX {
                    return Ok(not("limit"));
                }
                let before = page.messages.first().map(|stored| stored.sequence - 1);
                Ok(opening(before.unwrap_or(highest), page, None))
            }
            From::LastPerSubject => {
                let page = self.get(copy, &json!({"multi_last": [filter]})).await?;
                // Not what the answer was given up to: that may be on other subjects, and the
                // filter would never get there.
                let last = page.messages.iter().map(|stored| stored.sequence).max();
                let count = Some(page.messages.len() as u64);
                let after = last.unwrap_or(highest);
                Ok(Opening { after, first: page.messages, recovered: None, count })
            }
            From::Last(wanted) => {
                let after = self.before_last(copy, filter, *wanted, highest).await?;
                let page = self.page_after(copy, filter, after, PAGE_MESSAGES).await?;
                Ok(opening(after, page, None))
            }
        }
    }

    /// Whether the copy drops messages out of its middle, by a limit a subject: what is missing
    /// there cannot be told from what never was.
    fn thins_out(&self, durable: &DurableFilter) -> bool {
        let namespace = self.policy.namespaces.of_filter(&durable.filter);
        namespace.is_none_or(|namespace| namespace.retention == Retention::PerSubject)
    }

    /// Sends what was missed, page by page, until the ring has the rest; then the client is live.
    async fn replay(
        self: &Rc<Self>,
        durable: &Rc<DurableFilter>,
        joiner: &Joiner,
        opening: Opening,
        mut permit: SemaphorePermit<'_>,
    ) {
        let mut after = opening.after;
        let mut page = opening.first;
        // The filter has nothing between `tail` and `after`, whichever is larger.
        let mut tail = after;
        let mut wait = POLL;
        loop {
            for stored in &page {
                // Looked for each time: the client may leave while it is waited for.
                let Some(connection) = self.joiner_connection(joiner) else { return };
                self.send_replayed(&connection, durable, joiner.group, stored);
                after = after.max(stored.sequence);
                tail = after;
                while connection.is_open() && connection.waiting_bytes() > OUTBOX_BYTES_LOW {
                    sleep(POLL).await;
                }
            }
            let Some(connection) = self.joiner_connection(joiner) else { return };
            if self.hand_over(durable, joiner, &connection, after, tail) {
                return;
            }
            drop(connection);
            let filter = durable.filter.as_str();
            // Asked before the page is read: what the filter has up to here is in the page.
            let upto = match page.is_empty() {
                true => self.last_of(&durable.copy, ">").await.unwrap_or_default(),
                false => 0,
            };
            let read = self.page_after(&durable.copy, filter, after, PAGE_MESSAGES).await;
            let is_read = read.is_ok();
            page = read.map(|page| page.messages).unwrap_or_default();
            if !page.is_empty() {
                wait = POLL;
                continue;
            }
            if is_read && upto >= after {
                let found = self.quiet_between(durable, after, upto).await.unwrap_or(tail);
                if std::mem::replace(&mut tail, found) != found {
                    continue;
                }
            }
            // The mirror is behind the position or down, or the filter settles: others may replay
            // meanwhile. A position that is never reached costs little.
            drop(permit);
            sleep(wait).await;
            wait = (wait * 2).min(POLL_MAX);
            permit = match self.replays.acquire().await {
                Ok(permit) => permit,
                Err(_) => return,
            };
        }
    }

    /// Where the ring may begin, given that the filter has nothing between `after` and `upto`, and
    /// nothing between its last message and `after`: what is there is on other subjects.
    async fn quiet_between(
        self: &Rc<Self>,
        durable: &DurableFilter,
        after: u64,
        upto: u64,
    ) -> Result<u64, GetFailure> {
        let last = self.last_of(&durable.copy, durable.filter.as_str()).await?;
        Ok(durable.state.borrow().ring.floor().clamp(last.min(after), upto))
    }

    /// Sends the rest out of the ring and lets the client in, in one step, so that nothing can come
    /// between. False if the ring does not reach back that far, or the filter is not there yet.
    fn hand_over(
        self: &Rc<Self>,
        durable: &DurableFilter,
        joiner: &Joiner,
        connection: &Rc<Connection>,
        after: u64,
        tail: u64,
    ) -> bool {
        // What stands in the batch belongs to those who are in already.
        self.flush();
        let state = durable.state.borrow();
        if state.phase != super::Phase::Live || state.tails.highest() < tail {
            return false;
        }
        let Some(rest) = state.ring.since(tail) else { return false };
        for stored in rest.filter(|stored| stored.sequence > after) {
            self.send_replayed(connection, durable, joiner.group, stored);
        }
        let mark = Mark { i: joiner.group, q: state.tails.verified().max(after) };
        connection.send_in(self, &Item::Live(mark), &durable.epoch.borrow());
        drop(state);
        self.admit(joiner);
        true
    }

    fn admit(&self, joiner: &Joiner) {
        self.interest.borrow_mut().admit(joiner.group, joiner.member.index);
    }

    /// The joiner's connection, if it still wants the subscription.
    fn joiner_connection(&self, joiner: &Joiner) -> Option<Rc<Connection>> {
        let connection = self.connection(joiner.member)?;
        let holds = {
            let session = connection.session.borrow();
            session.as_ref().is_some_and(|session| session.holds(joiner.group))
        };
        (holds && connection.is_open()).then_some(connection)
    }

    fn send_replayed(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        durable: &DurableFilter,
        group: u32,
        stored: &Stored,
    ) {
        let epoch = durable.epoch.borrow();
        let message = incoming(stored, durable.position_epoch(&epoch), Origin::Replay);
        let mut bytes = Vec::new();
        let interest = self.interest.borrow();
        let members = interest.group(group - 1);
        encode(&mut bytes, group, &message, message.classified(), members);
        drop(interest);
        connection.write(self, &[IoSlice::new(&bytes)]);
    }

    fn reply(self: &Rc<Self>, durable: &DurableFilter, joiner: &Joiner, opening: &Opening) {
        let Some(connection) = self.joiner_connection(joiner) else { return };
        let Some(id) = joiner.command else { return };
        let reply = SubscribeReply {
            i: joiner.group,
            recoverable: true,
            e: Some(durable.epoch.borrow().clone()),
            q: Some(opening.after),
            n: opening.count,
            recovered: opening.recovered.map(|recovered| recovered.is_ok()),
            why: opening.recovered.and_then(Result::err).map(String::from),
        };
        connection.send(self, &Item::Reply(id, Reply::Subscribe(reply)));
        if let (Some(Err(why)), From::Position(position)) = (opening.recovered, &joiner.from) {
            let (after, upto) = (Some(position.q), Some(opening.after));
            let e = (why == "epoch").then(|| durable.epoch.borrow().clone());
            let gap = Gap { i: joiner.group, after, upto, e, why: why.into() };
            connection.send_in(self, &Item::Gap(gap), &durable.epoch.borrow());
        }
    }

    fn refuse_join(self: &Rc<Self>, joiner: &Joiner, failure: GetFailure) {
        let Some(connection) = self.joiner_connection(joiner) else { return };
        if let Some(session) = connection.session.borrow_mut().as_mut() {
            session.release(joiner.group);
        }
        let now_ms = self.now_ms();
        self.interest.borrow_mut().leave(joiner.group, joiner.member.index, now_ms);
        let failure = match failure {
            GetFailure::Unreachable => {
                Failure::new(ErrorCode::StreamUnavailable, "the region's copy does not answer")
            }
            GetFailure::TooManySubjects => {
                let failure = Failure::new(ErrorCode::Limit, "more subjects than one reply holds");
                failure.hint("narrow the filter")
            }
            GetFailure::Refused => {
                Failure::new(ErrorCode::BadRequest, "the store does not understand the start")
            }
        };
        connection.send(self, &Item::Error(joiner.command, failure));
    }
}

fn opening(after: u64, page: Page, recovered: Option<Result<(), &'static str>>) -> Opening {
    let count = Some(count(&page));
    Opening { after, first: page.messages, recovered, count }
}
