//! An edge inside the test's own process, on free ports.

use crate::eventually;
use crate::scrape::Scrape;
use meridian_edge::config::{ClassName, NatsSection, SlowClientName};
use meridian_edge::config::{
    DrainSection, EdgeSection, ListenSection, MeshSection, NamespaceSection,
};
use meridian_edge::{Config, Edge, Error};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running edge. Dropping it drains it in the background; `stop` waits.
pub struct RunningEdge {
    public: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), Error>>,
}

/// A configuration for tests: loopback, free ports, `demo.>` for everything.
pub fn config_for(id: &str, region: &str, regions: &[String], nats: &str) -> Config {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        edge: EdgeSection {
            id: id.into(),
            region: region.into(),
            shards: 1,
            ..EdgeSection::default()
        },
        listen: ListenSection { public: loopback, admin: loopback, ..ListenSection::default() },
        nats: NatsSection { servers: vec![nats.into()], ..NatsSection::default() },
        mesh: MeshSection { regions: regions.to_vec(), ..MeshSection::default() },
        drain: DrainSection { window_ms: 300 },
        namespaces: vec![
            NamespaceSection {
                name: "demo".into(),
                pattern: "demo.>".into(),
                class: ClassName::Ephemeral,
                publish: true,
                request: true,
                headers: vec!["x-kind".into()],
                slow_client: SlowClientName::Disconnect,
                stream: None,
            },
            NamespaceSection {
                name: "quiet".into(),
                pattern: "quiet.>".into(),
                class: ClassName::Ephemeral,
                publish: false,
                request: false,
                headers: Vec::new(),
                slow_client: SlowClientName::Disconnect,
                stream: None,
            },
        ],
        ..Config::default()
    }
}

impl RunningEdge {
    /// Starts an edge and waits until it is ready.
    pub async fn start(config: Config) -> Self {
        let edge = Self::start_unready(config);
        eventually("the edge is ready", async || edge.get("/readyz").await.0 == 200).await;
        edge
    }

    /// Starts an edge and does not wait.
    pub fn start_unready(config: Config) -> Self {
        let edge = Edge::start(config).unwrap();
        let (public, admin) = (edge.public_addr(), edge.admin_addr());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(edge.run_until(async {
            drop(stopped.await);
        }));
        Self { public, admin, stop: Some(stop), running }
    }

    pub fn public(&self) -> SocketAddr {
        self.public
    }

    pub fn url(&self) -> String {
        format!("ws://{}/v1/ws", self.public)
    }

    /// Begins the drain and does not wait for its end.
    pub fn drain(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Drains and waits for the end.
    pub async fn stop(mut self) {
        self.drain();
        self.ended().await;
    }

    /// Waits until the edge has ended without a failure. Call it once.
    pub async fn ended(&mut self) {
        crate::within("the edge ends", &mut self.running).await.unwrap().unwrap();
    }

    /// Whether the edge runs.
    pub fn is_running(&self) -> bool {
        !self.running.is_finished()
    }

    /// A GET on the admin listener: status and body. Status 0 when it cannot be reached.
    pub async fn get(&self, path: &str) -> (u16, String) {
        http_get(self.admin, path).await
    }

    /// The numbers of `/stats`.
    pub async fn stats(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/stats").await.1).unwrap()
    }

    /// Where operators look.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What `/metrics` says, at most a second old.
    pub async fn metrics(&self) -> Scrape {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        Scrape::parse(&text)
    }

    /// One of the numbers of `/stats`, at most a second old.
    pub async fn number(&self, name: &str) -> u64 {
        self.stats().await["numbers"][name].as_u64().unwrap()
    }
}

/// A GET by hand: status and body. HTTP/1.0, so that the end of the stream ends the body.
pub(crate) async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return (0, String::new()) };
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), body.into())
}
