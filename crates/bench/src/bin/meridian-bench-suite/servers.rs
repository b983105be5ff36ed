//! Starts what is measured: the floor, a nats-server with a WebSocket listener, or an edge with a
//! nats-server beside it. Each is ready when `start` returns and gone when `stop` does, or when
//! it is dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum;
use meridian_bench::{Processes, Target};
use meridian_local::{EdgeProcess, NatsServer, NatsServerOptions, PortBlock, find_nats_server};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Failure;

/// The floor binds two ports and prints a line; this is for a very busy machine.
const FLOOR_READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The name that the benchmark's nats-server greets with.
const NATS_NAME: &str = "bench-1";

/// User and password of everything that speaks NATS here.
const LOGIN: &str = "edge:edge";

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerKind {
    /// `meridian-floor`.
    Floor,
    /// nats-server's WebSocket listener.
    Nats,
    /// `meridian edge`.
    Edge,
}

impl ServerKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Nats => "nats-server",
            Self::Edge => "edge",
        }
    }
}

/// The programs that the chosen targets need.
#[derive(Debug)]
pub(crate) struct Programs {
    floor: PathBuf,
    meridian: PathBuf,
    pub(crate) nats_server: Option<PathBuf>,
}

impl Programs {
    /// Looks beside this program, and for nats-server where `meridian dev` would.
    pub(crate) fn find(meridian: Option<PathBuf>, targets: &[ServerKind]) -> Result<Self, Failure> {
        let own = std::env::current_exe()?;
        let beside = |name: &str| own.with_file_name(name);
        let meridian = meridian.unwrap_or_else(|| beside("meridian"));
        let floor = beside("meridian-floor");
        let needed = [
            (ServerKind::Floor, &floor, "cargo build --release -p meridian-bench"),
            (ServerKind::Edge, &meridian, "cargo build --release -p meridian-cli"),
        ];
        for (kind, path, remedy) in needed {
            if targets.contains(&kind) && !path.is_file() {
                let path = path.display();
                return Err(format!(
                    "{path} is missing; run `{remedy}`, or leave {} out with --targets",
                    kind.name()
                )
                .into());
            }
        }
        let needs_nats = targets.iter().any(|&kind| kind != ServerKind::Floor);
        let nats_server = needs_nats.then(find_nats_server).transpose()?;
        Ok(Self { floor, meridian, nats_server })
    }
}

/// A running target. Owned by one measurement.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) target: Target,
    running: Running,
    _ports: PortBlock,
}

#[derive(Debug)]
enum Running {
    Floor(Child),
    Nats(Box<NatsServer>),
    Edge(Box<(EdgeProcess, NatsServer)>),
}

/// The ports of one target.
#[derive(Debug, Clone, Copy)]
struct Ports {
    nats: u16,
    websocket: u16,
    admin: u16,
}

impl Server {
    /// Starts `kind` with its files in `directory`.
    pub(crate) async fn start(
        kind: ServerKind,
        programs: &Programs,
        directory: &Path,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(directory)?;
        let block = PortBlock::claim()?;
        let mut free = block.ports();
        let mut port = || free.next().ok_or("the block of ports is empty");
        let ports = Ports { nats: port()?, websocket: port()?, admin: port()? };
        let (target, running) = match kind {
            ServerKind::Floor => start_floor(programs).await?,
            ServerKind::Nats => {
                let config = nats_config(ports.nats, Some(ports.websocket));
                let nats = start_nats(programs, directory, ports.nats, &config).await?;
                let target = Target::NatsWebSocket {
                    url: format!("ws://{LOGIN}@127.0.0.1:{}/", ports.websocket),
                    publish_url: nats_url(ports.nats),
                };
                (target, Running::Nats(Box::new(nats)))
            }
            ServerKind::Edge => start_edge(programs, directory, ports).await?,
        };
        Ok(Self { target, running, _ports: block })
    }

    /// The processes to sample.
    pub(crate) fn processes(&self) -> Processes {
        match &self.running {
            Running::Floor(child) => Processes { server: child.id(), nats_beside: None },
            Running::Nats(nats) => Processes { server: nats.pid(), nats_beside: None },
            Running::Edge(both) => Processes { server: both.0.pid(), nats_beside: both.1.pid() },
        }
    }

    /// Ends the target and waits for it, so that the next one has the machine to itself.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        match self.running {
            Running::Floor(mut child) => child.kill().await?,
            Running::Nats(mut nats) => nats.terminate().await?,
            Running::Edge(both) => {
                let (mut edge, mut nats) = *both;
                edge.terminate().await?;
                nats.terminate().await?;
            }
        }
        Ok(())
    }
}

async fn start_floor(programs: &Programs) -> Result<(Target, Running), Failure> {
    #[derive(Deserialize)]
    struct Addresses {
        sockets: String,
        control: String,
    }
    let mut child = Command::new(&programs.floor)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("the floor has no standard output")?;
    let mut line = String::new();
    let mut lines = BufReader::new(stdout);
    let read = lines.read_line(&mut line);
    tokio::time::timeout(FLOOR_READY_TIMEOUT, read).await.map_err(|_| "the floor is silent")??;
    let Addresses { sockets, control } = serde_json::from_str(&line)?;
    Ok((Target::Floor { sockets, control }, Running::Floor(child)))
}

async fn start_nats(
    programs: &Programs,
    directory: &Path,
    port: u16,
    config: &str,
) -> Result<NatsServer, Failure> {
    let config_path = directory.join("nats-server.conf");
    std::fs::write(&config_path, config)?;
    let options = NatsServerOptions {
        binary: programs.nats_server.clone().ok_or("nats-server was not looked for")?,
        config_path,
        log_path: directory.join("nats-server.log"),
        client_port: port,
        server_name: NATS_NAME.to_owned(),
    };
    Ok(NatsServer::start(options).await?)
}

async fn start_edge(
    programs: &Programs,
    directory: &Path,
    ports: Ports,
) -> Result<(Target, Running), Failure> {
    let nats = start_nats(programs, directory, ports.nats, &nats_config(ports.nats, None)).await?;
    let config_path = directory.join("edge.toml");
    std::fs::write(&config_path, edge_config(ports))?;
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.admin));
    let log_path = directory.join("edge.log");
    let edge = EdgeProcess::start(&programs.meridian, config_path, log_path, admin).await?;
    let target = Target::Meridian {
        url: format!("ws://127.0.0.1:{}/v1/ws", ports.websocket),
        publish_url: nats_url(ports.nats),
    };
    Ok((target, Running::Edge(Box::new((edge, nats)))))
}

fn nats_url(port: u16) -> String {
    format!("nats://{LOGIN}@127.0.0.1:{port}")
}

/// A plain server, the same for both roles but for the listener: no JetStream, no cluster, and
/// every limit at its default.
fn nats_config(port: u16, websocket: Option<u16>) -> String {
    let listener = websocket.map_or_else(String::new, |websocket| {
        format!(
            "websocket {{ listen: \"127.0.0.1:{websocket}\", no_tls: true, compression: false }}\n"
        )
    });
    format!(
        "server_name: \"{NATS_NAME}\"\nlisten: \"127.0.0.1:{port}\"\n\
         authorization {{ user: edge, password: edge }}\n{listener}"
    )
}

/// One shard: one core serves, the other makes the load.
fn edge_config(ports: Ports) -> String {
    let Ports { nats, websocket, admin } = ports;
    format!(
        r#"[edge]
id = "bench"
region = "bench"
shards = 1

[listen]
public = "127.0.0.1:{websocket}"
admin = "127.0.0.1:{admin}"

[nats]
servers = ["{nats_url}"]

[auth]
mode = "dev"

[limits]
connections_max = 20000

[[namespaces]]
name = "demo"
pattern = "demo.>"
class = "ephemeral"
publish = true
"#,
        nats_url = nats_url(nats),
    )
}
