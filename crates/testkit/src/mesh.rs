//! A mesh for one test: real nats-servers joined by gateways, and an edge in each region.

use crate::running_edge::{RunningEdge, config_for};
use meridian_client::{Client, Options};
use meridian_edge::Config;
use meridian_local::{
    APP_USER, Links, MeshPorts, NatsWebSocket, Supercluster, SuperclusterOptions,
};
use tempfile::TempDir;

/// What to start.
pub struct TestMeshOptions {
    pub regions: Vec<String>,
    pub links: Links,
    /// Changes each edge's configuration before it starts.
    pub configure: fn(&mut Config),
}

impl Default for TestMeshOptions {
    fn default() -> Self {
        let regions = ["eu", "us", "ap"].map(String::from).to_vec();
        Self { regions, links: Links::Direct, configure: |_| {} }
    }
}

/// Owned by one test; everything ends with it.
pub struct TestMesh {
    pub nats: Supercluster,
    edges: Vec<RunningEdge>,
    _state: TempDir,
}

impl TestMesh {
    /// Three regions, joined directly.
    pub async fn three_regions() -> Self {
        Self::start(TestMeshOptions::default()).await
    }

    /// One region, for what has nothing to do with the others.
    pub async fn one_region(configure: fn(&mut Config)) -> Self {
        let regions = vec!["eu".into()];
        Self::start(TestMeshOptions { regions, configure, ..TestMeshOptions::default() }).await
    }

    pub async fn start(options: TestMeshOptions) -> Self {
        let state = TempDir::new().unwrap();
        let nats = Supercluster::start(SuperclusterOptions {
            regions: options.regions.clone(),
            ports: MeshPorts::claimed(options.regions.len(), 0).unwrap(),
            state_dir: state.path().into(),
            rtt_ms: 0,
            links: options.links,
            websocket: NatsWebSocket::Off,
            nats_server: None,
        })
        .await
        .unwrap();
        let mut edges = Vec::new();
        for region in nats.regions() {
            let id = format!("{}-1", region.name());
            let url = region.nats_edge_url();
            let mut config = config_for(&id, region.name(), &options.regions, &url);
            (options.configure)(&mut config);
            edges.push(RunningEdge::start(config).await);
        }
        Self { nats, edges, _state: state }
    }

    /// The edge of a region.
    pub fn edge(&self, region: &str) -> &RunningEdge {
        &self.edges[self.index(region)]
    }

    /// The edge of a region, to be drained.
    pub fn edge_mut(&mut self, region: &str) -> &mut RunningEdge {
        let index = self.index(region);
        &mut self.edges[index]
    }

    /// A browser-protocol client of a region's edge.
    pub async fn client(&self, region: &str) -> Client {
        self.client_with(region, Options::default()).await
    }

    /// A browser-protocol client with options.
    pub async fn client_with(&self, region: &str, options: Options) -> Client {
        Client::connect(&self.edge(region).url(), options).await.unwrap()
    }

    /// A plain NATS client in a region, as a service or the `nats` command line would be.
    pub async fn plain_nats(&self, region: &str) -> async_nats::Client {
        let url = self.nats.region(region).unwrap().nats_url();
        let (user, password) = (APP_USER.0.into(), APP_USER.1.into());
        let options = async_nats::ConnectOptions::with_user_and_password(user, password);
        options.connect(url).await.unwrap()
    }

    fn index(&self, region: &str) -> usize {
        self.nats.regions().iter().position(|other| other.name() == region).unwrap()
    }
}
