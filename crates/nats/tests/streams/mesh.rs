//! A supercluster, with the streams of one namespace and plain NATS clients on it.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use meridian_local::{
    APP_USER, EdgeUsers, Links, MeshPorts, NatsWebSocket, Supercluster, SuperclusterOptions,
};
use meridian_nats::streams::{
    Applied, Confirm, CopyStatus, DurableNamespace, Error, Plan, PurgeReport, Streams, plan,
};
use meridian_nats::{Control, ControlOptions};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// Only a failure takes this long; the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// Unix time does not matter here; every plan has a later one.
const NOW_S: u64 = 1_764_000_000;

/// A running mesh, and its directory, which must go after it.
pub(crate) struct Mesh {
    pub(crate) cluster: Supercluster,
    /// Over a connection in `eu`.
    pub(crate) streams: Streams,
    _directory: TempDir,
}

pub(crate) fn orders() -> DurableNamespace {
    DurableNamespace {
        name: "orders".into(),
        pattern: "orders.>".into(),
        stream: "ORDERS".into(),
        epoch: 1,
        home: "eu".into(),
        home_stream: None,
        replicas: 1,
        max_age_s: 86_400,
        max_messages_per_subject: 0,
        max_bytes: 64 << 20,
        duplicate_window_s: 120,
    }
}

pub(crate) fn regions(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

pub(crate) async fn streams_at(url: &str) -> Streams {
    let servers = vec![url.parse().unwrap()];
    let options = ControlOptions { servers, name: "test".into(), edge_id: "test".into() };
    Streams::new(&Control::connect(options).await.unwrap())
}

impl Mesh {
    /// Servers and gateways stand; JetStream need not have a meta leader yet.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = Supercluster::start(SuperclusterOptions {
            regions: regions(&REGIONS),
            ports: MeshPorts::claimed(REGIONS.len(), 0).unwrap(),
            state_dir: directory.path().to_path_buf(),
            rtt_ms: 0,
            links: Links::Direct,
            websocket: NatsWebSocket::Off,
            edge_users: EdgeUsers::Open,
            nats_server: None,
        })
        .await
        .unwrap();
        let streams = streams_at(&cluster.region("eu").unwrap().nats_url()).await;
        Self { cluster, streams, _directory: directory }
    }

    pub(crate) async fn plan(&self, namespace: &DurableNamespace, names: &[&str]) -> Plan {
        let existing = self.streams.existing().await.unwrap();
        plan(std::slice::from_ref(namespace), &existing, &regions(names), NOW_S).unwrap()
    }

    /// Plans for all regions, and applies what destroys nothing.
    pub(crate) async fn apply(&self, namespace: &DurableNamespace) -> Applied {
        let plan = self.plan(namespace, &REGIONS).await;
        self.streams.apply(&plan, Confirm::No).await.unwrap()
    }

    pub(crate) async fn status(&self, stream: &str) -> CopyStatus {
        self.streams.copy_status(stream).await.unwrap()
    }

    /// Waits until all mirrors hold what home holds.
    pub(crate) async fn caught_up(&self) {
        let home = self.status("ORDERS_1").await;
        for mirror in ["ORDERS_1_us", "ORDERS_1_ap"] {
            eventually(mirror, async || {
                let mirror = self.status(mirror).await;
                let is_even = (mirror.last_seq, mirror.messages) == (home.last_seq, home.messages);
                is_even && mirror.mirror_lag == Some(0)
            })
            .await;
        }
    }

    pub(crate) async fn client(&self, region: &str) -> Client {
        let address = self.cluster.region(region).unwrap().nats_address().to_string();
        let (user, password) = APP_USER;
        let options = async_nats::ConnectOptions::with_user_and_password;
        options(user.into(), password.into()).connect(address).await.unwrap()
    }

    /// Publishes plainly, until the home stream has stored one message: interest in a new stream
    /// takes a moment to reach the other regions.
    pub(crate) async fn publish_first(&self, client: &Client, subject: &str) {
        eventually("the first message is stored", async || {
            client.publish(subject.to_owned(), "first".into()).await.unwrap();
            client.flush().await.unwrap();
            sleep(POLL).await;
            self.status("ORDERS_1").await.messages > 0
        })
        .await;
    }
}

pub(crate) async fn purge(
    streams: &Streams,
    filter: Option<&str>,
    confirm: Confirm,
) -> Result<PurgeReport, Error> {
    streams.purge(&orders(), &regions(&REGIONS), filter, NOW_S, confirm).await
}

pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(POLL).await;
    }
}

pub(crate) async fn next(subscriber: &mut Subscriber) -> Message {
    timeout(DEADLINE, subscriber.next()).await.expect("a message in time").unwrap()
}
