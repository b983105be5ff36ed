//! Servers die, links break, republished messages are lost or forged: subscribers of durable
//! filters see every stored message all the same.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Error, PayloadBuf, PublishOptions, SubscribeOptions, Subscription};
use meridian_local::Links;
use meridian_proto::ErrorCode;
use meridian_testkit::{
    DEADLINE, NumberedPublisher, Shown, TestMesh, TestMeshOptions, ask, eventually, refusal,
    subscribe_durable, with_orders, within,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A mirror whose home was away asks again after 10 s and more.
const MIRROR_DEADLINE: Duration = Duration::from_secs(300);

/// The longest that a lost last message may stay unnoticed, and generously what a busy machine
/// adds: a quiet filter is audited every 30 s.
const AUDIT_DEADLINE: Duration = Duration::from_secs(120);

const SUBJECTS: usize = 3;

async fn three_regions(links: Links) -> TestMesh {
    let configure = with_orders;
    TestMesh::durable(TestMeshOptions { configure, links, ..TestMeshOptions::default() }).await
}

/// A subscriber and what it was shown.
struct Watcher {
    name: String,
    subscription: Subscription,
    shown: Shown,
    _client: Client,
}

impl Watcher {
    async fn start(mesh: &TestMesh, region: &str, filter: &str) -> Self {
        let client = mesh.client(region).await;
        let none = SubscribeOptions::default();
        let subscription = subscribe_durable(&client, filter, none).await;
        let name = format!("{region} {filter}");
        Self { name, subscription, shown: Shown::default(), _client: client }
    }

    /// Waits until it was shown so many messages.
    async fn has(&mut self, count: usize, limit: Duration) {
        let enough = |shown: &Shown| shown.messages.len() >= count;
        self.shown.read_until(&mut self.subscription, limit, enough).await;
    }

    async fn has_exactly(&mut self, count: usize, limit: Duration) {
        self.has(count, limit).await;
        while let Some(event) = self.subscription.try_next() {
            self.shown.note(event);
        }
        self.shown.assert_complete(&self.name, 0..count);
    }
}

async fn publish(client: &Client, subject: &str, number: usize) -> Result<u64, Error> {
    let payload = PayloadBuf::text(number.to_string());
    let reply = client.publish(subject, payload, PublishOptions::default()).await?;
    Ok(reply.unwrap().q.unwrap())
}

#[tokio::test]
async fn a_region_whose_server_was_down_receives_all_that_was_published_elsewhere() {
    let mut mesh = three_regions(Links::Direct).await;
    let mut watchers = Vec::new();
    for (region, filter) in [("ap", "orders.>"), ("ap", "orders.n.*"), ("us", "orders.>")] {
        watchers.push(Watcher::start(&mesh, region, filter).await);
    }
    let publisher = NumberedPublisher::start(mesh.plain_nats("eu").await, "orders.n", SUBJECTS);
    for watcher in &mut watchers {
        watcher.has(50, DEADLINE).await;
    }
    mesh.nats.kill_region("ap").await.unwrap();
    publisher.publishes(300).await;
    mesh.nats.restart_region("ap").await.unwrap();
    publisher.publishes(300).await;
    let published = publisher.stop().await;
    for watcher in &mut watchers {
        // No subscribe again, no gap.
        watcher.has_exactly(published, MIRROR_DEADLINE).await;
    }
}

#[tokio::test]
async fn while_the_home_region_is_down_publishes_fail_and_history_and_resume_go_on() {
    let mut mesh = three_regions(Links::Direct).await;
    let (eu, us, ap) = (mesh.client("eu").await, mesh.client("us").await, mesh.client("ap").await);
    let mut watchers = Vec::new();
    for region in ["eu", "us", "ap"] {
        watchers.push(Watcher::start(&mesh, region, "orders.>").await);
    }
    // One goes away with a position before there is anything.
    let away = subscribe_durable(&us, "orders.h.*", SubscribeOptions::default()).await;
    let resume = away.resume_point();
    away.unsubscribe().await.unwrap();
    for number in 0..20 {
        publish(&eu, &format!("orders.h.{}", number % 2), number).await.unwrap();
    }
    for watcher in &mut watchers {
        watcher.has(20, DEADLINE).await;
    }
    mesh.nats.kill_region("eu").await.unwrap();

    // As soon as the servers have noticed it is 202, until then nobody answers: 203.
    let mut codes = Vec::new();
    eventually("publishes are refused at once", async || {
        let failure = refusal(publish(&us, "orders.h.lost", 999).await);
        // 203 may be sent again only under a message id, which these have not.
        assert_eq!(failure.retry, failure.code != ErrorCode::AckUnknown, "{failure:?}");
        codes.push(failure.code);
        failure.code == ErrorCode::StreamUnavailable
    })
    .await;
    let are_known = codes[..codes.len() - 1].iter().all(|code| *code == ErrorCode::AckUnknown);
    assert!(are_known, "{codes:?}");

    let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
    let mut back = ap.subscribe("orders.h.*", options).await.unwrap();
    assert_eq!(back.reply().recovered, Some(true));
    let mut shown = Shown::default();
    shown.read_until(&mut back, DEADLINE, |shown| shown.lives == 1).await;
    shown.assert_complete("resumed without home", 0..20);
    let from = Some(json!({"last": 4}));
    let options = SubscribeOptions { from, ..SubscribeOptions::default() };
    let mut last = us.subscribe("orders.>", options).await.unwrap();
    let mut shown = Shown::default();
    shown.read_until(&mut last, DEADLINE, |shown| shown.lives == 1).await;
    shown.assert_complete("history without home", 16..20);

    mesh.nats.restart_region("eu").await.unwrap();
    let mut number = 20;
    eventually("publishes are stored again", async || {
        match publish(&us, "orders.h.0", number).await {
            Ok(_) => number += 1,
            // What the edge or a server says until home leads its stream again.
            Err(Error::Refused(failure)) => assert!(failure.retry, "{failure:?}"),
            Err(other) => panic!("{other:?}"),
        }
        number == 25
    })
    .await;
    for watcher in &mut watchers {
        watcher.has(25, MIRROR_DEADLINE).await;
        let mut numbers = watcher.shown.numbers();
        // A publish that was not acknowledged may be stored, and its retry too.
        numbers.dedup();
        assert_eq!(numbers, (0..25).collect::<Vec<_>>(), "{}", watcher.name);
        assert_eq!(watcher.shown.gaps, [], "{}", watcher.name);
    }
}

#[tokio::test]
async fn a_region_cut_off_from_home_receives_everything_when_the_link_is_back() {
    let mesh = three_regions(Links::Proxied).await;
    let mut watchers = Vec::new();
    for region in ["us", "ap"] {
        watchers.push(Watcher::start(&mesh, region, "orders.>").await);
    }
    let publisher = NumberedPublisher::start(mesh.plain_nats("eu").await, "orders.l", SUBJECTS);
    for watcher in &mut watchers {
        watcher.has(50, DEADLINE).await;
    }
    mesh.nats.cut_between("eu", "ap").unwrap();
    let before = watchers[1].shown.messages.len();
    publisher.publishes(300).await;
    watchers[0].has(before + 300, DEADLINE).await;
    mesh.nats.heal_between("eu", "ap").unwrap();
    watchers[1].has(before + 300, MIRROR_DEADLINE).await;
    // The second cut loses what was on its way: the mirror has to ask home again.
    mesh.nats.sever_between("eu", "ap").unwrap();
    publisher.publishes(300).await;
    let published = publisher.stop().await;
    watchers[0].has_exactly(published, DEADLINE).await;
    while let Some(event) = watchers[1].subscription.try_next() {
        watchers[1].shown.note(event);
    }
    assert!(watchers[1].shown.messages.len() < published, "the link was cut");
    mesh.nats.heal_between("eu", "ap").unwrap();
    watchers[1].has_exactly(published, MIRROR_DEADLINE).await;
}

/// Turns the republishing of a copy off, or on again: what is stored meanwhile is lost to edges.
async fn set_republish(nats: &async_nats::Client, copy: &str, republish: Option<&Value>) -> Value {
    let info = ask(nats, &format!("$JS.API.STREAM.INFO.{copy}"), &json!({})).await;
    let mut config = info["config"].clone();
    let before = config["republish"].clone();
    match republish {
        Some(republish) => config["republish"] = republish.clone(),
        None => drop(config.as_object_mut().unwrap().remove("republish")),
    }
    ask(nats, &format!("$JS.API.STREAM.UPDATE.{copy}"), &config).await;
    before
}

#[tokio::test]
async fn a_message_whose_republish_was_lost_is_found_by_the_next_one_and_by_the_audit() {
    let mesh = TestMesh::durable_one_region().await;
    let nats = mesh.plain_nats("eu").await;
    let copy = mesh.copy_of_orders("eu");
    let mut wide = Watcher::start(&mesh, "eu", "orders.>").await;
    let mut exact = Watcher::start(&mesh, "eu", "orders.r.1").await;
    let mut count = 0;
    let mut store = async |subject: &str| {
        ask(&nats, subject, &json!(count)).await;
        count += 1;
    };
    store("orders.r.1").await;
    wide.has(1, DEADLINE).await;
    exact.has(1, DEADLINE).await;

    // A hole, which the next message of the subject shows.
    let republish = set_republish(&nats, &copy, None).await;
    assert!(republish.is_object(), "{republish}");
    store("orders.r.1").await;
    store("orders.r.1").await;
    set_republish(&nats, &copy, Some(&republish)).await;
    store("orders.r.1").await;
    wide.has_exactly(4, DEADLINE).await;
    exact.has_exactly(4, DEADLINE).await;

    // The last ones of two subjects, behind a later message on a third: only an audit finds them.
    set_republish(&nats, &copy, None).await;
    store("orders.r.1").await;
    store("orders.r.2").await;
    set_republish(&nats, &copy, Some(&republish)).await;
    store("orders.r.3").await;
    wide.has_exactly(7, AUDIT_DEADLINE).await;
    exact.has_exactly(5, AUDIT_DEADLINE).await;
}

/// More subjects than one answer of the store holds.
const MANY: usize = 1_200;

#[tokio::test]
async fn a_lost_last_message_is_found_among_more_subjects_than_one_answer_holds() {
    let mesh = TestMesh::durable_one_region().await;
    let nats = mesh.plain_nats("eu").await;
    let copy = mesh.copy_of_orders("eu");
    let mut wide = Watcher::start(&mesh, "eu", "orders.>").await;
    for number in 0..MANY - 1 {
        nats.publish(format!("orders.m.{number}"), number.to_string().into()).await.unwrap();
    }
    ask(&nats, &format!("orders.m.{}", MANY - 1), &json!(MANY - 1)).await;
    wide.has(MANY, DEADLINE).await;
    let republish = set_republish(&nats, &copy, None).await;
    ask(&nats, "orders.m.7", &json!(MANY)).await;
    set_republish(&nats, &copy, Some(&republish)).await;
    let last = ask(&nats, "orders.m.8", &json!(MANY + 1)).await["seq"].as_u64().unwrap();
    wide.has_exactly(MANY + 2, AUDIT_DEADLINE).await;
    // And the mark moves, so that not everything is read again and again.
    while wide.subscription.resume_point().unwrap().position().q < last {
        let event = within("the mark", wide.subscription.next()).await.unwrap();
        wide.shown.note(event);
    }
}

/// A message on a region's republished subject that no stream has stored. Services are trusted not
/// to do so; edges should stand it all the same, as far as the rule can tell.
async fn forge(nats: &async_nats::Client, subject: &str, previous: u64, sequence: u64) {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Stream", "ORDERS_1");
    headers.insert("Nats-Subject", subject);
    headers.insert("Nats-Sequence", sequence.to_string());
    headers.insert("Nats-Last-Sequence", previous.to_string());
    let target = format!("_mrd.reg.eu.{subject}");
    nats.publish_with_headers(target, headers, "666".into()).await.unwrap();
    nats.flush().await.unwrap();
}

#[tokio::test]
async fn repeated_and_forged_republished_messages_are_not_shown() {
    let mesh = TestMesh::durable_one_region().await;
    let nats = mesh.plain_nats("eu").await;
    let mut wide = Watcher::start(&mesh, "eu", "orders.>").await;
    let mut exact = Watcher::start(&mesh, "eu", "orders.f.1").await;
    let mut last = 0;
    for number in 0..3 {
        last = ask(&nats, "orders.f.1", &json!(number)).await["seq"].as_u64().unwrap();
    }
    forge(&nats, "orders.f.1", last - 1, last).await;
    forge(&nats, "orders.f.1", last - 2, last - 1).await;
    ask(&nats, "orders.f.1", &json!(3)).await;
    wide.has_exactly(4, DEADLINE).await;
    exact.has_exactly(4, DEADLINE).await;
    // From the future: its predecessor is fetched, is not there, and neither is it.
    forge(&nats, "orders.f.1", last + 10, last + 11).await;
    for number in 4..30 {
        ask(&nats, "orders.f.1", &json!(number)).await;
        if number % 7 == 0 {
            forge(&nats, "orders.f.1", last + 100, last + 101).await;
        }
    }
    wide.has_exactly(30, DEADLINE).await;
    exact.has_exactly(30, DEADLINE).await;
}
