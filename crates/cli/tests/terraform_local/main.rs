//! `terraform/local` as an operator uses it: apply, plan, grow, lose a region, bring it back,
//! destroy; with real clients on it all the time, and the history checker as the judge.
//!
//! Run by `make test-terraform`, which fails where terraform is missing.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

mod mesh;
mod probes;
mod rendering;

use fastrand::Rng;
use futures_util::StreamExt;
use meridian_client::{Client, Event, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_testkit::{
    DEADLINE, Door, Follower, Habit, Next, Outcome, Patience, Publisher, Run, certified_nats,
    eventually, subscribe_durable, within,
};
use mesh::{TerraformMesh, text_of};
use std::process::Command;
use std::time::Duration;

const FOUNDERS: [(&str, u32); 3] = [("eu", 0), ("us", 0), ("ap", 0)];
const GROWN: [(&str, u32); 4] = [("eu", 0), ("us", 0), ("ap", 0), ("sa", 1)];
const SERVERS: usize = 3;
const EDGES: usize = 2;

const PACE: Duration = Duration::from_millis(20);

/// A mirror whose servers were restarted may hear of home again only after 40 s.
const QUIET_DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_from_terraform_serves_grows_and_survives_the_loss_of_a_region() {
    let mut mesh = TerraformMesh::new(SERVERS, EDGES);
    mesh.apply(&FOUNDERS);
    assert_eq!(mesh.running().len(), 3 * (SERVERS + EDGES));
    assert!(mesh.plan_is_empty(&FOUNDERS), "a second plan changes nothing");
    probes::strangers_are_refused(&mesh).await;
    probes::a_stolen_edge_can_do_little(&mesh).await;
    serves(&mesh, 0, 1).await;

    let before = server_files(&mesh);
    let run = load(&mesh).await;
    tokio::task::block_in_place(|| mesh.apply(&GROWN));
    run.stage.publishes(50).await;
    let grown = run.finish(QUIET_DEADLINE).await;
    judge(&mut mesh, &grown, "growing");
    for record in &grown.records {
        assert_eq!(record.resumes.len(), 1, "{} was reconnected", record.log.name);
    }
    assert_eq!(server_files(&mesh), before, "no founder's file changed");
    assert!(mesh.plan_is_empty(&GROWN));
    serves(&mesh, 3, 0).await;
    serves(&mesh, 1, 3).await;

    let run = load(&mesh).await;
    assert_eq!(mesh.kill_region("us"), SERVERS + EDGES);
    run.stage.publishes(200).await;
    assert!(!mesh.plan_is_empty(&GROWN), "the plan shows that processes died");
    tokio::task::block_in_place(|| mesh.apply(&GROWN));
    run.stage.publishes(50).await;
    let lost = run.finish(QUIET_DEADLINE).await;
    judge(&mut mesh, &lost, "losing a region");
    let moved = lost.records.iter().filter(|record| record.resumes.len() > 1).count();
    assert!(moved >= EDGES, "clients of the lost region went elsewhere: {moved}");
    mirrors_are_well(&mesh).await;
    assert!(mesh.plan_is_empty(&GROWN), "after the loss everything is as declared");
    mesh.destroy(&GROWN);
    assert_eq!(mesh.running(), [], "destroy leaves no process");
    assert!(!mesh.directory().exists(), "and no file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_started_can_be_stopped_when_the_state_is_lost() {
    let mesh = TerraformMesh::new(1, 1);
    let one = [("eu", 0)];
    mesh.apply(&one);
    let running = mesh.running();
    assert_eq!(running.len(), 2);
    mesh.lose_state();
    // A new state finds the old processes and puts its own in their place.
    mesh.apply(&one);
    let again = mesh.running();
    assert_eq!(again.len(), 2);
    assert!(running.iter().all(|old| !again.contains(old)), "{running:?} {again:?}");
    mesh.lose_state();
    mesh.stop_all();
    assert_eq!(mesh.running(), []);
}

/// Durable, ephemeral, and a request that a service of another region answers.
async fn serves(mesh: &TerraformMesh, from: usize, to: usize) {
    let sender = connected(&mesh.edges_of(from)[0]).await;
    let receiver = connected(&mesh.edges_of(to)[1]).await;
    let mut ephemeral =
        receiver.subscribe("demo.hello", SubscribeOptions::default()).await.unwrap();
    let mut durable =
        subscribe_durable(&receiver, "orders.hello", SubscribeOptions::default()).await;
    let acknowledged = async || {
        let payload = PayloadBuf::text("stored");
        let reply = sender.publish("orders.hello", payload, PublishOptions::default()).await;
        reply.ok().flatten().is_some_and(|reply| reply.q.is_some())
    };
    eventually("a durable publish is stored", acknowledged).await;
    within("a durable message crosses regions", message(&mut durable)).await;
    // Interest crosses gateways a little after the reply, so the first ones may be missed.
    let heard = async {
        loop {
            let payload = PayloadBuf::text("live");
            sender.publish("demo.hello", payload, PublishOptions::default()).await.unwrap();
            let waited = tokio::time::timeout(Duration::from_millis(200), message(&mut ephemeral));
            if waited.await.is_ok() {
                return;
            }
        }
    };
    within("an ephemeral message crosses regions", heard).await;
    let identity = mesh.directory().join("pki/services/app");
    let nats = certified_nats(&mesh.servers_of(to), &identity, "app").await.unwrap();
    let mut requests = nats.subscribe("demo.echo").await.unwrap();
    nats.flush().await.unwrap();
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.expect("a request says where");
            nats.publish(reply, request.payload).await.unwrap();
        }
    });
    eventually("a service of another region answers", async || {
        let asked = sender.request("demo.echo", PayloadBuf::text("?"), Duration::from_secs(2));
        asked.await.is_ok()
    })
    .await;
    answering.abort();
}

async fn message(subscription: &mut meridian_client::Subscription) {
    while !matches!(subscription.next().await.expect("the connection stays"), Event::Message(_)) {}
}

async fn connected(url: &str) -> Client {
    Client::connect(url, Options::default()).await.unwrap()
}

/// A follower at each edge of the founders, which stays until its edge is lost, and publishers
/// through edges and as a service.
async fn load(mesh: &TerraformMesh) -> Run {
    let mut rng = Rng::with_seed(7);
    let urls_from = |first: usize| -> Vec<String> {
        (0..FOUNDERS.len())
            .flat_map(|step| mesh.edges_of((first + step) % FOUNDERS.len()))
            .collect()
    };
    let followers = (0..FOUNDERS.len() * EDGES).map(|number| {
        let mut urls = urls_from(number / EDGES);
        urls.rotate_left(number % EDGES);
        Follower {
            name: format!("{number} at {}", urls[0]),
            filter: ["orders.>", "orders.p0.*"][number % 2].into(),
            urls,
            habit: Habit { stay_ms: None, offline_ms: 0, next: Next::InOrder },
            rng: rng.fork(),
        }
    });
    let servers: Vec<String> = (0..FOUNDERS.len()).rev().flat_map(|r| mesh.servers_of(r)).collect();
    let identity = mesh.directory().join("pki/services/app");
    let nats = certified_nats(&servers, &identity, "app").await.unwrap();
    let doors = [Door::Edges(urls_from(1)), Door::Edges(urls_from(0)), Door::Nats(nats)];
    // Numbers begin anew with each run, so subjects and message ids must not.
    let run = rng_of_now();
    let publishers = doors.into_iter().enumerate().map(|(index, door)| Publisher {
        name: format!("{run}-p{index}"),
        subjects: (0..4).map(|n| format!("orders.p{index}.{run}-{n}")).collect(),
        pace: PACE,
        padding_bytes: 100,
        door,
        patience: Patience::Stubborn,
    });
    Run::start(followers.collect(), publishers.collect()).await
}

fn rng_of_now() -> u32 {
    Rng::new().u32(..)
}

fn judge(mesh: &mut TerraformMesh, outcome: &Outcome, what: &str) {
    if !outcome.is_honest() {
        mesh.keep();
        let (first, stuck) = (outcome.violations.first(), outcome.stuck());
        panic!("{what}: {first:?}, stuck {stuck:?}");
    }
    let acknowledged = outcome.publications.iter().filter(|one| one.sequence.is_some()).count();
    assert!(acknowledged > 100, "{what}: only {acknowledged} messages");
}

/// As the operator sees it.
async fn mirrors_are_well(mesh: &TerraformMesh) {
    let operator = mesh.directory().join("pki/operators/operator");
    let mut last = String::new();
    let waited = tokio::time::timeout(2 * DEADLINE, async {
        loop {
            let status = Command::new(env!("CARGO_BIN_EXE_meridian"))
                .args(["streams", "status", "--config"])
                .arg(mesh.directory().join("edges/eu-1.toml"))
                .env("MERIDIAN__NATS__TLS_CERTIFICATE", operator.join("client.crt"))
                .env("MERIDIAN__NATS__TLS_KEY", operator.join("client.key"))
                .output()
                .unwrap();
            if status.status.success() {
                return;
            }
            last = text_of(&status);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    assert!(waited.await.is_ok(), "the mirrors do not catch up: {last}");
}

/// The founders' nats-server files.
fn server_files(mesh: &TerraformMesh) -> Vec<(String, String)> {
    let files = FOUNDERS.iter().flat_map(|(region, _)| (1..=SERVERS).map(move |n| (region, n)));
    let read = files.map(|(region, n)| {
        let path = mesh.directory().join(format!("nats/{region}-n{n}.conf"));
        (format!("{region}-n{n}"), std::fs::read_to_string(path).unwrap())
    });
    read.collect()
}
