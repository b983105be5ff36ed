//! A copy with three replicas on a real cluster of three servers: the stream's leader dies under
//! load and comes back behind the others. What was acknowledged comes, once and in order, whoever
//! answers for the copy meanwhile.

#![allow(clippy::unwrap_used)]

use async_nats::HeaderMap;
use meridian_client::{Client, Options, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_local::{
    ACCOUNT, APP_USER, EDGE_USER, NatsServer, NatsServerOptions, PortBlock, SYSTEM_ACCOUNT,
    SYSTEM_USER, find_nats_server,
};
use meridian_nats::streams::{Confirm, Streams, copy_name, plan};
use meridian_nats::{Control, ControlOptions};
use meridian_testkit::{
    DEADLINE, RunningEdge, Shown, ask, config_for, eventually, subscribe_durable, with_orders,
    within,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const SERVERS: usize = 3;

/// Acknowledged messages before, during and after the leader's absence.
const STEP: usize = 300;

/// Messages that a client reads before it goes to the other edge.
const READ: usize = 60;

/// More than all that is published.
const EVENTS: usize = 100_000;

/// A publish that has no acknowledgement by then is sent again, under the same message id.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);

/// One region's servers. Owned by its test.
struct Cluster {
    servers: Vec<NatsServer>,
    urls: Vec<String>,
    _ports: PortBlock,
    _state: TempDir,
}

fn user((name, password): (&str, &str)) -> String {
    format!("{{ user: {name}, password: {password} }}")
}

impl Cluster {
    async fn start() -> Self {
        let (ports, state) = (PortBlock::claim().unwrap(), TempDir::new().unwrap());
        let base = ports.ports().start;
        let port = |of: u16, server: usize| base + of * SERVERS as u16 + server as u16;
        let route = |server| format!("\"nats-route://127.0.0.1:{}\"", port(1, server));
        let routes = (0..SERVERS).map(route).collect::<Vec<_>>().join(", ");
        let (mut servers, mut urls) = (Vec::new(), Vec::new());
        for server in 0..SERVERS {
            let directory = state.path().join(server.to_string());
            std::fs::create_dir_all(&directory).unwrap();
            let (client_port, server_name) = (port(0, server), format!("eu-{server}"));
            let (route_port, store) = (port(1, server), directory.join("js"));
            let users = [user(APP_USER), user(EDGE_USER)].join(", ");
            let config = format!(
                "server_name: {server_name}\nlisten: \"127.0.0.1:{client_port}\"\n\
                 jetstream {{ store_dir: {store:?}, max_mem: 64M, max_file: 1G }}\n\
                 accounts {{\n  {SYSTEM_ACCOUNT}: {{ users: [ {} ] }}\n  \
                 {ACCOUNT}: {{ jetstream: enabled, users: [ {users} ] }}\n}}\n\
                 system_account: {SYSTEM_ACCOUNT}\n\
                 cluster {{\n  name: eu\n  listen: \"127.0.0.1:{route_port}\"\n  \
                 routes: [ {routes} ]\n}}\n",
                user(SYSTEM_USER)
            );
            let config_path = directory.join("nats.conf");
            std::fs::write(&config_path, config).unwrap();
            let log_path = directory.join("nats.log");
            let binary = find_nats_server().unwrap();
            let options =
                NatsServerOptions { binary, config_path, log_path, client_port, server_name };
            servers.push(NatsServer::start(options).await.unwrap());
            let (name, password) = EDGE_USER;
            urls.push(format!("nats://{name}:{password}@127.0.0.1:{client_port}"));
        }
        Self { servers, urls, _ports: ports, _state: state }
    }

    /// The server addresses, beginning with one of them.
    fn urls_from(&self, first: usize) -> Vec<String> {
        let mut urls = self.urls.clone();
        urls.rotate_left(first);
        urls
    }

    async fn nats(&self) -> async_nats::Client {
        let (name, password) = APP_USER;
        let options =
            async_nats::ConnectOptions::with_user_and_password(name.into(), password.into())
                .ignore_discovered_servers();
        let plain =
            self.urls.iter().map(|url| format!("nats://{}", url.split_once('@').unwrap().1));
        let servers: Vec<async_nats::ServerAddr> = plain.map(|url| url.parse().unwrap()).collect();
        options.connect(servers).await.unwrap()
    }

    async fn edge(&self, number: usize) -> (RunningEdge, Client) {
        let mut config = config_for(&format!("eu-{number}"), "eu", &["eu".into()], &self.urls[0]);
        config.nats.servers = self.urls_from(number);
        with_replicas(&mut config);
        let edge = RunningEdge::start(config).await;
        let client = Client::connect(&edge.url(), Options::default()).await.unwrap();
        (edge, client)
    }
}

fn with_replicas(config: &mut Config) {
    with_orders(config);
    config.namespaces.last_mut().unwrap().stream.as_mut().unwrap().replicas = SERVERS;
}

/// Makes the stream as an operator does; its name.
async fn make_stream(cluster: &Cluster) -> String {
    let mut config = Config::default();
    with_replicas(&mut config);
    let (namespaces, regions) = (config.durable_namespaces(), ["eu".to_owned()]);
    let options = ControlOptions {
        servers: cluster.urls.iter().map(|url| url.parse().unwrap()).collect(),
        name: "test operator".into(),
        edge_id: "operator".into(),
    };
    let control = Control::connect(options).await.unwrap();
    eventually("the operator is connected", async || control.is_connected()).await;
    let streams = Streams::new(&control);
    let existing = within("JetStream answers", streams.existing()).await.unwrap();
    let plan = plan(&namespaces, &existing, &regions, 1).unwrap();
    within("the stream is made", streams.apply(&plan, Confirm::No)).await.unwrap();
    copy_name(&namespaces[0], "eu")
}

/// The stream's leader, and whether every replica has what it has.
async fn leader_of(nats: &async_nats::Client, stream: &str) -> Option<(String, bool)> {
    let request = nats.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into());
    let answer = tokio::time::timeout(ACK_TIMEOUT, request).await.ok()?.ok()?;
    let info: Value = serde_json::from_slice(&answer.payload).ok()?;
    let replicas = info["cluster"]["replicas"].as_array()?;
    let is_whole = replicas.len() == SERVERS - 1
        && replicas.iter().all(|replica| replica["current"] == json!(true));
    Some((info["cluster"]["leader"].as_str()?.to_owned(), is_whole))
}

/// Publishes numbers, each until it is acknowledged. Owned by its test.
struct AckedPublisher {
    acked: Arc<AtomicUsize>,
    is_stopped: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl AckedPublisher {
    fn start(nats: async_nats::Client) -> Self {
        let (acked, is_stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&acked), Arc::clone(&is_stopped));
        let task = tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                if is_stored(&nats, number).await {
                    number += 1;
                    count.store(number, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self { acked, is_stopped, task }
    }

    async fn acknowledges(&self, more: usize) {
        let wanted = self.acked.load(Ordering::Relaxed) + more;
        let is_there = async || self.acked.load(Ordering::Relaxed) >= wanted;
        eventually("publishes are acknowledged", is_there).await;
    }

    /// How many were acknowledged in all. One more may be stored.
    async fn stop(self) -> usize {
        self.is_stopped.store(true, Ordering::Relaxed);
        within("the publisher ends", self.task).await.unwrap();
        self.acked.load(Ordering::Relaxed)
    }
}

async fn is_stored(nats: &async_nats::Client, number: usize) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", format!("n{number}"));
    let subject = format!("orders.r.{}", number % 3);
    let request = nats.request_with_headers(subject, headers, number.to_string().into());
    let Ok(Ok(answer)) = tokio::time::timeout(ACK_TIMEOUT, request).await else { return false };
    let ack: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    ack["seq"].is_u64()
}

/// Goes from edge to edge, and audits and pages meet whichever replica answers.
async fn hop(clients: [&Client; 2], stop: &AtomicBool) -> (Subscription, Shown) {
    let mut shown = Shown::default();
    let none = SubscribeOptions::default();
    let mut here = subscribe_durable(clients[0], "orders.r.*", none).await;
    for number in 1.. {
        let wanted = shown.messages.len() + READ;
        shown.read_until(&mut here, DEADLINE, |shown| shown.messages.len() >= wanted).await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let resume = here.resume_point();
        here.unsubscribe().await.unwrap();
        let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
        // A stream that has no leader for a moment answers nobody: then it is asked again.
        here = subscribe_durable(clients[number % 2], "orders.r.*", options).await;
        assert_eq!(here.reply().recovered, Some(true), "hop {number}");
    }
    (here, shown)
}

#[tokio::test]
async fn a_leader_that_dies_under_load_loses_nothing_and_comes_back_without_a_lie() {
    let mut cluster = Cluster::start().await;
    let stream = make_stream(&cluster).await;
    let nats = cluster.nats().await;
    let (first, second) = (cluster.edge(0).await, cluster.edge(1).await);
    // They are read at the end, on connections that others use meanwhile.
    let patient = || SubscribeOptions { events_max: EVENTS, ..SubscribeOptions::default() };
    let mut exact = subscribe_durable(&first.1, "orders.r.1", patient()).await;
    let mut wide = subscribe_durable(&second.1, "orders.>", patient()).await;
    let stop = AtomicBool::new(false);
    let publisher = AckedPublisher::start(cluster.nats().await);
    let faults = async {
        publisher.acknowledges(STEP).await;
        let (leader, _) = leader_of(&nats, &stream).await.unwrap();
        let dead: usize = leader.strip_prefix("eu-").unwrap().parse().unwrap();
        cluster.servers[dead].kill().await.unwrap();
        publisher.acknowledges(STEP).await;
        let (now, _) = leader_of(&nats, &stream).await.unwrap();
        assert_ne!(now, leader, "another leads");
        // Behind by at least a step, it catches up while others write and read.
        cluster.servers[dead].restart().await.unwrap();
        publisher.acknowledges(STEP).await;
        let is_whole = async || leader_of(&nats, &stream).await.is_some_and(|(_, whole)| whole);
        eventually("every replica is current again", is_whole).await;
        publisher.acknowledges(STEP).await;
        // The last ones come while the hopper still waits for some.
        stop.store(true, Ordering::Relaxed);
        publisher.acknowledges(2 * READ).await;
    };
    let ((), (mut hopped, mut hops)) = tokio::join!(faults, hop([&first.1, &second.1], &stop));
    let acked = publisher.stop().await;
    // What was sent and not acknowledged may be stored: this makes it certain.
    eventually("the last one is stored", async || is_stored(&nats, acked).await).await;
    let (mut one, mut all) = (Shown::default(), Shown::default());
    all.read_until(&mut wide, DEADLINE, |shown| shown.messages.len() > acked).await;
    all.assert_complete("wide", 0..=acked);
    let of_one = (0..=acked).filter(|number| number % 3 == 1);
    let count = of_one.clone().count();
    one.read_until(&mut exact, DEADLINE, |shown| shown.messages.len() >= count).await;
    one.assert_complete("exact", of_one);
    hops.read_until(&mut hopped, DEADLINE, |shown| shown.numbers().contains(&acked)).await;
    let begin = *hops.numbers().iter().min().unwrap();
    hops.assert_complete("hops", begin..=acked);
    let state = ask(&nats, &format!("$JS.API.STREAM.INFO.{stream}"), &json!({})).await;
    assert_eq!(state["state"]["messages"], acked + 1, "each is stored once");
    for (edge, client) in [first, second] {
        drop(client);
        edge.stop().await;
    }
}
