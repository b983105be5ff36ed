//! When the receiver dies, the edge does not care, and nothing grows.

use crate::tree::{send_to, with_tracing};
use async_nats::HeaderMap;
use meridian_client::{SubscribeOptions, Subscription};
use meridian_testkit::{Otlp, OtlpReceiver, TestMesh, eventually, next_message, text_of};

/// What may wait for a receiver that is away, in this test.
const QUEUE_SPANS_MAX: usize = 100;

/// What one request holds at most, beside the queue.
const BATCH_SPANS_MAX: usize = 512;

const MESSAGES: usize = 3_000;

async fn publish(nats: &async_nats::Client, from: usize, count: usize, heard: &mut Subscription) {
    for number in from..from + count {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", format!("00-{number:032x}-{number:016x}-01").as_str());
        let text = number.to_string().into();
        nats.publish_with_headers("demo.x", headers, text).await.unwrap();
    }
    for number in from..from + count {
        assert_eq!(text_of(&next_message(heard).await), number.to_string());
    }
}

async fn a_dead_receiver_costs_spans_and_nothing_else(otlp: Otlp) {
    let receiver = OtlpReceiver::start(otlp).await;
    let address = receiver.address();
    send_to(receiver.endpoint(), otlp);
    let mesh = TestMesh::one_region(|config| {
        with_tracing(config);
        config.tracing.nats_spans = false;
        config.tracing.otlp_queue_spans_max = QUEUE_SPANS_MAX;
        config.tracing.otlp_timeout_ms = 500;
    })
    .await;
    let client = mesh.client("eu").await;
    let mut heard = client.subscribe("demo.x", SubscribeOptions::default()).await.unwrap();
    let nats = mesh.plain_nats("eu").await;
    publish(&nats, 1, 10, &mut heard).await;
    eventually("the receiver has the spans", async || receiver.spans().len() == 10).await;

    receiver.kill().await;
    publish(&nats, 100, MESSAGES, &mut heard).await;
    assert_eq!(mesh.edge("eu").get("/readyz").await.0, 200, "the edge goes on");

    let receiver = OtlpReceiver::start_at(otlp, address).await;
    let (mut number, mut heard_again) = (10_000, 0);
    eventually("spans come again", async || {
        publish(&nats, number, 1, &mut heard).await;
        number += 1;
        heard_again = receiver.spans().len();
        let newest = receiver.spans().into_iter().map(|span| span.trace_id).max();
        newest.is_some_and(|newest| newest >= format!("{:032x}", 10_000))
    })
    .await;
    let old = receiver.spans().into_iter();
    let old = old.filter(|span| span.trace_id < format!("{:032x}", 10_000)).count();
    assert!(old <= QUEUE_SPANS_MAX + BATCH_SPANS_MAX, "{old} waited, of {MESSAGES}");
    assert_eq!(mesh.edge("eu").get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_dead_receiver_costs_spans_and_nothing_else_over_grpc() {
    a_dead_receiver_costs_spans_and_nothing_else(Otlp::Grpc).await;
}

#[tokio::test]
async fn a_dead_receiver_costs_spans_and_nothing_else_over_http() {
    a_dead_receiver_costs_spans_and_nothing_else(Otlp::Http).await;
}
