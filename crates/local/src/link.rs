//! A TCP proxy on loopback that stands for the line from one region to another: it delays,
//! goes silent, or breaks, while the processes at both ends run undisturbed.
//!
//! `Supercluster` puts one in front of each gateway for each region that dials it; tests use the
//! handle. It cannot model packet loss, and what was written before a sender closed still arrives.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio::{select, try_join};

use crate::Error;
use crate::gateway_greeting::greet;
use crate::link_pump::pump;

/// Longest one-way delay; more than that is a cut.
pub const DELAY_MS_MAX: u64 = 10_000;

/// A gateway holds one connection and redials about once a second; more is a mistake somewhere,
/// and the rest waits in the listener's backlog.
const CONNECTIONS_MAX: usize = 64;
const BACKLOG: u32 = 128;

/// The target is on loopback: it answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After a failed accept or bind, which happens when the process runs out of descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// Sockets stay, bytes do not move.
    Cut,
    /// Sockets are reset, new ones refused.
    Severed,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkState {
    pub(crate) mode: Mode,
    pub(crate) one_way_delay: Duration,
}

/// A running proxy. Owned by the `Supercluster` or a test; dropping it closes its connections.
#[derive(Debug)]
pub struct Link {
    handle: LinkHandle,
    task: JoinHandle<()>,
}

/// Changes a link. Clones act on the same link and may outlive it without effect.
#[derive(Debug, Clone)]
pub struct LinkHandle {
    state: Arc<watch::Sender<LinkState>>,
}

/// All links towards one gateway, by the region that dials. Empty for a link that is no gateway's:
/// it belongs to whoever connects.
pub(crate) type Diallers = Arc<BTreeMap<String, LinkHandle>>;

impl Link {
    /// Listens and forwards each connection to `target`, `one_way_delay_ms` late each way.
    ///
    /// # Errors
    /// `Io` if the address cannot be bound, `InvalidMesh` if the delay exceeds `DELAY_MS_MAX`.
    pub fn start(
        listen: SocketAddr,
        target: SocketAddr,
        one_way_delay_ms: u64,
    ) -> Result<Self, Error> {
        let handle = LinkHandle::new(one_way_delay_ms)?;
        Self::start_with(listen, target, handle, Diallers::default())
    }

    /// As `start`, for a gateway: a connection obeys the link of the region that dials.
    pub(crate) fn start_with(
        listen: SocketAddr,
        target: SocketAddr,
        handle: LinkHandle,
        diallers: Diallers,
    ) -> Result<Self, Error> {
        let listener = reserve(listen)
            .and_then(|socket| socket.listen(BACKLOG))
            .map_err(Error::io(format!("listen for a link at {listen}")))?;
        let route = Route { listen, target, state: handle.state.subscribe(), diallers };
        Ok(Self { handle, task: tokio::spawn(run(listener, route)) })
    }

    /// The handle that changes this link.
    pub fn handle(&self) -> LinkHandle {
        self.handle.clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LinkHandle {
    pub(crate) fn new(one_way_delay_ms: u64) -> Result<Self, Error> {
        let one_way_delay = checked_delay(one_way_delay_ms)?;
        let (state, _) = watch::channel(LinkState { mode: Mode::Open, one_way_delay });
        Ok(Self { state: Arc::new(state) })
    }

    /// Stops all bytes both ways and keeps the sockets: a silent cut. New connections are
    /// accepted and held.
    pub fn cut(&self) {
        self.set_mode(Mode::Cut);
    }

    /// Resets all connections and refuses new ones.
    pub fn sever(&self) {
        self.set_mode(Mode::Severed);
    }

    /// Ends a cut, after which every held byte moves on, or lets connections in again.
    pub fn heal(&self) {
        self.set_mode(Mode::Open);
    }

    /// Changes the delay of what is read from now on. Order is kept.
    ///
    /// # Errors
    /// `InvalidMesh` if the delay exceeds `DELAY_MS_MAX`.
    pub fn set_delay_ms(&self, one_way_delay_ms: u64) -> Result<(), Error> {
        let one_way_delay = checked_delay(one_way_delay_ms)?;
        self.state.send_modify(|state| state.one_way_delay = one_way_delay);
        Ok(())
    }

    fn set_mode(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }
}

fn checked_delay(one_way_delay_ms: u64) -> Result<Duration, Error> {
    if one_way_delay_ms > DELAY_MS_MAX {
        return Err(Error::InvalidMesh {
            reason: format!(
                "a one-way delay of {one_way_delay_ms} ms, where {DELAY_MS_MAX} ms are possible"
            ),
        });
    }
    Ok(Duration::from_millis(one_way_delay_ms))
}

/// Binds without listening: connections are refused, and nobody else gets the port.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of an earlier listener may linger on the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Where a link leads, and whose it is. Each connection has a copy.
#[derive(Clone)]
struct Route {
    listen: SocketAddr,
    target: SocketAddr,
    state: watch::Receiver<LinkState>,
    diallers: Diallers,
}

async fn run(mut listener: TcpListener, mut route: Route) {
    let listen = route.listen;
    let mut connections = JoinSet::new();
    loop {
        select! {
            biased;
            // First: while severed, no connection may come in.
            severed = until_severed(&mut route.state) => {
                if severed.is_err() {
                    return;
                }
                drop(listener);
                let healed = refuse_until_healed(listen, &mut route.state).await;
                let Some(healed) = healed else { return };
                listener = healed;
            }
            // Ended connections are collected before new ones, so that the bound is exact.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                match accepted {
                    Ok((client, _)) => {
                        connections.spawn(connection(client, route.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%listen, %error, "link cannot accept");
                        sleep(RETRY_DELAY).await;
                    }
                }
            }
        }
    }
}

/// The new listener, or nothing once the link and all its handles are gone.
async fn refuse_until_healed(
    listen: SocketAddr,
    state: &mut watch::Receiver<LinkState>,
) -> Option<TcpListener> {
    loop {
        match reserve(listen) {
            Ok(socket) => {
                state.wait_for(|state| state.mode != Mode::Severed).await.ok()?;
                match socket.listen(BACKLOG) {
                    Ok(listener) => return Some(listener),
                    Err(error) => tracing::warn!(%listen, %error, "link cannot listen again"),
                }
            }
            Err(error) => tracing::warn!(%listen, %error, "link cannot hold its port"),
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn connection(mut client: TcpStream, mut route: Route) {
    if !held_until_open(&client, &mut route.state).await {
        reset(&client);
        return;
    }
    let connect = timeout(CONNECT_TIMEOUT, TcpStream::connect(route.target));
    let Ok(Ok(mut server)) = connect.await else { return };
    // Delay comes from the link alone, never from Nagle's algorithm; without this it is only late.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    if !forward(&mut client, &mut server, route).await {
        reset(&client);
        reset(&server);
    }
}

/// Forwards both ways. True when both directions were closed in an orderly way.
async fn forward(client: &mut TcpStream, server: &mut TcpStream, route: Route) -> bool {
    let Route { mut state, diallers, .. } = route;
    let mut greeted = Vec::new();
    if !diallers.is_empty() {
        let one_way_delay = state.borrow().one_way_delay;
        let greeting = select! {
            biased;
            // First: a greeting must not slip through a cut; the redial is held then.
            _ = state.wait_for(|state| state.mode != Mode::Open) => return false,
            greeting = greet(client, server, one_way_delay) => greeting,
        };
        let Ok(greeting) = greeting else { return false };
        let Some(own) = diallers.get(&greeting.dialler) else { return false };
        greeted = greeting.sent;
        let own = own.state.subscribe();
        // A dialler that came by another region's link while its own is down finds no way here.
        if !own.same_channel(&state) && own.borrow().mode != Mode::Open {
            return false;
        }
        state = own;
    }
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let both_ways = async {
        try_join!(
            pump(greeted, client_read, server_write, state.clone()),
            pump(Vec::new(), server_read, client_write, state.clone()),
        )
    };
    let mut severing = state.clone();
    select! {
        biased;
        // First: a severed link writes nothing more.
        _ = until_severed(&mut severing) => false,
        ended = both_ways => ended.is_ok(),
    }
}

/// Makes the coming close a reset. If that fails it is an ordinary close, which ends it too.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Waits out a cut without dialling the target. False when the link was severed or the client
/// gave up.
async fn held_until_open(client: &TcpStream, state: &mut watch::Receiver<LinkState>) -> bool {
    let mut client_has_spoken = false;
    loop {
        match state.borrow_and_update().mode {
            Mode::Open => return true,
            Mode::Severed => return false,
            Mode::Cut => {}
        }
        let mut first_byte = [0];
        select! {
            biased;
            changed = state.changed() => {
                if changed.is_err() {
                    return false;
                }
            }
            // Gateways redial all through a cut; those that gave up must not pile up here.
            peeked = client.peek(&mut first_byte), if !client_has_spoken => match peeked {
                Ok(1..) => client_has_spoken = true,
                Ok(0) | Err(_) => return false,
            },
        }
    }
}

async fn until_severed(
    state: &mut watch::Receiver<LinkState>,
) -> Result<(), watch::error::RecvError> {
    state.wait_for(|state| state.mode == Mode::Severed).await.map(|_| ())
}
