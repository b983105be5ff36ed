//! A trace as the receiver has it, and the mesh that sends to the receiver.

use meridian_client::{Client, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_edge::config::OtlpProtocol;
use meridian_proto::item::Message;
use meridian_testkit::{
    Otlp, OtlpReceiver, StoredSpan, TestMesh, TestMeshOptions, eventually, next_message,
    with_orders,
};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Each test is a process of its own.
static RECEIVER: OnceLock<(String, Otlp)> = OnceLock::new();

/// Sends every span to the test's receiver.
pub(crate) fn with_tracing(config: &mut Config) {
    let (endpoint, otlp) = RECEIVER.get().unwrap();
    config.tracing.otlp_endpoint.clone_from(endpoint);
    config.tracing.otlp_protocol = match otlp {
        Otlp::Grpc => OtlpProtocol::Grpc,
        Otlp::Http => OtlpProtocol::Http,
    };
    config.tracing.nats_spans = true;
    config.tracing.sample_ratio = 0.0;
    with_orders(config);
}

/// Says where edges send to.
pub(crate) fn send_to(endpoint: String, otlp: Otlp) {
    RECEIVER.set((endpoint, otlp)).unwrap();
}

/// Three regions, their streams, and a receiver.
pub(crate) async fn traced_mesh(otlp: Otlp) -> (TestMesh, OtlpReceiver) {
    let receiver = OtlpReceiver::start(otlp).await;
    send_to(receiver.endpoint(), otlp);
    let configure = with_tracing;
    let mesh = TestMesh::durable(TestMeshOptions { configure, ..TestMeshOptions::default() }).await;
    (mesh, receiver)
}

/// Subscribes as a page does that takes part in tracing.
pub(crate) async fn follow(client: &Client, filter: &str) -> Subscription {
    let options = SubscribeOptions { trace: true, ..SubscribeOptions::default() };
    client.subscribe(filter, options).await.unwrap()
}

/// Takes the next message and tells its receipt, as the browser's SDK does.
pub(crate) async fn take(client: &Client, subscription: &mut Subscription) -> Message {
    let message = next_message(subscription).await;
    let at = SystemTime::now();
    client.receipt(message.tp.as_deref().unwrap(), at, Duration::from_micros(5)).await.unwrap();
    message
}

/// A `traceparent` of the publisher, with its trace and span.
pub(crate) fn publisher(number: u128) -> (String, String, String) {
    let (trace, span) = (format!("{number:032x}"), format!("{:016x}", number + 1));
    (format!("00-{trace}-{span}-01"), trace, span)
}

/// The spans of one trace, once `count` of them are there.
pub(crate) struct Tree(pub(crate) Vec<StoredSpan>);

impl Tree {
    pub(crate) async fn of(receiver: &OtlpReceiver, trace: &str, names: &[(&str, usize)]) -> Self {
        let mut tree = Self(Vec::new());
        let there = async {
            eventually("every span of the trace", async || {
                tree = Self(receiver.trace(trace));
                names.iter().all(|(name, count)| tree.all(name).len() >= *count)
            })
            .await;
        };
        there.await;
        for (name, count) in names {
            assert_eq!(tree.all(name).len(), *count, "{name} in {:#?}", tree.names());
        }
        tree
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&StoredSpan> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    pub(crate) fn one(&self, name: &str) -> &StoredSpan {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {:#?}", self.names());
        all[0]
    }

    /// The one of this name that an edge or server of a region made.
    pub(crate) fn at(&self, name: &str, region: &str) -> &StoredSpan {
        let is_there = |span: &&&StoredSpan| span.attributes["cloud.region"] == region;
        let all = self.all(name);
        all.iter().find(is_there).unwrap_or_else(|| panic!("{name} at {region}"))
    }

    pub(crate) fn names(&self) -> Vec<(&str, &str, &str)> {
        self.0
            .iter()
            .map(|span| (span.name.as_str(), span.span_id.as_str(), span.parent.as_str()))
            .collect()
    }

    /// Every span is below another one of the trace, or below the publisher's, and no id is there
    /// twice.
    pub(crate) fn is_one_tree_below(&self, publisher: &str) {
        for (index, span) in self.0.iter().enumerate() {
            let has_parent =
                span.parent == publisher || self.0.iter().any(|other| other.span_id == span.parent);
            assert!(has_parent, "{} has no parent in {:#?}", span.name, self.names());
            let is_twice = self.0[..index].iter().any(|other| other.span_id == span.span_id);
            assert!(!is_twice, "{} is there twice in {:#?}", span.name, self.names());
        }
    }
}
