//! A region that does not answer is not taken for one that has no streams.

use meridian_nats::streams::{Confirm, Error};

use crate::mesh::{Mesh, orders, purge};

/// The server gathers a list for about 4 s before it says who is silent. If the region that is
/// killed had the meta leader, another is elected first, which takes about as long again.
const LIST_PATIENCE_MS: u64 = 20_000;

const PURGE_PATIENCE_MS: u64 = 1_500;

#[tokio::test]
async fn a_region_that_is_down_is_neither_planned_anew_nor_said_to_be_purged() {
    let mut mesh = Mesh::start().await;
    mesh.apply(&orders()).await;
    let client = mesh.client("eu").await;
    mesh.publish_first(&client, "orders.eu.1").await;
    mesh.caught_up().await;
    mesh.cluster.kill_region("ap").await.unwrap();

    let patient = mesh.streams.clone().with_patience_ms(LIST_PATIENCE_MS);
    let refused = patient.existing().await.unwrap_err();
    let names_it = matches!(&refused, Error::Unanswered { what, .. } if what.contains("_ap"));
    assert!(names_it, "{refused}");

    let hasty = mesh.streams.clone().with_patience_ms(PURGE_PATIENCE_MS);
    let report = purge(&hasty, None, Confirm::Yes).await.unwrap();
    assert!(!report.is_complete(), "{report:?}");
    let failed: Vec<bool> = report.copies.iter().map(|copy| copy.failure.is_some()).collect();
    assert_eq!(failed, [false, false, true]);
    for stream in ["ORDERS_1", "ORDERS_1_us"] {
        let status = mesh.status(stream).await;
        assert_eq!((status.messages, status.epoch.as_ref()), (0, Some(&report.epoch)), "{stream}");
    }
}
