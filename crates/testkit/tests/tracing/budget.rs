//! What clients cannot have: more traces than their budget, and nats-server's trace headers.

use async_nats::Subscriber;
use futures_util::StreamExt;
use meridian_client::{PayloadBuf, PublishOptions};
use meridian_proto::ErrorCode;
use meridian_proto::command::HeaderValues;
use meridian_proto::trace::sampled_flag;
use meridian_testkit::{TestMesh, code_of, round_trip, within};

/// What clients may have sampled a second; twice as many at once.
const CLIENT_PER_SECOND: u32 = 3;

/// Well below what a client may publish at once.
const PUBLISHED: usize = 60;

async fn next_traceparent(service: &mut Subscriber) -> Option<String> {
    let message = within("a message", service.next()).await.unwrap();
    let headers = message.headers?;
    headers.get("traceparent").map(|value| value.as_str().to_owned())
}

fn traced(tp: String) -> PublishOptions {
    PublishOptions { tp: Some(tp), ..PublishOptions::default() }
}

#[tokio::test]
async fn browsers_cannot_force_more_traces_than_their_budget() {
    let mesh =
        TestMesh::one_region(|config| config.tracing.client_per_second = CLIENT_PER_SECOND).await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let mut service = nats.subscribe("demo.forced").await.unwrap();
    round_trip(&nats).await;
    let started = std::time::Instant::now();
    let mut sampled = 0;
    for number in 1..=PUBLISHED {
        let tp = format!("00-{number:032x}-{number:016x}-01");
        client.publish("demo.forced", PayloadBuf::text("x"), traced(tp.clone())).await.unwrap();
        let passed = next_traceparent(&mut service).await.unwrap();
        assert_eq!(passed[..53], tp[..53], "the ids go on, whatever becomes of the flag");
        sampled += usize::from(sampled_flag(&passed) == Some(true));
    }
    let seconds = started.elapsed().as_secs() as usize + 1;
    let most = CLIENT_PER_SECOND as usize * (2 + seconds);
    assert!((CLIENT_PER_SECOND as usize * 2..=most).contains(&sampled), "{sampled} of {most}");
    assert!(sampled < PUBLISHED, "some were cut off");
}

#[tokio::test]
async fn trace_headers_of_nats_never_pass_even_where_a_namespace_lists_them() {
    const NAMES: [&str; 6] = [
        "Nats-Trace-Dest",
        "nats-trace-only",
        "Nats-Trace-Hop",
        "Accept-Encoding-Nats",
        "traceparent",
        "TraceParent",
    ];
    let mesh = TestMesh::one_region(|config| {
        config.namespaces[0].headers = NAMES.map(String::from).to_vec();
    })
    .await;
    let client = mesh.client("eu").await;
    for name in NAMES {
        let value = HeaderValues::One("00-1-1-01".into());
        let options = PublishOptions {
            headers: [(name.to_owned(), value)].into(),
            ..PublishOptions::default()
        };
        let published = client.publish("demo.a", PayloadBuf::text("x"), options).await;
        if name.starts_with("Accept") {
            published.unwrap();
        } else {
            assert_eq!(code_of(published), ErrorCode::Forbidden, "{name}");
        }
    }
}
