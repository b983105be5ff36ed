//! A client joins a live filter: what it is answered. How it goes on is `replay`'s.

use super::pages::PAGE_MESSAGES;
use super::{DurableFilter, Joiner, epoch_gap, gap};
use crate::shard::Shard;
use crate::shard::connection::Connection;
use crate::shard::store::{GetFailure, Page};
use meridian_core::durable::{Missed, Opening, Why};
use meridian_core::session::From;
use meridian_proto::ErrorCode;
use meridian_proto::command::Position;
use meridian_proto::item::{Failure, Item, Reply, SubscribeReply};
use meridian_telemetry::metrics::labels::Resume;
use serde_json::json;
use std::rc::Rc;

impl Shard {
    /// Lets a client into a live filter.
    pub(super) fn start_join(self: &Rc<Self>, durable: &Rc<DurableFilter>, joiner: Joiner) {
        // Places in the table are used again: whoever has left must not be let in.
        if self.joiner_connection(&joiner).is_none() {
            return;
        }
        if joiner.from == From::New {
            let opening = Opening::live(&durable.start(&durable.state.borrow()), None);
            self.reply(durable, &joiner, &opening);
            return self.admit(&joiner);
        }
        let (shard, durable) = (Rc::clone(self), Rc::clone(durable));
        tokio::task::spawn_local(async move { shard.join(&durable, joiner).await });
    }

    async fn join(self: &Rc<Self>, durable: &Rc<DurableFilter>, joiner: Joiner) {
        // Replays queue here, so that a storm of resumes does not become a storm of reads.
        let Ok(permit) = self.replays.acquire().await else { return };
        if !durable.is_live() {
            return self.join_when_live(durable, joiner);
        }
        let epoch_number = durable.epoch_number.get();
        let opened = self.open_replay(durable, &joiner).await;
        if durable.epoch_number.get() != epoch_number {
            // What was read is of the old epoch.
            return self.join_when_live(durable, joiner);
        }
        let mut opening = match opened {
            Ok(opening) => opening,
            Err(failure) => return self.refuse_join(&joiner, failure),
        };
        if opening.replay.is_none() {
            // The gap ends where live begins, not where it would have begun before the reads.
            self.flush();
            let position = match (&joiner.from, opening.recovered) {
                (From::Position(position), Some(Err(Why::Expired | Why::Limit))) => position.q,
                _ => 0,
            };
            opening.live_from(durable.state.borrow().tails.highest(), position);
            self.reply(durable, &joiner, &opening);
            return self.admit(&joiner);
        }
        self.reply(durable, &joiner, &opening);
        self.replay(durable, &joiner, opening, permit).await;
    }

    /// Lets a client in, again or for the first time, as soon as the filter is live.
    pub(super) fn join_when_live(self: &Rc<Self>, durable: &Rc<DurableFilter>, joiner: Joiner) {
        if durable.is_live() {
            self.start_join(durable, joiner);
        } else {
            durable.state.borrow_mut().joiners.push(joiner);
        }
    }

    /// Reads the first messages, and decides whether everything is there.
    async fn open_replay(
        self: &Rc<Self>,
        durable: &Rc<DurableFilter>,
        joiner: &Joiner,
    ) -> Result<Opening, GetFailure> {
        let (copy, filter) = (durable.copy.as_str(), durable.filter.as_str());
        let decide = |page: Page, decide: fn(Page, u64, &super::Start<'_>) -> Opening| {
            let state = durable.state.borrow();
            decide(page, state.ring.floor(), &durable.start(&state))
        };
        match &joiner.from {
            From::New => Ok(decide(Page::default(), |_, _, start| Opening::live(start, None))),
            From::Position(position) => self.open_position(durable, position).await,
            From::Time(time) => {
                let request = json!({
                    "start_time": time, "next_by_subj": filter, "batch": PAGE_MESSAGES
                });
                Ok(decide(self.get(copy, &request).await?, |page, _, start| {
                    let before = page.messages.first().map(|stored| stored.sequence - 1);
                    let after = before.unwrap_or(start.tails.highest());
                    Opening::by_history(start, after, page)
                }))
            }
            From::LastPerSubject => Ok(decide(
                self.get(copy, &json!({"multi_last": [filter]})).await?,
                |page, floor, start| Opening::by_snapshot(start, page, floor),
            )),
            From::Last(wanted) => {
                let highest = durable.state.borrow().tails.highest();
                let after = self.before_last(copy, filter, *wanted, highest).await?;
                let page = self.page_after(copy, filter, after, PAGE_MESSAGES).await?;
                let state = durable.state.borrow();
                Ok(Opening::by_history(&durable.start(&state), after, page))
            }
        }
    }

    /// After a position: out of the ring, or by the copy.
    async fn open_position(
        self: &Rc<Self>,
        durable: &Rc<DurableFilter>,
        position: &Position,
    ) -> Result<Opening, GetFailure> {
        let (copy, filter) = (durable.copy.as_str(), durable.filter.as_str());
        if position.e != *durable.epoch.borrow() {
            let state = durable.state.borrow();
            return Ok(Opening::live(&durable.start(&state), Some(Err(Why::Epoch))));
        }
        let whole_from = self.whole_from(copy, durable.replication).await?;
        let by_ring = {
            let state = durable.state.borrow();
            Opening::by_ring(&durable.start(&state), position.q, &state.ring, whole_from)
        };
        if let Some(opening) = by_ring {
            return Ok(opening);
        }
        let page = self.page_after(copy, filter, position.q, PAGE_MESSAGES).await?;
        // Asked after the page was read: what is there now was there then.
        let whole_from = self.whole_from(copy, durable.replication).await?;
        let state = durable.state.borrow();
        Ok(Opening::by_page(&durable.start(&state), position.q, page, whole_from))
    }

    pub(super) fn admit(&self, joiner: &Joiner) {
        self.measure_start(joiner);
        self.interest.borrow_mut().admit(joiner.group, joiner.member.index);
    }

    /// The joiner's connection, if it still wants the subscription.
    pub(super) fn joiner_connection(&self, joiner: &Joiner) -> Option<Rc<Connection>> {
        let connection = self.connection(joiner.member)?;
        let holds = {
            let session = connection.session.borrow();
            session.as_ref().is_some_and(|session| session.holds(joiner.group))
        };
        (holds && connection.is_open()).then_some(connection)
    }

    fn reply(self: &Rc<Self>, durable: &DurableFilter, joiner: &Joiner, opening: &Opening) {
        let Some(connection) = self.joiner_connection(joiner) else { return };
        let Some(id) = joiner.command else { return };
        let why = opening.recovered.and_then(Result::err);
        if joiner.is_resume() {
            self.meters.resume(match why {
                None => Resume::Recovered,
                Some(Why::Expired) => Resume::Expired,
                Some(Why::Limit) => Resume::Limit,
                Some(Why::Epoch) => Resume::Epoch,
            });
        }
        let reply = SubscribeReply {
            i: joiner.group,
            recoverable: true,
            e: Some(durable.epoch.borrow().clone()),
            q: Some(opening.after),
            n: opening.count,
            recovered: opening.recovered.map(|recovered| recovered.is_ok()),
            why: why.map(|why| why.as_str().to_owned()),
        };
        if let Some(session) = connection.session.borrow_mut().as_mut() {
            session.answered(joiner.group);
        }
        connection.send(self, &Item::Reply(id, Reply::Subscribe(reply)));
        let (Some(why), From::Position(position)) = (why, &joiner.from) else { return };
        let (after, upto) = (position.q, opening.after);
        let item = match why {
            Why::Epoch => epoch_gap(joiner.group, Some(after), upto, &durable.epoch.borrow()),
            Why::Expired | Why::Limit => gap(joiner.group, Missed { after, upto, why }),
        };
        connection.send_in(self, &item, &durable.epoch.borrow());
    }

    fn refuse_join(self: &Rc<Self>, joiner: &Joiner, failure: GetFailure) {
        let Some(connection) = self.joiner_connection(joiner) else { return };
        if joiner.is_resume() {
            self.meters.resume(Resume::Unavailable);
        }
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
