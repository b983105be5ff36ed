//! What a client's frame leads to: the codec reads it, the session decides, and this performs.

use super::Shard;
use super::connection::Connection;
use super::durable::Joiner;
use super::sending::{publish, request};
use super::shard_limits::BURST_S;
use super::upstream::PendingAck;
use crate::parties::NoSeat;
use meridian_core::Limit;
use meridian_core::interest::{Admission, Join, Proven, Wishes};
use meridian_core::permission::FilterGrant;
use meridian_core::requests::{Purpose, Repeat, Waiting};
use meridian_core::session::{
    Credentials, From, Greeting, HistoryPage, MeshNotices, PublishProof, Start, greet,
};
use meridian_core::{Effect, Session};
use meridian_proto::command::{Ack, Body, Command, Subscribe};
use meridian_proto::item::{Failure, Item, PublishReply, Reply};
use meridian_proto::trace::TraceContext;
use meridian_proto::{CloseCode, DecodeError, ErrorCode, Filter};
use meridian_telemetry::trace::bridge;
use std::cell::Cell;
use std::rc::Rc;
use tracing::span::EnteredSpan;

/// How long a stream may take to acknowledge a publish, in ms.
const STORED_TIMEOUT_MS: u64 = 5_000;

/// Resumes that are refused together come back over so many ms.
const RESUME_SPREAD_MS: u64 = 2_000;

/// Performs the commands of one frame, in order, until the connection closes.
pub(super) fn perform(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    commands: impl Iterator<Item = Result<Command, DecodeError>>,
) {
    for decoded in commands {
        if !connection.is_open() {
            return;
        }
        shard.meters.command(decoded.as_ref().map_or("malformed", word));
        match decoded {
            decoded if connection.is_asking() => connection.hold(decoded),
            Ok(command) if connection.session.borrow().is_none() => {
                // The client has been told, and what follows finds the connection closed.
                drop(connect(shard, connection, command));
            }
            Ok(command) => decide(shard, connection, command),
            Err(DecodeError::Refused(id, failure)) => refuse(shard, connection, id, failure),
            Err(error) => {
                connection.close_with(shard, CloseCode::BadProtocol, &error.to_string());
            }
        }
    }
}

/// The protocol's word for a command.
fn word(command: &Command) -> &'static str {
    match &command.body {
        Body::Heartbeat => "heartbeat",
        Body::Connect(_) => "connect",
        Body::Subscribe(_) => "subscribe",
        Body::Unsubscribe(_) => "unsubscribe",
        Body::Publish(_) => "publish",
        Body::Request(_) => "request",
        Body::History(_) => "history",
        Body::Receipt(_) => "receipt",
        Body::Refresh(_) => "refresh",
        Body::Unserved(word) => word,
    }
}

/// Performs the first command of a connection, or asks about it.
fn connect(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    command: Command,
) -> Result<(), Failure> {
    if command.id.is_some() && shard.asks_about(connection, &command) {
        return Ok(());
    }
    let beside = connection.token.take();
    let credentials = match &command.body {
        Body::Connect(body) => shard.credentials(body.token.as_deref().or(beside.as_deref())),
        _ => Credentials::NotAsked,
    };
    greeted(shard, connection, command, credentials)
}

/// Performs the first command of a connection, whose token came to this. An error says why its
/// client is not let in, which it has been told.
pub(super) fn greeted(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    command: Command,
    credentials: Credentials,
) -> Result<(), Failure> {
    let _span = connect_span(shard, &command);
    let (moment, id) = (shard.moment(), command.id);
    let cid = format!("{}.{:016x}", shard.policy.node, fastrand::u64(..));
    let (item, code, reason) = match greet(command, cid, |_| credentials, &moment) {
        Greeting::Ignored => return Ok(()),
        Greeting::Welcome(session, reply) => {
            return welcome(shard, connection, session, id, &reply);
        }
        Greeting::Refused(item, code) => (item, code, code.reason().to_owned()),
        Greeting::NotAdmitted(item, code, reason) => (item, code, reason),
    };
    connection.send(shard, &item);
    connection.close_with(shard, code, &reason);
    match item {
        Item::Error(_, failure) => Err(failure),
        _ => Err(Failure::new(ErrorCode::Unauthorized, reason)),
    }
}

/// The span of a client's `connect`, below the client's own, if that is sampled and the clients'
/// budget has room. Once a connection, so it is a `tracing` span: what is logged within it is of
/// the trace.
fn connect_span(shard: &Shard, command: &Command) -> Option<EnteredSpan> {
    let Body::Connect(body) = &command.body else { return None };
    let parent = TraceContext::parse(body.tp.as_deref()?).filter(TraceContext::is_sampled)?;
    if !shard.tracer.affords_client() {
        return None;
    }
    let (node, trace) = (shard.policy.node.as_str(), parent.trace_id);
    let span = tracing::info_span!(
        target: "meridian::trace", "connect", meridian.edge = node, trace_id = %trace
    );
    bridge::set_parent(&span, parent);
    Some(span.entered())
}

/// The user or tenant has as many connections as it may: it comes back when one of them has ended.
fn refuse_identity(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    id: Option<u32>,
    refused: NoSeat,
) -> Failure {
    shard.counters.add_limit(refused.limit);
    let msg = match refused.limit {
        Limit::TenantConnections => "too many connections of this tenant",
        _ => "too many connections of this user",
    };
    let failure = Failure::new(ErrorCode::Limit, msg);
    let after_ms = Some(refused.after_s * 1_000);
    let failure = Failure { retry: true, after_ms, ..failure };
    connection.send(shard, &Item::Error(id, failure.clone()));
    connection.close_with(shard, CloseCode::Overloaded, msg);
    failure
}

fn welcome(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    session: Box<Session>,
    id: Option<u32>,
    reply: &Item,
) -> Result<(), Failure> {
    if let Some(identity) = session.identity() {
        match shard.parties.seat_identity(identity) {
            Ok(seats) => connection.sit(seats),
            Err(refused) => return Err(refuse_identity(shard, connection, id, refused)),
        }
    }
    let wants_mesh = session.mesh_notices() == MeshNotices::Wanted;
    shard.schedule_heartbeat(connection, fastrand::u64(1..=session.ping_s()));
    *connection.session.borrow_mut() = Some(session);
    shard.schedule_look(connection);
    shard.counters.add_session();
    connection.send(shard, reply);
    let mesh = shard.mesh.borrow().clone();
    if wants_mesh && !mesh.is_well() {
        connection.send(shard, &Item::Mesh(mesh));
    }
    Ok(())
}

fn decide(shard: &Rc<Shard>, connection: &Rc<Connection>, command: Command) {
    let effect = effect(shard, connection, command);
    carry_out(shard, connection, effect);
}

/// Performs a command for a client that cannot send any. What the session refuses comes back.
pub(super) fn command_for(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    command: Command,
) -> Result<(), Failure> {
    match effect(shard, connection, command) {
        Effect::Send(Item::Error(_, failure)) => Err(failure),
        Effect::Over(limit, Item::Error(_, failure)) => {
            shard.counters.add_limit(limit);
            Err(failure)
        }
        effect => {
            carry_out(shard, connection, effect);
            Ok(())
        }
    }
}

fn effect(shard: &Rc<Shard>, connection: &Rc<Connection>, command: Command) -> Effect {
    let Command { id, body } = command;
    let body = match body {
        Body::Subscribe(body) if body.token.is_none() => {
            match shard.asks_about_filter(connection, id, body) {
                None => return Effect::Nothing,
                Some(body) => Body::Subscribe(body),
            }
        }
        body => body,
    };
    let mut session = connection.session.borrow_mut();
    let Some(session) = session.as_mut() else { return Effect::Nothing };
    let (interest, moment) = (shard.interest.borrow(), shard.moment());
    match body {
        Body::Subscribe(mut body) if body.token.is_some() && session.credential().is_some() => {
            let token = body.token.take().unwrap_or_default();
            let offered = shard.filter_grant(&token);
            session.on_subscribe_with(id, body, offered, &interest, &moment)
        }
        body => session.on_command(Command { id, body }, &interest, &moment),
    }
}

/// Goes on with a subscribe that somebody else was asked about.
pub(super) fn subscribe_with(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    id: Option<u32>,
    body: Subscribe,
    offered: Result<Box<FilterGrant>, Failure>,
) {
    let effect = {
        let mut session = connection.session.borrow_mut();
        let Some(session) = session.as_mut() else { return };
        let (interest, moment) = (shard.interest.borrow(), shard.moment());
        session.on_subscribe_with(id, body, offered, &interest, &moment)
    };
    carry_out(shard, connection, effect);
}

fn carry_out(shard: &Rc<Shard>, connection: &Rc<Connection>, effect: Effect) {
    match effect {
        Effect::Nothing => {}
        Effect::Send(item) => connection.send(shard, &item),
        Effect::Over(limit, item) => {
            shard.counters.add_limit(limit);
            connection.send(shard, &item);
        }
        Effect::Subscribe { id, filter, wishes, start, grant } => {
            let wishes = Wishes { wire: connection.wire, ..wishes };
            subscribe(shard, connection, id, &filter, wishes, Terms { start, grant });
        }
        Effect::Refresh { id, token, subscription } => {
            shard.refresh(connection, id, token, subscription);
        }
        Effect::Unsubscribe(subscription, item) => {
            let (member, now_ms) = (connection.key.index, shard.now_ms());
            shard.interest.borrow_mut().leave(subscription, member, now_ms);
            connection.send(shard, &item);
        }
        Effect::Publish { id: Some(id), message, proof: PublishProof::Stored } => {
            if let Some(failure) = shard.lost_home(&message.subject) {
                return shard.fail(connection.key, id, failure);
            }
            let has_id = message.headers.iter().any(|(name, _)| name == "Nats-Msg-Id");
            let repeat = if has_id { Repeat::Once } else { Repeat::Twice };
            let (member, purpose) = (connection.key, Purpose::Stored(repeat));
            let waiting = Waiting { member, command: id, purpose };
            request(shard, connection, waiting, message, STORED_TIMEOUT_MS);
        }
        Effect::Publish { id, message, .. } => publish(shard, connection, id, message),
        Effect::Request { id, message, timeout_ms, namespace } => {
            let member = connection.key;
            let purpose = Purpose::Answer(namespace);
            let waiting = Waiting { member, command: id, purpose };
            request(shard, connection, waiting, message, timeout_ms);
        }
        Effect::Receipt { context, at_us, took_us } => {
            if shard.tracer.affords_client() {
                let ns = |us: u64| us.saturating_mul(1_000);
                shard.tracer.receipt(context, ns(at_us), ns(took_us));
            }
        }
        Effect::History(page) => {
            let wishes = Wishes { wire: connection.wire, ..page.wishes };
            shard.ask_history(connection, HistoryPage { wishes, ..page });
        }
    }
}

/// A malformed command costs as much as a good one, and before `connect` ends the connection.
fn refuse(shard: &Rc<Shard>, connection: &Rc<Connection>, id: Option<u32>, failure: Failure) {
    let mut session = connection.session.borrow_mut();
    let spent = session.as_mut().map(|session| session.spend(&shard.moment()));
    let is_connected = session.is_some();
    drop(session);
    let failure = match spent {
        Some(Err(over_budget)) => {
            shard.counters.add_limit(Limit::Commands);
            over_budget
        }
        Some(Ok(())) | None => failure,
    };
    connection.send(shard, &Item::Error(id, failure));
    if !is_connected {
        connection.close(shard, CloseCode::BadProtocol);
    }
}

/// Where a subscription starts, and the token of its own that it stands by.
struct Terms {
    start: Start,
    grant: Option<Box<FilterGrant>>,
}

fn subscribe(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    id: Option<u32>,
    filter: &Filter,
    wishes: Wishes,
    terms: Terms,
) {
    let Terms { start, grant } = terms;
    if let Some(id) = id {
        connection.asked.set(id, shard.now_us());
    }
    let is_durable = matches!(start, Start::Durable(_));
    if is_durable && shard.copy_of(filter).is_none() {
        let msg = "the stream of this filter is not there yet";
        let failure = Failure::new(ErrorCode::StreamUnavailable, msg);
        return connection.send(shard, &Item::Error(id, failure));
    }
    if matches!(&start, Start::Durable(from) if *from != From::New)
        && let Err(after_ms) = shard.take_resume()
    {
        shard.counters.add_limit(Limit::Resumes);
        let msg = "too many clients resume here at once";
        let failure = Failure::new(ErrorCode::TooManyRequests, msg);
        let failure = Failure { after_ms: Some(after_ms), ..failure };
        return connection.send(shard, &Item::Error(id, failure));
    }
    let admission = if is_durable { Admission::ByCaller } else { Admission::AtProof };
    let member = connection.key.index;
    let (subscription, join) =
        shard.interest.borrow_mut().join(member, id, filter, wishes, admission);
    if let Some(namespace) = shard.policy.namespaces.of_upstream_filter(filter) {
        shard.interest.borrow_mut().set_slow_client(filter, namespace.slow_client);
    }
    if let Some(session) = connection.session.borrow_mut().as_mut() {
        session.hold(subscription, id, &start, grant, &shard.moment());
    }
    shard.schedule_look(connection);
    let sid = shard.interest.borrow().sid_of(filter);
    if let (Start::Durable(from), Some(sid)) = (start, sid) {
        let joiner = Joiner {
            member: connection.key,
            command: id,
            group: subscription,
            from,
            asked_us: shard.now_us(),
            replayed: Cell::default(),
        };
        shard.join_durable(sid, filter, joiner);
        if matches!(join, Join::Subscribe(_)) {
            shard.upstream.subscribe(shard, sid, filter);
        }
        return;
    }
    match join {
        Join::Subscribe(sid) => shard.upstream.subscribe(shard, sid, filter),
        Join::Wait => {}
        Join::Ready => shard.answer_subscribe(&Proven { member, command: id, group: subscription }),
    }
}

impl Shard {
    /// Takes one start from a position or from history from the budget, or says when to come back,
    /// in ms: by chance within the second behind, so that a storm comes back spread.
    fn take_resume(&self) -> Result<(), u64> {
        let (rate, now_ms) = (self.limits.resumes_per_second, self.now_ms());
        let mut bucket = self.resume_rate.get();
        let taken = bucket.take(rate, rate.saturating_mul(BURST_S), now_ms);
        self.resume_rate.set(bucket);
        taken.map_err(|after_ms| after_ms + fastrand::u64(..RESUME_SPREAD_MS))
    }

    /// Answers a subscribe whose interest stands.
    pub(super) fn answer_subscribe(self: &Rc<Self>, proven: &Proven<u32>) {
        let Some(connection) = self.connection_at(proven.member) else { return };
        let Some(id) = proven.command else { return };
        let reply = match connection.session.borrow_mut().as_mut() {
            Some(session) => session.subscribed(proven.group),
            None => return,
        };
        connection.send(self, &Item::Reply(id, Reply::Subscribe(reply)));
    }

    /// Ends a subscription that the NATS servers refused.
    pub(super) fn refuse_subscribe(self: &Rc<Self>, refused: &Proven<u32>, filter: &Filter) {
        let Some(connection) = self.connection_at(refused.member) else { return };
        if let Some(session) = connection.session.borrow_mut().as_mut() {
            session.release(refused.group);
        }
        let msg = format!("the NATS servers refuse {filter} to this edge");
        let failure = Failure::new(ErrorCode::Forbidden, msg);
        connection.send(self, &Item::Error(refused.command, failure));
    }

    /// Answers a publish that the NATS server has taken.
    pub(super) fn answer_publish(self: &Rc<Self>, ack: &PendingAck) {
        self.tracer.answered(ack.member, ack.command);
        if let Some(connection) = self.connection(ack.member) {
            let reply =
                Reply::Publish(PublishReply { ack: Ack::Edge, stream: None, q: None, dup: None });
            connection.send(self, &Item::Reply(ack.command, reply));
        }
    }

    /// Answers a command of a connection that may be gone with a failure.
    pub(super) fn fail(
        self: &Rc<Self>,
        member: super::ConnectionKey,
        command: u32,
        failure: Failure,
    ) {
        self.tracer.failed(member, command, &failure);
        if let Some(connection) = self.connection(member) {
            connection.send(self, &Item::Error(Some(command), failure));
        }
    }
}
