//! The shard's NATS connection: keeps one, subscribes again after a loss, and turns what comes
//! into batches, replies and proofs.

use super::asker::Asker;
use super::fanout::Incoming;
use super::{ConnectionKey, Shard};
use crate::error::Error;
use meridian_core::session::Outbound;
use meridian_nats::streams::live_subject_prefix;
use meridian_nats::{
    Backoff, ConnectOptions, Flush, Op, Reader, ServerInfo, ServerPool, Writer, dial,
};
use meridian_proto::item::Failure;
use meridian_proto::{ErrorCode, Filter, Subject};
use meridian_telemetry::metrics::labels::Class;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

/// The sid of the shard's reply subject: the interest table's begin above 2^32.
const INBOX_SID: u64 = 1;

/// The sid of the subject for commands that others were given for this shard's streams.
const COMMANDS_SID: u64 = 2;

/// A ping goes out after this much silence, and an answer is awaited as long: the death of a
/// server that closes nothing is noticed within 10 s.
const PING_INTERVAL_MS: u64 = 5_000;

/// How often the end of a shard looks whether its last ping was answered.
const SETTLE_POLL: Duration = Duration::from_millis(5);

/// Owned by the shard. Others append to it; only its own task reads and writes the socket.
pub(crate) struct Upstream {
    writer: RefCell<Option<Writer>>,
    /// Something was appended.
    appended: Notify,
    /// Pings sent and answered on this connection.
    pings: Cell<Pings>,
    /// Publishes that wait for the ping behind them.
    acks: RefCell<VecDeque<(u64, PendingAck)>>,
    /// `_INBOX_<edge>.<shard>.<random>.`, to which a token is appended. The first token is the
    /// edge's own, so that NATS permissions can keep edges out of each other's answers.
    inbox: String,
}

/// A publish that the client wants acknowledged.
pub(crate) struct PendingAck {
    pub(crate) member: ConnectionKey,
    pub(crate) command: u32,
    pub(crate) subject: Subject,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pings {
    sent: u64,
    answered: u64,
    /// Whether one must follow what was appended.
    wanted: bool,
    /// When the server last gave a sign of life, or was first asked for one that did not come yet,
    /// in ms of the shard's clock.
    waiting_since_ms: u64,
}

impl Upstream {
    pub(crate) fn new(edge_id: &str, shard: usize) -> Self {
        Self {
            writer: RefCell::new(None),
            appended: Notify::new(),
            pings: Cell::default(),
            acks: RefCell::default(),
            inbox: format!("_INBOX_{edge_id}.{shard}.{:016x}.", fastrand::u64(..)),
        }
    }

    /// Bytes that a payload may have, while there is a connection.
    pub(crate) fn payload_bytes_max(&self) -> Option<usize> {
        self.writer.borrow().as_ref().map(Writer::max_payload)
    }

    /// Subscribes, with a proof to follow. Without a connection nothing happens: the next one
    /// begins with all subscriptions.
    pub(crate) fn subscribe(&self, shard: &Shard, sid: u64, filter: &Filter) {
        let mut writer = self.writer.borrow_mut();
        let Some(writer) = writer.as_mut() else { return };
        let subject = shard.upstream_subject(filter);
        if let Err(error) = writer.subscribe(sid, &subject) {
            // Filters are checked on their way in, so only a full buffer comes here; the ping
            // would prove nothing, and the reply stays out until the connection is made anew.
            warn!(%filter, %error, "cannot subscribe");
            return;
        }
        shard.interest.borrow_mut().prove(sid, self.ping_behind());
    }

    pub(crate) fn unsubscribe(&self, sid: u64) {
        if let Some(writer) = self.writer.borrow_mut().as_mut() {
            writer.unsubscribe(sid);
            self.appended.notify_one();
        }
    }

    /// Publishes, with a reply subject that ends in a client's `token` if there is one. Returns the
    /// number of the ping whose answer proves that the server has it.
    pub(crate) fn publish(&self, message: &Outbound, token: Option<&str>) -> Result<u64, Failure> {
        let mut writer = self.writer.borrow_mut();
        let Some(writer) = writer.as_mut() else { return Err(unreachable()) };
        let reply = token.map(|token| self.reply_subject(Asker::Client, token));
        let mut headers: Vec<(&str, &str)> =
            message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let traceparent = message.trace.map(|trace| trace.to_string());
        headers.extend(traceparent.as_deref().map(|trace| ("traceparent", trace)));
        let subject = message.subject.as_str();
        match writer.publish(subject, reply.as_deref(), &headers, &message.payload) {
            Ok(()) => Ok(self.ping_behind()),
            Err(error) => {
                warn!(%subject, %error, "cannot publish");
                let failure = Failure::new(ErrorCode::TooManyRequests, "the way to NATS is full");
                Err(Failure { after_ms: Some(100), retry: true, ..failure })
            }
        }
    }

    /// Sends a request of the edge's own, whose answers come back for this question.
    pub(crate) fn ask(
        &self,
        subject: &str,
        asker: Asker,
        question: &str,
        body: &[u8],
    ) -> Result<(), meridian_nats::Error> {
        self.send(subject, Some(&self.reply_subject(asker, question)), body)
    }

    /// Answers a request of another edge.
    pub(crate) fn answer(&self, reply: &str, body: &[u8]) -> Result<(), meridian_nats::Error> {
        self.send(reply, None, body)
    }

    fn send(
        &self,
        subject: &str,
        reply: Option<&str>,
        body: &[u8],
    ) -> Result<(), meridian_nats::Error> {
        let mut writer = self.writer.borrow_mut();
        let Some(writer) = writer.as_mut() else { return Err(meridian_nats::Error::Closed) };
        writer.publish(subject, reply, &[], body)?;
        self.appended.notify_one();
        Ok(())
    }

    fn reply_subject(&self, asker: Asker, question: &str) -> String {
        format!("{}{}", self.inbox, asker.token(question))
    }

    pub(crate) fn await_ack(&self, ping: u64, ack: PendingAck) {
        self.acks.borrow_mut().push_back((ping, ack));
    }

    /// Waits until the server has processed everything that was appended.
    pub(crate) async fn settle(&self, shard: &Shard) {
        let ping = self.ping_behind();
        while self.writer.borrow().is_some() && self.pings.get().answered < ping {
            sleep(SETTLE_POLL).await;
        }
        info!(shard = shard.index, "NATS connection drained");
    }

    /// The number of the ping that will follow what was just appended.
    fn ping_behind(&self) -> u64 {
        let pings = self.pings.get();
        self.pings.set(Pings { wanted: true, ..pings });
        self.appended.notify_one();
        pings.sent + 1
    }
}

/// Keeps the shard connected until the shard ends.
pub(crate) async fn run(shard: Rc<Shard>, options: ConnectOptions) -> Result<(), Error> {
    let mut pool = ServerPool::new(options.servers.clone())?;
    let mut backoff = Backoff::new();
    let mut is_first = true;
    loop {
        let server = pool.next_server().clone();
        match dial(&server, &options).await {
            Ok((reader, writer, info)) => {
                info!(shard = shard.index, %server, name = info.server_name, "NATS connected");
                shard.tracer.set_server(&info.server_name);
                if !std::mem::replace(&mut is_first, false) {
                    shard.meters.reconnected();
                }
                let since = Instant::now();
                let lost = converse(&shard, reader, writer).await;
                warn!(shard = shard.index, %server, error = %lost, "NATS connection lost");
                shard.interrupted();
                backoff.connection_lived(since.elapsed().as_millis() as u64);
                pool.restart();
            }
            Err(error) => warn!(shard = shard.index, %server, %error, "cannot connect to NATS"),
        }
        sleep(Duration::from_millis(backoff.next_delay_ms(fastrand::u64(..)))).await;
    }
}

/// Serves one connection until it is lost. Returns why.
async fn converse(shard: &Rc<Shard>, mut reader: Reader, writer: Writer) -> meridian_nats::Error {
    let upstream = &shard.upstream;
    let writable = writer.writable();
    tokio::pin!(writable);
    upstream.begin(shard, writer);
    let mut blocked = false;
    let alarm = sleep_until(shard.instant_of(shard.next_upstream_deadline_ms()));
    tokio::pin!(alarm);
    loop {
        // Only ever set earlier: an alarm that rings too early looks again, and one that had to
        // follow each message would cost each message.
        let deadline = shard.instant_of(shard.next_upstream_deadline_ms());
        if deadline < alarm.deadline() {
            alarm.as_mut().reset(deadline);
        }
        tokio::select! {
            biased;
            // What the servers send goes first: it is why the shard exists. Cancel-safe.
            filled = reader.fill() => match filled.and_then(|_| take_all(shard, &mut reader)) {
                Ok(()) => {}
                Err(error) => return error,
            },
            // The socket takes bytes again. Cancel-safe.
            result = &mut writable, if blocked => {
                if let Err(error) = result {
                    return error;
                }
                blocked = false;
                let again = upstream.writer.borrow().as_ref().map(Writer::writable);
                writable.set(again.expect("the writer stays for the whole conversation"));
            }
            // Somebody appended; the flush below writes it. Cancel-safe.
            () = upstream.appended.notified() => {}
            // A request or a ping is due, or was when the alarm was set. Cancel-safe.
            () = &mut alarm => {
                let deadline = shard.instant_of(shard.next_upstream_deadline_ms());
                alarm.as_mut().reset(deadline);
            }
        }
        shard.expire_requests();
        let now_ms = shard.now_ms();
        if let Err(error) = upstream.keep_alive(now_ms) {
            return error;
        }
        if !blocked {
            match upstream.flush(now_ms) {
                Ok(flush) => blocked = flush == Flush::Blocked,
                Err(error) => return error,
            }
        }
        // Readers and the listener share this thread; while they run, more messages gather.
        tokio::task::yield_now().await;
    }
}

/// Takes every operation that the reader holds, and lets the batch out.
fn take_all(shard: &Rc<Shard>, reader: &mut Reader) -> Result<(), meridian_nats::Error> {
    shard.upstream.heard(shard.now_ms());
    while let Some(op) = reader.next()? {
        match op {
            Op::Message(message) if message.sid == INBOX_SID => shard.answer_request(&message),
            Op::Message(message) if message.sid == COMMANDS_SID => shard.forwarded(&message),
            Op::Message(message) => {
                shard.counters.add_message();
                let bytes = message.headers.as_bytes().len() + message.payload.len();
                match shard.durables.get(message.sid) {
                    Some(durable) => {
                        shard.meters.received(Class::Durable, bytes);
                        shard.durable_message(&durable, &message);
                    }
                    None => {
                        shard.meters.received(Class::Ephemeral, bytes);
                        let sent = shard.meters.ephemeral(message.headers);
                        shard.gather(message.sid, &Incoming::ephemeral(&message, sent));
                    }
                }
            }
            Op::Pong => {
                // Frames before the proof belong before the replies that it brings.
                shard.flush();
                shard.proven();
            }
            Op::Ping => shard.upstream.pong(),
            Op::Error(text) => {
                shard.flush();
                shard.nats_error(text);
            }
            Op::Info(info) => note_info(shard, &info),
            Op::Ok => {}
        }
    }
    shard.flush();
    Ok(())
}

fn note_info(shard: &Shard, info: &ServerInfo) {
    if info.lame_duck {
        // The server closes within its grace; the list's other servers take over then.
        info!(shard = shard.index, server_name = info.server_name, "NATS server in lame duck mode");
    }
}

impl Upstream {
    /// A connection stands: the reply subject and every wanted filter go out first.
    fn begin(&self, shard: &Rc<Shard>, writer: Writer) {
        self.pings.set(Pings { waiting_since_ms: shard.now_ms(), ..Pings::default() });
        *self.writer.borrow_mut() = Some(writer);
        let wanted = shard.interest.borrow_mut().resume();
        if let Some(writer) = self.writer.borrow_mut().as_mut() {
            let inbox = format!("{}*", self.inbox);
            writer.subscribe(INBOX_SID, &inbox).expect("the inbox is a plain subject");
            let commands = shard.command_subject();
            writer.subscribe(COMMANDS_SID, &commands).expect("the edge's id is a plain token");
            // Others look for this shard before it wants anything of its own.
            self.appended.notify_one();
        }
        for (sid, filter) in wanted {
            self.subscribe(shard, sid, &filter);
        }
        shard.prune_durables();
        shard.set_connected(true);
    }

    fn pong(&self) {
        if let Some(writer) = self.writer.borrow_mut().as_mut() {
            writer.pong();
        }
    }

    /// Writes what was appended, a ping behind it if somebody waits for proof.
    fn flush(&self, now_ms: u64) -> Result<Flush, meridian_nats::Error> {
        let mut writer = self.writer.borrow_mut();
        let Some(writer) = writer.as_mut() else { return Ok(Flush::Done) };
        let pings = self.pings.get();
        if pings.wanted {
            writer.ping();
            let is_first = pings.sent == pings.answered;
            let waiting_since_ms = if is_first { now_ms } else { pings.waiting_since_ms };
            self.pings.set(Pings {
                sent: pings.sent + 1,
                wanted: false,
                waiting_since_ms,
                ..pings
            });
        }
        if writer.is_empty() { Ok(Flush::Done) } else { writer.try_flush() }
    }

    /// Asks for a sign of life after some silence, and gives up after as much again.
    fn keep_alive(&self, now_ms: u64) -> Result<(), meridian_nats::Error> {
        let pings = self.pings.get();
        if now_ms < pings.waiting_since_ms + PING_INTERVAL_MS {
            return Ok(());
        }
        if pings.sent > pings.answered {
            return Err(meridian_nats::Error::Closed);
        }
        self.pings.set(Pings { wanted: true, ..pings });
        Ok(())
    }

    /// Bytes came: whatever they are, the server lives.
    fn heard(&self, now_ms: u64) {
        self.pings.set(Pings { waiting_since_ms: now_ms, ..self.pings.get() });
    }

    /// Forgets the connection; every publish that waited for its proof is returned.
    pub(super) fn forget(&self) -> Vec<PendingAck> {
        *self.writer.borrow_mut() = None;
        self.due_acks(u64::MAX)
    }

    /// Takes the first waiting publish on a subject that the server refused.
    pub(super) fn refused_ack(&self, subject: &str) -> Option<PendingAck> {
        let mut acks = self.acks.borrow_mut();
        let position = acks.iter().position(|(_, ack)| ack.subject.as_str() == subject)?;
        acks.remove(position).map(|(_, ack)| ack)
    }

    /// The token of a reply subject of this connection.
    pub(super) fn token<'a>(&self, subject: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(subject).ok()?.strip_prefix(self.inbox.as_str())
    }

    /// Counts an answered ping; its number is returned.
    pub(super) fn answered(&self) -> u64 {
        let mut pings = self.pings.get();
        pings.answered += 1;
        self.pings.set(pings);
        pings.answered
    }

    /// Takes the publishes that an answered ping proves.
    pub(super) fn due_acks(&self, ping: u64) -> Vec<PendingAck> {
        let mut acks = self.acks.borrow_mut();
        let due = acks.iter().take_while(|(number, _)| *number <= ping).count();
        acks.drain(..due).map(|(_, ack)| ack).collect()
    }
}

impl Shard {
    /// What the edge subscribes to for a filter. Durable messages come from the region's copy
    /// only, so that what is live is always stored here already.
    fn upstream_subject<'a>(&self, filter: &'a Filter) -> Cow<'a, str> {
        let namespace = self.policy.namespaces.of_upstream_filter(filter);
        match namespace.map(|namespace| namespace.class) {
            Some(meridian_core::Class::Durable) => {
                Cow::Owned(format!("{}{filter}", live_subject_prefix(&self.policy.region)))
            }
            Some(meridian_core::Class::Ephemeral) | None => Cow::Borrowed(filter.as_str()),
        }
    }

    /// The filter that the edge subscribed to a subject for.
    pub(super) fn filter_of_upstream(&self, subject: &str) -> Option<Filter> {
        let prefix = live_subject_prefix(&self.policy.region);
        Filter::parse(subject.strip_prefix(&prefix).unwrap_or(subject)).ok()
    }

    /// When the upstream task has to look again without being woken.
    fn next_upstream_deadline_ms(&self) -> u64 {
        let ping_ms = self.upstream.pings.get().waiting_since_ms + PING_INTERVAL_MS;
        let request_ms = self.requests.borrow().next_deadline_ms().unwrap_or(u64::MAX);
        ping_ms.max(self.now_ms() + 1).min(request_ms)
    }
}

/// What a command gets while there is no NATS connection.
pub(super) fn unreachable() -> Failure {
    Failure::new(ErrorCode::RegionUnreachable, "this edge has lost its NATS servers")
}
