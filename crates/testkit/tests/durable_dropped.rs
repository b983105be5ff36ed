//! What a copy drops while an edge or a client is not looking: it is told, before a position behind
//! it counts. And what was never missed is not told.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Event, Options, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_local::Links;
use meridian_testkit::{
    DEADLINE, RawSocket, RunningEdge, Shown, TestMesh, TestMeshOptions, ask, config_for,
    eventually, next_event, subscribe_durable, with_orders, within,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Messages that a subject of `few.>` keeps.
const FEW: usize = 3;

/// A long replay: more than a page, and more than sockets and outbox hold.
const LONG: usize = 600;
const LONG_BYTES: usize = 4 * 1024;

/// More clients than replays that a shard serves at once.
const SLOW: usize = 24;

/// A quiet filter is audited every 30 s; a busy machine adds to that.
const AUDIT_DEADLINE: Duration = Duration::from_secs(120);

/// Adds `few.>`, and lets a client read as slowly as it likes.
fn with_few(config: &mut Config) {
    with_orders(config);
    let mut few = config.namespaces.last().unwrap().clone();
    few.name = "few".into();
    few.pattern = "few.>".into();
    few.stream.as_mut().unwrap().max_messages_per_subject = FEW as i64;
    config.namespaces.push(few);
    config.limits.write_stall_ms = 600_000;
}

async fn one_region(edge_links: Links) -> TestMesh {
    let regions = vec!["eu".into()];
    let options =
        TestMeshOptions { regions, edge_links, configure: with_few, ..Default::default() };
    TestMesh::durable(options).await
}

/// Another edge of the region, which has seen nothing yet.
async fn second_edge(mesh: &TestMesh) -> (RunningEdge, Client) {
    let url = mesh.nats.region("eu").unwrap().nats_edge_url();
    let mut config = config_for("eu-2", "eu", &["eu".into()], &url);
    with_few(&mut config);
    let edge = RunningEdge::start(config).await;
    let client = Client::connect(&edge.url(), Options::default()).await.unwrap();
    (edge, client)
}

/// Publishes numbers and waits until they are stored. Their sequences.
async fn store(
    nats: &async_nats::Client,
    subject: &str,
    numbers: std::ops::Range<usize>,
) -> Vec<u64> {
    let mut sequences = Vec::new();
    for number in numbers {
        let stored = ask(nats, subject, &json!(number)).await;
        sequences.push(stored["seq"].as_u64().unwrap());
    }
    sequences
}

fn resume_of(subscription: &Subscription) -> SubscribeOptions {
    let resume = subscription.resume_point();
    SubscribeOptions { resume, ..SubscribeOptions::default() }
}

/// Every sequence was shown once, or lies in a gap.
fn assert_accounted(who: &str, shown: &Shown, sequences: &[u64]) {
    for sequence in sequences {
        let times = shown.messages.iter().filter(|message| message.0 == *sequence).count();
        let covers = |gap: &meridian_proto::item::Gap| {
            gap.after.unwrap() < *sequence && *sequence <= gap.upto.unwrap()
        };
        let is_told = shown.gaps.iter().any(covers);
        assert!(times == 1 || (times == 0 && is_told), "{who}: {sequence} {times} times {shown:?}");
    }
}

#[tokio::test]
async fn what_a_limit_a_subject_drops_while_the_edge_is_cut_off_is_told() {
    let mesh = one_region(Links::Proxied).await;
    let nats = mesh.plain_nats("eu").await;
    // A quiet subject keeps the stream's first message old.
    store(&nats, "few.quiet", 0..1).await;
    let client = mesh.client("eu").await;
    let mut watchers = Vec::new();
    for filter in ["few.a.1", "few.a.*", "few.b.1"] {
        let options = SubscribeOptions::default();
        watchers.push((subscribe_durable(&client, filter, options).await, Shown::default()));
    }
    let mut sequences = store(&nats, "few.a.1", 0..2).await;
    let mut of_b = store(&nats, "few.b.1", 0..2).await;
    for (subscription, shown) in &mut watchers {
        shown.read_until(subscription, DEADLINE, |shown| shown.messages.len() == 2).await;
    }
    let link = mesh.edge_link("eu");
    link.sever();
    sequences.extend(store(&nats, "few.a.1", 2..12).await);
    // Fewer than are kept: of these none can have been dropped, and nothing is told.
    of_b.extend(store(&nats, "few.b.1", 2..2 + FEW - 1).await);
    link.heal();
    // A loss at the end would show here too.
    sequences.extend(store(&nats, "few.a.1", 12..13).await);
    for (subscription, shown) in &mut watchers {
        let name = subscription.filter().to_owned();
        let (due, last) = match name.as_str() {
            "few.b.1" => (&of_b, *of_b.last().unwrap()),
            _ => (&sequences, *sequences.last().unwrap()),
        };
        // What is missing is told before a position behind it counts.
        while subscription.resume_point().unwrap().position().q < last {
            shown.note(next_event(subscription).await);
        }
        assert_accounted(&name, shown, due);
        match name.as_str() {
            "few.b.1" => assert_eq!(shown.gaps, [], "nothing was dropped"),
            _ => assert!(shown.gaps.iter().all(|gap| gap.why == "limit"), "{:?}", shown.gaps),
        }
    }
}

/// A client that has asked for a long replay and read no more than the reply.
async fn slow_resume(mesh: &TestMesh, filter: &str, epoch: &str, after: u64) -> (RawSocket, Value) {
    let mut socket = RawSocket::narrow_tcp(mesh.edge("eu").public()).await;
    socket.upgrade().await;
    socket.identify("{}").await;
    let recover = json!({"e": epoch, "q": after});
    let command = json!({"id": 2, "subscribe": {"f": filter, "recover": recover}});
    socket.send_text(&command.to_string()).await;
    let reply = socket.next_item().await["subscribe"].clone();
    assert_eq!(reply["recovered"], true, "{reply}");
    (socket, reply)
}

/// A long stream on one subject. Its epoch, the position before it, and its last sequence.
async fn long_stream(mesh: &TestMesh, nats: &async_nats::Client) -> (String, u64, u64) {
    let client = mesh.client("eu").await;
    let here = subscribe_durable(&client, "orders.long", SubscribeOptions::default()).await;
    let (epoch, after) = (here.reply().e.clone().unwrap(), here.reply().q.unwrap());
    for _ in 0..LONG {
        nats.publish("orders.long", "x".repeat(LONG_BYTES).into()).await.unwrap();
    }
    let last = store(nats, "orders.long", 0..1).await[0];
    (epoch, after, last)
}

#[tokio::test]
async fn what_expires_during_a_replay_is_told() {
    let mesh = one_region(Links::Direct).await;
    let nats = mesh.plain_nats("eu").await;
    let (epoch, after, last) = long_stream(&mesh, &nats).await;
    let mut slow = Vec::new();
    for filter in ["orders.long", "orders.*"] {
        slow.push((filter, slow_resume(&mesh, filter, &epoch, after).await.0));
    }
    mesh.drop_orders_below(&nats, last - 5).await;
    for (filter, mut socket) in slow {
        let (mut position, mut told) = (after, after);
        loop {
            let item = socket.next_item().await;
            if let Some(sequence) = item["m"]["q"].as_u64() {
                let is_told = position.max(told) + 1 >= sequence && sequence > position;
                assert!(is_told, "{filter}: {sequence} behind {position}, told up to {told}");
                position = sequence;
            }
            if let Some(gap) = item.get("gap") {
                assert_eq!((&gap["why"], &gap["after"]), (&json!("expired"), &json!(position)));
                told = gap["upto"].as_u64().unwrap();
            }
            if item.get("live").is_some() {
                break;
            }
        }
        assert_eq!((position, told), (last, last - 6), "{filter}");
    }
}

#[tokio::test]
async fn a_client_whose_stream_begins_anew_during_its_replay_is_told_and_goes_on() {
    let mesh = one_region(Links::Direct).await;
    let nats = mesh.plain_nats("eu").await;
    let (epoch, after, last) = long_stream(&mesh, &nats).await;
    let (mut slow, reply) = slow_resume(&mesh, "orders.long", &epoch, after).await;
    mesh.purge_orders().await;
    // The edge knows when a new client gets another epoch.
    let client = mesh.client("eu").await;
    eventually("the edge knows the new epoch", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let other = client.subscribe("orders.other", SubscribeOptions::default()).await.unwrap();
        let is_new = other.reply().e.as_deref() != Some(epoch.as_str());
        other.unsubscribe().await.unwrap();
        is_new
    })
    .await;
    let mut position = after;
    let gap = loop {
        let item = slow.next_item().await;
        match item["m"]["q"].as_u64() {
            Some(sequence) => position = sequence,
            None => break item,
        }
    };
    assert!(position < last, "the replay was not over");
    let new_epoch = gap["gap"]["e"].as_str().expect("a gap with an epoch").to_owned();
    assert_ne!(new_epoch, epoch);
    let upto = gap["gap"]["upto"].clone();
    let told = json!({"i": reply["i"], "upto": upto, "e": new_epoch, "why": "epoch"});
    assert_eq!(gap["gap"], told);
    assert_eq!(slow.next_item().await["live"], json!({"i": reply["i"], "q": upto}));
    let sequence = store(&nats, "orders.long", 7..8).await[0];
    let message = slow.next_item().await;
    assert_eq!((&message["m"]["q"], &message["m"]["d"]), (&json!(sequence), &json!(7)));
}

#[tokio::test]
async fn a_member_of_a_stream_that_begins_anew_goes_on_resuming_without_a_new_subscribe() {
    let mesh = one_region(Links::Direct).await;
    let nats = mesh.plain_nats("eu").await;
    let client = mesh.client("eu").await;
    for filter in ["orders.a.1", "orders.a.*"] {
        let mut here = subscribe_durable(&client, filter, SubscribeOptions::default()).await;
        let epoch = here.reply().e.clone();
        store(&nats, "orders.a.1", 0..3).await;
        let mut shown = Shown::default();
        shown.read_until(&mut here, DEADLINE, |shown| shown.messages.len() == 3).await;
        mesh.purge_orders().await;
        shown.read_until(&mut here, DEADLINE, |shown| !shown.gaps.is_empty()).await;
        let gap = shown.gaps[0].clone();
        assert_eq!((gap.why.as_str(), gap.after, gap.upto.is_some()), ("epoch", None, true));
        assert!(gap.e.is_some() && gap.e != epoch, "{gap:?}");
        store(&nats, "orders.a.1", 3..4).await;
        shown.read_until(&mut here, DEADLINE, |shown| shown.messages.len() == 4).await;
        let resume = resume_of(&here);
        here.unsubscribe().await.unwrap();
        store(&nats, "orders.a.1", 4..6).await;
        let mut back = client.subscribe(filter, resume).await.unwrap();
        assert_eq!(back.reply().recovered, Some(true), "{filter}");
        shown.read_until(&mut back, DEADLINE, |shown| shown.messages.len() == 6).await;
        assert_eq!(shown.numbers(), [0, 1, 2, 3, 4, 5], "{filter}");
        back.unsubscribe().await.unwrap();
    }
}

#[tokio::test]
async fn a_quiet_filter_misses_nothing_while_others_are_dropped() {
    let mesh = one_region(Links::Direct).await;
    let nats = mesh.plain_nats("eu").await;
    let client = mesh.client("eu").await;
    let mut quiet = subscribe_durable(&client, "orders.quiet", SubscribeOptions::default()).await;
    let last = *store(&nats, "orders.busy", 0..20).await.last().unwrap();
    // A client that comes back at once, to the edge that has seen that nothing came.
    let other = mesh.client("eu").await;
    let early = SubscribeOptions { resume: quiet.resume_point(), ..SubscribeOptions::default() };
    // And one whose position has moved with the stream, anywhere.
    let moved = async {
        loop {
            match quiet.next().await {
                Some(Event::Position(mark)) if mark.q >= last => break,
                Some(_) => {}
                None => panic!("it ended"),
            }
        }
    };
    assert!(tokio::time::timeout(AUDIT_DEADLINE, moved).await.is_ok(), "the mark moves");
    let late = resume_of(&quiet);
    mesh.drop_orders_below(&nats, last).await;
    let back = other.subscribe("orders.quiet", early).await.unwrap();
    assert_eq!(back.reply().recovered, Some(true), "the ring knows");
    let (edge, elsewhere) = second_edge(&mesh).await;
    let mut back = subscribe_durable(&elsewhere, "orders.quiet", late).await;
    assert_eq!(back.reply().recovered, Some(true), "the position is young");
    assert!(matches!(next_event(&mut back).await, Event::Live(_)));
    drop(elsewhere);
    edge.stop().await;
}

#[tokio::test]
async fn clients_that_take_nothing_do_not_keep_others_from_resuming() {
    let mesh = one_region(Links::Direct).await;
    let nats = mesh.plain_nats("eu").await;
    let (epoch, after, last) = long_stream(&mesh, &nats).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(
            within("a slow client's reply", slow_resume(&mesh, "orders.long", &epoch, after))
                .await
                .0,
        );
    }
    let mut quick = mesh.raw_socket("eu").await;
    let recover = json!({"e": epoch, "q": after});
    let command = json!({"id": 2, "subscribe": {"f": "orders.long", "recover": recover}});
    quick.send_text(&command.to_string()).await;
    let mut position = after;
    loop {
        let item = quick.next_item().await;
        if let Some(sequence) = item["m"]["q"].as_u64() {
            assert_eq!(sequence, position + 1);
            position = sequence;
        }
        if item.get("live").is_some() {
            break;
        }
    }
    assert_eq!(position, last);
    // And a slow one that reads at last has everything, once.
    let mut position = after;
    while position < last {
        if let Some(sequence) = slow[SLOW - 1].next_item().await["m"]["q"].as_u64() {
            assert_eq!(sequence, position + 1);
            position = sequence;
        }
    }
}
