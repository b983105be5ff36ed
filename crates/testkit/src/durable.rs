//! A mesh with the durable namespace `orders.>`, home `eu`: its streams are made as an operator
//! makes them.

use crate::mesh::{TestMesh, TestMeshOptions};
use crate::{eventually, within};
use meridian_edge::Config;
use meridian_edge::config::{ClassName, NamespaceSection, StreamSection};
use meridian_nats::streams::{Confirm, Streams, plan};
use meridian_nats::{Control, ControlOptions};
use std::time::{SystemTime, UNIX_EPOCH};

/// Adds `orders.>` to an edge's configuration.
pub fn with_orders(config: &mut Config) {
    config.namespaces.push(NamespaceSection {
        name: "orders".into(),
        pattern: "orders.>".into(),
        class: ClassName::Durable,
        publish: true,
        request: false,
        headers: Vec::new(),
        stream: Some(StreamSection {
            name: None,
            epoch: 1,
            home: "eu".into(),
            replicas: 1,
            max_age_s: 0,
            max_messages_per_subject: 0,
            max_bytes: 0,
            duplicate_window_s: 0,
        }),
    });
}

impl TestMesh {
    /// Regions with the durable namespace, streams made, edges ready for it.
    pub async fn durable(options: TestMeshOptions) -> Self {
        assert!(options.regions.contains(&"eu".to_owned()), "eu is home");
        let mesh = Self::start(options).await;
        mesh.nats.wait_jetstream_ready().await.unwrap();
        mesh.apply_streams().await;
        mesh
    }

    /// Creates or reconciles the streams.
    pub async fn apply_streams(&self) {
        let streams = self.streams("eu").await;
        let mut config = Config::default();
        with_orders(&mut config);
        let regions: Vec<String> =
            self.nats.regions().iter().map(|region| region.name().into()).collect();
        let namespaces = config.durable_namespaces();
        let existing = streams.existing().await.unwrap();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let plan = plan(&namespaces, &existing, &regions, since_1970.as_secs()).unwrap();
        within("the streams are made", streams.apply(&plan, Confirm::No)).await.unwrap();
        for region in &regions {
            let copy = meridian_nats::streams::copy_name(&namespaces[0], region);
            eventually("the region's copy answers", async || {
                streams.copy_status(&copy).await.is_ok()
            })
            .await;
        }
    }

    /// The operator's view of the streams, from a region.
    pub async fn streams(&self, region: &str) -> Streams {
        let url = self.nats.region(region).unwrap().nats_edge_url();
        let control = Control::connect(ControlOptions {
            servers: vec![url.parse().unwrap()],
            name: "test operator".into(),
            edge_id: "operator".into(),
        })
        .await
        .unwrap();
        eventually("the operator is connected", async || control.is_connected()).await;
        Streams::new(&control)
    }
}
