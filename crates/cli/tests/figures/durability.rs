//! The load generator on a durable namespace: what `make bench` compares is whole there, too. What
//! durability costs is measured by `make bench ARGS='--only durable-20,…'`, not here.

use crate::figure::Size;
use crate::load::{REGIONS, mesh, plain};
use meridian_bench::{
    LoadOptions, Processes, Target, Tracing, run_fanout, run_unicast, wait_until_subscribable,
};
use std::time::Duration;

const SUBJECT: &str = "orders.bench";

#[tokio::test]
async fn the_load_generator_loses_nothing_on_a_durable_namespace() {
    let mut mesh = mesh(1, plain).await;
    let home = REGIONS[0];
    let target = Target::Meridian {
        url: mesh.urls(home)[0].clone(),
        publish_url: mesh.nats.region(home).unwrap().nats_url(),
    };
    wait_until_subscribable(&target, SUBJECT, Duration::from_secs(60)).await.unwrap();
    let processes = Processes {
        server: mesh.edge_mut(home, 0).pid(),
        nats_beside: mesh.nats.region(home).unwrap().server().pid(),
    };
    let load = LoadOptions {
        target,
        processes,
        subject: SUBJECT.into(),
        sockets: Size::from_environment().pick(20, 200),
        rate_per_s: 100,
        warm_up: Duration::from_millis(200),
        duration: Duration::from_secs(1),
        payload_bytes: 128,
        receiver_threads: 1,
        tracing: Tracing::Silent,
    };
    for report in [run_fanout(&load).await.unwrap(), run_unicast(&load).await.unwrap()] {
        let traffic = report.traffic.unwrap();
        assert_eq!((traffic.lost, traffic.duplicated, traffic.late), (0, 0, 0), "{traffic:?}");
        assert!(traffic.gaps_told == 0 && traffic.sockets_closed == 0, "{traffic:?}");
    }
}
