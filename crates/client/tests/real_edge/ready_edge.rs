//! One edge in this process, on a nats-server of its own.

use meridian_edge::config::{NamespaceSection, SlowClientName};
use meridian_edge::{Config, Edge};
use meridian_local::{
    EdgeUsers, Links, MeshPorts, NatsWebSocket, Supercluster, SuperclusterOptions,
};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// For a loaded machine; nothing here is measured.
const DEADLINE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// A running edge. Its server is killed when this is dropped.
pub(crate) struct ReadyEdge {
    pub(crate) url: String,
    pub(crate) nats_address: SocketAddr,
    shut_down: oneshot::Sender<()>,
    running: JoinHandle<Result<(), meridian_edge::Error>>,
    _mesh: Supercluster,
    _directory: TempDir,
}

impl ReadyEdge {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mesh = Supercluster::start(SuperclusterOptions {
            regions: vec!["eu".into()],
            ports: MeshPorts::claimed(1, 1).unwrap(),
            state_dir: directory.path().to_owned(),
            rtt_ms: 0,
            links: Links::Direct,
            websocket: NatsWebSocket::Off,
            edge_users: EdgeUsers::Open,
            nats_server: None,
        })
        .await
        .unwrap();
        let region = &mesh.regions()[0];
        let edge = Edge::start(config(&region.nats_edge_url())).unwrap();
        let url = format!("ws://{}/v1/ws", edge.public_addr());
        let (admin, nats_address) = (edge.admin_addr(), region.nats_address());
        let (shut_down, ordered) = oneshot::channel::<()>();
        let running = tokio::spawn(edge.run_until(async {
            // A test that ends early ends the edge too.
            let _ = ordered.await;
        }));
        timeout(DEADLINE, ready(admin)).await.expect("ready in time");
        Self { url, nats_address, shut_down, running, _mesh: mesh, _directory: directory }
    }

    /// Drains the edge to its end.
    pub(crate) async fn stop(self) {
        self.shut_down.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}

async fn ready(admin: SocketAddr) {
    loop {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        if answer.split(' ').nth(1) == Some("200") {
            return;
        }
        sleep(POLL).await;
    }
}

fn config(nats_url: &str) -> Config {
    let mut config = Config::default();
    config.edge.id = "eu-1".into();
    config.edge.region = "eu".into();
    config.edge.shards = 1;
    config.listen.public = SocketAddr::from(([127, 0, 0, 1], 0));
    config.listen.admin = SocketAddr::from(([127, 0, 0, 1], 0));
    config.nats.servers = vec![nats_url.to_owned()];
    config.drain.window_ms = 100;
    config.namespaces = vec![NamespaceSection {
        name: "demo".into(),
        pattern: "demo.>".into(),
        class: meridian_edge::config::ClassName::Ephemeral,
        publish: true,
        request: true,
        headers: vec!["x-kind".into()],
        slow_client: SlowClientName::Disconnect,
        stream: None,
    }];
    config
}
