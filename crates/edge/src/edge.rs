//! One edge process: binds, starts its shards on threads of their own, runs the control plane on
//! the caller's runtime, and drains.

use crate::admin;
use crate::auth::{self, Desk};
use crate::config::{AuthMode, Config};
use crate::control;
use crate::copies::CopiesReport;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::page::Page;
use crate::parties::Parties;
use crate::shard::{self, Drain, Orders, Report, ShardOptions};
use crate::spans::{self, Spans};
use crate::tls::CertificateFiles;
use socket2::{Domain, Protocol, Socket, Type};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

/// Connections that the kernel holds until a shard accepts them: the system's usual cap.
const BACKLOG: i32 = 4096;

/// A running edge. Dropping it without [`Edge::run_until`] ends the process's shards with it.
pub struct Edge {
    config: Arc<Config>,
    /// The files to watch, if the public listener serves TLS.
    certificate: Option<CertificateFiles>,
    public: SocketAddr,
    admin: SocketAddr,
    admin_listener: std::net::TcpListener,
    orders: watch::Sender<Orders>,
    reports: Vec<Arc<Report>>,
    shards: Vec<RunningShard>,
    /// What the shards' spans come by, if they go anywhere.
    spans: Option<Spans>,
    /// What shards ask the authorization service.
    asked: mpsc::Receiver<auth::Asked>,
}

struct RunningShard {
    index: usize,
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<Result<(), Error>>,
}

impl Edge {
    /// Binds both listeners and starts the shards.
    ///
    /// # Errors
    /// [`Error::Listen`] when a port is taken, [`Error::Tls`] when the certificate is no good,
    /// [`Error::Runtime`] when a thread cannot start.
    pub fn start(mut config: Config) -> Result<Self, Error> {
        let policy = Arc::new(config.policy());
        let page = Arc::new(Page::new(&config));
        let parties = Arc::new(Parties::new(&config.limits));
        let certificate = CertificateFiles::of(&config.listen);
        let admin_listener = listen(config.listen.admin, None)?;
        // Shards share the port, and so could another edge without anybody noticing: a listener
        // that does not share finds it first.
        drop(listen(config.listen.public, None)?);
        let send_buffer = Some(config.limits.send_buffer_bytes);
        let mut listeners = vec![listen(config.listen.public, send_buffer)?];
        // Port 0 is chosen by the first listener; the others share it.
        let public = listeners[0].local_addr().map_err(Error::Runtime)?;
        for _ in 1..config.shard_count() {
            listeners.push(listen(public, send_buffer)?);
        }
        let tls = certificate.as_ref().map(CertificateFiles::load).transpose()?;
        let authenticator = config.authenticator().map_err(Error::Keys)?.map(Arc::new);
        // Where they are kept, they are read first.
        let is_kept = !config.auth.revocations.home.is_empty();
        let revocations = (!is_kept).then(Default::default);
        let orders = Orders { tls, authenticator, revocations, ..Orders::default() };
        let (orders, _) = watch::channel(orders);
        let (desk, asked) = Desk::new();
        // Where port 0 was asked for, clients are sent to what it became.
        config.listen.public = public;
        let config = Arc::new(config);
        let (batches, spans) = spans::channel(&config).unzip();
        let mut edge = Self {
            spans,
            public,
            admin: admin_listener.local_addr().map_err(Error::Runtime)?,
            admin_listener,
            orders,
            reports: Vec::new(),
            shards: Vec::new(),
            asked,
            certificate,
            config,
        };
        for (index, listener) in listeners.into_iter().enumerate() {
            let report = Arc::new(Report::default());
            let options = ShardOptions {
                index,
                config: Arc::clone(&edge.config),
                policy: Arc::clone(&policy),
                page: Arc::clone(&page),
                parties: Arc::clone(&parties),
                desk: desk.clone(),
                report: Arc::clone(&report),
                spans: batches.clone(),
            };
            edge.reports.push(report);
            edge.shards.push(spawn(options, listener, edge.orders.subscribe())?);
        }
        let (id, region) = (&edge.config.edge.id, &edge.config.edge.region);
        let shards = edge.shards.len();
        info!(id, region, shards, public = %edge.public, admin = %edge.admin, "edge listens");
        Ok(edge)
    }

    /// Where clients connect.
    #[must_use]
    pub fn public_addr(&self) -> SocketAddr {
        self.public
    }

    /// Where operators look.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Serves until `shutdown` resolves, then drains: unready at once, `goaway` to all clients,
    /// closes spread over the configured window, NATS last.
    ///
    /// # Errors
    /// When a shard or the admin listener fails.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let (copies, copies_seen) = watch::channel(CopiesReport::default());
        let (config, orders) = (Arc::clone(&self.config), self.orders.clone());
        let (seen, ordered) = (copies_seen.clone(), self.orders.subscribe());
        let metrics = Metrics::new(&self.config, self.reports.clone(), ordered, seen);
        let shards = self.reports.clone();
        let control = control::run(config, orders, copies, shards, metrics.control());
        let control = tokio::spawn(control);
        let load = tokio::spawn(metrics.clone().watch_load(Arc::clone(&self.config)));
        let export = tokio::spawn(metrics.clone().export(Arc::clone(&self.config)));
        let (config, spans) = (Arc::clone(&self.config), self.spans);
        let tracing = spans.map(|spans| tokio::spawn(spans::run(config, spans)));
        let keys = self.config.auth.mode == AuthMode::Token;
        let keys = keys
            .then(|| tokio::spawn(auth::keep_fresh(self.config.auth.clone(), self.orders.clone())));
        let desk = !self.config.auth.service.ask.is_empty();
        let desk = desk
            .then(|| tokio::spawn(auth::answer_questions(Arc::clone(&self.config), self.asked)));
        let orders = self.orders.subscribe();
        let admin = admin::Admin::new(self.reports.clone(), orders, copies_seen, metrics);
        let admin = tokio::spawn(admin::run(self.admin_listener, admin));
        let orders = self.orders.clone();
        let certificate = tokio::spawn(async move {
            if let Some(files) = self.certificate {
                files.watch(&orders).await;
            }
        });
        let mut failures = FirstFailure(self.shards);
        let early = tokio::select! {
            biased;
            // A shard that ends by itself has failed, and the edge with it. Cancel-safe.
            failure = failures.next() => Some(failure),
            // The operator's word.
            () = shutdown => None,
        };
        let window_ms = self.config.drain.window_ms;
        self.orders.send_modify(|orders| orders.drain = Some(Drain { window_ms }));
        let ended = failures.join().await;
        control.abort();
        if let Some(keys) = keys {
            keys.abort();
        }
        if let Some(desk) = desk {
            desk.abort();
        }
        admin.abort();
        load.abort();
        export.abort();
        certificate.abort();
        if let Some(tracing) = tracing {
            spans::finish(tracing).await;
        }
        early.map_or(ended, Err)
    }
}

/// The shards' ends.
struct FirstFailure(Vec<RunningShard>);

impl FirstFailure {
    /// Waits for a shard to end before it was asked to, and takes it out.
    async fn next(&mut self) -> Error {
        std::future::poll_fn(|context| {
            for (place, shard) in self.0.iter_mut().enumerate() {
                let Poll::Ready(ended) = Pin::new(&mut shard.ended).poll(context) else { continue };
                let error = match ended {
                    Ok(Err(error)) => error,
                    Ok(Ok(())) | Err(_) => Error::ShardPanicked(shard.index),
                };
                self.0.swap_remove(place);
                return Poll::Ready(error);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for every shard to end.
    async fn join(self) -> Result<(), Error> {
        let mut first = Ok(());
        for shard in self.0 {
            let ended = match shard.ended.await {
                Ok(ended) => ended,
                Err(_) if shard.thread.join().is_err() => Err(Error::ShardPanicked(shard.index)),
                Err(_) => Ok(()),
            };
            if let Err(error) = &ended {
                warn!(shard = shard.index, %error, "shard failed");
            }
            first = first.and(ended);
        }
        first
    }
}

fn spawn(
    options: ShardOptions,
    listener: std::net::TcpListener,
    orders: watch::Receiver<Orders>,
) -> Result<RunningShard, Error> {
    let index = options.index;
    let (report_end, ended) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || {
            // Nobody listens only when the whole edge is gone already.
            drop(report_end.send(shard::run(options, listener, orders)));
        })
        .map_err(Error::Runtime)?;
    Ok(RunningShard { index, thread, ended })
}

/// A non-blocking listener whose port other shards may share.
fn listen(
    address: SocketAddr,
    send_buffer_bytes: Option<usize>,
) -> Result<std::net::TcpListener, Error> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = send_buffer_bytes {
            // Sockets inherit it: what a client that does not read can pin in the kernel.
            socket.set_send_buffer_size(bytes)?;
            socket.set_reuse_port(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|source| Error::Listen { address, source })
}
