//! Every panel shows something of a real mesh under load.

use crate::dashboards::queries;
use crate::load::Load;
use crate::prometheus::{Prometheus, Targets};
use meridian_edge::Config;
use meridian_testkit::{DEADLINE, TestMesh, TestMeshOptions, with_orders, within};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How often panels that were empty are looked at again: more often than Prometheus scrapes.
const POLL: Duration = Duration::from_millis(250);

/// `meridian nats-exporter` for one server. Ends when it is dropped.
async fn exporter(monitor: SocketAddr) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(["nats-exporter", "--listen", "127.0.0.1:0", "--server", &monitor.to_string()])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = within("the exporter listens", lines.next_line()).await.unwrap().unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.strip_suffix("/metrics").unwrap().parse().unwrap();
    (child, address)
}

fn configure(config: &mut Config) {
    with_orders(config);
    config.metrics.capacity_memory_bytes = 1 << 30;
    config.metrics.capacity_egress_bytes_per_s = 1 << 20;
}

#[tokio::test]
async fn every_panel_shows_data_of_real_edges_and_servers_under_load() {
    let mesh = TestMesh::durable(TestMeshOptions { configure, ..TestMeshOptions::default() }).await;
    let regions: Vec<String> =
        mesh.nats.regions().iter().map(|region| region.name().into()).collect();
    let (mut edges, mut exporters, mut children) = (Vec::new(), Vec::new(), Vec::new());
    for region in mesh.nats.regions() {
        let name = region.name().to_owned();
        let (child, address) = exporter(region.monitor_address()).await;
        children.push(child);
        exporters.push((name.clone(), address));
        edges.push((name.clone(), mesh.edge(&name).admin()));
    }
    let prometheus = Prometheus::start(&Targets { edges, exporters }).await;
    let _load = Load::start(&mesh, &regions).await;
    let mut empty = queries();
    assert!(empty.len() > 50, "the dashboards are there");
    let deadline = Instant::now() + DEADLINE;
    while !empty.is_empty() && Instant::now() < deadline {
        let mut still = Vec::new();
        for query in empty {
            if prometheus.series(&query.filled()).await == 0 {
                still.push(query);
            }
        }
        empty = still;
        sleep(POLL).await;
    }
    assert!(empty.is_empty(), "{} queries show nothing: {empty:#?}", empty.len());
}
