//! Streams come to be, are left alone, change in place, and go only when that is confirmed.

use meridian_nats::streams::{Confirm, Error};
use serde_json::{Value, json};

use crate::mesh::{Mesh, REGIONS, eventually, next, orders};

/// A stream's configuration, by a client that is not ours.
async fn config(client: &async_nats::Client, stream: &str) -> Value {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let answer = client.request(subject, "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&answer.payload).unwrap();
    let mut config = info["config"].clone();
    config["placed in"] = info["cluster"]["name"].clone();
    config
}

#[tokio::test]
async fn streams_are_made_right_after_a_start_and_then_only_changed_in_place() {
    let mesh = Mesh::start().await;
    let applied = mesh.apply(&orders()).await;
    assert_eq!(applied.created, ["ORDERS_1", "ORDERS_1_us", "ORDERS_1_ap"]);
    let client = mesh.client("us").await;
    let home = config(&client, "ORDERS_1").await;
    assert_eq!((&home["placed in"], &home["subjects"]), (&json!("eu"), &json!(["orders.>"])));
    for region in ["us", "ap"] {
        let mirror = config(&client, &format!("ORDERS_1_{region}")).await;
        assert_eq!(mirror["placed in"], region);
        assert_eq!(mirror["mirror"]["name"], "ORDERS_1");
        let epoch = "meridian.epoch";
        assert_eq!(mirror["metadata"][epoch], home["metadata"][epoch]);
    }
    let again = mesh.plan(&orders(), &REGIONS).await;
    assert!(again.is_empty(), "{again}");

    mesh.publish_first(&client, "orders.us.1").await;
    mesh.caught_up().await;
    let mut shorter = orders();
    (shorter.max_age_s, shorter.max_messages_per_subject) = (3_600, 50);
    let applied = mesh.apply(&shorter).await;
    assert_eq!(applied.updated.len(), 3);
    for stream in ["ORDERS_1", "ORDERS_1_us", "ORDERS_1_ap"] {
        let config = config(&client, stream).await;
        assert_eq!(config["max_age"], json!(3_600_000_000_000_u64), "{stream}");
        assert_eq!(config["max_msgs_per_subject"], 50, "{stream}");
        assert!(mesh.status(stream).await.messages > 0, "{stream}");
    }
    assert!(mesh.plan(&shorter, &REGIONS).await.is_empty());

    let without_ap = mesh.plan(&shorter, &["eu", "us"]).await;
    let refused = mesh.streams.apply(&without_ap, Confirm::No).await.unwrap_err();
    assert!(matches!(refused, Error::NotConfirmed { streams } if streams == "ORDERS_1_ap"));
    assert!(mesh.status("ORDERS_1_ap").await.messages > 0);
    let applied = mesh.streams.apply(&without_ap, Confirm::Yes).await.unwrap();
    assert_eq!(applied.deleted, ["ORDERS_1_ap"]);
    let gone = mesh.streams.copy_status("ORDERS_1_ap").await.unwrap_err();
    assert!(matches!(gone, Error::Missing { stream } if stream == "ORDERS_1_ap"));
    assert!(mesh.plan(&shorter, &["eu", "us"]).await.is_empty());
}

#[tokio::test]
async fn plain_messages_are_mirrored_and_republished_with_their_origins_sequences() {
    let mesh = Mesh::start().await;
    mesh.apply(&orders()).await;
    let (us, ap) = (mesh.client("us").await, mesh.client("ap").await);
    let mut live = ap.subscribe("_mrd.reg.ap.orders.>").await.unwrap();
    ap.flush().await.unwrap();
    mesh.publish_first(&us, "orders.a").await;
    for number in 0..20 {
        let subject = if number % 2 == 0 { "orders.b" } else { "orders.a" };
        us.publish(subject, number.to_string().into()).await.unwrap();
    }
    us.flush().await.unwrap();
    // The first messages may be several, and some may have come before the mirror's interest.
    let (mut expected, mut last_of) = (None, std::collections::BTreeMap::new());
    for _ in 0..21 {
        let message = next(&mut live).await;
        let headers = message.headers.clone().unwrap();
        let number = |name: &str| headers.get(name).unwrap().as_str().parse::<u64>().unwrap();
        assert_eq!(headers.get("Nats-Stream").unwrap().as_str(), "ORDERS_1_ap");
        let subject = headers.get("Nats-Subject").unwrap().as_str().to_owned();
        assert_eq!(message.subject.as_str(), format!("_mrd.reg.ap.{subject}"));
        let sequence = number("Nats-Sequence");
        assert_eq!(*expected.get_or_insert(sequence), sequence);
        let last = last_of.insert(subject, sequence);
        assert_eq!(number("Nats-Last-Sequence"), last.unwrap_or_default());
        expected = Some(sequence + 1);
    }
    mesh.caught_up().await;
    let status = mesh.status("ORDERS_1_ap").await;
    assert_eq!((status.region.as_str(), status.mirror_lag), ("ap", Some(0)));
    assert!(status.mirror_active_ms.is_some());
    let home = mesh.status("ORDERS_1").await;
    assert_eq!((home.mirror_lag, home.mirror_active_ms), (None, None));
    assert_eq!(status.epoch, home.epoch);
    assert_eq!(status.last_seq, home.last_seq);
    assert!(home.messages >= 21);
    // The mirror reads home by a consumer that does not count.
    assert_eq!((home.consumers, status.consumers), (0, 0));
}

#[tokio::test]
async fn a_new_mirror_tells_nobody_of_what_was_stored_before() {
    let mesh = Mesh::start().await;
    let without_ap = mesh.plan(&orders(), &["eu", "us"]).await;
    mesh.streams.apply(&without_ap, Confirm::No).await.unwrap();
    let client = mesh.client("us").await;
    mesh.publish_first(&client, "orders.old").await;
    for _ in 0..500 {
        client.publish("orders.old", "old".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    eventually("all is stored", async || mesh.status("ORDERS_1").await.messages > 500).await;
    let ap = mesh.client("ap").await;
    let mut live = ap.subscribe("_mrd.reg.ap.orders.>").await.unwrap();
    ap.flush().await.unwrap();

    let applied = mesh.apply(&orders()).await;
    assert_eq!(applied.created, ["ORDERS_1_ap"]);
    let (home, copy) = (mesh.status("ORDERS_1").await, mesh.status("ORDERS_1_ap").await);
    assert_eq!((copy.last_seq, &copy.epoch), (home.last_seq, &home.epoch), "it is filled");
    assert!(mesh.plan(&orders(), &REGIONS).await.is_empty());
    client.publish("orders.new", "new".into()).await.unwrap();
    let first = next(&mut live).await;
    assert_eq!(first.subject.as_str(), "_mrd.reg.ap.orders.new");
}
