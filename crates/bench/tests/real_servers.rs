//! Whole runs against a real floor and a real nats-server, small and short: what is counted, not
//! how fast.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::time::{Duration, Instant};

use meridian_bench::floor::Floor;
use meridian_bench::{
    Error, IdleOptions, LoadOptions, Processes, Report, Target, Tracing, run_fanout, run_idle,
    run_unicast,
};
use meridian_local::{NatsServer, NatsServerOptions, PortBlock, find_nats_server};

struct Nats {
    server: NatsServer,
    websocket_port: u16,
    client_port: u16,
    _files: tempfile::TempDir,
    _ports: PortBlock,
}

impl Nats {
    async fn start() -> Self {
        let ports = PortBlock::claim().unwrap();
        let (client_port, websocket_port) = (ports.ports().start, ports.ports().start + 1);
        let files = tempfile::tempdir().unwrap();
        let config_path = files.path().join("nats.conf");
        write_config(&config_path, client_port, websocket_port);
        let server = NatsServer::start(NatsServerOptions {
            binary: find_nats_server().unwrap(),
            config_path,
            log_path: files.path().join("nats.log"),
            client_port,
            server_name: "bench".into(),
        })
        .await
        .unwrap();
        Self { server, websocket_port, client_port, _files: files, _ports: ports }
    }

    fn target(&self, login: &str) -> Target {
        Target::NatsWebSocket {
            url: format!("ws://{login}@127.0.0.1:{}/", self.websocket_port),
            publish_url: format!("nats://edge:edge@127.0.0.1:{}", self.client_port),
        }
    }
}

fn write_config(path: &Path, client_port: u16, websocket_port: u16) {
    let text = format!(
        "server_name: bench\nlisten: \"127.0.0.1:{client_port}\"\n\
         authorization {{ user: edge, password: edge }}\n\
         websocket {{ listen: \"127.0.0.1:{websocket_port}\", no_tls: true }}\n"
    );
    std::fs::write(path, text).unwrap();
}

fn floor() -> Target {
    let floor = Floor::bind().unwrap();
    let (sockets, control) = floor.addresses().unwrap();
    std::thread::spawn(move || floor.serve());
    Target::Floor { sockets: sockets.to_string(), control: control.to_string() }
}

fn options(target: Target, server: Option<u32>) -> LoadOptions {
    LoadOptions {
        target,
        processes: Processes { server, nats_beside: None },
        subject: "demo.bench".into(),
        sockets: 20,
        rate_per_s: 500,
        warm_up: Duration::from_millis(100),
        duration: Duration::from_millis(400),
        payload_bytes: 128,
        receiver_threads: 2,
        tracing: Tracing::Silent,
    }
}

fn assert_complete(report: &Report) {
    let traffic = report.traffic.as_ref().unwrap();
    assert!(traffic.expected > 0 && traffic.deliveries > 0, "{report:?}");
    assert_eq!((traffic.lost, traffic.duplicated, traffic.late), (0, 0, 0), "{report:?}");
    assert_eq!((traffic.gaps_told, traffic.sockets_closed), (0, 0), "{report:?}");
    let latency = traffic.latency_us;
    assert!(latency.p50 > 0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max);
}

#[tokio::test]
async fn floor_delivers_everything_once_in_fanout_and_unicast() {
    let target = floor();
    assert_complete(&run_fanout(&options(target.clone(), None)).await.unwrap());
    assert_complete(&run_unicast(&options(target, None)).await.unwrap());
}

#[tokio::test]
async fn nats_server_delivers_everything_once_and_its_cost_is_seen() {
    let nats = Nats::start().await;
    let options = options(nats.target("edge:edge"), nats.server.pid());
    let fanout = run_fanout(&options).await.unwrap();
    assert_complete(&fanout);
    assert!(fanout.server.is_some() && fanout.memory.is_some());
    assert_complete(&run_unicast(&options).await.unwrap());
}

#[tokio::test]
async fn messages_that_say_something_of_their_trace_are_counted_like_others() {
    let nats = Nats::start().await;
    for tracing in [Tracing::Unsampled, Tracing::Every(2)] {
        let options = LoadOptions { tracing, ..options(nats.target("edge:edge"), None) };
        assert_complete(&run_fanout(&options).await.unwrap());
    }
}

#[tokio::test]
async fn large_payloads_that_no_single_read_holds_are_counted_once() {
    let nats = Nats::start().await;
    let options = LoadOptions {
        payload_bytes: 512 * 1024,
        rate_per_s: 40,
        sockets: 3,
        ..options(nats.target("edge:edge"), None)
    };
    assert_complete(&run_fanout(&options).await.unwrap());
    assert_complete(&run_fanout(&LoadOptions { target: floor(), ..options }).await.unwrap());
}

#[tokio::test]
async fn idle_memory_is_measured_for_a_server_and_refused_for_a_floor() {
    let nats = Nats::start().await;
    let idle = |target| IdleOptions {
        target,
        processes: Processes { server: nats.server.pid(), nats_beside: None },
        subject: "demo.bench".into(),
        sockets: 50,
        receiver_threads: 1,
    };
    let report = run_idle(&idle(nats.target("edge:edge"))).await.unwrap();
    assert!(report.memory.unwrap().after_kb > 0);
    assert!(report.traffic.is_none());
    assert!(matches!(run_idle(&idle(floor())).await, Err(Error::Options(_))));
}

#[tokio::test]
async fn wrong_password_is_told_in_the_servers_words() {
    let nats = Nats::start().await;
    let error = run_fanout(&options(nats.target("edge:wrong"), None)).await.unwrap_err();
    assert!(error.to_string().contains("Authorization Violation"), "{error}");
}

#[tokio::test]
async fn server_that_ends_during_a_run_is_an_error_not_a_figure() {
    let mut nats = Nats::start().await;
    let descriptors = format!("/proc/{}/fd", nats.server.pid().unwrap());
    let open = || std::fs::read_dir(&descriptors).unwrap().count();
    let idle_open = open();
    let long = LoadOptions {
        duration: Duration::from_secs(60),
        ..options(nats.target("edge:edge"), nats.server.pid())
    };
    let run = tokio::spawn(async move { run_fanout(&long).await });
    let deadline = Instant::now() + Duration::from_secs(30);
    // Twenty sockets and the publisher, less the probe that asked whether the server is ready: its
    // descriptor may have been counted above.
    while open() < idle_open + 20 {
        assert!(Instant::now() < deadline, "the sockets did not open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    nats.server.kill().await.unwrap();
    assert!(run.await.unwrap().is_err());
}
