//! Pages of history: together they are exactly what is stored, in either direction and in every
//! region, and what they cannot show they say.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Error, HistoryOptions, Place};
use meridian_edge::Config;
use meridian_proto::ErrorCode;
use meridian_proto::command::{HeaderValues, Position};
use meridian_proto::item::{HistoryGap, HistoryMessage, HistoryReply};
use meridian_testkit::{
    NumberedPublisher, RawSocket, TestMesh, TestMeshOptions, ask, code_of, eventually, refusal,
    with_orders,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// Messages of the stream that is paged through: several times the largest page.
const STORED: u64 = 1_730;

/// Every so many, a message is on a subject of its own.
const RARE: u64 = 97;

/// The most bytes that a page of several messages has.
const PAGE_BYTES_MAX: usize = 128 * 1024;

/// The most pages that wait for one client.
const WAITING_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Backward,
}

/// Sequence, subject and text of a stored message.
type Row = (u64, String, String);

fn row(message: &HistoryMessage) -> Row {
    let bytes = message.content().to_bytes().unwrap().into_owned();
    (message.q, message.s.clone(), String::from_utf8(bytes).unwrap())
}

fn rows(page: &HistoryReply) -> Vec<Row> {
    page.m.iter().map(row).collect()
}

fn at(place: Place, limit: u64) -> HistoryOptions {
    HistoryOptions { place, limit: Some(limit), ..HistoryOptions::default() }
}

async fn page(client: &Client, filter: &str, place: Place, limit: u64) -> HistoryReply {
    let page = loop {
        match client.history(filter, at(place.clone(), limit)).await {
            // The budget of commands: the edge says when there is some again.
            Err(Error::Refused(failure)) if failure.code == ErrorCode::TooManyRequests => {
                sleep(Duration::from_millis(failure.after_ms.unwrap())).await;
            }
            result => break result.unwrap(),
        }
    };
    let sequences: Vec<u64> = page.m.iter().map(|message| message.q).collect();
    assert!(sequences.is_sorted_by(|one, next| one < next), "{filter}: {sequences:?}");
    assert!(sequences.iter().all(|q| (page.before..=page.after).contains(q)), "{filter}");
    assert!(sequences.len() as u64 <= limit, "{filter}: {} of {limit}", sequences.len());
    page
}

/// Goes from page to page by the cursors alone until there are no more.
async fn pages(client: &Client, filter: &str, way: Way, limit: u64) -> Vec<HistoryReply> {
    let mut place = match way {
        Way::Backward => Place::Newest,
        Way::Forward => Place::After(Position { e: epoch(client).await, q: 0 }),
    };
    let mut pages = Vec::new();
    loop {
        let page = page(client, filter, place, limit).await;
        place = match way {
            Way::Backward => Place::Before(page.older()),
            Way::Forward => Place::After(page.newer()),
        };
        let more = page.more;
        pages.push(page);
        if !more {
            break;
        }
    }
    if way == Way::Backward {
        pages.reverse();
    }
    pages
}

fn all_rows(pages: &[HistoryReply]) -> Vec<Row> {
    pages.iter().flat_map(rows).collect()
}

/// The stream's epoch, as soon as the edge knows the stream.
async fn epoch(client: &Client) -> String {
    let mut epoch = None;
    eventually("the edge knows the stream", async || {
        epoch = client.history("orders.>", HistoryOptions::default()).await.ok();
        epoch.is_some()
    })
    .await;
    epoch.unwrap().e
}

/// Stores messages, and waits for the last, which is stored as a number.
async fn store(nats: &async_nats::Client, messages: impl IntoIterator<Item = (String, String)>) {
    let mut messages = messages.into_iter().peekable();
    while let Some((subject, text)) = messages.next() {
        if messages.peek().is_some() {
            nats.publish(subject, text.into()).await.unwrap();
        } else {
            let number: u64 = text.parse().unwrap_or_default();
            ask(nats, &subject, &json!(number)).await;
        }
    }
}

fn subject_of(number: u64) -> String {
    if is_rare(number) { "orders.rare.x".into() } else { format!("orders.n.{}", number % 3) }
}

fn is_rare(number: u64) -> bool {
    number.is_multiple_of(RARE)
}

/// Stores numbers from 1, each at the sequence of the same number.
async fn store_numbers(nats: &async_nats::Client, numbers: std::ops::RangeInclusive<u64>) {
    store(nats, numbers.map(|number| (subject_of(number), number.to_string()))).await;
}

fn expected(belongs: impl Fn(u64) -> bool) -> Vec<Row> {
    let of = |number: u64| (number, subject_of(number), number.to_string());
    (1..=STORED).filter(|number| belongs(*number)).map(of).collect()
}

#[tokio::test]
async fn pages_in_either_direction_are_exactly_what_is_stored_and_make_no_consumer() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    store_numbers(&nats, 1..=STORED).await;
    for (filter, limits, rows) in [
        ("orders.>", [500, 173, 346], expected(|_| true)),
        ("orders.n.*", [500, 100, 77], expected(|number| !is_rare(number))),
        ("orders.n.1", [500, 64, 33], expected(|n| n % 3 == 1 && !is_rare(n))),
        ("orders.rare.*", [500, 5, 1], expected(is_rare)),
        ("orders.none.>", [500, 5, 1], Vec::new()),
    ] {
        for limit in limits {
            for way in [Way::Forward, Way::Backward] {
                let pages = pages(&client, filter, way, limit).await;
                let what = format!("{filter} {limit} {way:?}");
                assert!(all_rows(&pages) == rows, "{what}: {} of {}", pages.len(), rows.len());
                let needed = rows.len().div_ceil(limit as usize).max(1);
                assert_eq!(pages.len(), needed, "{what}: full pages, and none that is empty");
                assert!(pages.iter().all(|page| page.gaps.is_empty() && !page.thinned), "{what}");
            }
        }
    }
    let subject = format!("$JS.API.STREAM.INFO.{}", mesh.copy_of_orders("eu"));
    let info = ask(&nats, &subject, &json!({})).await;
    assert_eq!(info["state"]["consumer_count"], 0);
}

#[tokio::test]
async fn a_page_goes_on_from_another_in_both_directions_and_beyond_the_ends_there_is_nothing() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    store_numbers(&nats, 1..=200).await;
    let e = epoch(&client).await;
    let position = |q| Position { e: e.clone(), q };
    let texts = |page: &HistoryReply| rows(page).into_iter().map(|row| row.0).collect::<Vec<_>>();
    let middle = page(&client, "orders.>", Place::Before(position(101)), 10).await;
    assert_eq!(texts(&middle), (91..=100).collect::<Vec<_>>());
    assert_eq!((middle.before, middle.after, middle.more), (91, 100, true));
    let newer = page(&client, "orders.>", Place::After(middle.newer()), 10).await;
    assert_eq!(texts(&newer), (101..=110).collect::<Vec<_>>());
    let back = page(&client, "orders.>", Place::Before(newer.older()), 10).await;
    assert_eq!(rows(&back), rows(&middle), "there and back");
    // Beyond the ends.
    let first = page(&client, "orders.>", Place::Before(position(1)), 10).await;
    assert_eq!((first.m.len(), first.more, first.gaps.len()), (0, false, 0));
    let none = page(&client, "orders.>", Place::Before(position(0)), 10).await;
    assert_eq!((none.m.len(), none.more), (0, false));
    let end = page(&client, "orders.>", Place::After(position(200)), 10).await;
    assert_eq!((end.m.len(), end.after, end.more), (0, 200, false));
    let ahead = page(&client, "orders.>", Place::After(position((1 << 53) - 1)), 10).await;
    assert_eq!((ahead.m.len(), ahead.after, ahead.more), (0, (1 << 53) - 1, false));
    // A position that the copy has not reached is no reason to hide what it has.
    let behind = page(&client, "orders.>", Place::Before(position(301)), 10).await;
    assert_eq!(texts(&behind), (191..=200).collect::<Vec<_>>());
    assert_eq!(behind.gaps, [HistoryGap { after: 200, upto: 300, why: "behind".into() }]);
    // Whoever follows a quiet filter has a position that does not grow old.
    let quiet = page(&client, "orders.quiet", Place::After(position(5)), 10).await;
    assert_eq!((quiet.m.len(), quiet.after), (0, 200));
    store(&nats, [("orders.quiet".into(), "7".into())]).await;
    let heard = page(&client, "orders.quiet", Place::After(quiet.newer()), 10).await;
    assert_eq!(texts(&heard), [201]);
}

#[tokio::test]
async fn every_region_gives_the_same_pages_also_while_home_is_down() {
    let options = TestMeshOptions { configure: with_orders, ..TestMeshOptions::default() };
    let mut mesh = TestMesh::durable(options).await;
    store_numbers(&mesh.plain_nats("ap").await, 1..=STORED).await;
    let mut seen: Vec<(String, Vec<Row>)> = Vec::new();
    for region in ["eu", "us", "ap"] {
        let client = mesh.client(region).await;
        eventually("the region's copy has everything", async || {
            let newest = client.history("orders.>", at(Place::Newest, 1)).await;
            newest.is_ok_and(|page| page.after == STORED)
        })
        .await;
        for way in [Way::Forward, Way::Backward] {
            let pages = pages(&client, "orders.n.*", way, 200).await;
            seen.push((pages[0].e.clone(), all_rows(&pages)));
        }
    }
    mesh.nats.kill_region("eu").await.unwrap();
    let us = mesh.client("us").await;
    let pages = pages(&us, "orders.n.*", Way::Backward, 200).await;
    seen.push((pages[0].e.clone(), all_rows(&pages)));
    let rows = expected(|number| !is_rare(number));
    assert!(seen.iter().all(|one| one.0 == seen[0].0 && one.1 == rows));
    // The edge whose own copy is down says so, and that it may be asked again.
    let eu = mesh.client("eu").await;
    let failure = refusal(eu.history("orders.>", HistoryOptions::default()).await);
    assert!(failure.retry, "{failure:?}");
    let codes = [ErrorCode::StreamUnavailable, ErrorCode::RegionUnreachable];
    assert!(codes.contains(&failure.code), "{failure:?}");
}

#[tokio::test]
async fn what_a_trimmed_stream_no_longer_has_is_told() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    store_numbers(&nats, 1..=300).await;
    let e = epoch(&client).await;
    let position = |q| Position { e: e.clone(), q };
    mesh.drop_orders_below(&nats, 101).await;
    let expired = |after, upto| [HistoryGap { after, upto, why: "expired".into() }];
    for (after, gaps) in [(40, &expired(40, 100)[..]), (100, &[]), (150, &[])] {
        let forward = page(&client, "orders.>", Place::After(position(after)), 10).await;
        assert_eq!(forward.gaps, gaps, "after {after}");
        assert_eq!(forward.m[0].q, after.max(100) + 1);
        let next = page(&client, "orders.>", Place::After(forward.newer()), 10).await;
        assert_eq!(next.gaps, [], "told once");
    }
    // Backwards the gap stands where the reader meets it: at the beginning.
    let pages = pages(&client, "orders.>", Way::Backward, 150).await;
    let rows: Vec<u64> = all_rows(&pages).into_iter().map(|row| row.0).collect();
    assert_eq!(rows, (101..=300).collect::<Vec<_>>());
    assert_eq!(pages[0].gaps, expired(0, 100));
    assert_eq!(pages[1].gaps, []);
    let gone = page(&client, "orders.>", Place::Before(position(50)), 10).await;
    assert_eq!((gone.m.len(), gone.more, &gone.gaps[..]), (0, false, &expired(0, 49)[..]));
    // Even a stream that has nothing left does not claim that there never was anything.
    mesh.drop_orders_below(&nats, 301).await;
    let newest = page(&client, "orders.>", Place::Newest, 10).await;
    assert_eq!((newest.m.len(), newest.after, &newest.gaps[..]), (0, 300, &expired(0, 300)[..]));
    let forward = page(&client, "orders.>", Place::After(position(250)), 10).await;
    assert_eq!((forward.after, &forward.gaps[..]), (300, &expired(250, 300)[..]));
}

#[tokio::test]
async fn a_position_of_another_epoch_is_refused_and_so_is_what_is_not_stored_or_over_a_limit() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    store_numbers(&nats, 1..=20).await;
    let old = Position { e: epoch(&client).await, q: 5 };
    let code = async |filter: &str, place: &Place, limit: u64| {
        code_of(client.history(filter, at(place.clone(), limit)).await)
    };
    assert_eq!(code("demo.a", &Place::Newest, 10).await, ErrorCode::NotAvailable);
    assert_eq!(code("other.a", &Place::Newest, 10).await, ErrorCode::UnknownSubjectSpace);
    assert_eq!(code("orders.>", &Place::Newest, 501).await, ErrorCode::Limit);
    assert_eq!(code("orders.>", &Place::Newest, 0).await, ErrorCode::Limit);
    assert_eq!(page(&client, "orders.>", Place::Newest, 500).await.m.len(), 20);
    let other = Position { e: "ORDERS_1@of another time".into(), q: 5 };
    for place in [Place::After(other.clone()), Place::Before(other)] {
        assert_eq!(code("orders.>", &place, 10).await, ErrorCode::UnrecoverablePosition);
    }
    mesh.purge_orders().await;
    eventually("the position is of another epoch", async || {
        let after = client.history("orders.>", at(Place::After(old.clone()), 10)).await;
        after.is_err_and(|error| code_of::<()>(Err(error)) == ErrorCode::UnrecoverablePosition)
    })
    .await;
    assert_ne!(epoch(&client).await, old.e);
}

#[tokio::test]
async fn large_messages_end_a_page_early_and_the_largest_has_one_of_its_own() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    // Sizes in KiB; what is written as \u0001 grows sixfold on its way.
    let sizes = [1_usize, 60, 60, 60, 1, 900, 1, 1, 700, 700, 100, 2, 2];
    for (number, size) in sizes.into_iter().enumerate() {
        let filler = if number == 10 { "\u{1}" } else { "x" };
        let text = format!("{number} {}", filler.repeat(size * 1024));
        nats.publish(format!("orders.large.{}", number % 2), text.into()).await.unwrap();
    }
    store(&nats, [("orders.large.0".into(), "13".into())]).await;
    for way in [Way::Forward, Way::Backward] {
        for limit in [500, 3] {
            let pages = pages(&client, "orders.large.*", way, limit).await;
            let numbers: Vec<u64> = pages.iter().flat_map(|page| &page.m).map(|m| m.q).collect();
            assert_eq!(numbers, (1..=14).collect::<Vec<_>>(), "{way:?} {limit}");
            for page in &pages {
                let bytes: usize = page.m.iter().map(HistoryMessage::json_bytes).sum();
                let is_small = bytes <= PAGE_BYTES_MAX;
                assert!(page.m.len() == 1 || is_small, "{way:?}: {} in {bytes}", page.m.len());
            }
            let alone = pages.iter().filter(|page| page.m.len() == 1).count();
            assert!(alone >= 4, "{way:?}: the four largest are alone");
        }
    }
}

#[tokio::test]
async fn headers_and_trace_come_as_they_were_asked_for() {
    fn with_headers(config: &mut Config) {
        with_orders(config);
        config.namespaces.last_mut().unwrap().headers = vec!["x-kind".into(), "x-tag".into()];
    }
    let regions = vec!["eu".into()];
    let options = TestMeshOptions { regions, configure: with_headers, ..Default::default() };
    let mesh = TestMesh::durable(options).await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let mut headers = async_nats::HeaderMap::new();
    let tp = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, value) in [("X-Kind", "fill"), ("x-tag", "a"), ("x-tag", "b"), ("traceparent", tp)] {
        headers.append(name, value);
    }
    nats.publish_with_headers("orders.h", headers, "123".into()).await.unwrap();
    ask(&nats, "orders.h", &json!(1)).await;
    epoch(&client).await;
    let hdr = ["X-KIND", "x-tag"].map(String::from).to_vec();
    let options = HistoryOptions { hdr, trace: true, ..HistoryOptions::default() };
    let page = client.history("orders.h", options).await.unwrap();
    let tags = HeaderValues::Many(vec!["a".into(), "b".into()]);
    assert_eq!(page.m[0].h["x-kind"], HeaderValues::One("fill".into()));
    assert_eq!((&page.m[0].h["x-tag"], page.m[0].tp.as_deref()), (&tags, Some(tp)));
    assert!(page.m[1].h.is_empty() && page.m[1].tp.is_none());
    let plain = client.history("orders.h", HistoryOptions::default()).await.unwrap();
    assert!(plain.m.iter().all(|message| message.h.is_empty() && message.tp.is_none()));
    let hdr = vec!["x-other".into()];
    let options = HistoryOptions { hdr, ..HistoryOptions::default() };
    assert_eq!(code_of(client.history("orders.h", options).await), ErrorCode::Forbidden);
}

#[tokio::test]
async fn pages_that_are_read_while_messages_flow_leave_nothing_out() {
    let mesh = TestMesh::durable_one_region().await;
    let (back, forth) = (mesh.client("eu").await, mesh.client("eu").await);
    epoch(&back).await;
    let publisher = NumberedPublisher::start(mesh.plain_nats("eu").await, "orders.f", 3);
    publisher.publishes(1_000).await;
    for _ in 0..3 {
        let newest = page(&back, "orders.f.*", Place::Newest, 60).await;
        let (mut older, mut newer) = (newest.clone(), newest.clone());
        let mut sequences: BTreeSet<u64> = newest.m.iter().map(|message| message.q).collect();
        let mut shown = newest.m.len();
        for _ in 0..8 {
            let (one, other) = tokio::join!(
                page(&back, "orders.f.*", Place::Before(older.older()), 60),
                page(&forth, "orders.f.*", Place::After(newer.newer()), 60),
            );
            shown += one.m.len() + other.m.len();
            sequences.extend(one.m.iter().chain(&other.m).map(|message| message.q));
            (older, newer) = (one, other);
        }
        assert_eq!(sequences.len(), shown, "nothing twice");
        let (first, last) = (*sequences.first().unwrap(), *sequences.last().unwrap());
        assert_eq!(last - first + 1, shown as u64, "all messages of the stream are of the filter");
        assert_eq!((first, last), (older.before, newer.after));
        publisher.publishes(200).await;
    }
    publisher.stop().await;
}

#[tokio::test]
async fn a_namespace_that_keeps_a_number_a_subject_says_that_others_may_have_been_between() {
    fn with_few(config: &mut Config) {
        with_orders(config);
        let stream = config.namespaces.last_mut().unwrap().stream.as_mut();
        stream.unwrap().max_messages_per_subject = 2;
    }
    let regions = vec!["eu".into()];
    let options = TestMeshOptions { regions, configure: with_few, ..Default::default() };
    let mesh = TestMesh::durable(options).await;
    let client = mesh.client("eu").await;
    store_numbers(&mesh.plain_nats("eu").await, 1..=60).await;
    epoch(&client).await;
    for way in [Way::Forward, Way::Backward] {
        let pages = pages(&client, "orders.n.*", way, 4).await;
        let numbers: Vec<u64> = all_rows(&pages).into_iter().map(|row| row.0).collect();
        assert_eq!(numbers, [55, 56, 57, 58, 59, 60], "{way:?}");
        assert!(pages.iter().all(|page| page.thinned));
    }
}

#[tokio::test]
async fn a_client_that_asks_for_many_pages_and_reads_none_is_not_closed_and_each_is_answered() {
    let mesh = TestMesh::durable_one_region().await;
    let client = mesh.client("eu").await;
    let nats = mesh.plain_nats("eu").await;
    let text = "x".repeat(1_000);
    store(&nats, (0..300).map(|_| ("orders.many".into(), text.clone()))).await;
    epoch(&client).await;
    let mut slow = RawSocket::narrow_tcp(mesh.edge("eu").public()).await;
    slow.upgrade().await;
    slow.identify("{}").await;
    let asked = WAITING_MAX + 14;
    let lines: Vec<String> = (2..asked + 2)
        .map(|id| json!({"id": id, "history": {"f": "orders.many", "limit": 500}}).to_string())
        .collect();
    slow.send_text(&lines.join("\n")).await;
    // Others are served meanwhile, and turns are taken in order: whatever can be read for the slow
    // one has been by the end.
    for _ in 0..asked {
        assert!(page(&client, "orders.many", Place::Newest, 500).await.m.len() > 100);
    }
    let (mut pages, mut refused) = (0, BTreeSet::new());
    while pages + refused.len() < asked {
        let item: Value = slow.next_item().await;
        if item.get("history").is_some() {
            pages += 1;
        } else {
            assert_eq!(item["error"]["code"], 111, "{item}");
            assert!(item["error"]["after_ms"].as_u64().unwrap() > 0);
            assert!(refused.insert(item["id"].as_u64().unwrap()));
        }
    }
    assert!(pages >= 1 && refused.len() >= asked - WAITING_MAX - 1, "{pages} {refused:?}");
    assert_eq!(mesh.edge("eu").number("slow_closes").await, 0);
}
