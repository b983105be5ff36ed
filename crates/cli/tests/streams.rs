//! `meridian streams` against a real three-region supercluster.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

use meridian_local::{
    EdgeUsers, Links, MeshPorts, NatsWebSocket, Supercluster, SuperclusterOptions,
};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// For anything that a loaded two-core machine may take; nothing here is measured.
const DEADLINE: Duration = Duration::from_secs(60);

/// A mirror whose server was away asks its home again after 40 s and more.
const MIRROR_DEADLINE: Duration = Duration::from_secs(300);

const POLL: Duration = Duration::from_millis(50);

const FILE: &str = r#"
[nats]
servers = ["SERVER"]
[mesh]
regions = ["eu", "us", "ap"]
[[namespaces]]
name = "orders"
pattern = "orders.>"
class = "durable"
[namespaces.stream]
home = "eu"
max_bytes = 1048576
"#;

struct Mesh {
    cluster: Supercluster,
    directory: TempDir,
}

impl Mesh {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = Supercluster::start(SuperclusterOptions {
            regions: ["eu", "us", "ap"].map(str::to_owned).to_vec(),
            ports: MeshPorts::claimed(3, 0).unwrap(),
            state_dir: directory.path().to_path_buf(),
            rtt_ms: 0,
            links: Links::Direct,
            websocket: NatsWebSocket::Off,
            edge_users: EdgeUsers::Open,
            nats_server: None,
        });
        let cluster = cluster.await.unwrap();
        Self { cluster, directory }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn streams(file: &PathBuf, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.arg("streams").args(arguments).arg("--config").arg(file);
    command.stdin(Stdio::null()).kill_on_drop(true).env("NO_COLOR", "1");
    timeout(DEADLINE, command.output()).await.expect("ends in time").unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Waits until every copy is as it must be.
async fn until_well(file: &PathBuf) {
    let give_up_at = Instant::now() + MIRROR_DEADLINE;
    loop {
        let status = streams(file, &["status"]).await;
        if status.status.success() {
            return;
        }
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(Instant::now() < give_up_at, "not well: {text}");
        sleep(POLL).await;
    }
}

fn problems(status: &Output) -> Vec<Value> {
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let copies = status["copies"].as_array().unwrap();
    assert_eq!(copies.len(), 3);
    copies.iter().map(|copy| copy["problem"].clone()).filter(|p| !p.is_null()).collect()
}

#[tokio::test]
async fn streams_are_planned_made_shown_and_purged() {
    let mesh = Mesh::start().await;
    let url = mesh.cluster.region("us").unwrap().nats_url();
    let text = FILE.replace("SERVER", &url);
    let file = mesh.file("edge.toml", &text);

    let plan = stdout(&streams(&file, &["plan"]).await);
    assert!(plan.starts_with("+ ORDERS_1 in eu (namespace orders)\n"), "{plan}");
    assert!(plan.ends_with("3 to create, 0 to change, 0 to delete\n"), "{plan}");
    let before = streams(&file, &["status", "--json"]).await;
    assert_eq!((before.status.code(), problems(&before).len()), (Some(6), 3));
    let applied = stdout(&streams(&file, &["apply", "--json"]).await);
    assert!(applied.starts_with(r#"{"created":["ORDERS_1","ORDERS_1_us","#), "{applied}");
    assert_eq!(stdout(&streams(&file, &["plan"]).await), "no changes\n");
    assert_eq!(stdout(&streams(&file, &["apply"]).await), "no changes\n");
    // A mirror that was made just now has not heard of home yet.
    until_well(&file).await;
    let status = streams(&file, &["status", "--json"]).await;
    assert_eq!((status.status.code(), problems(&status)), (Some(0), vec![]));
    assert!(stdout(&streams(&file, &["status"]).await).contains("ORDERS_1_ap  ap"));

    let fewer = mesh.file("fewer.toml", &text.replace(r#", "ap""#, ""));
    let refused = streams(&fewer, &["apply"]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("(ORDERS_1_ap)"), "{}", stderr(&refused));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("- ORDERS_1_ap in ap"));

    let refused = streams(&file, &["purge", "orders"]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    let unknown = streams(&file, &["purge", "invoices", "--yes"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
    assert!(stderr(&unknown).contains("there are: orders"), "{}", stderr(&unknown));
    let purged = stdout(&streams(&file, &["purge", "orders", "--yes"]).await);
    assert!(purged.contains("ORDERS_1_us  us      0\n"), "{purged}");
    assert!(purged.contains("epoch: ORDERS_1@"), "{purged}");
    assert_eq!(stdout(&streams(&file, &["plan"]).await), "no changes\n");
}

#[tokio::test]
async fn a_mirror_is_promoted_when_home_is_lost_once_that_is_confirmed() {
    let mut mesh = Mesh::start().await;
    let url = mesh.cluster.region("us").unwrap().nats_url();
    let text = FILE.replace("SERVER", &url);
    let file = mesh.file("edge.toml", &text);
    stdout(&streams(&file, &["apply"]).await);
    mesh.cluster.kill_region("eu").await.unwrap();
    let promote = ["promote", "orders", "--to", "us"];

    let refused = streams(&file, &promote).await;
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    let shown = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(shown.starts_with("promote ORDERS_1_us in us (namespace orders)\n"), "{shown}");
    assert!(shown.contains("    subjects: orders.> -> _mrd.retired.ORDERS_1\n"), "{shown}");
    let status = streams(&file, &["status", "--json"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["copies"][0]["readonly"], true, "{status}");
    assert_eq!(status["copies"][1]["status"]["mirror_of"], "ORDERS_1", "nothing was changed");
    assert_eq!(status["meta_leader"], true, "{status}");

    let promoted = streams(&file, &[&promote[..], &["--yes"]].concat()).await;
    assert_eq!(promoted.status.code(), Some(0), "{}", stderr(&promoted));
    let said = stderr(&promoted);
    assert!(said.contains("home = \"us\"\nhome_stream = \"ORDERS_1_us\"\n"), "{said}");
    let again = stdout(&streams(&file, &promote).await);
    assert!(again.starts_with("ORDERS_1_us in us is the home stream; nothing to do\n"), "{again}");
    let lines = "home = \"us\"\nhome_stream = \"ORDERS_1_us\"";
    let after = mesh.file("after.toml", &text.replace("home = \"eu\"", lines));
    let status = streams(&after, &["status", "--json"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let state = |index: usize| {
        let copy = &status["copies"][index];
        (copy["stream"].as_str().unwrap(), copy["readonly"].as_bool().unwrap())
    };
    assert_eq!([state(1), state(2)], [("ORDERS_1_us", false), ("ORDERS_1_ap", false)]);
    let nowhere = streams(&file, &["promote", "orders", "--to", "mars"]).await;
    assert_ne!(nowhere.status.code(), Some(0), "{}", stderr(&nowhere));
}

#[tokio::test]
async fn what_is_wrong_decides_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = directory.path().join("edge.toml");
        std::fs::write(&path, text).unwrap();
        path
    };
    let missing = streams(&directory.path().join("nowhere.toml"), &["plan"]).await;
    assert_eq!(missing.status.code(), Some(2), "{}", stderr(&missing));
    let wrong = streams(&file(&FILE.replace("nats]", "gnats]")), &["plan"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("gnats"), "{}", stderr(&wrong));
    let elsewhere = FILE.replace("SERVER", "nats://127.0.0.1:1").replace("= \"eu\"", "= \"mars\"");
    let wrong = streams(&file(&elsewhere), &["plan"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("mars"), "{}", stderr(&wrong));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = file(&FILE.replace("SERVER", "nats://127.0.0.1:1"));
    let refused = streams(&file, &["plan", "--nats", &format!("nats://{closed}")]).await;
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(stderr(&refused).contains(&closed.to_string()), "{}", stderr(&refused));
}
