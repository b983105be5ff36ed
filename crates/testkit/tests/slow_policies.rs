//! Slow clients by their namespace's policy: what they received and what gaps told them is
//! everything, what is not a message always comes, and nobody else notices.

#![allow(clippy::unwrap_used)]

use meridian_client::{Event, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_edge::config::{ClassName, NamespaceSection, SlowClientName};
use meridian_proto::item::Message;
use meridian_testkit::{
    RawSocket, ServerFrame, TestMesh, TestMeshOptions, durable_namespace, eventually, next_event,
    round_trip, subscribe_durable,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Messages of a batch and their bytes: less than the outbox holds, so that a client which reads
/// loses nothing of one batch.
const BATCH: usize = 20;
const MESSAGE_BYTES: usize = 8 * 1024;

/// Messages that gave way before a slow client reads again.
const SHED_MIN: u64 = 60;

/// One that was published, as a client that reads has it.
struct Published {
    subject: String,
    number: usize,
    sequence: Option<u64>,
}

fn configure(config: &mut Config) {
    // A slow machine must not look like a dead client.
    config.limits.write_stall_ms = 120_000;
    // A batch fits the socket of a client that reads, so that it is never slow, however busy the
    // machine is.
    config.limits.send_buffer_bytes = 192 * 1024;
    let durable =
        |name, slow_client| NamespaceSection { slow_client, ..durable_namespace(name, "eu") };
    let ephemeral = |name, slow_client| NamespaceSection {
        class: ClassName::Ephemeral,
        stream: None,
        ..durable(name, slow_client)
    };
    config.namespaces.extend([
        ephemeral("ticks", SlowClientName::DropOldest),
        ephemeral("quotes", SlowClientName::Conflate),
        durable("tape", SlowClientName::DropOldest),
        durable("state", SlowClientName::Conflate),
        durable("orders", SlowClientName::Disconnect),
    ]);
}

async fn mesh() -> TestMesh {
    TestMesh::one_region(configure).await
}

async fn durable_mesh() -> TestMesh {
    let regions = vec!["eu".into()];
    TestMesh::durable(TestMeshOptions { regions, configure, ..TestMeshOptions::default() }).await
}

/// A connected peer that reads only when it is told to, with a subscription on each filter.
async fn deaf(mesh: &TestMesh, filters: &[&str]) -> (RawSocket, Vec<Value>) {
    let mut socket = RawSocket::narrow_tcp(mesh.edge("eu").public()).await;
    socket.upgrade().await;
    socket.identify("{}").await;
    let mut replies = Vec::new();
    for filter in filters {
        replies.push(subscribe(&mut socket, json!({"f": filter})).await);
    }
    (socket, replies)
}

/// Subscribes, again until the edge knows the stream.
async fn subscribe(socket: &mut RawSocket, body: Value) -> Value {
    let mut reply = Value::Null;
    eventually("the edge knows the stream", async || {
        socket.send_text(&json!({"id": 2, "subscribe": body}).to_string()).await;
        reply = socket.next_item().await;
        reply["subscribe"].is_object()
    })
    .await;
    reply["subscribe"].clone()
}

/// The next message of a client that reads: nobody's slowness reaches it.
async fn read(reader: &mut Subscription) -> Message {
    loop {
        match next_event(reader).await {
            Event::Message(message) => return message,
            Event::Position(_) => {}
            other => panic!("{other:?} for a client that reads"),
        }
    }
}

/// Publishes numbered messages round robin over subjects until enough gave way, and reads all of
/// them with a client that is not slow.
async fn flood(
    mesh: &TestMesh,
    reader: &mut Subscription,
    subjects: &[&str],
    counter: &str,
) -> Vec<Published> {
    let nats = mesh.plain_nats("eu").await;
    let mut published = Vec::new();
    eventually("the client is slow", async || {
        let first = published.len();
        for number in first..first + BATCH {
            let payload = format!("{number} {}", "x".repeat(MESSAGE_BYTES));
            let subject = subjects[number % subjects.len()].to_owned();
            nats.publish(subject, payload.into()).await.unwrap();
        }
        for number in first..first + BATCH {
            let message = read(reader).await;
            let text = message.t.unwrap();
            assert_eq!(text.split(' ').next(), Some(number.to_string().as_str()));
            published.push(Published { subject: message.s, number, sequence: message.q });
        }
        mesh.edge("eu").number(counter).await >= SHED_MIN
    })
    .await;
    published
}

/// The number of a flood's message.
fn number_of(message: &Value) -> usize {
    let text = message["t"].as_str().unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Everything that a subscription is sent, until it has the last message of a flood.
async fn read_on(socket: &mut RawSocket, i: &Value, last: usize) -> Vec<Value> {
    let mut items = Vec::new();
    loop {
        let item = socket.next_item().await;
        let is_last = &item["m"]["i"] == i && number_of(&item["m"]) == last;
        items.push(item);
        if is_last {
            return items;
        }
    }
}

/// Panics unless every message that was not received had a gap where it would have stood, and the
/// gaps are few. Returns how many messages gave way.
fn judge_ephemeral(items: &[Value], published: &[Published], why: &str) -> usize {
    let mut is_told: BTreeMap<&str, bool> = BTreeMap::new();
    let mut next: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for one in published {
        next.entry(&one.subject).or_default().push(one.number);
        is_told.insert(&one.subject, false);
    }
    let (mut received, mut gaps) = (0, 0);
    for item in items {
        if item["gap"].is_object() {
            assert_eq!(item["gap"]["why"], why);
            assert!(item["gap"].get("upto").is_none(), "an ephemeral gap has no range: {item}");
            is_told.values_mut().for_each(|told| *told = true);
            gaps += 1;
        }
        let Some(subject) = item["m"]["s"].as_str() else { continue };
        let number = number_of(&item["m"]);
        let expected = next.get_mut(subject).unwrap();
        let skipped = expected.iter().position(|other| *other == number).unwrap();
        assert!(skipped == 0 || is_told[subject], "{skipped} are missing before {number}");
        expected.drain(..=skipped);
        *is_told.get_mut(subject).unwrap() = false;
        received += 1;
    }
    assert!(next.values().all(Vec::is_empty), "the newest of each subject came");
    let lost = published.len() - received;
    assert!(lost as u64 >= SHED_MIN && gaps > 0 && gaps * 10 < lost, "{gaps} gaps for {lost}");
    lost
}

/// Panics unless received and told is everything above the start, at the end and wherever a
/// position says so, and the ends of each gap are truly missing. Returns the gaps.
fn judge_durable(items: &[Value], published: &[Published], start: u64, why: &str) -> Vec<Value> {
    let mut owed: BTreeMap<u64, &Published> =
        published.iter().map(|one| (one.sequence.unwrap(), one)).collect();
    let received = |sequence: u64| items.iter().any(|item| item["m"]["q"] == sequence);
    let (mut gaps, mut last) = (Vec::new(), BTreeMap::new());
    for item in items {
        if let Some(sequence) = item["m"]["q"].as_u64() {
            owed.remove(&sequence);
            let subject = item["m"]["s"].as_str().unwrap();
            let before = last.insert(subject, sequence);
            assert!(before.is_none_or(|before| before < sequence), "{subject} {sequence}");
        } else if item["gap"].is_object() {
            let gap = &item["gap"];
            let (after, upto) = (gap["after"].as_u64().unwrap(), gap["upto"].as_u64().unwrap());
            assert_eq!(gap["why"], why);
            assert!(after >= start && !received(after + 1) && !received(upto), "{item}");
            owed.retain(|sequence, _| *sequence <= after || *sequence > upto);
            gaps.push(gap.clone());
        } else if let Some(position) = item["pos"]["q"].as_u64() {
            let first = owed.keys().next();
            assert!(first.is_none_or(|first| *first > position), "{item}: {first:?} is owed");
        }
    }
    assert!(owed.is_empty(), "{} are missing without a word", owed.len());
    assert!(!gaps.is_empty() && gaps.len() * 10 < published.len(), "{} gaps", gaps.len());
    gaps
}

#[tokio::test]
async fn the_oldest_messages_give_way_and_the_connection_stays() {
    let mesh = mesh().await;
    let client = mesh.client("eu").await;
    let mut reader = client.subscribe("ticks.a", SubscribeOptions::default()).await.unwrap();
    let (mut slow, replies) = deaf(&mesh, &["ticks.a"]).await;
    let published = flood(&mesh, &mut reader, &["ticks.a"], "slow_drops").await;
    let items = read_on(&mut slow, &replies[0]["i"], published.len() - 1).await;
    let lost = judge_ephemeral(&items, &published, "slow");
    eventually("each is counted", async || {
        mesh.edge("eu").number("slow_drops").await == lost as u64
    })
    .await;
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);
    slow.send_text(r#"{"id":3,"publish":{"s":"ticks.a","t":"end"}}"#).await;
    let (one, other) = (slow.next_item().await, slow.next_item().await);
    assert!([&one, &other].iter().any(|item| item["m"]["t"] == "end"), "{one} {other}");
}

#[tokio::test]
async fn of_each_subject_the_newest_message_reaches_a_client_that_reads_late() {
    let mesh = mesh().await;
    let client = mesh.client("eu").await;
    let mut reader = client.subscribe("quotes.*", SubscribeOptions::default()).await.unwrap();
    let (mut slow, _) = deaf(&mesh, &["quotes.*"]).await;
    let subjects = ["quotes.a", "quotes.b", "quotes.c"];
    let published = flood(&mesh, &mut reader, &subjects, "slow_conflations").await;
    let mut items = Vec::new();
    while newest_missing(&items, &published) {
        items.push(slow.next_item().await);
    }
    let lost = judge_ephemeral(&items, &published, "conflated");
    eventually("each is counted", async || {
        mesh.edge("eu").number("slow_conflations").await == lost as u64
    })
    .await;
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);
}

/// Whether the last message of a subject has not come yet.
fn newest_missing(items: &[Value], published: &[Published]) -> bool {
    let newest: BTreeMap<&str, usize> =
        published.iter().map(|one| (one.subject.as_str(), one.number)).collect();
    let has = |number: usize| {
        items.iter().any(|item| item["m"].is_object() && number_of(&item["m"]) == number)
    };
    !newest.values().all(|number| has(*number))
}

#[tokio::test]
async fn more_subjects_than_the_outbox_holds_close_a_conflated_client() {
    let mesh = mesh().await;
    let client = mesh.client("eu").await;
    let mut reader = client.subscribe("quotes.*", SubscribeOptions::default()).await.unwrap();
    let (mut slow, _) = deaf(&mesh, &["quotes.*"]).await;
    let nats = mesh.plain_nats("eu").await;
    let mut number = 0;
    eventually("the slow client is closed", async || {
        for _ in 0..BATCH {
            number += 1;
            let payload = "x".repeat(MESSAGE_BYTES).into();
            nats.publish(format!("quotes.{number}"), payload).await.unwrap();
            read(&mut reader).await;
        }
        mesh.edge("eu").number("slow_closes").await == 1
    })
    .await;
    let end = loop {
        match slow.next().await {
            ServerFrame::Text(_) => {}
            end => break end,
        }
    };
    assert_eq!(end, ServerFrame::Close(3003, "slow".into()));
}

#[tokio::test]
async fn a_gap_of_a_durable_exact_filter_covers_exactly_what_was_dropped() {
    let mesh = durable_mesh().await;
    let client = mesh.client("eu").await;
    let mut reader = subscribe_durable(&client, "tape.a", SubscribeOptions::default()).await;
    let (mut slow, replies) = deaf(&mesh, &["tape.a"]).await;
    let published = flood(&mesh, &mut reader, &["tape.a"], "slow_drops").await;
    let items = read_on(&mut slow, &replies[0]["i"], published.len() - 1).await;
    let start = replies[0]["q"].as_u64().unwrap();
    let gaps = judge_durable(&items, &published, start, "slow");
    // There is nothing else in the stream: all that a gap covers is missing.
    let covered: u64 =
        gaps.iter().map(|gap| gap["upto"].as_u64().unwrap() - gap["after"].as_u64().unwrap()).sum();
    let messages = items.iter().filter(|item| item["m"].is_object()).count();
    assert_eq!(covered as usize, published.len() - messages);
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);

    // Its `upto` is a position: the next message follows.
    let mut again = RawSocket::connected(mesh.edge("eu").public()).await;
    let upto = gaps[0]["upto"].as_u64().unwrap();
    let recover = json!({"f": "tape.a", "recover": {"e": replies[0]["e"], "q": upto}});
    assert_eq!(subscribe(&mut again, recover).await["recovered"], true);
    assert_eq!(again.next_item().await["m"]["q"], upto + 1);
}

/// A slow client on a durable wildcard: no position passes what it was not told.
async fn durable_wildcard(filter: &str, stem: &str, counter: &str, why: &str) {
    let mesh = durable_mesh().await;
    let client = mesh.client("eu").await;
    let mut reader = subscribe_durable(&client, filter, SubscribeOptions::default()).await;
    let (mut slow, replies) = deaf(&mesh, &[filter]).await;
    let subjects: Vec<String> = ["a", "b", "c"].iter().map(|one| format!("{stem}.{one}")).collect();
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let published = flood(&mesh, &mut reader, &subjects, counter).await;
    let highest = published.iter().filter_map(|one| one.sequence).max().unwrap();
    let mut items = Vec::new();
    // The position that passes all of them comes with an audit.
    while items.iter().all(|item: &Value| item["pos"]["q"].as_u64() < Some(highest)) {
        items.push(slow.next_item().await);
    }
    let start = replies[0]["q"].as_u64().unwrap();
    judge_durable(&items, &published, start, why);
    assert!(!newest_missing(&items, &published), "the newest of each subject came");
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);
}

#[tokio::test]
async fn no_position_of_a_wildcard_passes_a_dropped_message_that_was_not_told() {
    durable_wildcard("tape.*", "tape", "slow_drops", "slow").await;
}

#[tokio::test]
async fn no_position_of_a_wildcard_passes_a_conflated_message_that_was_not_told() {
    durable_wildcard("state.*", "state", "slow_conflations", "conflated").await;
}

#[tokio::test]
async fn each_namespace_of_a_connection_has_its_own_policy() {
    let mesh = mesh().await;
    let client = mesh.client("eu").await;
    let mut reader = client.subscribe("ticks.a", SubscribeOptions::default()).await.unwrap();
    let filters = ["ticks.a", "quotes.*", "demo.kept"];
    let (mut slow, replies) = deaf(&mesh, &filters).await;
    let nats = mesh.plain_nats("eu").await;
    let mut published = flood(&mesh, &mut reader, &["ticks.a"], "slow_drops").await;
    let mut kept = 0;
    for round in 0..5 {
        for _ in 0..BATCH {
            let number = published.len();
            let payload = format!("{number} {}", "x".repeat(MESSAGE_BYTES));
            nats.publish("ticks.a", payload.into()).await.unwrap();
            let (subject, sequence) = ("ticks.a".into(), None);
            published.push(Published { subject, number, sequence });
            nats.publish("demo.kept", format!("{kept} kept").into()).await.unwrap();
            kept += 1;
        }
        nats.publish("quotes.a", format!("{round} quote").into()).await.unwrap();
        for _ in 0..BATCH {
            read(&mut reader).await;
        }
    }
    let mut items = read_on(&mut slow, &replies[0]["i"], published.len() - 1).await;
    let of = |items: &[Value], i: &Value| -> Vec<Value> {
        let about = items.iter().filter(|item| item["m"]["i"] == *i || item["gap"]["i"] == *i);
        about.cloned().collect()
    };
    while of(&items, &replies[2]["i"]).len() < kept || of(&items, &replies[1]["i"]).len() < 2 {
        items.push(slow.next_item().await);
    }
    judge_ephemeral(&of(&items, &replies[0]["i"]), &published, "slow");
    let quotes = of(&items, &replies[1]["i"]);
    assert_eq!(quotes[0]["gap"]["why"], "conflated");
    assert_eq!(number_of(&quotes[1]["m"]), 4);
    let numbers: Vec<usize> =
        of(&items, &replies[2]["i"]).iter().map(|item| number_of(&item["m"])).collect();
    assert_eq!(numbers, (0..kept).collect::<Vec<_>>(), "none of these may be lost");
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);
}

#[tokio::test]
async fn a_replay_goes_on_beside_a_flood_that_is_dropped_and_is_whole() {
    /// Messages to replay.
    const STORED: usize = 100;
    /// Items that a client must read at most until its replay is over.
    const ITEMS_MAX: usize = 1_500;
    let mesh = durable_mesh().await;
    let client = mesh.client("eu").await;
    let mut orders = subscribe_durable(&client, "orders.a", SubscribeOptions::default()).await;
    let nats = mesh.plain_nats("eu").await;
    for number in 0..STORED {
        let payload = format!("{number} {}", "x".repeat(MESSAGE_BYTES));
        nats.publish("orders.a", payload.into()).await.unwrap();
        read(&mut orders).await;
    }
    let mut reader = client.subscribe("ticks.a", SubscribeOptions::default()).await.unwrap();
    let (mut slow, ticks) = deaf(&mesh, &["ticks.a"]).await;
    slow.send_text(r#"{"id":9,"subscribe":{"f":"orders.a","from":{"last":100}}}"#).await;
    flood(&mesh, &mut reader, &["ticks.a"], "slow_drops").await;
    drop(reader);
    let (mut replayed, mut gaps, mut items, mut is_live) = (Vec::new(), 0, 0, false);
    while !is_live {
        // For each item that leaves, more comes than there is room for.
        for _ in 0..8 {
            nats.publish("ticks.a", "x".repeat(MESSAGE_BYTES).into()).await.unwrap();
        }
        round_trip(&nats).await;
        let item = slow.next_item().await;
        is_live = item["live"].is_object();
        gaps += usize::from(item["gap"]["i"] == ticks[0]["i"]);
        if item["m"]["r"] == 1 {
            replayed.push(number_of(&item["m"]));
        }
        items += 1;
        assert!(items < ITEMS_MAX, "{} are replayed", replayed.len());
    }
    assert_eq!(replayed, (0..STORED).collect::<Vec<_>>());
    assert!(gaps > 0);
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);
}
