//! OTLP to a receiver that is not ours: rotel stores what edges send, and an edge without its
//! receiver goes on.

use meridian_client::{Client, Options};
use meridian_client::{PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_edge::Config;
use meridian_edge::config::OtlpProtocol;
use meridian_local::MeshPorts;
use meridian_testkit::{
    RunningEdge, Scrape, TestMesh, config_for, eventually, next_message, program,
};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What begins each export in rotel's log.
const EXPORT: &str = "ResourceMetrics #0";

/// Exports that fail before the receiver comes back.
const FAILURES: f64 = 5.0;

/// What a process may grow by while nobody takes its exports: more than its allocator keeps, less
/// than a leak of connections or channels would be after a day.
const GROWTH_BYTES_MAX: f64 = 16.0 * 1024.0 * 1024.0;

/// A receiver on two ports of loopback. Ends when it is dropped.
struct Rotel {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Rotel {
    fn start(grpc: u16, http: u16) -> Self {
        let mut child = Command::new(program("rotel"))
            .arg("start")
            .args(["--exporter", "blackhole"])
            .args(["--debug-log", "metrics", "--debug-log-verbosity", "detailed"])
            .arg(format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"))
            .arg(format!("--otlp-http-endpoint=127.0.0.1:{http}"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (seen, stdout) = (Arc::clone(&lines), child.stdout.take().unwrap());
        tokio::spawn(async move {
            let mut stdout = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = stdout.next_line().await {
                seen.lock().unwrap().push(line.trim().to_owned());
            }
        });
        Self { child, lines }
    }

    fn count(&self, line: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|seen| *seen == line).count()
    }

    /// The values of a metric in the last export that has any.
    fn values(&self, metric: &str) -> Vec<f64> {
        let (name, lines) = (format!("-> Name: {metric}"), self.lines.lock().unwrap());
        let Some(start) = lines.iter().rposition(|line| *line == name) else { return Vec::new() };
        let of_metric = lines[start + 1..].iter().take_while(|line| !line.starts_with("-> Name: "));
        let values = of_metric.filter_map(|line| {
            line.strip_prefix("Value: ").or(line.strip_prefix("Count: "))?.parse().ok()
        });
        values.collect()
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn exports(scrape: &Scrape, outcome: &str) -> f64 {
    scrape.sum("meridian_otlp_exports_total", &[&format!("outcome=\"{outcome}\"")])
}

async fn edge_with(mesh: &TestMesh, port: u16, protocol: OtlpProtocol) -> RunningEdge {
    let url = mesh.nats.region("eu").unwrap().nats_edge_url();
    let mut config: Config = config_for("eu-otlp", "eu", &["eu".into()], &url);
    config.metrics.otlp_endpoint = format!("http://127.0.0.1:{port}");
    config.metrics.otlp_protocol = protocol;
    config.metrics.otlp_interval_s = 1;
    RunningEdge::start(config).await
}

#[tokio::test]
async fn a_foreign_receiver_stores_what_happened_over_grpc_and_http() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let ports = MeshPorts::claimed(1, 1).unwrap();
    let ports = ports.regions()[0].edges[0];
    let (grpc, http) = (ports.public, ports.admin);
    for (protocol, port) in [(OtlpProtocol::Grpc, grpc), (OtlpProtocol::Http, http)] {
        let rotel = Rotel::start(grpc, http);
        let edge = edge_with(&mesh, port, protocol).await;
        let client = Client::connect(&edge.url(), Options::default()).await.unwrap();
        let mut live = client.subscribe("demo.a", SubscribeOptions::default()).await.unwrap();
        let payload = PayloadBuf::text("hi");
        client.publish("demo.a", payload, PublishOptions::default()).await.unwrap();
        next_message(&mut live).await;
        eventually("the receiver has the connection and the delivery", async || {
            rotel.values("meridian.connections").iter().sum::<f64>() == 1.0
                && rotel.values("meridian.deliveries").iter().sum::<f64>() == 1.0
                && rotel.values("meridian.delivery.latency").iter().sum::<f64>() >= 1.0
        })
        .await;
        for line in [
            "-> service.name: Str(meridian-edge)",
            "-> service.instance.id: Str(eu-otlp)",
            "-> cloud.region: Str(eu)",
            "-> transport: Str(websocket)",
        ] {
            assert!(rotel.count(line) > 0, "{line}");
        }
        drop(client);
        edge.stop().await;
        rotel.kill().await;
    }
}

#[tokio::test]
async fn an_edge_without_its_receiver_serves_keeps_nothing_and_goes_on_when_it_is_back() {
    let mesh = TestMesh::one_region(|_| {}).await;
    let ports = MeshPorts::claimed(1, 1).unwrap();
    let ports = ports.regions()[0].edges[0];
    let rotel = Rotel::start(ports.public, ports.admin);
    let edge = edge_with(&mesh, ports.public, OtlpProtocol::Grpc).await;
    eventually("exports arrive", async || rotel.count(EXPORT) > 0).await;
    rotel.kill().await;
    let before = edge.metrics().await;
    let mut after = before.clone();
    eventually("exports fail", async || {
        after = edge.metrics().await;
        exports(&after, "failed") >= FAILURES
    })
    .await;
    let resident = |scrape: &Scrape| scrape.sum("meridian_process_resident_memory_bytes", &[]);
    let grown = resident(&after) - resident(&before);
    assert!(grown < GROWTH_BYTES_MAX, "grew by {grown} bytes");
    // Clients notice nothing.
    let client = Client::connect(&edge.url(), Options::default()).await.unwrap();
    let mut live = client.subscribe("demo.a", SubscribeOptions::default()).await.unwrap();
    client.publish("demo.a", PayloadBuf::text("hi"), PublishOptions::default()).await.unwrap();
    next_message(&mut live).await;

    let sent_before = exports(&edge.metrics().await, "sent");
    let rotel = Rotel::start(ports.public, ports.admin);
    eventually("exports arrive again", async || rotel.count(EXPORT) >= 2).await;
    // What failed was not kept: each export that arrives is one that was made since.
    let sent = exports(&edge.metrics().await, "sent") - sent_before;
    let arrived = rotel.count(EXPORT) as f64;
    assert!(arrived <= sent + 1.0, "{arrived} arrived of {sent}");
    assert_eq!(rotel.values("meridian.connections").iter().sum::<f64>(), 1.0);
}
