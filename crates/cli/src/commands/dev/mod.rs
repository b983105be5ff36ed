//! `meridian dev`: a mesh of several regions on loopback, in one supervised process tree.

mod announcement;
mod backoff;
mod control;
mod edge_file;
mod keeper;
mod regions;
mod wishes;

use crate::commands::streams;
use crate::exit::{Error, Exit};
use crate::signals::Signals;
use crate::terminal::{self, talk};
use announcement::{Announcement, EdgeInfo, RegionInfo, ws_url};
use control::{Control, ControlRegion};
use edge_file::EdgeFile;
use keeper::{EdgeKeeper, ServerKeeper};
use meridian_local::{
    EDGES_MAX, EdgeProcess, EdgeUsers, Error as LocalError, Links, MeshPorts, NatsWebSocket,
    Region, Supercluster, SuperclusterOptions,
};
use regions::Regions;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wishes::{Census, Hearing, Wishes};

/// Run a mesh of several regions on this machine.
///
/// Each region is one nats-server with JetStream and its edges; gateways join the regions. All
/// listen on loopback only. A process that dies is started again; Ctrl-C stops everything.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many regions, 1 to 9, or their names: 3 means eu,us,ap.
    #[arg(long, default_value = "3", value_parser = regions::parse, value_name = "N|NAME,NAME")]
    regions: Regions,
    /// First port; each region uses some of the next hundred.
    #[arg(long, default_value_t = 7400, value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
    /// Edges in each region.
    #[arg(
        long,
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=EDGES_MAX as i64)
    )]
    edges_per_region: u16,
    /// Where configuration, logs and streams are kept.
    #[arg(long, default_value = ".meridian/dev")]
    state_dir: PathBuf,
    /// Round trip to add between any two regions, in ms.
    #[arg(long, default_value_t = 0)]
    rtt_ms: u64,
    /// Say where everything is as one line of JSON.
    #[arg(long)]
    json: bool,
    /// The nats-server to run. Without it NATS_SERVER, PATH and .tools are searched.
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
}

/// The running processes, in the order in which they stop.
struct Running {
    control: JoinHandle<()>,
    edge_wishes: watch::Sender<Wishes>,
    edges: Vec<JoinHandle<()>>,
    server_wishes: watch::Sender<Wishes>,
    servers: JoinHandle<()>,
}

/// What there is before anything is kept.
struct Started {
    mesh: Supercluster,
    edges: Vec<StartedEdge>,
    control: TcpListener,
    token: String,
    rtt_ms: u64,
}

/// An edge that serves.
struct StartedEdge {
    id: String,
    region: String,
    public_port: u16,
    process: EdgeProcess,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    let state_dir = prepare(&arguments.state_dir)?;
    let _claim = claim(&state_dir)?;
    let Regions(names) = &arguments.regions;
    let ports =
        MeshPorts::dev(arguments.base_port, names.len(), usize::from(arguments.edges_per_region))?;
    talk(&format!("starting {}", names.join(", ")));
    let options = SuperclusterOptions {
        regions: names.clone(),
        ports,
        state_dir: state_dir.clone(),
        rtt_ms: arguments.rtt_ms,
        links: if arguments.rtt_ms > 0 { Links::Proxied } else { Links::Direct },
        websocket: NatsWebSocket::Off,
        edge_users: EdgeUsers::Confined(edge_file::spaces()),
        nats_server: arguments.nats_server.clone(),
    };
    // Whatever has started by then is killed if a signal comes, or if something fails.
    let mesh = signals.race(Supercluster::start(options)).await?;
    let (control, token) = (listen_for_orders(&mesh).await?, control::new_token());
    let (edges, announcement) = signals.race(start_edges(&mesh, arguments.rtt_ms, &token)).await?;
    signals.race(make_streams(&mesh)).await?;

    let rtt_ms = arguments.rtt_ms;
    let running = Running::keep(Started { mesh, edges, control, token, rtt_ms });
    let text = match arguments.json {
        true => announcement.to_json(),
        false => announcement.to_table(&state_dir),
    };
    // A mesh whose addresses nobody could be told is of no use: stop it again.
    let told = terminal::data(text.as_bytes());
    if told.is_ok() {
        signals.recv().await;
        talk("stopping; once more kills at once");
    }
    signals.race(running.stop()).await?;
    told.map(|()| Exit::Ok)
}

impl Running {
    fn keep(started: Started) -> Self {
        let Started { mesh, edges, control, token, rtt_ms } = started;
        let (edge_wishes, edges_hear) = Hearing::channel();
        let (server_wishes, servers_hear) = Hearing::channel();
        let census = Arc::new(Census::new());
        let regions = mesh.regions().iter().map(|region| ControlRegion {
            name: region.name().to_owned(),
            edges: edges
                .iter()
                .filter(|edge| edge.region == region.name())
                .map(|edge| (edge.id.clone(), edge.public_port))
                .collect(),
        });
        let served = Control {
            token,
            rtt_ms,
            regions: regions.collect(),
            wishes: vec![edge_wishes.clone(), server_wishes.clone()],
            census: Arc::clone(&census),
        };
        let keep = |StartedEdge { id, region, process: edge, .. }| {
            let (wishes, census) = (edges_hear.clone(), Arc::clone(&census));
            tokio::spawn(EdgeKeeper { id, region, edge, wishes, census }.run())
        };
        let edges = edges.into_iter().map(keep).collect();
        let keeper = ServerKeeper { mesh, wishes: servers_hear, census };
        Self {
            control: tokio::spawn(control::run(control, Arc::new(served))),
            edge_wishes,
            edges,
            server_wishes,
            servers: tokio::spawn(keeper.run()),
        }
    }

    /// Ends the edges while their servers still run, so that they can say goodbye; then those.
    async fn stop(self) -> Result<(), Error> {
        let ended = |result: Result<(), tokio::task::JoinError>| {
            result.map_err(|error| Error::Runtime(io::Error::other(error)))
        };
        // Nobody gives orders any more.
        self.control.abort();
        self.edge_wishes.send_modify(|wishes| wishes.is_ending = true);
        for edge in self.edges {
            ended(edge.await)?;
        }
        self.server_wishes.send_modify(|wishes| wishes.is_ending = true);
        ended(self.servers.await)
    }
}

/// Binds the control listener beside the first region's ports.
async fn listen_for_orders(mesh: &Supercluster) -> Result<TcpListener, Error> {
    let port = mesh.regions()[0].ports().dev_control;
    let failed = |source| LocalError::Io { action: format!("listen on port {port}"), source };
    Ok(control::listen(port).await.map_err(failed)?)
}

/// Makes the durable namespaces' streams, once JetStream has a leader.
async fn make_streams(mesh: &Supercluster) -> Result<(), Error> {
    talk("waiting for JetStream, which elects a leader over all regions");
    mesh.wait_jetstream_ready().await?;
    let Some(home) = mesh.regions().first() else { return Ok(()) };
    // Every edge's file says the same of the namespaces.
    let file = home.directory().join(format!("{}-1.toml", home.name()));
    // Edges may read streams and not make them.
    streams::make(&file, &home.nats_url()).await
}

/// Writes each edge's file, starts it, and waits until it is ready.
async fn start_edges(
    mesh: &Supercluster,
    rtt_ms: u64,
    token: &str,
) -> Result<(Vec<StartedEdge>, Announcement), Error> {
    let binary = std::env::current_exe()
        .map_err(|source| LocalError::Io { action: "find this program".into(), source })?;
    let first_edge = |region: &Region| {
        let url = ws_url(region.ports().edges[0].public);
        (region.name().to_owned(), url, region.nats_url())
    };
    let pages: Vec<_> = mesh.regions().iter().map(first_edge).collect();
    let control = format!("http://127.0.0.1:{}", mesh.regions()[0].ports().dev_control);
    let mut edges = Vec::new();
    let mut regions = Vec::new();
    for region in mesh.regions() {
        let mut infos = Vec::new();
        for (index, ports) in region.ports().edges.iter().enumerate() {
            let id = format!("{}-{}", region.name(), index + 1);
            let file = EdgeFile {
                id: &id,
                region: region.name(),
                public_port: ports.public,
                admin_port: ports.admin,
                nats_url: &region.nats_url_of_edge(&id),
                regions: &pages,
                rtt_ms,
                control: (&control, token),
            };
            let config_path = region.directory().join(format!("{id}.toml"));
            write(&config_path, &file.render())?;
            let log_path = region.directory().join(format!("{id}.log"));
            let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.admin));
            let process = EdgeProcess::start(&binary, config_path, log_path, admin).await?;
            infos.push(EdgeInfo::new(id.clone(), ports.public, ports.admin, process.pid()));
            let (region, public_port) = (region.name().to_owned(), ports.public);
            edges.push(StartedEdge { id, region, public_port, process });
        }
        regions.push(region_info(region, infos));
    }
    Ok((edges, Announcement { regions }))
}

fn region_info(region: &Region, edges: Vec<EdgeInfo>) -> RegionInfo {
    RegionInfo {
        name: region.name().to_owned(),
        ws: edges[0].ws.clone(),
        http: edges[0].http.clone(),
        nats: region.nats_url(),
        admin: edges[0].admin.clone(),
        nats_pid: region.server().pid(),
        edges,
    }
}

/// The state directory as an absolute path: servers are started from wherever we are, but a path
/// in an error message should lead somewhere.
fn prepare(state_dir: &Path) -> Result<PathBuf, Error> {
    let failed =
        |source| LocalError::Io { action: format!("create {}", state_dir.display()), source };
    fs::create_dir_all(state_dir).map_err(failed)?;
    Ok(fs::canonicalize(state_dir).map_err(failed)?)
}

/// Holds the state directory against another `meridian dev`, as long as the file lives: two
/// nats-servers on one store would destroy it.
fn claim(state_dir: &Path) -> Result<File, Error> {
    let path = state_dir.join("lock");
    let failed = |source| LocalError::Io { action: format!("create {}", path.display()), source };
    let lock = File::create(&path).map_err(failed)?;
    lock.try_lock().map_err(|_| LocalError::Io {
        action: format!("claim {}", state_dir.display()),
        source: io::Error::other(
            "another meridian dev uses it: stop that one, or choose --state-dir and --base-port",
        ),
    })?;
    Ok(lock)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| LocalError::Io { action: format!("write {}", path.display()), source };
    Ok(fs::write(path, text).map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_belongs_to_one_mesh_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = prepare(&directory.path().join("a/b")).unwrap();
        let first = claim(&state_dir).unwrap();
        let text = claim(&state_dir).unwrap_err().to_string();
        assert!(text.contains("another meridian dev uses it"), "{text}");
        drop(first);
        claim(&state_dir).unwrap();
    }
}
