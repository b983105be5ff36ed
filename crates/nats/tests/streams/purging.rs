//! A purge reaches every region, and positions from before it are not taken for good.

use std::collections::BTreeSet;

use meridian_nats::streams::{Confirm, Error};

use crate::mesh::{Mesh, REGIONS, eventually, orders, purge};

const COPIES: [&str; 3] = ["ORDERS_1", "ORDERS_1_us", "ORDERS_1_ap"];

async fn publish(client: &async_nats::Client, subject: &'static str, count: u64) {
    for number in 0..count {
        client.publish(subject, number.to_string().into()).await.unwrap();
    }
    client.flush().await.unwrap();
}

#[tokio::test]
async fn purge_erases_every_copy_and_changes_every_epoch() {
    let mesh = Mesh::start().await;
    mesh.apply(&orders()).await;
    let client = mesh.client("us").await;
    mesh.publish_first(&client, "orders.keep").await;
    publish(&client, "orders.erase.1", 30).await;
    eventually("all is stored", async || mesh.status("ORDERS_1").await.messages > 30).await;
    mesh.caught_up().await;
    let before = mesh.status("ORDERS_1").await;

    let refused = purge(&mesh.streams, None, Confirm::No).await.unwrap_err();
    assert!(matches!(refused, Error::NotConfirmed { .. }), "{refused}");
    let elsewhere = purge(&mesh.streams, Some("other.>"), Confirm::Yes).await.unwrap_err();
    assert!(matches!(elsewhere, Error::Invalid { .. }), "{elsewhere}");
    assert_eq!(mesh.status("ORDERS_1").await, before);

    let mut epochs = BTreeSet::from([before.epoch.clone()]);
    let report = purge(&mesh.streams, Some("orders.erase.*"), Confirm::Yes).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    for (copy, stream) in report.copies.iter().zip(COPIES) {
        assert_eq!((copy.stream.as_str(), copy.messages), (stream, 30));
        let status = mesh.status(stream).await;
        assert_eq!(status.messages, before.messages - 30, "{stream}");
        assert_eq!(status.last_seq, before.last_seq, "{stream}");
        assert_eq!(status.epoch.as_ref(), Some(&report.epoch), "{stream}");
    }
    assert!(epochs.insert(Some(report.epoch)));

    let report = purge(&mesh.streams, None, Confirm::Yes).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    for stream in COPIES {
        let status = mesh.status(stream).await;
        assert_eq!((status.messages, status.last_seq), (0, before.last_seq), "{stream}");
        assert_eq!(status.epoch.as_ref(), Some(&report.epoch), "{stream}");
    }
    assert!(epochs.insert(Some(report.epoch)));
    let plan = mesh.plan(&orders(), &REGIONS).await;
    assert!(plan.is_empty(), "{plan}");

    // Life goes on behind the old sequences, in every region.
    publish(&client, "orders.new", 5).await;
    eventually("new messages", async || mesh.status("ORDERS_1").await.messages == 5).await;
    mesh.caught_up().await;
    for stream in COPIES {
        let status = mesh.status(stream).await;
        assert_eq!(status.last_seq, before.last_seq + 5, "{stream}");
        assert_eq!(status.messages, 5, "{stream}");
    }
}
