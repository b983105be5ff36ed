//! A mesh with the durable namespace `orders.>`, home `eu`: its streams are made as an operator
//! makes them.

use crate::mesh::{TestMesh, TestMeshOptions};
use crate::{eventually, within};
use meridian_client::{Client, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_edge::config::{ClassName, NamespaceSection, SlowClientName, StreamSection};
use meridian_local::Supercluster;
use meridian_nats::streams::{Confirm, DurableNamespace, Streams, copy_name, plan};
use meridian_nats::{Control, ControlOptions};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Adds `orders.>` to an edge's configuration.
pub fn with_orders(config: &mut Config) {
    config.namespaces.push(durable_namespace("orders", "eu"));
}

/// The durable namespace `<name>.>`, to which clients may publish, with no limits and everything
/// else as by default.
#[must_use]
pub fn durable_namespace(name: &str, home: &str) -> NamespaceSection {
    NamespaceSection {
        name: name.into(),
        pattern: format!("{name}.>"),
        class: ClassName::Durable,
        publish: true,
        request: false,
        headers: Vec::new(),
        slow_client: SlowClientName::Disconnect,
        stream: Some(StreamSection {
            name: None,
            epoch: 1,
            home: home.into(),
            home_stream: None,
            replicas: 1,
            max_age_s: 0,
            max_messages_per_subject: 0,
            max_bytes: 0,
            duplicate_window_s: 0,
        }),
    }
}

/// Subscribes as soon as the edge knows the stream.
pub async fn subscribe_durable(
    client: &Client,
    filter: &str,
    options: SubscribeOptions,
) -> Subscription {
    let mut subscription = None;
    eventually("the edge knows the stream", async || {
        subscription = client.subscribe(filter, options.clone()).await.ok();
        subscription.is_some()
    })
    .await;
    subscription.unwrap()
}

impl TestMesh {
    /// Regions with the durable namespaces of their configuration, streams made.
    pub async fn durable(options: TestMeshOptions) -> Self {
        assert!(options.regions.contains(&"eu".to_owned()), "eu is home");
        let configure = options.configure;
        let mesh = Self::start(options).await;
        mesh.nats.wait_jetstream_ready().await.unwrap();
        mesh.apply_streams_of(configure).await;
        mesh
    }

    /// One region with `orders.>`, for what has nothing to do with the others.
    pub async fn durable_one_region() -> Self {
        let regions = vec!["eu".into()];
        let configure = with_orders;
        Self::durable(TestMeshOptions { regions, configure, ..TestMeshOptions::default() }).await
    }

    /// Creates or reconciles the stream of `orders.>`.
    pub async fn apply_streams(&self) {
        self.apply_streams_of(with_orders).await;
    }

    /// Creates or reconciles the streams of a configuration.
    pub async fn apply_streams_of(&self, configure: fn(&mut Config)) {
        make_streams(&self.nats, configure).await;
    }

    /// The operator's view of the streams, from a region.
    pub async fn streams(&self, region: &str) -> Streams {
        streams_of(&self.nats, region).await
    }

    /// The name of the stream that holds a region's copy of `orders.>`.
    pub fn copy_of_orders(&self, region: &str) -> String {
        copy_name(&namespaces_of(with_orders)[0], region)
    }

    /// Erases all of `orders.>` below a sequence, in every region. The epoch stays, as it does when
    /// the stream's own limits drop messages.
    pub async fn drop_orders_below(&self, nats: &async_nats::Client, sequence: u64) {
        for region in self.region_names() {
            let subject = format!("$JS.API.STREAM.PURGE.{}", self.copy_of_orders(&region));
            ask(nats, &subject, &json!({"seq": sequence})).await;
        }
    }

    /// Purges all of `orders.>` as an operator does: the epoch changes.
    pub async fn purge_orders(&self) {
        let (streams, regions) = (self.streams("eu").await, self.region_names());
        let namespace = &namespaces_of(with_orders)[0];
        let purge = streams.purge(namespace, &regions, None, now_s(), Confirm::Yes);
        assert!(within("the purge", purge).await.unwrap().is_complete());
    }

    fn region_names(&self) -> Vec<String> {
        names_of(&self.nats)
    }
}

/// Creates or reconciles the streams of a configuration, and waits until every region has its copy.
pub(crate) async fn make_streams(nats: &Supercluster, configure: fn(&mut Config)) {
    let streams = streams_of(nats, "eu").await;
    let regions = names_of(nats);
    let namespaces = namespaces_of(configure);
    let existing = streams.existing().await.unwrap();
    let plan = plan(&namespaces, &existing, &regions, now_s()).unwrap();
    within("the streams are made", streams.apply(&plan, Confirm::No)).await.unwrap();
    for namespace in &namespaces {
        for region in &regions {
            let copy = copy_name(namespace, region);
            eventually("the region's copy answers", async || {
                streams.copy_status(&copy).await.is_ok()
            })
            .await;
        }
    }
}

async fn streams_of(nats: &Supercluster, region: &str) -> Streams {
    let url = nats.region(region).unwrap().nats_url();
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

fn names_of(nats: &Supercluster) -> Vec<String> {
    nats.regions().iter().map(|region| region.name().into()).collect()
}

/// Asks a server's JetStream API, or a stream for its acknowledgement of a publish. Panics when
/// the answer is an error.
pub async fn ask(nats: &async_nats::Client, subject: &str, request: &Value) -> Value {
    let payload = request.to_string().into();
    let answer = within(subject, nats.request(subject.to_owned(), payload)).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{subject}: {answer}");
    answer
}

fn namespaces_of(configure: fn(&mut Config)) -> Vec<DurableNamespace> {
    let mut config = Config::default();
    configure(&mut config);
    config.durable_namespaces()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
