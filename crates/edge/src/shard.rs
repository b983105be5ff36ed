//! A shard: one thread that owns its listener, its connections, its interest, its queues and its
//! NATS connection. Nothing on the message path is shared with another shard.
//!
//! Entry points: `run` (called by the edge on a thread of its own), and below it the listener
//! (`accept`), each connection's `reader`, the NATS side (`upstream`) and the `clock`.

mod accept;
mod ask;
mod asker;
mod clock;
mod commands;
mod connection;
mod drain;
mod durable;
#[cfg(feature = "echo")]
mod echo;
mod fanout;
mod forward;
mod guarded;
mod handshake;
mod http;
mod leftover;
mod memory;
mod meters;
mod mover;
mod orders;
mod proofs;
mod pump;
mod reader;
mod refusal;
mod report;
mod requests;
mod sending;
mod sessions;
mod shard_limits;
mod sink;
mod store;
mod tokens;
mod tracer;
mod upstream;

pub(crate) use connection::ConnectionKey;
pub(crate) use orders::{Drain, Move, Orders};
pub(crate) use report::{Numbers, Report};
pub(crate) use tracer::SpanBatches;

use crate::auth::{Authenticator, Desk, unix_time_s};
use crate::config::Config;
use crate::error::Error;
use crate::page::Page;
use crate::parties::Parties;
use ask::Asking;
use clock::Due;
use connection::Connection;
use durable::{Durables, Histories};
use fanout::Batch;
use forward::Forwards;
use http::{Origins, Ways};
use meridian_core::holes::Hole;
use meridian_core::policy::Tenants;
use meridian_core::rate::TokenBucket;
use meridian_core::requests::Requests;
use meridian_core::revocation::Revocations;
use meridian_core::session::Moment;
use meridian_core::wheel::Wheel;
use meridian_core::{Interest, Memory, Policy};
use meridian_nats::ConnectOptions;
use meridian_proto::item::Mesh;
use meridian_proto::{CloseCode, Wire};
use meters::Meters;
use report::Counters;
use sessions::Sessions;
use shard_limits::{BURST_S, ShardLimits};
use sink::Sink;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use store::Gets;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;
use tracer::Tracer;
use upstream::Upstream;

/// Where bytes of clients land first: larger than any usual burst of commands.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Most control frames before `connect`: a client has no reason for any.
const EARLY_CONTROLS_MAX: u32 = 16;

/// Replays that read the region's copy at once. Others wait for their turn: the store serves a few
/// hundred a second, and a storm of resumes must not starve what is live.
const REPLAYS_MAX: usize = 16;

/// What a shard is made of. Handed to its thread.
pub(crate) struct ShardOptions {
    pub(crate) index: usize,
    pub(crate) config: Arc<Config>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) page: Arc<Page>,
    pub(crate) parties: Arc<Parties>,
    pub(crate) desk: Desk,
    pub(crate) listener: std::net::TcpListener,
    pub(crate) orders: watch::Receiver<Orders>,
    pub(crate) report: Arc<Report>,
    /// Where spans go, if anywhere.
    pub(crate) spans: Option<SpanBatches>,
}

/// Owned by its thread; every task of the thread holds it. Each cell has one writer at a time, and
/// none is borrowed across an await.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) policy: Arc<Policy>,
    pub(crate) limits: ShardLimits,
    pub(crate) page: Arc<Page>,
    /// Who has how many connections, shared with the other shards.
    pub(crate) parties: Arc<Parties>,
    pub(crate) connections: RefCell<Slab<Rc<Connection>>>,
    pub(crate) interest: RefCell<Interest<u32>>,
    pub(crate) requests: RefCell<Requests<ConnectionKey>>,
    pub(crate) upstream: Upstream,
    pub(crate) durables: Durables,
    pub(crate) gets: Gets,
    pub(crate) histories: Histories,
    pub(crate) forwards: Forwards,
    pub(crate) sessions: Sessions,
    /// Whose pages may use the HTTP transports.
    pub(crate) origins: Origins,
    /// Where tokens are looked for beside `connect`.
    pub(crate) ways: Ways,
    pub(crate) replays: Semaphore,
    /// Bytes of replayed pages that wait for slow clients, see `durable/replay`.
    pub(crate) kept_bytes: Cell<usize>,
    /// Epochs of the region's copies that exist, by stream name, as last ordered.
    pub(crate) epochs: RefCell<BTreeMap<String, String>>,
    /// What they skipped last, and up to where they were purged, as last ordered.
    pub(crate) holes: RefCell<BTreeMap<String, Hole>>,
    pub(crate) purged: RefCell<BTreeMap<String, u64>>,
    pub(crate) batch: RefCell<Batch>,
    pub(crate) wheel: RefCell<Wheel<Due>>,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// What does not work in the mesh, as last ordered.
    pub(crate) mesh: RefCell<Mesh>,
    /// What verifies tokens, as last ordered.
    pub(crate) authenticator: RefCell<Option<Arc<Authenticator>>>,
    /// Where an authorization service is asked, and about what.
    pub(crate) asking: Asking,
    /// Which of them are worth nothing any more; None while that is not known.
    pub(crate) revocations: RefCell<Option<Arc<Revocations>>>,
    pub(crate) counters: Counters,
    pub(crate) tracer: Tracer,
    pub(crate) meters: Meters,
    /// Sockets that are not connections: not yet, or because they serve plain requests.
    pub(crate) handshakes: Cell<usize>,
    /// Sockets that are being turned away.
    pub(crate) refused: Cell<usize>,
    /// Handshakes and resumes of this shard, by time.
    pub(crate) handshake_rate: Cell<TokenBucket>,
    pub(crate) resume_rate: Cell<TokenBucket>,
    /// What waits for slow clients, see `memory`.
    pub(crate) memory: Cell<Memory>,
    pub(crate) is_shedding: Cell<bool>,
    /// Where clients are sent, as last ordered, and the task that does it.
    moving: RefCell<Option<(Move, JoinHandle<()>)>>,
    /// How TLS is served, as last ordered.
    pub(crate) tls: RefCell<Option<Arc<ServerConfig>>>,
    /// Whether sockets shall end after the request that they serve, and the call for it.
    pub(crate) is_ending: Cell<bool>,
    pub(crate) ending: Notify,
    next_generation: Cell<u32>,
    started: Instant,
    report: Arc<Report>,
}

/// Runs a shard until it has drained. Blocks its thread.
///
/// # Errors
/// When the thread's runtime or listener cannot start.
pub(crate) fn run(options: ShardOptions) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    LocalSet::new().block_on(&runtime, serve(options))
}

async fn serve(options: ShardOptions) -> Result<(), Error> {
    let ShardOptions { listener, mut orders, .. } = options;
    let servers = options.config.nats_servers()?;
    let name = format!("meridian edge {} shard {}", options.policy.node, options.index);
    let connect = ConnectOptions::new(servers, name);
    let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::Runtime)?;
    let shard = Rc::new(Shard::new(
        options.index,
        &options.config,
        options.policy,
        options.page,
        options.parties,
        options.desk,
        options.report,
        options.spans,
    ));
    shard.tls.borrow_mut().clone_from(&orders.borrow().tls);
    let upstream = tokio::task::spawn_local(upstream::run(Rc::clone(&shard), connect));
    let listening = tokio::task::spawn_local(accept::run(Rc::clone(&shard), listener));
    let clock = tokio::task::spawn_local(clock::run(Rc::clone(&shard)));
    let lag = tokio::task::spawn_local(meters::watch_lag(Rc::clone(&shard)));
    let drain = orders::obey(&shard, &mut orders).await;
    drain::run(&shard, drain, &listening).await;
    clock.abort();
    lag.abort();
    upstream.abort();
    shard.tracer.hand_over();
    Ok(())
}

/// The interest table of a shard.
fn interest(config: &Config, policy: &Policy) -> Interest<u32> {
    let interest = Interest::new(config.limits.interest_linger_ms);
    match &policy.tenants {
        Tenants::Prefixed(prefix) => interest.with_scope_tokens(prefix.tokens()),
        Tenants::Together | Tenants::Only(_) => interest,
    }
}

impl Shard {
    fn new(
        index: usize,
        config: &Config,
        policy: Arc<Policy>,
        page: Arc<Page>,
        parties: Arc<Parties>,
        desk: Desk,
        report: Arc<Report>,
        spans: Option<SpanBatches>,
    ) -> Self {
        let limits = ShardLimits::of(config);
        let rate = |per_second: u32| TokenBucket::full(per_second.saturating_mul(BURST_S), 0);
        Self {
            index,
            page,
            parties,
            handshake_rate: Cell::new(rate(limits.handshakes_per_second)),
            resume_rate: Cell::new(rate(limits.resumes_per_second)),
            memory: Cell::new(Memory::new(limits.pending_bytes_max)),
            moving: RefCell::default(),
            is_shedding: Cell::new(false),
            refused: Cell::new(0),
            limits,
            connections: RefCell::default(),
            interest: RefCell::new(interest(config, &policy)),
            requests: RefCell::default(),
            upstream: Upstream::new(&policy.node, index),
            durables: Durables::default(),
            gets: Gets::default(),
            histories: Histories::default(),
            forwards: Forwards::default(),
            sessions: Sessions::default(),
            origins: Origins::new(config),
            ways: Ways::new(&config.auth),
            replays: Semaphore::new(REPLAYS_MAX),
            kept_bytes: Cell::new(0),
            epochs: RefCell::default(),
            holes: RefCell::default(),
            purged: RefCell::default(),
            batch: RefCell::default(),
            wheel: RefCell::new(Wheel::new(0)),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            mesh: RefCell::default(),
            authenticator: RefCell::default(),
            asking: Asking::new(&config.auth, desk),
            revocations: RefCell::default(),
            counters: Counters::default(),
            tracer: Tracer::new(config, spans),
            meters: Meters::new(config),
            handshakes: Cell::new(0),
            tls: RefCell::default(),
            is_ending: Cell::new(false),
            ending: Notify::new(),
            next_generation: Cell::new(0),
            started: Instant::now(),
            policy,
            report,
        }
    }

    /// ms since the shard started.
    pub(crate) fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// s since the shard started.
    pub(crate) fn now_s(&self) -> u32 {
        self.started.elapsed().as_secs() as u32
    }

    /// The instant of a time of the shard's clock.
    pub(crate) fn instant_of(&self, at_ms: u64) -> Instant {
        self.started + Duration::from_millis(at_ms)
    }

    /// What a session's decision may depend on, now.
    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment {
            policy: &self.policy,
            now_ms: self.now_ms(),
            unix_s: unix_time_s(),
            payload_bytes_max: self.upstream.payload_bytes_max(),
            pressure: self.memory.get().pressure(),
        }
    }

    /// Takes a socket in as a connection.
    pub(crate) fn insert(&self, sink: Sink, wire: Wire) -> Rc<Connection> {
        let generation = self.next_generation.get().wrapping_add(1);
        self.next_generation.set(generation);
        let mut connections = self.connections.borrow_mut();
        let entry = connections.vacant_entry();
        let key = ConnectionKey { index: entry.key() as u32, generation };
        let connection = Rc::new(Connection::new(key, sink, wire, self.now_s()));
        entry.insert(Rc::clone(&connection));
        self.report.set_connections(connections.len());
        connection
    }

    /// Lets a connection go, and everything it wanted.
    pub(crate) fn remove(&self, connection: &Connection) {
        let now_ms = self.now_ms();
        if let Some(session) = connection.session.take() {
            let mut interest = self.interest.borrow_mut();
            for subscription in session.subscriptions() {
                interest.leave(*subscription, connection.key.index, now_ms);
            }
        }
        self.sessions.remove(connection);
        connection.release(self);
        let mut connections = self.connections.borrow_mut();
        // Its place may be another's already.
        let held = connections.get(connection.key.index as usize);
        if held.is_some_and(|held| held.key == connection.key) {
            connections.remove(connection.key.index as usize);
        }
        self.report.set_connections(connections.len());
    }

    /// The connection of a key, if it is still the same.
    pub(crate) fn connection(&self, key: ConnectionKey) -> Option<Rc<Connection>> {
        self.connection_at(key.index).filter(|connection| connection.key == key)
    }

    /// The connection at a place of the table.
    pub(crate) fn connection_at(&self, index: u32) -> Option<Rc<Connection>> {
        self.connections.borrow().get(index as usize).cloned()
    }

    /// Takes control frames from a client's budget of them. Before `connect` there is no budget,
    /// but a few are enough.
    pub(crate) fn spend_controls(
        &self,
        connection: &Connection,
        count: u32,
    ) -> Result<(), &'static str> {
        let mut session = connection.session.borrow_mut();
        let Some(session) = session.as_mut() else {
            let early = u32::from(connection.early_controls.get()) + count;
            connection.early_controls.set(u8::try_from(early).unwrap_or(u8::MAX));
            let is_fair = early <= EARLY_CONTROLS_MAX;
            return if is_fair { Ok(()) } else { Err("too many control frames") };
        };
        let moment = self.moment();
        let is_spent = (0..count).any(|_| !session.spend_control(&moment));
        if is_spent { Err("too many control frames") } else { Ok(()) }
    }

    pub(crate) fn count_close(&self, code: CloseCode) {
        self.counters.add_close(code);
        self.meters.closed(code);
    }

    pub(crate) fn set_connected(&self, is_connected: bool) {
        self.report.set_nats_connected(is_connected);
    }
}
