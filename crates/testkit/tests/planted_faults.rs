//! The history checker can fail. A man in the middle breaks each of its rules on purpose, on the
//! edge's NATS connection or on the client's WebSocket, and the same publisher, follower and
//! checker that judge the chaos run must see exactly that.

#![allow(clippy::unwrap_used)]

use fastrand::Rng;
use meridian_edge::Config;
use meridian_testkit::checker::{Summary, Violation, check};
use meridian_testkit::{
    DEADLINE, Door, Follower, Habit, Liar, Next, Patience, Publisher, Run, RunningEdge, TestMesh,
    Tongue, config_for, with_orders,
};
use std::time::Duration;

/// The message that the lies are about: with messages before it and behind it on its subject.
const VICTIM: u64 = 7;

/// Enough that the victim is long gone when the publisher stops.
const MESSAGES: usize = 20;

const SUBJECT: &str = "orders.planted";

/// The beginning of a numbered payload.
fn is_about(saying: &[u8], number: u64) -> bool {
    let payload = format!("{{\"n\":{number},");
    saying.windows(payload.len()).any(|window| window == payload.as_bytes())
}

/// Runs a publisher and a follower of `filter` through a liar, and judges.
async fn judge(
    tongue: Tongue,
    filter: &str,
    lie: impl FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
) -> Result<Summary, Vec<Violation>> {
    let mesh = TestMesh::durable_one_region().await;
    let mut other_edge = None;
    let liar = match tongue {
        Tongue::WebSocket => Liar::start(mesh.edge("eu").public(), tongue, lie).await,
        Tongue::Nats => {
            let region = mesh.nats.region("eu").unwrap();
            let (honest, url) = (region.nats_address(), region.nats_edge_url());
            let liar = Liar::start(honest, tongue, lie).await;
            let url = url.replace(&honest.to_string(), &liar.address().to_string());
            let mut config: Config = config_for("eu-2", "eu", &["eu".into()], &url);
            with_orders(&mut config);
            other_edge = Some(RunningEdge::start(config).await);
            liar
        }
    };
    let url = match &other_edge {
        Some(edge) => edge.url(),
        None => format!("ws://{}/v1/ws", liar.address()),
    };
    let follower = Follower {
        name: "deceived".into(),
        filter: filter.into(),
        urls: vec![url],
        habit: Habit { stay_ms: None, offline_ms: 0, next: Next::Same },
        rng: Rng::with_seed(1),
    };
    let publisher = Publisher {
        name: "honest".into(),
        subjects: vec![SUBJECT.into()],
        pace: Duration::from_millis(5),
        padding_bytes: 10,
        door: Door::Edges(vec![mesh.edge("eu").url()]),
        patience: Patience::Stubborn,
    };
    let run = Run::start(vec![follower], vec![publisher]).await;
    run.stage.publishes(MESSAGES).await;
    let outcome = run.finish(DEADLINE).await;
    assert!(outcome.stuck().is_empty(), "the follower saw the last message");
    let logs = [&outcome.records[0].log];
    check(&outcome.publications, &logs)
}

#[tokio::test]
async fn an_honest_man_in_the_middle_is_not_noticed() {
    for tongue in [Tongue::Nats, Tongue::WebSocket] {
        let summary = judge(tongue, SUBJECT, |saying| vec![saying]).await.unwrap();
        assert_eq!(summary.acknowledged, summary.delivered, "{tongue:?}");
        assert!(summary.delivered >= MESSAGES && summary.gaps == 0, "{summary:?}");
    }
}

#[tokio::test]
async fn a_swallowed_message_is_a_silent_loss_only_if_its_repair_is_swallowed_too() {
    let mut is_first = true;
    let only_the_republished = move |saying: Vec<u8>| {
        let is_swallowed = is_about(&saying, VICTIM) && std::mem::take(&mut is_first);
        if is_swallowed { Vec::new() } else { vec![saying] }
    };
    let repaired = judge(Tongue::Nats, SUBJECT, only_the_republished).await.unwrap();
    assert_eq!(repaired.acknowledged, repaired.delivered);
    for filter in [SUBJECT, "orders.*"] {
        let also_the_repair = |saying: Vec<u8>| {
            if is_about(&saying, VICTIM) { Vec::new() } else { vec![saying] }
        };
        let lost = judge(Tongue::Nats, filter, also_the_repair).await.unwrap_err();
        assert!(matches!(lost[..], [Violation::SilentLoss { .. }]), "{filter}: {lost:?}");
    }
}

#[tokio::test]
async fn a_repeated_message_is_a_duplicate() {
    let repeat = |saying: Vec<u8>| {
        if is_about(&saying, VICTIM) { vec![saying.clone(), saying] } else { vec![saying] }
    };
    let repeated = judge(Tongue::WebSocket, SUBJECT, repeat).await.unwrap_err();
    assert!(matches!(repeated[..], [Violation::Duplicate { .. }]), "{repeated:?}");
    // The edge itself drops what the mesh repeats.
    let summary = judge(Tongue::Nats, SUBJECT, repeat).await.unwrap();
    assert_eq!(summary.acknowledged, summary.delivered);
}

#[tokio::test]
async fn two_messages_that_change_places_are_reordered() {
    let mut kept = None;
    let swap = move |saying: Vec<u8>| {
        if is_about(&saying, VICTIM) {
            kept = Some(saying);
            return Vec::new();
        }
        match is_about(&saying, VICTIM + 1) {
            true => [Some(saying), kept.take()].into_iter().flatten().collect(),
            false => vec![saying],
        }
    };
    let swapped = judge(Tongue::WebSocket, SUBJECT, swap).await.unwrap_err();
    assert!(matches!(swapped[..], [Violation::Reordered { .. }]), "{swapped:?}");
}

#[tokio::test]
async fn a_message_that_nobody_published_is_a_phantom() {
    // The republished message is rewritten: the edge cannot know, and neither can a client.
    let forge = |mut saying: Vec<u8>| {
        let payload = format!("{{\"n\":{VICTIM},");
        if is_about(&saying, VICTIM) {
            let at = saying.windows(payload.len()).position(|one| one == payload.as_bytes());
            // The number of another message, in as many bytes.
            saying.splice(at.unwrap()..at.unwrap() + payload.len(), *b"{\"n\":0,");
        }
        vec![saying]
    };
    let forged = judge(Tongue::Nats, SUBJECT, forge).await.unwrap_err();
    let is_phantom = |one: &Violation| matches!(one, Violation::Phantom { number: 0, .. });
    // What stood in its place is lost, too.
    assert!(forged.iter().any(is_phantom) && forged.len() == 2, "{forged:?}");
}
