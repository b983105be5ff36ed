//! Starts what is measured: the floor, a nats-server with a WebSocket listener, or an edge with a
//! nats-server beside it, on an ephemeral or on a durable namespace. Each is ready when `start`
//! returns and gone when `stop` does, or when it is dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum;
use meridian_bench::{Processes, Target, Tracing, wait_until_subscribable};
use meridian_local::{EdgeProcess, NatsServer, NatsServerOptions, PortBlock, find_nats_server};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Failure, span_sink};

/// The floor binds two ports and prints a line; this is for a very busy machine.
const FLOOR_READY_TIMEOUT: Duration = Duration::from_secs(10);

/// An edge looks at its streams each second.
const STREAM_KNOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// More than the longest scenario stores, so that nothing is dropped while it is measured.
const STREAM_BYTES_MAX: u64 = 1 << 30;

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
    /// `meridian edge`, on an ephemeral namespace.
    Edge,
    /// `meridian edge`, on a durable namespace: the nats-server beside it stores every message.
    Durable,
    /// `meridian edge` without tracing, where every message has a `traceparent`.
    Untraced,
    /// The same with tracing, and one message in a thousand sampled.
    TracedThousandth,
    /// The same with every message sampled.
    TracedAll,
}

impl ServerKind {
    /// The subject of the load, inside a namespace that the edge's configuration declares.
    pub(crate) fn subject(self) -> &'static str {
        match self {
            Self::Floor | Self::Nats | Self::Edge => "demo.bench",
            Self::Untraced | Self::TracedThousandth | Self::TracedAll => "demo.bench",
            Self::Durable => "orders.bench",
        }
    }

    /// Whether it needs `meridian`.
    fn is_edge(self) -> bool {
        !matches!(self, Self::Floor | Self::Nats)
    }

    /// What the messages that it is fed with say of their trace.
    pub(crate) fn tracing(self) -> Tracing {
        match self {
            Self::Floor | Self::Nats | Self::Edge | Self::Durable => Tracing::Silent,
            Self::Untraced => Tracing::Unsampled,
            Self::TracedThousandth => Tracing::Every(1_000),
            Self::TracedAll => Tracing::Every(1),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Nats => "nats-server",
            Self::Edge => "edge",
            Self::Durable => "edge, durable",
            Self::Untraced => "edge, untraced",
            Self::TracedThousandth => "edge, 0.1 % traced",
            Self::TracedAll => "edge, all traced",
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
        let wants_edge = targets.iter().any(|kind| kind.is_edge());
        let needed = [
            (targets.contains(&ServerKind::Floor), &floor, "meridian-bench"),
            (wants_edge, &meridian, "meridian-cli"),
        ];
        for (is_needed, path, package) in needed {
            if is_needed && !path.is_file() {
                let path = path.display();
                return Err(format!(
                    "{path} is missing; run `cargo build --release -p {package}`, or leave its \
                     target out with --targets"
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
                let config = nats_config(ports.nats, Some(ports.websocket), None);
                let nats = start_nats(programs, directory, ports.nats, &config).await?;
                let target = Target::NatsWebSocket {
                    url: format!("ws://{LOGIN}@127.0.0.1:{}/", ports.websocket),
                    publish_url: nats_url(ports.nats),
                };
                (target, Running::Nats(Box::new(nats)))
            }
            ServerKind::Edge => {
                let nats = nats_config(ports.nats, None, None);
                start_edge(programs, directory, ports, &nats, "").await?
            }
            ServerKind::Untraced => {
                start_edge(programs, directory, ports, &traced_nats_config(ports.nats), "").await?
            }
            ServerKind::TracedThousandth | ServerKind::TracedAll => {
                let tracing = tracing_section(&span_sink::start()?);
                let nats = traced_nats_config(ports.nats);
                start_edge(programs, directory, ports, &nats, &tracing).await?
            }
            ServerKind::Durable => start_durable(programs, directory, ports).await?,
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
    nats_config: &str,
    tracing: &str,
) -> Result<(Target, Running), Failure> {
    let nats = start_nats(programs, directory, ports.nats, nats_config).await?;
    let config_path = directory.join("edge.toml");
    std::fs::write(&config_path, edge_config(ports) + tracing)?;
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.admin));
    let log_path = directory.join("edge.log");
    let edge = EdgeProcess::start(&programs.meridian, config_path, log_path, admin).await?;
    let target = Target::Meridian {
        url: format!("ws://127.0.0.1:{}/v1/ws", ports.websocket),
        publish_url: nats_url(ports.nats),
    };
    Ok((target, Running::Edge(Box::new((edge, nats)))))
}

/// An edge whose durable namespace can be subscribed to. Streams of an earlier run are gone.
async fn start_durable(
    programs: &Programs,
    directory: &Path,
    ports: Ports,
) -> Result<(Target, Running), Failure> {
    let store = directory.join("jetstream");
    if store.exists() {
        std::fs::remove_dir_all(&store)?;
    }
    let nats = nats_config(ports.nats, None, Some(&store));
    let (target, running) = start_edge(programs, directory, ports, &nats, "").await?;
    let applied = Command::new(&programs.meridian)
        .args(["streams", "apply", "--config"])
        .arg(directory.join("edge.toml"))
        .stdin(Stdio::null())
        .output()
        .await?;
    if !applied.status.success() {
        let said = String::from_utf8_lossy(&applied.stderr);
        return Err(format!("the streams cannot be made: {said}").into());
    }
    wait_until_subscribable(&target, ServerKind::Durable.subject(), STREAM_KNOWN_TIMEOUT).await?;
    Ok((target, running))
}

fn nats_url(port: u16) -> String {
    format!("nats://{LOGIN}@127.0.0.1:{port}")
}

/// A plain server, the same for all roles but for the listener and the store: no cluster, and every
/// limit at its default.
fn nats_config(port: u16, websocket: Option<u16>, store: Option<&Path>) -> String {
    let store = store.map_or_else(String::new, |store| {
        format!("jetstream {{ store_dir: {:?} }}\n", store.to_string_lossy())
    });
    let listener = websocket.map_or_else(String::new, |websocket| {
        format!(
            "websocket {{ listen: \"127.0.0.1:{websocket}\", no_tls: true, compression: false }}\n"
        )
    });
    format!(
        "server_name: \"{NATS_NAME}\"\nlisten: \"127.0.0.1:{port}\"\n\
         authorization {{ user: edge, password: edge }}\n{listener}{store}"
    )
}

/// A server that traces what is sampled.
fn traced_nats_config(port: u16) -> String {
    format!(
        "server_name: \"{NATS_NAME}\"\nlisten: \"127.0.0.1:{port}\"\n\
         accounts {{ BENCH: {{ users: [ {{ user: edge, password: edge }} ], \
         msg_trace: {{ dest: \"_mrd.trace.bench\", sampling: \"100%\" }} }} }}\n"
    )
}

/// Everything that tracing can do: server spans, and OTLP to a receiver that forgets.
fn tracing_section(endpoint: &str) -> String {
    format!(
        "\n[tracing]\nnats_spans = true\notlp_endpoint = \"{endpoint}\"\notlp_protocol = \"http\"\n"
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

[mesh]
regions = ["bench"]

[auth]
mode = "dev"

[limits]
connections_max = 20000

[[namespaces]]
name = "demo"
pattern = "demo.>"
class = "ephemeral"
publish = true

[[namespaces]]
name = "orders"
pattern = "orders.>"
class = "durable"

[namespaces.stream]
home = "bench"
max_bytes = {STREAM_BYTES_MAX}
"#,
        nats_url = nats_url(nats),
    )
}
