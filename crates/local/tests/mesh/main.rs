//! Claims about a real three-region supercluster on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod plain_client;

use std::time::Duration;

use meridian_local::{
    EdgeUsers, Error, Links, MeshPorts, NatsWebSocket, Supercluster, SuperclusterOptions,
};
use plain_client::PlainClient;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(60);
const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// A mesh and the directory that it writes to, which must go after it.
struct Mesh {
    cluster: Supercluster,
    directory: TempDir,
}

fn options(regions: &[&str], directory: &TempDir, rtt_ms: u64) -> SuperclusterOptions {
    SuperclusterOptions {
        regions: regions.iter().map(ToString::to_string).collect(),
        ports: MeshPorts::claimed(regions.len(), 0).unwrap(),
        state_dir: directory.path().to_path_buf(),
        rtt_ms,
        links: Links::Proxied,
        websocket: NatsWebSocket::Off,
        edge_users: EdgeUsers::Open,
        nats_server: None,
    }
}

async fn start(rtt_ms: u64) -> Mesh {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Supercluster::start(options(&REGIONS, &directory, rtt_ms)).await.unwrap();
    Mesh { cluster, directory }
}

impl Mesh {
    async fn client(&self, region: &str) -> PlainClient {
        PlainClient::connect(self.cluster.region(region).unwrap()).await
    }

    /// A subscriber whose interest has reached the publisher's region, proven by a message.
    async fn subscriber(&self, region: &str, publisher: &mut PlainClient) -> PlainClient {
        let mut client = self.client(region).await;
        client.subscribe("test.>").await;
        reach(publisher, &mut client).await;
        client
    }

    fn log(&self, region: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(region).join("nats.log")).unwrap()
    }
}

/// Publishes probes until one arrives, then removes the others that are still under way.
async fn reach(publisher: &mut PlainClient, subscriber: &mut PlainClient) {
    let deadline = Instant::now() + DEADLINE;
    for number in 0.. {
        publisher.publish("test.probe", &format!("probe {number}")).await;
        if !subscriber.messages_until_pong().await.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "interest has not crossed the gateway");
        sleep(Duration::from_millis(20)).await;
    }
    publisher.publish("test.probe", "last probe").await;
    while subscriber.next().await != "last probe" {}
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn take(client: &mut PlainClient, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    for _ in 0..count {
        payloads.push(client.next().await);
    }
    payloads
}

fn exists(pid: u32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

#[tokio::test]
async fn silent_cut_delays_messages_on_that_link_alone_and_shutdown_leaves_no_process() {
    let mesh = start(10).await;
    let mut us = mesh.client("us").await;
    let mut eu = mesh.subscriber("eu", &mut us).await;
    let mut ap = mesh.subscriber("ap", &mut us).await;
    // The probes for ap reached eu too.
    us.publish("test.a", "start").await;
    while eu.next().await != "start" {}
    assert_eq!(ap.next().await, "start");

    mesh.cluster.cut_between("us", "eu").unwrap();
    // Over a second, so that a redial would have had its chance to find another way.
    for number in numbered(0..60) {
        us.publish("test.a", &number).await;
        sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(take(&mut ap, 60).await, numbered(0..60));
    assert_eq!(eu.messages_until_pong().await, Vec::<String>::new());

    mesh.cluster.heal_between("us", "eu").unwrap();
    us.publish("test.a", "60").await;
    assert_eq!(take(&mut eu, 61).await, numbered(0..61));
    assert_eq!(ap.next().await, "60");

    let pids: Vec<u32> =
        mesh.cluster.regions().iter().map(|region| region.server().pid().unwrap()).collect();
    assert!(pids.iter().all(|&pid| exists(pid)));
    mesh.cluster.shutdown().await.unwrap();
    assert!(!pids.iter().any(|&pid| exists(pid)));
}

#[tokio::test]
async fn severed_link_is_not_bypassed_by_gossiped_addresses() {
    let mesh = start(0).await;
    let mut us = mesh.client("us").await;
    let mut eu = mesh.subscriber("eu", &mut us).await;
    let mut ap = mesh.client("ap").await;
    ap.subscribe("test.>").await;
    reach(&mut us, &mut ap).await;
    us.publish("test.a", "start").await;
    while eu.next().await != "start" {}

    mesh.cluster.sever_between("us", "eu").unwrap();
    // By gossip, us may know what eu says of itself, which is a dead end, and how ap reaches eu.
    // Which of them it has learned depends on who came up first; each dial is a chance to get by.
    let ports = |region: &str| mesh.cluster.region(region).unwrap().ports();
    let gossiped = [ports("eu").gateway_dead_end, ports("ap").links[0]]
        .map(|port| format!("gateway \"eu\" (127.0.0.1:{port})"));
    let dials = || mesh.log("us").matches("Connecting to explicit gateway \"eu\"").count();
    let (before, mut published) = (dials(), 0);
    eventually("us dialled eu often, a gossiped address among them", async || {
        us.publish("test.a", "during").await;
        published += 1;
        let is_known = gossiped.iter().any(|address| mesh.log("us").contains(address));
        is_known && dials() >= before + 4
    })
    .await;
    for _ in 0..published {
        while ap.next().await != "during" {}
    }
    assert_eq!(eu.messages_until_pong().await, Vec::<String>::new());

    mesh.cluster.heal_between("us", "eu").unwrap();
    reach(&mut us, &mut eu).await;
}

#[tokio::test]
async fn killed_region_returns_and_the_others_go_on() {
    let mut mesh = start(0).await;
    let mut us = mesh.client("us").await;
    let mut ap = mesh.subscriber("ap", &mut us).await;
    let old_pid = mesh.cluster.region("eu").unwrap().server().pid().unwrap();

    mesh.cluster.kill_region("eu").await.unwrap();
    assert!(!exists(old_pid));
    us.publish("test.a", "without eu").await;
    assert_eq!(ap.next().await, "without eu");

    mesh.cluster.restart_region("eu").await.unwrap();
    mesh.cluster.wait_gateways_ready().await.unwrap();
    assert_ne!(mesh.cluster.region("eu").unwrap().server().pid(), Some(old_pid));
    mesh.subscriber("eu", &mut us).await;
    mesh.cluster.wait_jetstream_ready().await.unwrap();
}

#[tokio::test]
async fn server_that_dies_by_itself_is_reported_and_a_stopped_one_is_not() {
    let mut mesh = start(0).await;
    mesh.cluster.kill_region("ap").await.unwrap();
    let pid = mesh.cluster.region("us").unwrap().server().pid().unwrap();
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let error = mesh.cluster.exited().await;
    assert!(matches!(&error, Error::Exited { name, .. } if name == "nats-server us-1"), "{error}");
}

#[tokio::test]
async fn paused_server_is_silent_and_answers_after_resume() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Supercluster::start(options(&["eu"], &directory, 0)).await.unwrap();
    let mut client = PlainClient::connect(&cluster.regions()[0]).await;
    client.subscribe("test.>").await;
    cluster.regions()[0].server().pause().unwrap();
    client.publish("test.a", "frozen").await;
    let silent = tokio::time::timeout(Duration::from_millis(300), client.next()).await;
    assert!(silent.is_err());
    cluster.regions()[0].server().resume().unwrap();
    assert_eq!(client.next().await, "frozen");
    cluster.wait_jetstream_ready().await.unwrap();
    cluster.shutdown().await.unwrap();
}

#[tokio::test]
async fn stranger_on_the_port_is_not_mistaken_for_the_server_and_the_error_names_the_port() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&["eu"], &directory, 0);
    let port = options.ports.regions()[0].nats_client;
    let stranger = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = stranger.accept().await.unwrap();
            stream.write_all(b"INFO {\"server_name\":\"stranger\"}\r\n").await.unwrap();
        }
    });
    let error = Supercluster::start(options).await.unwrap_err();
    assert!(matches!(error, Error::Exited { .. }), "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn impossible_meshes_are_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let names: [&[&str]; 4] = [&[], &["eu", "eu"], &["EU"], &["e.u"]];
    for regions in names {
        let mut wanted = options(&["one", "two"], &directory, 0);
        wanted.regions = regions.iter().map(ToString::to_string).collect();
        let error = Supercluster::start(wanted).await.unwrap_err();
        assert!(matches!(error, Error::InvalidMesh { .. }), "{error}");
    }
    let mut wanted = options(&["eu", "us"], &directory, 80);
    wanted.links = Links::Direct;
    assert!(matches!(Supercluster::start(wanted).await, Err(Error::InvalidMesh { .. })));
    let mut wanted = options(&["eu"], &directory, 0);
    wanted.nats_server = Some("/no/such/nats-server".into());
    let text = Supercluster::start(wanted).await.unwrap_err().to_string();
    assert!(text.contains("/no/such/nats-server") && text.contains("make tools"), "{text}");
}

#[tokio::test]
async fn direct_links_work_and_are_not_links() {
    let directory = tempfile::tempdir().unwrap();
    let mut wanted = options(&["eu", "us"], &directory, 0);
    wanted.links = Links::Direct;
    wanted.websocket = NatsWebSocket::On;
    let cluster = Supercluster::start(wanted).await.unwrap();
    let mesh = Mesh { cluster, directory };
    let mut us = mesh.client("us").await;
    mesh.subscriber("eu", &mut us).await;
    let websocket = mesh.cluster.regions()[0].ports().nats_websocket;
    TcpStream::connect(("127.0.0.1", websocket)).await.unwrap();
    assert!(matches!(mesh.cluster.cut_between("eu", "us"), Err(Error::Unknown { .. })));
    assert!(matches!(mesh.cluster.region("ap"), Err(Error::Unknown { .. })));
}

/// Futures that callers may want to spawn.
#[allow(dead_code)]
fn futures_can_be_spawned(options: SuperclusterOptions, cluster: &mut Supercluster) {
    fn spawnable(_: impl Send) {}
    spawnable(Supercluster::start(options));
    spawnable(cluster.restart_region("eu"));
}
