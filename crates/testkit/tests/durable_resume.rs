//! Clients that go from edge to edge and from region to region while messages flow: they see
//! everything, once and in order.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, SubscribeOptions};
use meridian_testkit::{
    DEADLINE, NumberedPublisher, RawSocket, RunningEdge, ServerFrame, Shown, TestMesh,
    TestMeshOptions, ask, config_for, eventually, next_event, subscribe_durable, with_orders,
    within,
};
use serde_json::{Value, json};

const REGIONS: [&str; 3] = ["us", "ap", "eu"];

/// Changes of region, and messages that are published while a client is away.
const HOPS: usize = 5;
const MISSED: usize = 300;

/// Messages that a client reads in each region: the replay and some that are live.
const READ: usize = 600;

/// Subjects of the numbered messages.
const SUBJECTS: usize = 4;

async fn three_regions() -> TestMesh {
    TestMesh::durable(TestMeshOptions { configure: with_orders, ..TestMeshOptions::default() })
        .await
}

/// Hops from region to region with one filter, and returns what it was shown; its last
/// subscription goes on in the last region.
async fn hop(
    mesh: &TestMesh,
    publisher: &NumberedPublisher,
    filter: &str,
    read: usize,
) -> (Client, meridian_client::Subscription, Shown) {
    let mut shown = Shown::default();
    let mut client = mesh.client(REGIONS[0]).await;
    let mut here = subscribe_durable(&client, filter, SubscribeOptions::default()).await;
    for number in 1..=HOPS {
        let wanted = shown.messages.len() + read;
        shown.read_until(&mut here, DEADLINE, |shown| shown.messages.len() >= wanted).await;
        let resume = here.resume_point();
        // Whatever has come and was not read is dropped with it.
        here.unsubscribe().await.unwrap();
        publisher.publishes(MISSED).await;
        client = mesh.client(REGIONS[number % REGIONS.len()]).await;
        let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
        here = subscribe_durable(&client, filter, options).await;
        assert_eq!(here.reply().recovered, Some(true), "{filter}, hop {number}");
        assert!(here.reply().n.unwrap() > 0, "{filter}, hop {number}");
    }
    (client, here, shown)
}

#[tokio::test]
async fn a_client_that_hops_between_regions_while_messages_flow_sees_each_once() {
    let mesh = three_regions().await;
    let nats = mesh.plain_nats("eu").await;
    let publisher = NumberedPublisher::start(nats, "orders.hop", SUBJECTS);
    let (wide, wider, exact) = tokio::join!(
        hop(&mesh, &publisher, "orders.hop.>", READ),
        hop(&mesh, &publisher, "orders.*.*", READ),
        hop(&mesh, &publisher, "orders.hop.1", READ / SUBJECTS),
    );
    let published = publisher.stop().await;
    for (name, (client, mut here, mut shown)) in [("wide", wide), ("wider", wider)] {
        let last = published - 1;
        let is_complete = |shown: &Shown| {
            let all = shown.numbers();
            all.len() >= published - all[0] && all.contains(&last)
        };
        shown.read_until(&mut here, DEADLINE, is_complete).await;
        let first = *shown.numbers().iter().min().unwrap();
        shown.assert_complete(name, first..published);
        // A hop that is over before its replay has no end of it to show.
        assert!((1..=HOPS).contains(&shown.lives), "{name}: {} replays ended", shown.lives);
        drop(client);
    }
    let (_client, mut here, mut shown) = exact;
    let last = (published - 2) / SUBJECTS * SUBJECTS + 1;
    shown.read_until(&mut here, DEADLINE, |shown| shown.numbers().contains(&last)).await;
    let first = shown.numbers()[0];
    shown.assert_complete("exact", (first..published).step_by(SUBJECTS));
}

#[tokio::test]
async fn a_drained_edges_clients_resume_in_another_region_and_at_a_new_edge() {
    let mut mesh = three_regions().await;
    let client = mesh.client("us").await;
    let mut here = subscribe_durable(&client, "orders.>", SubscribeOptions::default()).await;
    let publisher = NumberedPublisher::start(mesh.plain_nats("eu").await, "orders.d", SUBJECTS);
    let mut shown = Shown::default();
    shown.read_until(&mut here, DEADLINE, |shown| shown.messages.len() >= 50).await;
    let drained = mesh.edge_mut("us");
    drained.drain();
    // It goes on until the edge closes.
    while let Some(event) = within("the edge closes", here.next()).await {
        shown.note(event);
    }
    assert_eq!(client.closed().await.code, 3001);
    let resume = here.resume_point();
    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    drained.ended().await;
    publisher.publishes(50).await;

    let elsewhere = mesh.client("ap").await;
    let mut there = subscribe_durable(&elsewhere, "orders.>", options).await;
    assert_eq!(there.reply().recovered, Some(true));
    let wanted = shown.messages.len() + 200;
    shown.read_until(&mut there, DEADLINE, |shown| shown.messages.len() >= wanted).await;
    let resume = there.resume_point();
    there.unsubscribe().await.unwrap();

    let url = mesh.nats.region("us").unwrap().nats_edge_url();
    let regions = REGIONS.map(String::from);
    let mut config = config_for("us-2", "us", &regions, &url);
    with_orders(&mut config);
    let edge = RunningEdge::start(config).await;
    let back = Client::connect(&edge.url(), meridian_client::Options::default()).await.unwrap();
    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    let mut here = subscribe_durable(&back, "orders.>", options).await;
    assert_eq!(here.reply().recovered, Some(true));
    publisher.publishes(50).await;
    let published = publisher.stop().await;
    shown.read_until(&mut here, DEADLINE, |shown| shown.messages.len() >= published).await;
    shown.assert_complete("drained", 0..published);
    drop(back);
    edge.stop().await;
}

/// Bytes of a message of the flood, and messages between two looks whether the client was closed.
const FLOOD_BYTES: usize = 8 * 1024;
const FLOOD_BATCH: usize = 20;

async fn raw_subscribe(socket: &mut RawSocket, body: Value) -> Value {
    socket.send_text(&json!({"id": 2, "subscribe": body}).to_string()).await;
    let reply = loop {
        let item = socket.next_item().await;
        if item["id"] == 2 {
            break item;
        }
    };
    assert!(reply.get("error").is_none(), "{reply}");
    reply["subscribe"].clone()
}

#[tokio::test]
async fn slow_client_of_a_durable_filter_is_closed_and_resumes_completely() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    drop(subscribe_durable(&client, "orders.flood", SubscribeOptions::default()).await);
    let nats = mesh.plain_nats("eu").await;
    for filter in ["orders.flood", "orders.>"] {
        let before = mesh.edge("eu").number("slow_closes").await;
        let mut slow = RawSocket::narrow_tcp(mesh.edge("eu").public()).await;
        slow.upgrade().await;
        slow.identify("{}").await;
        let reply = raw_subscribe(&mut slow, json!({"f": filter})).await;
        let (epoch, mut position) = (reply["e"].clone(), reply["q"].as_u64().unwrap());
        let first = position;
        let mut sent = 0;
        eventually("the slow client is closed", async || {
            for _ in 0..FLOOD_BATCH {
                let text = format!("{sent} {}", "x".repeat(FLOOD_BYTES));
                nats.publish("orders.flood", text.into()).await.unwrap();
                sent += 1;
            }
            nats.flush().await.unwrap();
            mesh.edge("eu").number("slow_closes").await > before
        })
        .await;
        let end = loop {
            match slow.next().await {
                ServerFrame::Text(text) => {
                    for line in text.lines() {
                        let item: Value = serde_json::from_str(line).unwrap();
                        let Some(sequence) = item["m"]["q"].as_u64() else { continue };
                        assert_eq!(sequence, position + 1);
                        position = sequence;
                    }
                }
                end => break end,
            }
        };
        assert_eq!(end, ServerFrame::Close(3003, "slow".into()));
        let missed = first + sent - position;
        assert!(missed > 0 && position > first, "{filter}: it read some and missed some");
        // What it read is its position: on one subject nothing can come before it.
        let mut back = mesh.raw_socket("eu").await;
        let recover = json!({"e": epoch, "q": position});
        let reply = raw_subscribe(&mut back, json!({"f": filter, "recover": recover})).await;
        assert_eq!(reply["recovered"], true);
        assert_eq!(reply["n"], missed);
        for sequence in position + 1..=position + missed {
            // Between pages a client under a wildcard is told how far it has come.
            let mut item = back.next_item().await;
            while item.get("pos").is_some() {
                item = back.next_item().await;
            }
            assert_eq!((&item["m"]["q"], &item["m"]["r"]), (&json!(sequence), &json!(1)));
            let number = (sequence - first - 1).to_string();
            assert_eq!(item["m"]["t"].as_str().unwrap().split(' ').next(), Some(number.as_str()));
        }
        assert!(back.next_item().await.get("live").is_some(), "{filter}");
    }
}

/// A replay of several pages, and more than an edge keeps of a filter.
const LONG: usize = 700;

#[tokio::test]
async fn a_wildcard_client_that_is_cut_in_the_middle_of_a_replay_goes_on_from_there() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let here = subscribe_durable(&client, "orders.long.*", SubscribeOptions::default()).await;
    let (start, resume) = (here.reply().q.unwrap(), here.resume_point());
    here.unsubscribe().await.unwrap();
    let nats = mesh.plain_nats("eu").await;
    let publisher = NumberedPublisher::start(nats.clone(), "orders.long", SUBJECTS);
    publisher.publishes(LONG).await;
    let count = publisher.stop().await;
    // Behind the others on the same connection: when it is stored, they are.
    let last = ask(&nats, "orders.long.0", &json!(count)).await["seq"].as_u64().unwrap();

    let mut shown = Shown::default();
    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    let mut here = client.subscribe("orders.long.*", options).await.unwrap();
    assert_eq!(here.reply().n, Some(last - start));
    let position = |here: &meridian_client::Subscription| here.resume_point().unwrap().position().q;
    while position(&here) == start {
        shown.note(next_event(&mut here).await);
    }
    let (place, resume) = (position(&here), here.resume_point());
    assert_eq!(shown.lives, 0, "the replay was not over");
    assert_eq!(shown.messages.len() as u64, place - start, "all up to the position was shown");
    drop((here, client));

    let client = mesh.client("eu").await;
    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    let mut here = client.subscribe("orders.long.*", options).await.unwrap();
    let rest = (here.reply().recovered, here.reply().n);
    assert_eq!(rest, (Some(true), Some(last - place)), "not again from the beginning");
    shown.read_until(&mut here, DEADLINE, |shown| shown.lives == 1).await;
    shown.assert_complete("cut", 0..=count);
}

/// The smallest outbox that an edge may be given, and a socket that takes little.
const OUTBOX_BYTES: usize = 16 * 1024;
const SEND_BUFFER_BYTES: usize = 4 * 1024;

fn with_small_outboxes(config: &mut meridian_edge::Config) {
    with_orders(config);
    config.limits.outbox_bytes_max = OUTBOX_BYTES;
    config.limits.send_buffer_bytes = SEND_BUFFER_BYTES;
}

#[tokio::test]
async fn a_client_that_reads_is_replayed_everything_through_the_smallest_outbox() {
    let options = TestMeshOptions {
        regions: vec!["eu".into()],
        configure: with_small_outboxes,
        ..TestMeshOptions::default()
    };
    let mesh = TestMesh::durable(options).await;
    let client = mesh.client("eu").await;
    let here = subscribe_durable(&client, "orders.>", SubscribeOptions::default()).await;
    let (epoch, start) = (here.reply().e.clone().unwrap(), here.reply().q.unwrap());
    // The edge keeps the filter for a while, and with it the last messages. Nobody watches: so
    // small an outbox closes whoever is not scheduled for a moment.
    here.unsubscribe().await.unwrap();
    let nats = mesh.plain_nats("eu").await;
    // Many times the outbox, and among them one that is larger than it. The edge keeps the last
    // 128 KiB, so one client is served by pages of the copy and one out of the edge's memory.
    for number in 0..300 {
        let bytes = if number == 270 { 3 * OUTBOX_BYTES } else { 1024 };
        let text = format!("{number} {}", "x".repeat(bytes));
        ask(&nats, "orders.big", &json!(text)).await;
    }
    let last = start + 300;
    for (filter, after) in [("orders.>", start), ("orders.>", last - 100), ("orders.big", start)] {
        let mut narrow = RawSocket::narrow_tcp(mesh.edge("eu").public()).await;
        narrow.upgrade().await;
        narrow.identify("{}").await;
        let recover = json!({"e": epoch, "q": after});
        let reply = raw_subscribe(&mut narrow, json!({"f": filter, "recover": recover})).await;
        assert_eq!(reply["recovered"], true, "{filter} after {after}");
        let mut position = after;
        let live = loop {
            let item = narrow.next_item().await;
            if let Some(sequence) = item["m"]["q"].as_u64() {
                assert_eq!(sequence, position + 1, "{filter} after {after}");
                position = sequence;
            }
            if item.get("live").is_some() {
                break item;
            }
        };
        assert_eq!(position, last, "{filter} after {after}: {live}");
    }
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);
}
