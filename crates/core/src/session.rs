//! The session: what one identified client may do, and what each of its commands means.
//!
//! A connection has no session until its `connect` succeeded: `greet` makes one. Commands go in,
//! effects come out, and the edge performs them.

#[cfg(test)]
mod limit_tests;
mod on_connect;
mod on_history;
mod on_publish;
mod on_receipt;
mod on_refresh;
mod on_request;
mod on_subscribe;
mod outbound;
mod rights;
mod start;
#[cfg(test)]
mod tests;

pub use on_connect::{Credentials, Greeting, greet};
pub use on_history::{HistoryPage, HistoryPlace};
use on_receipt::on_receipt;
pub use outbound::Outbound;
pub use rights::{Deadline, Ended, UNSUB_EXPIRED, UNSUB_FORBIDDEN, UNSUB_REVOKED};
pub use start::{From, Recover, Start};

use crate::interest::{Interest, Wishes};
use crate::limit::Limit;
use crate::memory::Pressure;
use crate::permission::{FilterGrant, Identity, Verb, Verdict};
use crate::policy::Policy;
use crate::rate::{ByteLevel, TokenBucket};
use crate::tenant::Scope;
use crate::trace::Sender;
use meridian_proto::command::{Body, Command, Subscribe, Unsubscribe};
use meridian_proto::item::{Failure, Item, Reply, SubscribeReply};
use meridian_proto::trace::TraceContext;
use meridian_proto::{ErrorCode, Filter, Subject, SubjectError};
use rights::Rights;

/// Owned by its connection. Small, because there are many.
#[derive(Debug)]
pub struct Session {
    /// What the tokens gave; without tokens, everything that namespaces offer.
    rights: Option<Box<Rights>>,
    /// Where its tenant's subjects lie.
    scope: Scope,
    /// Subscription ids held, pending ones included.
    subscriptions: Vec<u32>,
    /// Those of them that are not answered yet.
    unanswered: Vec<Unanswered>,
    budget: TokenBucket,
    /// Control frames have a budget of their own: the pong that answers a heartbeat must not fail
    /// for a client that has just spent its commands.
    controls: TokenBucket,
    publishes: TokenBucket,
    publish_bytes: ByteLevel,
    ping_s: u16,
    mesh_notices: MeshNotices,
}

/// A subscribe that waits for its reply.
#[derive(Debug)]
struct Unanswered {
    subscription: u32,
    command: Option<u32>,
    /// Whether the reply has to say that nothing was recovered.
    recover: Recover,
}

/// Whether the client asked to hear of degraded regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeshNotices {
    /// `mesh` was in `connect.feat`.
    Wanted,
    /// It was not.
    Unwanted,
}

/// What the edge must do for a command.
#[derive(Debug)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Send this item.
    Send(Item),
    /// A limit was reached: count it, and send this item.
    Over(Limit, Item),
    /// Join the interest table, and answer when the interest is proven.
    Subscribe {
        /// The command to answer.
        id: Option<u32>,
        /// The filter, allowed and not yet held.
        filter: Filter,
        /// What the frames shall hold.
        wishes: Wishes,
        /// Where it starts.
        start: Start,
        /// The token of its own that it stands by, for [`Session::hold`].
        grant: Option<Box<FilterGrant>>,
    },
    /// Leave the interest table, then send the item.
    Unsubscribe(u32, Item),
    /// Hand a message to NATS.
    Publish {
        /// The command to answer, if it wants an answer.
        id: Option<u32>,
        /// The message.
        message: Outbound,
        /// What proves that it arrived.
        proof: PublishProof,
    },
    /// Hand a message to NATS with a reply subject, and answer with what comes back.
    Request {
        /// The command to answer.
        id: u32,
        /// The message.
        message: Outbound,
        /// How long to wait, in ms.
        timeout_ms: u64,
        /// The namespace's place in configuration, whose header rules hold for the answer.
        namespace: usize,
    },
    /// Read a page of what is stored, and answer with it.
    History(HistoryPage),
    /// A traced message has arrived at the client.
    Receipt {
        /// What the message said of its trace.
        context: TraceContext,
        /// When, in µs since 1970 by the client's clock.
        at_us: u64,
        /// How long the client took for it, in µs.
        took_us: u64,
    },
    /// Read a token, then [`Session::renew`] or [`Session::renew_filter`], and answer.
    Refresh {
        /// The command to answer.
        id: u32,
        /// The new token.
        token: String,
        /// The subscription whose token it replaces.
        subscription: Option<u32>,
    },
}

/// What proves that a publish arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishProof {
    /// The region's NATS server has processed it.
    Server,
    /// A stream has stored it.
    Stored,
}

/// What a decision may depend on beside its session.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The edge's rules.
    pub policy: &'a Policy,
    /// ms of the edge's clock.
    pub now_ms: u64,
    /// s of Unix time, which tokens are measured by.
    pub unix_s: u64,
    /// The NATS servers' limit in bytes, or `None` while there is no connection.
    pub payload_bytes_max: Option<usize>,
    /// Whether the edge's memory for slow clients has room.
    pub pressure: Pressure,
}

/// Why a command is not carried out.
#[derive(Debug)]
struct Refusal {
    failure: Failure,
    /// The limit that was reached, if it was one.
    limit: Option<Limit>,
}

impl std::convert::From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, limit: None }
    }
}

impl Refusal {
    fn over(limit: Limit, failure: Failure) -> Self {
        Self { failure, limit: Some(limit) }
    }

    /// A rate is spent: so many ms until there is more.
    fn later(limit: Limit, msg: impl Into<String>, after_ms: u64) -> Self {
        let failure = Failure::new(ErrorCode::TooManyRequests, msg);
        Self::over(limit, Failure { after_ms: Some(after_ms), ..failure })
    }

    fn effect(self, id: Option<u32>) -> Effect {
        let item = Item::Error(id, self.failure);
        match self.limit {
            Some(limit) => Effect::Over(limit, item),
            None => Effect::Send(item),
        }
    }
}

impl Session {
    /// Heartbeat interval in s.
    #[must_use]
    pub fn ping_s(&self) -> u64 {
        u64::from(self.ping_s)
    }

    /// Whether to send `mesh` items.
    #[must_use]
    pub fn mesh_notices(&self) -> MeshNotices {
        self.mesh_notices
    }

    /// Subscription ids held, for leaving the interest table at the end.
    #[must_use]
    pub fn subscriptions(&self) -> &[u32] {
        &self.subscriptions
    }

    /// Notes a subscription that the interest table accepted, the command that it answers, and the
    /// token of its own.
    pub fn hold(
        &mut self,
        subscription: u32,
        command: Option<u32>,
        start: &Start,
        grant: Option<Box<FilterGrant>>,
        moment: &Moment<'_>,
    ) {
        self.subscriptions.push(subscription);
        let asked = *start == Start::Ephemeral(Recover::Asked);
        let recover = if asked { Recover::Asked } else { Recover::NotAsked };
        self.unanswered.push(Unanswered { subscription, command, recover });
        if let (Some(rights), Some(grant)) = (self.rights.as_mut(), grant) {
            rights.keep(subscription, grant, moment.unix_s);
        }
    }

    /// Whether a subscription is held.
    #[must_use]
    pub fn holds(&self, subscription: u32) -> bool {
        self.subscriptions.contains(&subscription)
    }

    /// Notes that a subscribe is answered. Whether it has asked for what an ephemeral filter has
    /// not.
    pub fn answered(&mut self, subscription: u32) -> Recover {
        let is_it = |waiting: &Unanswered| waiting.subscription == subscription;
        let waiting = self.unanswered.iter().position(is_it);
        let waiting = waiting.map(|position| self.unanswered.swap_remove(position));
        waiting.map_or(Recover::NotAsked, |waiting| waiting.recover)
    }

    /// The reply to a subscribe on an ephemeral filter whose interest stands.
    pub fn subscribed(&mut self, subscription: u32) -> SubscribeReply {
        let asked = self.answered(subscription) == Recover::Asked;
        SubscribeReply {
            i: subscription,
            recoverable: false,
            e: None,
            q: None,
            n: None,
            recovered: asked.then_some(false),
            why: asked.then(|| "ephemeral".into()),
        }
    }

    /// Forgets a subscription that has ended or that NATS refused.
    pub fn release(&mut self, subscription: u32) {
        self.subscriptions.retain(|held| *held != subscription);
        self.unanswered.retain(|waiting| waiting.subscription != subscription);
        if let Some(rights) = self.rights.as_mut() {
            rights.release(subscription);
        }
    }

    /// Takes one command from the budget and decides it.
    pub fn on_command<K: Copy + Eq>(
        &mut self,
        command: Command,
        interest: &Interest<K>,
        moment: &Moment<'_>,
    ) -> Effect {
        let id = command.id;
        if let Err(over) = self.take(id, makes_work(&command.body), moment) {
            return over;
        }
        let decided: Result<Effect, Refusal> = match command.body {
            Body::Heartbeat => Ok(Effect::Nothing),
            Body::Connect(_) => {
                Err(Failure::new(ErrorCode::BadRequest, "already connected").into())
            }
            Body::Subscribe(body) => self.on_subscribe(id, body, None, interest, moment),
            Body::Unsubscribe(body) => self.on_unsubscribe(id, body).map_err(Refusal::from),
            Body::Publish(body) => self.on_publish(id, body, moment),
            Body::Request(body) => self.on_request(id, body, moment),
            Body::History(body) => self.on_history(id, body, moment).map_err(Refusal::from),
            Body::Receipt(body) => on_receipt(id, &body).map_err(Refusal::from),
            Body::Refresh(body) => self.on_refresh(id, body).map_err(Refusal::from),
            Body::Unserved(name) => {
                let failure = Failure::new(ErrorCode::NotAvailable, format!("{name}: not here"));
                let hint =
                    "this version of the edge does not serve it: see Commands in PROTOCOL.md";
                Err(failure.hint(hint).into())
            }
        };
        decided.unwrap_or_else(|refusal| refusal.effect(id))
    }

    /// Who the client is, if it had to say so.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.rights.as_ref().map(|rights| &rights.grant.identity)
    }

    /// Decides a subscribe with a token of its own, or one that somebody else was asked about:
    /// `offered` is what that came to.
    pub fn on_subscribe_with<K: Copy + Eq>(
        &mut self,
        id: Option<u32>,
        body: Subscribe,
        offered: Result<Box<FilterGrant>, Failure>,
        interest: &Interest<K>,
        moment: &Moment<'_>,
    ) -> Effect {
        if let Err(over) = self.take(id, true, moment) {
            return over;
        }
        let decided = self.on_subscribe(id, body, Some(offered), interest, moment);
        decided.unwrap_or_else(|refusal| refusal.effect(id))
    }

    /// Takes a command from the budget, and looks whether there is memory for what it makes.
    fn take(
        &mut self,
        id: Option<u32>,
        makes_work: bool,
        moment: &Moment<'_>,
    ) -> Result<(), Effect> {
        if let Err(failure) = self.spend(moment) {
            return Err(Effect::Over(Limit::Commands, Item::Error(id, failure)));
        }
        if makes_work && moment.pressure >= Pressure::Refuse {
            let msg = "this edge is short of memory for slow clients";
            return Err(Refusal::later(Limit::Memory, msg, AFTER_PRESSURE_MS).effect(id));
        }
        Ok(())
    }

    /// Whether what the client sends is to be followed, by its token.
    #[must_use]
    pub fn sender(&self) -> Sender {
        match &self.rights {
            Some(rights) if rights.grant.is_followed => Sender::Followed,
            Some(_) | None => Sender::Plain,
        }
    }

    /// Whether the token allows every subject of a filter. The namespace has been asked.
    fn allow_filter(
        &self,
        verb: Verb,
        filter: &Filter,
        moment: &Moment<'_>,
    ) -> Result<(), Failure> {
        let Some(rights) = &self.rights else { return Ok(()) };
        rights.in_time(moment)?;
        judge(&rights.grant.permissions.of_filter(verb, filter), filter.as_str())
    }

    /// Whether the token allows a subject. The namespace has been asked.
    fn allow_subject(
        &self,
        verb: Verb,
        subject: &Subject,
        moment: &Moment<'_>,
    ) -> Result<(), Failure> {
        let Some(rights) = &self.rights else { return Ok(()) };
        rights.in_time(moment)?;
        judge(&rights.grant.permissions.of_subject(verb, subject), subject.as_str())
    }

    /// Takes one control frame from their budget, which has the size of that of commands. False if
    /// it is spent.
    pub fn spend_control(&mut self, moment: &Moment<'_>) -> bool {
        let limits = &moment.policy.limits;
        let (rate, burst) = (limits.commands_per_second, limits.commands_burst);
        self.controls.take(rate, burst, moment.now_ms).is_ok()
    }

    /// Takes one command from the budget. Malformed commands cost the same as good ones.
    ///
    /// # Errors
    /// A failure that says how long to wait.
    pub fn spend(&mut self, moment: &Moment<'_>) -> Result<(), Failure> {
        let limits = &moment.policy.limits;
        let (rate, burst) = (limits.commands_per_second, limits.commands_burst);
        self.budget.take(rate, burst, moment.now_ms).map_err(|after_ms| {
            let msg = format!("over {rate} commands a second");
            let failure = Failure::new(ErrorCode::TooManyRequests, msg);
            Failure { after_ms: Some(after_ms), ..failure }
        })
    }

    /// Takes one message of so many bytes from what the client may publish.
    fn spend_publish(&mut self, bytes: usize, moment: &Moment<'_>) -> Result<(), Refusal> {
        let limits = &moment.policy.limits;
        let (rate, burst) = limits.publishes();
        self.publishes.take(rate, burst, moment.now_ms).map_err(|after_ms| {
            let msg = format!("over {rate} messages a second");
            Refusal::later(Limit::Publishes, msg, after_ms)
        })?;
        let (rate, burst) = (limits.publish_bytes_per_second, limits.publish_bytes_burst());
        self.publish_bytes.spend(bytes, rate, burst, moment.now_ms).map_err(|after_ms| {
            let msg = format!("over {rate} bytes of messages a second");
            Refusal::later(Limit::PublishBytes, msg, after_ms)
        })
    }

    fn on_unsubscribe(&mut self, id: Option<u32>, body: Unsubscribe) -> Result<Effect, Failure> {
        let Some(position) = self.subscriptions.iter().position(|held| *held == body.i) else {
            return Err(Failure::new(ErrorCode::BadRequest, "no such subscription"));
        };
        self.subscriptions.swap_remove(position);
        self.release(body.i);
        let Some(id) = id else {
            let failure = Failure::new(ErrorCode::BadRequest, "unsubscribe without an id");
            return Ok(Effect::Unsubscribe(body.i, Item::Error(None, failure)));
        };
        Ok(Effect::Unsubscribe(body.i, Item::Reply(id, Reply::Unsubscribe)))
    }
}

/// When a command is worth another try that was refused for want of memory, in ms: slow clients
/// read on, or are closed, within seconds.
const AFTER_PRESSURE_MS: u64 = 2_000;

/// Whether a command makes the edge hold, or send, more than before.
fn makes_work(body: &Body) -> bool {
    matches!(body, Body::Subscribe(_) | Body::Publish(_) | Body::Request(_) | Body::History(_))
}

/// A verdict as a client is told it: the hint names the rule.
fn judge(verdict: &Verdict<'_>, asked: &str) -> Result<(), Failure> {
    if verdict.is_allowed() {
        return Ok(());
    }
    let failure = Failure::new(ErrorCode::Forbidden, format!("not allowed: {asked}"));
    Err(failure.hint(verdict.to_string()))
}

/// What is too long together with its tenant's prefix.
fn too_long(error: SubjectError) -> Failure {
    Failure::new(ErrorCode::InvalidSubject, format!("with its tenant's prefix: {error}"))
}
