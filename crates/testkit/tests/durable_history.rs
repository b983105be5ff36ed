//! Where a durable subscription may start, and what it is told when the start is gone.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Event, SubscribeOptions, Subscription};
use meridian_edge::Config;
use meridian_proto::ErrorCode;
use meridian_proto::item::{Gap, SubscribeReply};
use meridian_testkit::{
    DEADLINE, NumberedPublisher, Shown, TestMesh, TestMeshOptions, ask, eventually, next_event,
    refusal, subscribe_durable, text_of, with_orders, within,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Most messages that one resume brings.
const REPLAY_MAX: usize = 5_000;

/// More than replays that one shard serves at once, and the largest sequence of a position.
const LIARS: usize = 40;
const LARGEST_POSITION: u64 = (1 << 53) - 1;

/// Resumes in a row that race with what is published.
const LOST_RESUMES: usize = 30;

fn resume_of(subscription: &Subscription) -> SubscribeOptions {
    let resume = subscription.resume_point();
    SubscribeOptions { resume, ..SubscribeOptions::default() }
}

/// A subscription that starts from history, and the client that holds it: a filter is held once.
async fn from(mesh: &TestMesh, filter: &str, from: Value) -> (Client, Subscription) {
    let client = mesh.client("eu").await;
    let options = SubscribeOptions { from: Some(from), ..SubscribeOptions::default() };
    let subscription = client.subscribe(filter, options).await.unwrap();
    (client, subscription)
}

/// Subject and text of the next message; none when the replay has ended.
async fn next(subscription: &mut Subscription) -> Option<(String, String)> {
    loop {
        match next_event(subscription).await {
            Event::Message(message) => return Some((message.s.clone(), text_of(&message))),
            Event::Live(_) => return None,
            Event::Position(_) => {}
            other => panic!("{}: {other:?}", subscription.filter()),
        }
    }
}

/// The texts of the replay.
async fn replay(subscription: &mut Subscription) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((_, text)) = next(subscription).await {
        texts.push(text);
    }
    texts
}

async fn next_gap(subscription: &mut Subscription) -> Gap {
    loop {
        match next_event(subscription).await {
            Event::Gap(gap) => return gap,
            Event::Position(_) => {}
            other => panic!("no gap, but {other:?}"),
        }
    }
}

/// Publishes numbers and waits until they are stored. Returns the last sequence.
async fn store(nats: &async_nats::Client, subject: &str, numbers: std::ops::Range<usize>) -> u64 {
    let last = numbers.end - 1;
    for number in numbers.start..last {
        nats.publish(subject.to_owned(), number.to_string().into()).await.unwrap();
    }
    ask(nats, subject, &json!(last)).await["seq"].as_u64().unwrap()
}

fn texts(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Not recovered: the reply says why, a gap stands before anything else, and live goes on.
async fn assert_lost(
    nats: &async_nats::Client,
    mut subscription: Subscription,
    why: &str,
    after: u64,
) {
    let SubscribeReply { i, recovered, why: told, q, .. } = subscription.reply().clone();
    assert_eq!((recovered, told.as_deref()), (Some(false), Some(why)));
    let gap = next_gap(&mut subscription).await;
    assert_eq!(gap, Gap { i, after: Some(after), upto: q, e: None, why: why.into() });
    assert!(q.unwrap() >= after);
    let subject = subscription.filter().replace(['*', '>'], "live");
    store(nats, &subject, 777..779).await;
    assert_eq!(next(&mut subscription).await.unwrap(), (subject.clone(), "777".into()));
    assert_eq!(next(&mut subscription).await.unwrap(), (subject, "778".into()));
    subscription.unsubscribe().await.unwrap();
}

#[tokio::test]
async fn before_its_stream_exists_a_filter_is_refused_with_a_retry_and_later_works() {
    let regions = vec!["eu".into()];
    let options = TestMeshOptions { regions, configure: with_orders, ..Default::default() };
    let mesh = TestMesh::start(options).await;
    let client = mesh.client("eu").await;
    for _ in 0..2 {
        let failure = refusal(client.subscribe("orders.>", SubscribeOptions::default()).await);
        assert_eq!((failure.code, failure.retry), (ErrorCode::StreamUnavailable, true));
    }
    mesh.nats.wait_jetstream_ready().await.unwrap();
    mesh.apply_streams().await;
    let mut later = subscribe_durable(&client, "orders.>", SubscribeOptions::default()).await;
    store(&mesh.plain_nats("eu").await, "orders.a", 0..3).await;
    for number in 0..3 {
        assert_eq!(next(&mut later).await.unwrap().1, number.to_string());
    }
}

#[tokio::test]
async fn a_subscription_starts_from_the_last_from_a_time_or_from_the_latest_values() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    drop(subscribe_durable(&client, "orders.>", SubscribeOptions::default()).await);
    let nats = mesh.plain_nats("eu").await;
    // 50 subjects with four values each; the fourth is the latest.
    for number in 0..200 {
        store(&nats, &format!("orders.item.{}", number % 50), number..number + 1).await;
    }
    from_last(&mesh, &nats).await;
    from_time(&mesh, &nats).await;
    latest_values(&mesh, &nats).await;
}

async fn from_last(mesh: &TestMesh, nats: &async_nats::Client) {
    for (filter, wanted, expected) in [
        ("orders.item.*", 7, texts(193..200)),
        ("orders.item.*", 1, texts(199..200)),
        ("orders.>", 500, texts(0..200)),
        ("orders.item.3", 2, ["103", "153"].map(String::from).to_vec()),
        ("orders.item.3", 1, ["153"].map(String::from).to_vec()),
        ("orders.item.3", 500, ["3", "53", "103", "153"].map(String::from).to_vec()),
        ("orders.none", 5, Vec::new()),
        ("orders.none.*", 5, Vec::new()),
    ] {
        let (_client, mut subscription) = from(mesh, filter, json!({"last": wanted})).await;
        assert_eq!(subscription.reply().n, Some(expected.len() as u64), "{filter} {wanted}");
        assert_eq!(replay(&mut subscription).await, expected, "{filter} {wanted}");
    }
    let (_a, mut live) = from(mesh, "orders.last.*", json!({"last": 1})).await;
    assert_eq!(replay(&mut live).await, [""; 0]);
    store(nats, "orders.last.a", 0..2).await;
    assert_eq!(next(&mut live).await.unwrap().1, "0");
    assert_eq!(next(&mut live).await.unwrap().1, "1");
    let (_b, mut last) = from(mesh, "orders.last.a", json!({"last": 1})).await;
    assert_eq!(replay(&mut last).await, ["1"]);
}

async fn from_time(mesh: &TestMesh, nats: &async_nats::Client) {
    // When the 101st was stored, as the server spells it.
    let get = format!("$JS.API.DIRECT.GET.{}", mesh.copy_of_orders("eu"));
    let request = json!({"last_by_subj": "orders.item.0"}).to_string();
    let newest = within("the get", nats.request(get.clone(), request.into())).await.unwrap();
    let headers = newest.headers.unwrap();
    let sequence: u64 = headers.get("Nats-Sequence").unwrap().as_str().parse().unwrap();
    let request = json!({"seq": sequence - 50}).to_string();
    let one = within("the get", nats.request(get, request.into())).await.unwrap();
    let time = one.headers.unwrap().get("Nats-Time-Stamp").unwrap().to_string();
    let (_a, mut all) = from(mesh, "orders.item.>", json!({"time": time})).await;
    assert_eq!(all.reply().n, Some(100));
    assert_eq!(replay(&mut all).await, texts(100..200));
    let (_b, mut exact) = from(mesh, "orders.item.0", json!({"time": time})).await;
    assert_eq!(replay(&mut exact).await, ["100", "150"]);
    let long_ago = json!({"time": "2020-01-01T00:00:00Z"});
    let (_c, mut since_ever) = from(mesh, "orders.item.0", long_ago).await;
    assert_eq!(replay(&mut since_ever).await, ["0", "50", "100", "150"]);
    store(nats, "orders.item.0", 200..201).await;
    for subscription in [&mut all, &mut exact, &mut since_ever] {
        assert_eq!(next(subscription).await.unwrap().1, "200");
    }
}

async fn latest_values(mesh: &TestMesh, nats: &async_nats::Client) {
    // What is stored last is on none of the filter's subjects.
    store(nats, "orders.other", 0..3).await;
    let latest = json!({"last_per_subject": true});
    let (_a, mut state) = from(mesh, "orders.item.*", latest.clone()).await;
    assert_eq!(state.reply().n, Some(50));
    let mut shown = replay(&mut state).await;
    shown.sort();
    let mut expected = texts(151..201);
    expected.sort();
    assert_eq!(shown, expected, "the latest value of each subject");
    for number in 300..305 {
        store(nats, &format!("orders.item.{}", number % 2), number..number + 1).await;
    }
    for number in 300..305 {
        let change = (format!("orders.item.{}", number % 2), number.to_string());
        assert_eq!(next(&mut state).await.unwrap(), change, "then changes");
    }
    let (_b, mut exact) = from(mesh, "orders.item.7", latest).await;
    assert_eq!(replay(&mut exact).await, ["157"]);
}

#[tokio::test]
async fn what_cannot_be_recovered_is_told_with_its_reason_and_live_goes_on() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    for (exact, filter) in [("orders.x.1", "orders.x.1"), ("orders.w.1", "orders.w.*")] {
        let here = subscribe_durable(&client, filter, SubscribeOptions::default()).await;
        // Exactly as many as a resume brings, then one more.
        let after = here.reply().q.unwrap();
        let resume = resume_of(&here);
        here.unsubscribe().await.unwrap();
        store(&nats, exact, 0..REPLAY_MAX).await;
        let events_max = REPLAY_MAX + 10;
        let mut all = client
            .subscribe(filter, SubscribeOptions { events_max, ..resume.clone() })
            .await
            .unwrap();
        assert_eq!(all.reply().recovered, Some(true), "{filter}");
        assert_eq!(replay(&mut all).await, texts(0..REPLAY_MAX), "{filter}");
        all.unsubscribe().await.unwrap();
        let last = store(&nats, exact, REPLAY_MAX..REPLAY_MAX + 100).await;
        let lost = client.subscribe(filter, resume.clone()).await.unwrap();
        assert_lost(&nats, lost, "limit", after).await;

        // The stream's limits have dropped what it missed.
        mesh.drop_orders_below(&nats, last - 10).await;
        let lost = client.subscribe(filter, resume).await.unwrap();
        assert_lost(&nats, lost, "expired", after).await;
    }
    foreign_epoch(&mesh, &nats).await;
}

async fn foreign_epoch(mesh: &TestMesh, nats: &async_nats::Client) {
    let mut socket = mesh.raw_socket("eu").await;
    let recover = json!({"e": "ORDERS_1@of another time", "q": 3});
    let command = json!({"id": 2, "subscribe": {"f": "orders.e.*", "recover": recover}});
    socket.send_text(&command.to_string()).await;
    let reply = socket.next_item().await["subscribe"].clone();
    assert_eq!((&reply["recovered"], &reply["why"]), (&json!(false), &json!("epoch")));
    assert_ne!(reply["e"], recover["e"]);
    let gap = json!({"i": reply["i"], "after": 3, "upto": reply["q"], "e": reply["e"],
        "why": "epoch"});
    assert_eq!(socket.next_item().await["gap"], gap);
    let sequence = store(nats, "orders.e.1", 0..1).await;
    loop {
        let item = socket.next_item().await;
        if item.get("pos").is_none() {
            assert_eq!((&item["m"]["q"], &item["m"]["d"]), (&json!(sequence), &json!(0)));
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_that_has_dropped_everything_does_not_claim_to_have_recovered() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let here = subscribe_durable(&client, "orders.a.*", SubscribeOptions::default()).await;
    let (resume, after) = (resume_of(&here), here.reply().q.unwrap());
    here.unsubscribe().await.unwrap();
    let last = store(&nats, "orders.a.1", 0..10).await;
    mesh.drop_orders_below(&nats, last + 1).await;
    let lost = client.subscribe("orders.a.*", resume).await.unwrap();
    assert_lost(&nats, lost, "expired", after).await;
}

#[tokio::test]
async fn at_the_end_of_a_stream_that_has_dropped_everything_live_goes_on() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let mut here = subscribe_durable(&client, "orders.a.1", SubscribeOptions::default()).await;
    let last = store(&nats, "orders.a.1", 0..5).await;
    for number in 0..5 {
        assert_eq!(next(&mut here).await.unwrap().1, number.to_string());
    }
    let resume = resume_of(&here);
    here.unsubscribe().await.unwrap();
    mesh.drop_orders_below(&nats, last + 1).await;
    let mut back = client.subscribe("orders.a.1", resume).await.unwrap();
    store(&nats, "orders.a.1", 5..7).await;
    // Nothing was missed, but an empty stream cannot prove that: a gap may be told.
    let mut shown = Shown::default();
    shown.read_until(&mut back, DEADLINE, |shown| shown.messages.len() == 2).await;
    assert_eq!(shown.numbers(), [5, 6]);
}

#[tokio::test]
async fn after_a_lost_position_live_begins_right_behind_the_gap() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let here = subscribe_durable(&client, "orders.>", SubscribeOptions::default()).await;
    let resume = resume_of(&here);
    here.unsubscribe().await.unwrap();
    let last = store(&nats, "orders.a", 0..10).await;
    mesh.drop_orders_below(&nats, last).await;
    let publisher = NumberedPublisher::start(nats, "orders.n", 3);
    for _ in 0..LOST_RESUMES {
        let mut lost = client.subscribe("orders.>", resume.clone()).await.unwrap();
        assert_eq!(lost.reply().recovered, Some(false));
        let mut shown = Shown::default();
        shown.read_until(&mut lost, DEADLINE, |shown| shown.messages.len() == 3).await;
        let sequences: Vec<u64> = shown.messages.iter().map(|message| message.0).collect();
        let upto = shown.gaps[0].upto.unwrap();
        assert_eq!(sequences, [upto + 1, upto + 2, upto + 3]);
        lost.unsubscribe().await.unwrap();
    }
    publisher.stop().await;
}

#[tokio::test]
async fn after_a_purge_an_old_position_is_of_another_epoch_even_where_the_filter_is_held() {
    let mesh = TestMesh::durable_one_region().await;
    let (client, holder) = (mesh.client("eu").await, mesh.client("eu").await);
    let nats = mesh.plain_nats("eu").await;
    let here = subscribe_durable(&client, "orders.a.*", SubscribeOptions::default()).await;
    let _held = holder.subscribe("orders.a.*", SubscribeOptions::default()).await.unwrap();
    let resume = resume_of(&here);
    here.unsubscribe().await.unwrap();
    // One message stays behind, so that the stream is not empty.
    store(&nats, "orders.a.1", 0..10).await;
    mesh.purge_orders().await;
    store(&nats, "orders.a.1", 10..11).await;
    eventually("the position is of another epoch", async || {
        // Seldom enough for the budget of commands.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let back = client.subscribe("orders.a.*", resume.clone()).await.unwrap();
        let (recovered, why) = (back.reply().recovered, back.reply().why.clone());
        back.unsubscribe().await.unwrap();
        assert_eq!(recovered, Some(false), "ten messages were erased");
        why.as_deref() == Some("epoch")
    })
    .await;
}

/// Adds `few.>`, which keeps three messages of each subject.
fn with_few(config: &mut Config) {
    with_orders(config);
    let mut few = config.namespaces.last().unwrap().clone();
    few.name = "few".into();
    few.pattern = "few.>".into();
    few.stream.as_mut().unwrap().max_messages_per_subject = 3;
    config.namespaces.push(few);
}

#[tokio::test]
async fn where_a_count_per_subject_thins_the_stream_only_what_cannot_be_thinned_is_recovered() {
    let regions = vec!["eu".into()];
    let options = TestMeshOptions { regions, configure: with_few, ..Default::default() };
    let mesh = TestMesh::durable(options).await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    // A quiet subject keeps the stream's first message old.
    ask(&nats, "few.quiet", &json!(0)).await;
    let mut epoch = String::new();
    for filter in ["few.a.1", "few.a.*"] {
        let here = subscribe_durable(&client, filter, SubscribeOptions::default()).await;
        epoch = here.reply().e.clone().unwrap();
        let resume = resume_of(&here);
        here.unsubscribe().await.unwrap();
        let mut back = client.subscribe(filter, resume.clone()).await.unwrap();
        assert_eq!(back.reply().recovered, Some(true), "{filter}: nothing was missed");
        assert_eq!(replay(&mut back).await, [""; 0], "{filter}");
        back.unsubscribe().await.unwrap();
        store(&nats, "few.a.1", 0..10).await;
        // The edge holds the filter for a while yet, and has seen all of them.
        let mut back = client.subscribe(filter, resume).await.unwrap();
        assert_eq!(back.reply().recovered, Some(true), "{filter}: out of the ring");
        assert_eq!(replay(&mut back).await, texts(0..10), "{filter}");
        back.unsubscribe().await.unwrap();
    }
    // Filters that nobody has held. Of two that were missed none can have been dropped, of three
    // perhaps one.
    let last = store(&nats, "few.a.1", 10..11).await;
    for (filter, missed, why) in
        [("few.*.1", 2, None), ("few.*.*", 3, Some("limit")), ("few.>", 10, Some("limit"))]
    {
        let mut socket = mesh.raw_socket("eu").await;
        let q = last - missed;
        let subscribe = json!({"f": filter, "recover": {"e": epoch, "q": q}});
        socket.send_text(&json!({"id": 2, "subscribe": subscribe}).to_string()).await;
        let reply = socket.next_item().await["subscribe"].clone();
        assert_eq!(reply["recovered"], why.is_none(), "{filter}: {reply}");
        let item = socket.next_item().await;
        if let Some(why) = why {
            let gap = json!({"i": reply["i"], "after": q, "upto": reply["q"], "why": why});
            assert_eq!((&reply["why"], &item["gap"]), (&json!(why), &gap), "{filter}");
        } else {
            assert_eq!((&reply["n"], &item["m"]["q"]), (&json!(2), &json!(q + 1)), "{filter}");
        }
    }
}

#[tokio::test]
async fn positions_that_are_still_to_come_do_not_keep_others_from_resuming() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let here = subscribe_durable(&client, "orders.a.*", SubscribeOptions::default()).await;
    let (epoch, resume) = (here.reply().e.clone().unwrap(), resume_of(&here));
    here.unsubscribe().await.unwrap();
    store(&nats, "orders.a.1", 0..3).await;
    let mut liars = Vec::new();
    for _ in 0..LIARS {
        let mut socket = mesh.raw_socket("eu").await;
        for (id, q) in [(2, LARGEST_POSITION), (3, u64::MAX)] {
            let f = format!("orders.a.{}", ["*", "1"][id - 2]);
            let subscribe = json!({"f": f, "recover": {"e": epoch, "q": q}});
            socket.send_text(&json!({"id": id, "subscribe": subscribe}).to_string()).await;
        }
        liars.push(socket);
    }
    for socket in &mut liars {
        // Some answer comes, and it does not end the edge.
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let item = socket.next_item().await;
            answers.extend(item["id"].as_u64());
        }
        answers.sort_unstable();
        assert_eq!(answers, [2, 3]);
    }
    let mut back = within("the resume", client.subscribe("orders.a.*", resume)).await.unwrap();
    assert_eq!(back.reply().recovered, Some(true));
    assert_eq!(replay(&mut back).await, texts(0..3));
}
