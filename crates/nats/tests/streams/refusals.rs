//! Each thing that can be in the way is told by its own error.

use meridian_local::SYSTEM_USER;
use meridian_nats::streams::{Confirm, Error, plan};
use serde_json::json;

use crate::mesh::{Mesh, REGIONS, orders, regions, streams_at};

/// Long enough for a busy machine, and shorter than a person would wait.
const PATIENCE_MS: u64 = 1_500;

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let mut mesh = Mesh::start().await;
    mesh.cluster.wait_jetstream_ready().await.unwrap();
    let client = mesh.client("eu").await;
    let strange = json!({"name": "STRANGE", "subjects": ["orders.eu.*"]}).to_string();
    client.request("$JS.API.STREAM.CREATE.STRANGE", strange.into()).await.unwrap();
    let existing = mesh.streams.existing().await.unwrap();
    let known = plan(&[orders()], &existing, &regions(&REGIONS), 1).unwrap_err();
    assert!(matches!(known, Error::Overlap { stream, .. } if stream == "STRANGE"));
    // It came between the plan and its application.
    let unaware = plan(&[orders()], &[], &regions(&REGIONS), 1).unwrap();
    let refused = mesh.streams.apply(&unaware, Confirm::Yes).await.unwrap_err();
    assert!(matches!(&refused, Error::Overlap { pattern, .. } if pattern == "orders.>"));
    client.request("$JS.API.STREAM.DELETE.STRANGE", "".into()).await.unwrap();

    let hasty = mesh.streams.clone().with_patience_ms(PATIENCE_MS);
    let mut nowhere = orders();
    nowhere.home = "mars".into();
    let unplaced = plan(&[nowhere], &[], &regions(&["mars"]), 1).unwrap();
    let refused = hasty.apply(&unplaced, Confirm::No).await.unwrap_err();
    assert!(matches!(&refused, Error::NoPeers { cluster, .. } if cluster == "mars"), "{refused}");
    let mut many = orders();
    many.replicas = 3;
    let unplaced = plan(&[many], &[], &regions(&["eu"]), 1).unwrap();
    let refused = hasty.apply(&unplaced, Confirm::No).await.unwrap_err();
    assert!(matches!(&refused, Error::NoPeers { replicas: 3, .. }), "{refused}");

    let (user, password) = SYSTEM_USER;
    let address = mesh.cluster.region("eu").unwrap().nats_address();
    let system = streams_at(&format!("nats://{user}:{password}@{address}")).await;
    let refused = system.with_patience_ms(PATIENCE_MS).existing().await.unwrap_err();
    assert!(matches!(refused, Error::NoJetStream), "{refused}");

    for region in ["us", "ap"] {
        mesh.cluster.kill_region(region).await.unwrap();
    }
    crate::mesh::eventually("the meta leader is missed", async || {
        let refused = hasty.apply(&unaware, Confirm::No).await;
        matches!(refused, Err(Error::NoMetaLeader { .. }))
    })
    .await;
    mesh.cluster.kill_region("eu").await.unwrap();
    crate::mesh::eventually("the connection is missed", async || {
        matches!(hasty.existing().await, Err(Error::Connection(_)))
    })
    .await;
}
