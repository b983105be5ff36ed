//! One edge under attack, one real nats-server behind it, and an innocent client beside the
//! attacker. What every attack must leave alone is checked here; the attacks stand in the files
//! that use this.

use meridian_client::{Client, Event, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_testkit::{RunningEdge, TestMesh, eventually, within};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The subject that the innocent client listens to.
const INNOCENT: &str = "demo.ok";

/// How the edge's connections call themselves to NATS: one for control, one for each shard.
const EDGE_CONNECTION: &str = "meridian edge";

/// Owned by one test; everything ends with it.
pub(crate) struct Scene {
    pub(crate) mesh: TestMesh,
    _innocent: Client,
    subscription: Subscription,
    publisher: async_nats::Client,
    /// Messages that the innocent client has been sent.
    sent: u32,
    /// What the edge had upstream before the first attack.
    baseline: Upstream,
}

/// The edge as nats-server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// Ids of the edge's connections: another id is a reconnect.
    pub(crate) connections: Vec<u64>,
    /// What they subscribe to, sorted.
    pub(crate) filters: Vec<String>,
}

impl Scene {
    pub(crate) async fn start(configure: fn(&mut Config)) -> Self {
        let mesh = TestMesh::one_region(configure).await;
        let innocent = mesh.client("eu").await;
        let subscription = innocent.subscribe(INNOCENT, SubscribeOptions::default()).await.unwrap();
        let publisher = mesh.plain_nats("eu").await;
        let baseline = upstream(&mesh).await;
        assert_eq!(baseline.connections.len(), 2, "control and one shard: {baseline:?}");
        assert!(baseline.filters.iter().any(|filter| filter == INNOCENT), "{baseline:?}");
        Self { mesh, _innocent: innocent, subscription, publisher, sent: 0, baseline }
    }

    pub(crate) fn edge(&self) -> &RunningEdge {
        self.mesh.edge("eu")
    }

    /// Where clients connect.
    pub(crate) fn public(&self) -> SocketAddr {
        self.edge().public()
    }

    /// After an attack: the innocent client is connected and receives exactly what is published
    /// now, with no gap before it, and the edge still has the NATS connection that it had.
    pub(crate) async fn innocent_is_fine(&mut self, attack: &str) {
        self.sent += 1;
        let text = format!("message {} of the innocent", self.sent);
        self.publisher.publish(INNOCENT, text.clone().into()).await.unwrap();
        self.publisher.flush().await.unwrap();
        let what = format!("the innocent client's message after: {attack}");
        match within(&what, self.subscription.next()).await {
            Some(Event::Message(message)) => {
                let bytes = message.content().to_bytes().unwrap().into_owned();
                assert_eq!(String::from_utf8(bytes).unwrap(), text, "after: {attack}");
            }
            other => panic!("the innocent client got {other:?} after: {attack}"),
        }
        let connections = upstream(&self.mesh).await.connections;
        assert_eq!(connections, self.baseline.connections, "NATS connection after: {attack}");
    }

    /// At the end: the innocent client alone is connected, and nothing but its filter is held.
    pub(crate) async fn nothing_is_left(&self) {
        eventually("only the innocent client is left, here and upstream", async || {
            let numbers = &self.edge().stats().await["numbers"];
            numbers["connections"] == 1
                && numbers["filters"] == 1
                && upstream(&self.mesh).await == self.baseline
        })
        .await;
    }
}

/// Asks nats-server for the edge's connections and what they subscribe to.
pub(crate) async fn upstream(mesh: &TestMesh) -> Upstream {
    let monitor = mesh.nats.region("eu").unwrap().monitor_address();
    let mut stream = TcpStream::connect(monitor).await.unwrap();
    // HTTP/1.0, so that the end of the stream ends the body.
    stream.write_all(b"GET /connz?subs=1 HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within("nats-server's /connz", stream.read_to_string(&mut answer)).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let connz: Value = serde_json::from_str(body).unwrap();
    let mut seen = Upstream { connections: Vec::new(), filters: Vec::new() };
    for connection in connz["connections"].as_array().unwrap() {
        if connection["name"].as_str().is_some_and(|name| name.starts_with(EDGE_CONNECTION)) {
            seen.connections.push(connection["cid"].as_u64().unwrap());
            let filters = connection["subscriptions_list"].as_array().into_iter().flatten();
            seen.filters.extend(filters.map(|filter| filter.as_str().unwrap().to_owned()));
        }
    }
    seen.connections.sort_unstable();
    seen.filters.sort_unstable();
    seen
}
