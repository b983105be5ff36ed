//! A mesh whose edges are processes, as in production: they can be killed, paused and restarted.
//! Not for tests that look into an edge: those take `TestMesh`, whose edges run in the test.

use crate::durable::make_streams;
use crate::running_edge::{config_for, http_get};
use meridian_edge::Config;
use meridian_local::{
    APP_USER, EdgeProcess, EdgeUsers, Link, LinkHandle, Links, MeshPorts, NatsWebSocket, Region,
    Supercluster, SuperclusterOptions,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What to start.
pub struct ProcessMeshOptions {
    /// The program `meridian`.
    pub program: PathBuf,
    pub regions: Vec<String>,
    pub edges_per_region: usize,
    /// How regions reach each other.
    pub links: Links,
    /// How edges reach their own region's server.
    pub edge_links: Links,
    /// Changes each edge's configuration before it starts.
    pub configure: fn(&mut Config),
}

/// Owned by one test; everything ends with it.
pub struct ProcessMesh {
    pub nats: Supercluster,
    regions: Vec<EdgesOfRegion>,
    state: TempDir,
}

/// A region's edges. Owned by its mesh.
struct EdgesOfRegion {
    edges: Vec<EdgeProcess>,
    urls: Vec<String>,
    link: Option<Link>,
}

impl ProcessMesh {
    /// One region with one edge, for what an edge's memory or its end is looked at for.
    pub async fn one_edge(program: &str, configure: fn(&mut Config)) -> Self {
        Self::start(ProcessMeshOptions {
            program: program.into(),
            regions: vec!["eu".into()],
            edges_per_region: 1,
            links: Links::Direct,
            edge_links: Links::Direct,
            configure,
        })
        .await
    }

    /// Starts servers, streams and edges, and waits until all are ready.
    pub async fn start(options: ProcessMeshOptions) -> Self {
        let state = TempDir::new().unwrap();
        let nats = Supercluster::start(SuperclusterOptions {
            regions: options.regions.clone(),
            // One more than there are edges: its port is the link's.
            ports: MeshPorts::claimed(options.regions.len(), options.edges_per_region + 1).unwrap(),
            state_dir: state.path().into(),
            rtt_ms: 0,
            links: options.links,
            websocket: NatsWebSocket::Off,
            edge_users: EdgeUsers::Open,
            nats_server: None,
        })
        .await
        .unwrap();
        nats.wait_jetstream_ready().await.unwrap();
        make_streams(&nats, options.configure).await;
        let mut regions = Vec::new();
        for region in nats.regions() {
            regions.push(EdgesOfRegion::start(&options, region).await);
        }
        Self { nats, regions, state }
    }

    /// The URLs of a region's edges.
    pub fn urls(&self, region: &str) -> &[String] {
        &self.regions[self.index(region)].urls
    }

    /// The names of all regions.
    pub fn region_names(&self) -> Vec<String> {
        self.nats.regions().iter().map(|region| region.name().into()).collect()
    }

    /// How many edges each region has.
    pub fn edges_per_region(&self) -> usize {
        self.regions[0].edges.len()
    }

    /// One edge.
    pub fn edge_mut(&mut self, region: &str, edge: usize) -> &mut EdgeProcess {
        let index = self.index(region);
        &mut self.regions[index].edges[edge]
    }

    /// Where clients of an edge connect.
    pub fn public(&self, region: &str, edge: usize) -> SocketAddr {
        loopback(self.nats.region(region).unwrap().ports().edges[edge].public)
    }

    /// Bytes of an edge's process that are in memory.
    pub fn resident_bytes(&self, region: &str, edge: usize) -> u64 {
        let pid = self.regions[self.index(region)].edges[edge].pid().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// What an edge's `/stats` says.
    pub async fn stats(&self, region: &str, edge: usize) -> serde_json::Value {
        let admin = self.nats.region(region).unwrap().ports().edges[edge].admin;
        serde_json::from_str(&http_get(loopback(admin), "/stats").await.1).unwrap()
    }

    /// The link between a region's edges and their server.
    pub fn edge_link(&self, region: &str) -> LinkHandle {
        self.regions[self.index(region)].link.as_ref().expect("links were asked for").handle()
    }

    /// Ends a region's edges and its server with SIGKILL.
    pub async fn kill_region(&mut self, region: &str) {
        for edge in 0..self.edges_per_region() {
            self.edge_mut(region, edge).kill().await.unwrap();
        }
        self.nats.kill_region(region).await.unwrap();
    }

    /// Starts a region's server and then its edges, and waits until they are ready.
    pub async fn restart_region(&mut self, region: &str) {
        self.nats.restart_region(region).await.unwrap();
        for edge in 0..self.edges_per_region() {
            self.edge_mut(region, edge).restart().await.unwrap();
        }
    }

    /// A plain NATS client that prefers a region's server and goes to another when that is gone.
    pub async fn plain_nats(&self, region: &str) -> async_nats::Client {
        let first = self.index(region);
        let count = self.regions.len();
        let servers: Vec<async_nats::ServerAddr> = (first..first + count)
            .map(|index| self.nats.regions()[index % count].nats_url().parse().unwrap())
            .collect();
        let (user, password) = (APP_USER.0.into(), APP_USER.1.into());
        let options = async_nats::ConnectOptions::with_user_and_password(user, password);
        options.retain_servers_order().connect(servers).await.unwrap()
    }

    /// Configurations, logs and streams; gone with the mesh unless they are kept.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Leaves the state for whoever looks into a failure.
    pub fn keep_state(&mut self) {
        self.state.disable_cleanup(true);
    }

    fn index(&self, region: &str) -> usize {
        self.nats.regions().iter().position(|other| other.name() == region).unwrap()
    }
}

impl EdgesOfRegion {
    async fn start(options: &ProcessMeshOptions, region: &Region) -> Self {
        let ports = &region.ports().edges;
        let mut nats_url = region.nats_edge_url();
        let link = (options.edge_links == Links::Proxied).then(|| {
            let listen = loopback(ports[options.edges_per_region].public);
            let address = region.nats_address();
            nats_url = nats_url.replace(&address.to_string(), &listen.to_string());
            Link::start(listen, address, 0).unwrap()
        });
        let (mut edges, mut urls) = (Vec::new(), Vec::new());
        for (k, ports) in ports.iter().take(options.edges_per_region).enumerate() {
            let id = format!("{}-{}", region.name(), k + 1);
            let mut config = config_for(&id, region.name(), &options.regions, &nats_url);
            (config.listen.public, config.listen.admin) =
                (loopback(ports.public), loopback(ports.admin));
            (options.configure)(&mut config);
            let config_path = region.directory().join(format!("{id}.toml"));
            std::fs::write(&config_path, toml::to_string(&config).unwrap()).unwrap();
            let log_path = region.directory().join(format!("{id}.log"));
            let admin = config.listen.admin;
            let edge = EdgeProcess::start(&options.program, config_path, log_path, admin).await;
            edges.push(edge.unwrap());
            urls.push(format!("ws://{}/v1/ws", config.listen.public));
        }
        Self { edges, urls, link }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
