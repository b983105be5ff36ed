//! A mesh for one test: real nats-servers joined by gateways, and an edge in each region.

use crate::awaited::{next_event, text_of};
use crate::eventually;
use crate::raw_nats::RawNats;
use crate::raw_socket::RawSocket;
use crate::running_edge::{RunningEdge, config_for, http_get};
use meridian_client::{Client, Event, Options, Subscription};
use meridian_edge::Config;
use meridian_local::{
    APP_USER, EdgeUsers, Link, LinkHandle, Links, MeshPorts, NatsWebSocket, Supercluster,
    SuperclusterOptions,
};
use std::net::SocketAddr;
use tempfile::TempDir;

/// What to start.
pub struct TestMeshOptions {
    pub regions: Vec<String>,
    pub links: Links,
    /// How edges reach their own region's server.
    pub edge_links: Links,
    /// What edges may do in NATS.
    pub edge_users: EdgeUsers,
    /// Changes each edge's configuration before it starts.
    pub configure: fn(&mut Config),
}

impl Default for TestMeshOptions {
    fn default() -> Self {
        let regions = ["eu", "us", "ap"].map(String::from).to_vec();
        let (links, edge_links) = (Links::Direct, Links::Direct);
        let edge_users = EdgeUsers::Open;
        Self { regions, links, edge_links, edge_users, configure: |_| {} }
    }
}

/// Owned by one test; everything ends with it.
pub struct TestMesh {
    pub nats: Supercluster,
    edges: Vec<RunningEdge>,
    /// One a region, if asked for.
    edge_links: Vec<Link>,
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
            ports: MeshPorts::claimed(options.regions.len(), 1).unwrap(),
            state_dir: state.path().into(),
            rtt_ms: 0,
            links: options.links,
            websocket: NatsWebSocket::Off,
            edge_users: options.edge_users.clone(),
            nats_server: None,
        })
        .await
        .unwrap();
        let (mut edges, mut edge_links) = (Vec::new(), Vec::new());
        for region in nats.regions() {
            let id = format!("{}-1", region.name());
            let mut url = match options.edge_users {
                EdgeUsers::Open => region.nats_edge_url(),
                EdgeUsers::Confined(_) => region.nats_url_of_edge(&id),
            };
            if options.edge_links == Links::Proxied {
                // The edges themselves listen on ports of the system's choice.
                let port = region.ports().edges[0].public;
                let listen = SocketAddr::from(([127, 0, 0, 1], port));
                edge_links.push(Link::start(listen, region.nats_address(), 0).unwrap());
                url = url.replace(&region.nats_address().to_string(), &listen.to_string());
            }
            let mut config = config_for(&id, region.name(), &options.regions, &url);
            (options.configure)(&mut config);
            edges.push(RunningEdge::start(config).await);
        }
        Self { nats, edges, edge_links, _state: state }
    }

    /// The edge of a region.
    pub fn edge(&self, region: &str) -> &RunningEdge {
        &self.edges[self.index(region)]
    }

    /// The link between a region's edge and its server.
    pub fn edge_link(&self, region: &str) -> LinkHandle {
        self.edge_links[self.index(region)].handle()
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

    /// A plain NATS client at byte level in a region.
    pub async fn raw_nats(&self, region: &str) -> RawNats {
        RawNats::connect(self.nats.region(region).unwrap().nats_address()).await
    }

    /// A peer at byte level of a region's edge, upgraded and connected.
    pub async fn raw_socket(&self, region: &str) -> RawSocket {
        RawSocket::connected(self.edge(region).public()).await
    }

    /// Waits until each subscription hears a publisher, and until none of the probes is left. The
    /// proof of interest that a subscribe reply brings is local: gateways learn a little later.
    pub async fn settle(
        publisher: &async_nats::Client,
        subject: &str,
        subscriptions: &mut [&mut Subscription],
    ) {
        let mut heard = vec![false; subscriptions.len()];
        eventually("the interest has crossed the gateways", async || {
            publisher.publish(subject.to_owned(), "probe".into()).await.unwrap();
            publisher.flush().await.unwrap();
            for (heard, subscription) in heard.iter_mut().zip(subscriptions.iter_mut()) {
                *heard |= subscription.try_next().is_some();
            }
            heard.iter().all(|heard| *heard)
        })
        .await;
        publisher.publish(subject.to_owned(), "settled".into()).await.unwrap();
        for subscription in subscriptions {
            loop {
                let event = next_event(subscription).await;
                if matches!(&event, Event::Message(message) if text_of(message) == "settled") {
                    break;
                }
            }
        }
    }

    /// The upstream subscriptions on a filter that a region's server holds for edges and plain
    /// clients alike: each one's id.
    pub async fn upstream_sids(&self, region: &str, filter: &str) -> Vec<String> {
        let monitor = self.nats.region(region).unwrap().monitor_address();
        let (status, body) = http_get(monitor, "/connz?subs=detail").await;
        assert_eq!(status, 200, "{body}");
        let connections: serde_json::Value = serde_json::from_str(&body).unwrap();
        let mut sids = Vec::new();
        for connection in connections["connections"].as_array().unwrap() {
            let held = connection["subscriptions_list_detail"].as_array();
            let held = held.into_iter().flatten().filter(|one| one["subject"] == filter);
            sids.extend(held.map(|one| one["sid"].as_str().unwrap().to_owned()));
        }
        sids
    }

    fn index(&self, region: &str) -> usize {
        self.nats.regions().iter().position(|other| other.name() == region).unwrap()
    }
}
