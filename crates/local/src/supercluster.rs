//! A supercluster on loopback: one real nats-server a region, gateways in full mesh, and link
//! proxies between them that can be delayed and cut. `meridian dev` and the test kit start it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::edge_permissions::EdgeSpace;
use crate::gateway_mesh::{self, GatewayMesh};
use crate::nats_config::{EdgeUser, NatsConfig, render};
use crate::nats_server_binary::check_nats_server;
use crate::{
    Error, LinkHandle, MeshPorts, NatsServer, NatsServerOptions, Region, find_nats_server,
};

/// nats-server dials a second after its start and once a second then.
const GATEWAYS_DEADLINE: Duration = Duration::from_secs(30);

/// A meta leader is elected about five seconds after the start; a slow machine needs longer.
const JETSTREAM_DEADLINE: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A dead server is noticed by a developer in this time.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// A region's name becomes a subject token, a stream's suffix and a file name.
const REGION_NAME_BYTES_MAX: usize = 32;

/// How regions reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// By the other region's own gateway port.
    Direct,
    /// Through a proxy for each direction, which can be delayed and cut.
    Proxied,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct SuperclusterOptions {
    /// Distinct names of lower-case letters, digits and `-`. One region has no gateways.
    pub regions: Vec<String>,
    /// Ports for at least as many regions.
    pub ports: MeshPorts,
    /// Configuration, logs and JetStream files, in one directory a region.
    pub state_dir: PathBuf,
    /// Injected round trip between any two regions; needs `Links::Proxied` unless 0.
    pub rtt_ms: u64,
    /// How regions reach each other.
    pub links: Links,
    /// nats-server's own WebSocket listener in each region.
    pub websocket: NatsWebSocket,
    /// What edges may do in NATS.
    pub edge_users: EdgeUsers,
    /// The binary; `None` means `find_nats_server`.
    pub nats_server: Option<PathBuf>,
}

/// What edges may do in NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeUsers {
    /// One user for all, who may do everything: `Region::nats_edge_url`.
    Open,
    /// A user for each edge, `Region::nats_url_of_edge`, who may do what an edge that serves these
    /// namespaces needs; and no other.
    Confined(Vec<EdgeSpace>),
}

/// Whether each region's nats-server opens its own WebSocket listener, which benchmarks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsWebSocket {
    /// No listener.
    Off,
    /// On `RegionPorts::nats_websocket`.
    On,
}

/// A running mesh. Owned by `meridian dev` or a test; dropping it kills every server.
#[derive(Debug)]
pub struct Supercluster {
    regions: Vec<Region>,
    mesh: GatewayMesh,
    /// Keeps the claim on the ports.
    _ports: MeshPorts,
}

impl Supercluster {
    /// Starts every region and waits until each has a gateway connection to all others. It does
    /// not wait for JetStream, see `wait_jetstream_ready`. If anything fails, nothing stays.
    ///
    /// # Errors
    /// `InvalidMesh`, `NatsServerMissing`, `Exited`, `NotReady`, `Io`.
    pub async fn start(options: SuperclusterOptions) -> Result<Self, Error> {
        check(&options)?;
        let binary = match &options.nats_server {
            Some(path) => {
                check_nats_server(path)?;
                path.clone()
            }
            None => find_nats_server()?,
        };
        let mesh = GatewayMesh::start(&options)?;
        let mut regions = (0..options.regions.len())
            .map(|index| spawn_region(&options, index, binary.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        for region in &mut regions {
            region.server.wait_ready().await?;
        }
        let supercluster = Self { regions, mesh, _ports: options.ports };
        supercluster.wait_gateways_ready().await?;
        Ok(supercluster)
    }

    /// The regions, in the order of the options.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// One region by name.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn region(&self, name: &str) -> Result<&Region, Error> {
        Ok(&self.regions[self.index(name)?])
    }

    /// One region by name, to stop or restart its server.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn region_mut(&mut self, name: &str) -> Result<&mut Region, Error> {
        let index = self.index(name)?;
        Ok(&mut self.regions[index])
    }

    /// The link over which messages go from one region to another.
    ///
    /// # Errors
    /// `Unknown`, also when links are direct.
    pub fn link(&self, from: &str, to: &str) -> Result<LinkHandle, Error> {
        let key = (self.index(from)?, self.index(to)?);
        let link = self.mesh.links.get(&key);
        link.map(|link| link.handle()).ok_or_else(|| self.unknown(format!("link {from}-{to}")))
    }

    /// Silently cuts both directions between two regions.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn cut_between(&self, one: &str, other: &str) -> Result<(), Error> {
        self.both(one, other)?.iter().for_each(LinkHandle::cut);
        Ok(())
    }

    /// Resets both directions between two regions and refuses new connections.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn sever_between(&self, one: &str, other: &str) -> Result<(), Error> {
        self.both(one, other)?.iter().for_each(LinkHandle::sever);
        Ok(())
    }

    /// Ends `cut_between` and `sever_between`.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn heal_between(&self, one: &str, other: &str) -> Result<(), Error> {
        self.both(one, other)?.iter().for_each(LinkHandle::heal);
        Ok(())
    }

    /// Ends a region's server with SIGKILL.
    ///
    /// # Errors
    /// `Unknown`, `Io`.
    pub async fn kill_region(&mut self, name: &str) -> Result<(), Error> {
        self.region_mut(name)?.server.kill().await
    }

    /// Starts a region's server again, ending it first if it runs, and waits until it greets
    /// clients. Gateways follow about a second later, see `wait_gateways_ready`.
    ///
    /// # Errors
    /// `Unknown`, `Exited`, `NotReady`, `Io`.
    pub async fn restart_region(&mut self, name: &str) -> Result<(), Error> {
        self.region_mut(name)?.server.restart().await
    }

    /// Waits, up to 30 s, until every region has a gateway connection to all others.
    ///
    /// # Errors
    /// `NotReady` with what is missing.
    pub async fn wait_gateways_ready(&self) -> Result<(), Error> {
        let deadline = Instant::now() + GATEWAYS_DEADLINE;
        for region in &self.regions {
            loop {
                let reached = region.outbound_gateways().await;
                if reached.as_ref().is_ok_and(|found| found.len() + 1 >= self.regions.len()) {
                    break;
                }
                if Instant::now() >= deadline {
                    return Err(not_ready(
                        format!("gateways from {} to all other regions", region.name),
                        GATEWAYS_DEADLINE,
                        format!("; it reaches {reached:?}"),
                    ));
                }
                sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Waits, up to 60 s, until JetStream is healthy in every region, which takes about five
    /// seconds after a start.
    ///
    /// # Errors
    /// `NotReady` with the region that is not.
    pub async fn wait_jetstream_ready(&self) -> Result<(), Error> {
        let deadline = Instant::now() + JETSTREAM_DEADLINE;
        for region in &self.regions {
            while !region.is_healthy().await {
                if Instant::now() >= deadline {
                    let what = format!("JetStream in {}", region.name);
                    return Err(not_ready(what, JETSTREAM_DEADLINE, String::new()));
                }
                sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Waits until a server ends that nobody here stopped, and says which. Cancel-safe.
    pub async fn exited(&mut self) -> Error {
        loop {
            for region in &mut self.regions {
                match region.server.unwanted_exit() {
                    Ok(None) => {}
                    Ok(Some(error)) | Err(error) => return error,
                }
            }
            sleep(EXIT_POLL_INTERVAL).await;
        }
    }

    /// Ends every server with SIGTERM, all at the same time, and waits for them.
    ///
    /// # Errors
    /// `Io`; the remaining servers are killed all the same.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        for region in &self.regions {
            region.server.request_end()?;
        }
        for region in &mut self.regions {
            region.server.terminate().await?;
        }
        Ok(())
    }

    fn both(&self, one: &str, other: &str) -> Result<[LinkHandle; 2], Error> {
        Ok([self.link(one, other)?, self.link(other, one)?])
    }

    fn index(&self, name: &str) -> Result<usize, Error> {
        let found = self.regions.iter().position(|region| region.name == name);
        found.ok_or_else(|| self.unknown(format!("region {name}")))
    }

    fn unknown(&self, what: String) -> Error {
        let known: Vec<_> = self.regions.iter().map(Region::name).collect();
        Error::Unknown { what, known: known.join(", ") }
    }
}

/// Writes a region's files and starts its server without waiting.
fn spawn_region(
    options: &SuperclusterOptions,
    index: usize,
    binary: PathBuf,
) -> Result<Region, Error> {
    let name = options.regions[index].clone();
    let ports = options.ports.regions()[index].clone();
    let directory = options.state_dir.join(&name);
    let server_name = format!("{name}-1");
    let edges = match &options.edge_users {
        EdgeUsers::Open => vec![EdgeUser::open()],
        EdgeUsers::Confined(spaces) => (1..=ports.edges.len())
            .map(|number| EdgeUser::confined(&format!("{name}-{number}"), &name, spaces))
            .collect(),
    };
    let config = NatsConfig {
        edges,
        region: name.clone(),
        server_name: server_name.clone(),
        client_port: ports.nats_client,
        route_port: ports.nats_route,
        gateway_port: ports.nats_gateway,
        gateway_advertise_port: match options.links {
            Links::Direct => ports.nats_gateway,
            Links::Proxied => ports.gateway_dead_end,
        },
        monitor_port: ports.nats_monitor,
        remotes: gateway_mesh::remotes(options, index),
        store_dir: directory.join("jetstream"),
        websocket_port: match options.websocket {
            NatsWebSocket::Off => None,
            NatsWebSocket::On => Some(ports.nats_websocket),
        },
    };
    fs::create_dir_all(&directory).map_err(Error::io(format!("create {}", directory.display())))?;
    let config_path = directory.join("nats.conf");
    fs::write(&config_path, render(&config))
        .map_err(Error::io(format!("write {}", config_path.display())))?;
    let server = NatsServer::spawn(NatsServerOptions {
        binary,
        config_path,
        log_path: directory.join("nats.log"),
        client_port: ports.nats_client,
        server_name,
    })?;
    Ok(Region { name, ports, directory, server })
}

fn check(options: &SuperclusterOptions) -> Result<(), Error> {
    let invalid = |reason: String| Err(Error::InvalidMesh { reason });
    let names = &options.regions;
    if names.is_empty() || names.len() > options.ports.regions().len() {
        let room = options.ports.regions().len();
        return invalid(format!("{} regions with ports for {room}", names.len()));
    }
    for (index, name) in names.iter().enumerate() {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=REGION_NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
            return invalid(format!(
                "region name {name:?}: use 1 to {REGION_NAME_BYTES_MAX} of a-z, 0-9 and `-`"
            ));
        }
        if names[..index].contains(name) {
            return invalid(format!("two regions are named {name:?}"));
        }
    }
    if options.links == Links::Direct && options.rtt_ms > 0 {
        return invalid("a round trip delay without link proxies".into());
    }
    Ok(())
}

fn not_ready(what: String, deadline: Duration, detail: String) -> Error {
    Error::NotReady { what, deadline_ms: deadline.as_millis() as u64, detail }
}
