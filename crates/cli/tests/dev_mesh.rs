//! `meridian dev` end to end: real nats-servers, real edges, and the other commands against them.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

mod dev_orders;

use dev_orders::Orders;
use meridian_client::{Client, Notice, Options};
use meridian_local::PortBlock;
use meridian_proto::limits::COMMANDS_BURST;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// For anything that a loaded two-core machine may take; nothing here is measured.
const DEADLINE: Duration = Duration::from_secs(90);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A mesh under test. Killed when dropped, and its processes with it.
struct Dev {
    child: Child,
    regions: Vec<Value>,
    directory: TempDir,
    _ports: Vec<PortBlock>,
}

impl Dev {
    async fn start(regions: usize) -> Self {
        let (ports, base) = consecutive_ports(regions);
        let directory = tempfile::tempdir().unwrap();
        let stderr = std::fs::File::create(directory.path().join("stderr")).unwrap();
        let mut child = command(&["dev", "--json"])
            .args(["--regions", &regions.to_string(), "--base-port", &base.to_string()])
            .arg("--state-dir")
            .arg(directory.path().join("state"))
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut dev = Self { child, regions: Vec::new(), directory, _ports: ports };
        let line = timeout(DEADLINE, lines.next_line()).await.expect("ready in time").unwrap();
        let line = line.unwrap_or_else(|| panic!("no mesh: {}", dev.stderr()));
        let announcement: Value = serde_json::from_str(&line).unwrap();
        dev.regions = announcement["regions"].as_array().unwrap().clone();
        dev
    }

    fn url(&self, region: usize) -> &str {
        self.regions[region]["ws"].as_str().unwrap()
    }

    fn http(&self, region: usize) -> String {
        self.regions[region]["http"].as_str().unwrap().to_owned()
    }

    /// Every process that was announced.
    fn pids(&self) -> Vec<Pid> {
        let edges = self.regions.iter().flat_map(|region| region["edges"].as_array().unwrap());
        let servers = self.regions.iter().map(|region| &region["nats_pid"]);
        edges.map(|edge| &edge["pid"]).chain(servers).map(pid).collect()
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("stderr")).unwrap()
    }

    /// Waits until something was said.
    async fn said(&self, text: &str) {
        let look = async {
            while !self.stderr().contains(text) {
                sleep(POLL).await;
            }
        };
        if timeout(DEADLINE, look).await.is_err() {
            panic!("nobody said {text:?}: {}", self.stderr());
        }
    }
}

/// Claims neighbouring blocks of ports: `dev` wants a hundred for each region. Blocks that do not
/// help are kept until the end, because a block that is given back is the next one claimed.
fn consecutive_ports(count: usize) -> (Vec<PortBlock>, u16) {
    let mut blocks: Vec<PortBlock> = Vec::new();
    loop {
        let block = PortBlock::claim().expect("some neighbouring blocks of ports are free");
        let place = blocks.partition_point(|other| other.ports().start < block.ports().start);
        blocks.insert(place, block);
        let are_neighbours = |pair: &[PortBlock]| pair[0].ports().end == pair[1].ports().start;
        let found = blocks.windows(count).position(|run| run.windows(2).all(are_neighbours));
        if let Some(first) = found {
            let run: Vec<PortBlock> = blocks.drain(first..first + count).collect();
            let base = run[0].ports().start;
            return (run, base);
        }
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env_remove("MERIDIAN_URL").env_remove("MERIDIAN_TOKEN").env("NO_COLOR", "1");
    command
}

async fn output(arguments: &[&str]) -> Output {
    timeout(DEADLINE, command(arguments).output()).await.expect("ends in time").unwrap()
}

/// A subscriber that already listens.
struct Listening {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Listening {
    async fn start(arguments: &[&str]) -> Self {
        let mut child =
            command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = timeout(DEADLINE, stderr.next_line()).await.unwrap().unwrap().unwrap();
        assert!(first.starts_with("listening on "), "{first}");
        Self { child, stdout, stderr }
    }

    async fn line(&mut self) -> String {
        timeout(DEADLINE, self.stdout.next_line()).await.unwrap().unwrap().unwrap()
    }
}

async fn exit_code(child: &mut Child) -> i32 {
    let status = timeout(DEADLINE, child.wait()).await.expect("ends in time").unwrap();
    status.code().expect("ends by itself")
}

fn pid(value: &Value) -> Pid {
    Pid::from_raw(i32::try_from(value.as_u64().unwrap()).unwrap()).unwrap()
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().cast_signed()).unwrap()
}

fn exists(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_message_crosses_regions_and_sigterm_leaves_no_process() {
    let mut dev = Dev::start(3).await;
    let (eu, us) = (dev.url(0).to_owned(), dev.url(1).to_owned());

    let mut raw = Listening::start(&["sub", "demo.>", "--count", "1", "--raw", "--url", &us]).await;
    let published = output(&["pub", "demo.x", "hello", "--url", &eu]).await;
    assert_eq!(published.status.code(), Some(0), "{}", text(&published.stderr));
    assert_eq!(raw.line().await, "hello");
    assert_eq!(exit_code(&mut raw.child).await, 0);

    let arguments =
        ["sub", "demo.*", "--count", "2", "--json", "--headers", "x-kind", "--url", &us];
    let mut json = Listening::start(&arguments).await;
    let arguments =
        ["pub", "demo.{{Count}}", r#"{"n":{{Count}}}"#, "-Hx-kind:a", "--count=2", "--url", &eu];
    assert_eq!(output(&arguments).await.status.code(), Some(0));
    let expected = r#"{"subject":"demo.1","data":{"n":1},"headers":{"x-kind":"a"},"n":1}"#;
    assert_eq!(json.line().await, expected);
    assert_eq!(json.line().await, expected.replace('1', "2"));
    assert_eq!(exit_code(&mut json.child).await, 0);

    over_the_binary_codec(&us).await;
    more_than_the_budget(&eu, &us).await;
    refusals(&eu).await;
    history(&eu, &us).await;
    interrupted(&us).await;

    let file = dev.state().join("us/us-1.toml");
    let checked = output(&["config", "check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));

    let pids = dev.pids();
    assert_eq!(pids.len(), 6);
    assert!(pids.iter().all(|pid| exists(*pid)));
    kill_process(pid_of(&dev.child), Signal::TERM).unwrap();
    assert_eq!(exit_code(&mut dev.child).await, 0, "{}", dev.stderr());
    assert!(pids.iter().all(|pid| !exists(*pid)), "{}", dev.stderr());
}

/// With `--codec pb` all looks the same, and JSON keeps its line breaks.
async fn over_the_binary_codec(url: &str) {
    let pb = ["--codec", "pb", "--url", url];
    let arguments = [&["sub", "demo.pb", "--count", "2", "--raw"][..], &pb].concat();
    let mut raw = Listening::start(&arguments).await;
    for payload in ["{\"a\":\n1}", "t\u{e9}xt"] {
        let arguments = [&["pub", "demo.pb", payload][..], &pb].concat();
        let published = output(&arguments).await;
        assert_eq!(published.status.code(), Some(0), "{}", text(&published.stderr));
    }
    for expected in ["{\"a\":", "1}", "t\u{e9}xt"] {
        assert_eq!(raw.line().await, expected);
    }
    assert_eq!(exit_code(&mut raw.child).await, 0);
}

/// Publishing more than a client may send at once takes longer, and loses nothing.
async fn more_than_the_budget(eu: &str, us: &str) {
    let count = (COMMANDS_BURST + 20).to_string();
    let mut many =
        Listening::start(&["sub", "demo.many", "--raw", "--count", &count, "--url", us]).await;
    let published =
        output(&["pub", "demo.many", "{{Count}}", "--count", &count, "--url", eu]).await;
    assert_eq!(published.status.code(), Some(0), "{}", text(&published.stderr));
    for number in 1..=COMMANDS_BURST + 20 {
        assert_eq!(many.line().await, number.to_string());
    }
    assert_eq!(exit_code(&mut many.child).await, 0);
}

/// What an edge refuses has its exit code, and says why.
async fn refusals(url: &str) {
    for (arguments, code, why) in [
        (&["pub", "nowhere.x", "hi"][..], 1, "102"),
        (&["pub", "nowhere.x", "hi", "--ack", "none"], 1, "102"),
        (&["sub", "nowhere.>"], 1, "102"),
        (&["request", "demo.nobody.is.here", "hi", "--timeout-ms", "500"], 5, "refused (20"),
        (&["sub", "demo.silence", "--timeout-ms", "100"], 5, "0 messages"),
        (&["pub", "demo.*", "hi"], 2, "wildcard"),
        (&["history", "demo.x"], 1, "108"),
        (&["history", "orders..x"], 2, "token"),
    ] {
        let ended = output(&[arguments, &["--url", url]].concat()).await;
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert!(ended.stdout.is_empty(), "{arguments:?}: data goes to stdout, talk does not");
    }
}

/// What is stored can be read page by page and as a whole, in any region.
async fn history(eu: &str, us: &str) {
    let arguments = ["pub", "orders.h.{{Count}}", "{{Count}}", "--count=30", "--url", eu];
    assert_eq!(output(&arguments).await.status.code(), Some(0));
    let numbers =
        |from: u32, upto: u32| (from..=upto).map(|n| format!("{n}\n")).collect::<String>();
    let all = ["history", "orders.h.*", "--all", "--raw", "--limit", "7", "--url", us];
    let complete = async {
        while text(&output(&all).await.stdout) != numbers(1, 30) {
            sleep(POLL).await;
        }
    };
    timeout(DEADLINE, complete).await.expect("the other region has everything");

    let read = async |more: &[&str], code: i32| {
        let arguments = [&["history", "orders.h.*", "--raw", "--url", us], more].concat();
        let ended = output(&arguments).await;
        let said = text(&ended.stderr).to_owned();
        assert_eq!(ended.status.code(), Some(code), "{more:?}: {said}");
        (text(&ended.stdout).to_owned(), said)
    };
    let (newest, said) = read(&["--limit", "3"], 0).await;
    assert_eq!(newest, numbers(28, 30));
    // The places that it tells are arguments of the next call.
    let told = |option: &str| {
        let (_, behind) =
            said.split_once(&format!("{option} ")).unwrap_or_else(|| panic!("{said}"));
        behind.split([';', '\n']).next().unwrap().to_owned()
    };
    let (older, newer) = (told("--before"), told("--after"));
    assert_eq!(read(&["--limit", "3", "--before", &older], 0).await.0, numbers(25, 27));
    assert_eq!(read(&["--limit", "20", "--before", &older, "--all"], 0).await.0.len(), 27 * 3 - 9);
    assert_eq!(read(&["--after", &newer], 0).await.0, "");
    let epoch = newer.rsplit_once(':').unwrap().0;
    let (stored, said) = read(&["--limit", "1", "--before", &format!("{epoch}:999999")], 7).await;
    assert_eq!(stored, numbers(30, 30));
    assert!(said.contains("may be missing (behind)"), "{said}");
    let (_, said) = read(&["--after", "ORDERS_1@1:5"], 1).await;
    assert!(said.contains("(112)"), "{said}");
    read(&["--after", "5"], 2).await;
    read(&["--limit", "501"], 2).await;
    let json = output(&["history", "orders.h.7", "--json", "--url", us]).await;
    let line: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&line["subject"], &line["data"], &line["n"]),
        (&"orders.h.7".into(), &7.into(), &1.into())
    );
    assert!(line["sequence"].is_u64(), "{line}");
}

/// Ctrl-C says goodbye and sums up.
async fn interrupted(url: &str) {
    let mut listening = Listening::start(&["sub", "demo.quiet", "--url", url]).await;
    kill_process(pid_of(&listening.child), Signal::INT).unwrap();
    let summary = timeout(DEADLINE, listening.stderr.next_line()).await.unwrap().unwrap();
    assert_eq!(summary.as_deref(), Some("0 messages, 0 gaps"));
    assert_eq!(exit_code(&mut listening.child).await, 130);
}

#[tokio::test]
async fn a_process_that_dies_is_started_again() {
    let mut dev = Dev::start(1).await;
    let first = dev.regions[0]["edges"][0].clone();
    kill_process(pid(&first["pid"]), Signal::KILL).unwrap();
    dev.said("eu-1 is back").await;
    assert_published(dev.url(0)).await;

    kill_process(pid(&dev.regions[0]["nats_pid"]), Signal::KILL).unwrap();
    dev.said("all nats-servers run again").await;
    assert_published(dev.url(0)).await;

    bench(&dev).await;

    kill_process(pid_of(&dev.child), Signal::INT).unwrap();
    assert_eq!(exit_code(&mut dev.child).await, 0, "{}", dev.stderr());
}

/// A short load run reports what it measured as one JSON object.
async fn bench(dev: &Dev) {
    let nats = dev.regions[0]["nats"].as_str().unwrap();
    let load = ["--sockets", "5", "--rate", "20", "--duration-s", "1", "--warm-up-s", "0"];
    let arguments = ["bench", "fanout", "--json", "--url", dev.url(0), "--nats", nats];
    let ended = output(&[&arguments[..], &load].concat()).await;
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(report["traffic"]["expected"], 100);
    assert_eq!(report["traffic"]["lost"], 0);
}

/// The edge has its NATS server again within the deadline.
async fn assert_published(url: &str) {
    let mut last = None;
    let trying = async {
        loop {
            let published = output(&["pub", "demo.x", "hi", "--url", url]).await;
            if published.status.success() {
                return;
            }
            last = Some(published);
            sleep(POLL).await;
        }
    };
    if timeout(DEADLINE, trying).await.is_err() {
        panic!("nothing can be published: {last:?}");
    }
}

#[tokio::test]
async fn a_killed_region_stays_dead_until_it_is_revived() {
    let mut dev = Dev::start(2).await;
    let orders = Orders::of(&dev.state().join("eu/eu-1.toml"));
    let pids: Vec<Pid> = dev.pids();
    assert_eq!(orders.send("GET", "/dev/state", "http://example.com").await.0, 403);

    // The first region is home to the streams; the second must not care.
    let (status, state) = orders.send("POST", "/dev/regions/eu/kill", &dev.http(0)).await;
    assert_eq!((status, &state["regions"][0]["killed"]), (200, &Value::Bool(true)), "{state}");
    assert_eq!(state["regions"][0]["nats_pid"], Value::Null);
    let alive: Vec<bool> = pids.iter().map(|pid| exists(*pid)).collect();
    assert_eq!(alive, [false, true, false, true], "edges, then nats-servers");
    assert_published(dev.url(1)).await;
    let (_, state) = orders.send("GET", "/dev/state", &dev.http(1)).await;
    assert_eq!(state["regions"][0]["edges"][0]["pid"], Value::Null, "nobody started it again");

    assert_eq!(orders.send("POST", "/dev/regions/eu/revive", &dev.http(1)).await.0, 200);
    assert_published(dev.url(0)).await;
    let (_, state) = orders.send("GET", "/dev/state", &dev.http(1)).await;
    let eu = &state["regions"][0];
    assert_eq!(eu["killed"], false);
    assert!(exists(pid(&eu["nats_pid"])), "{state}");

    // What is dead at the end is no hindrance.
    orders.send("POST", "/dev/regions/us/kill", &dev.http(0)).await;
    kill_process(pid_of(&dev.child), Signal::TERM).unwrap();
    assert_eq!(exit_code(&mut dev.child).await, 0, "{}", dev.stderr());
    assert!(!exists(pid(&eu["nats_pid"])), "{}", dev.stderr());
}

#[tokio::test]
async fn a_second_signal_ends_a_draining_edge_at_once() {
    let dev = Dev::start(1).await;
    let port = |url: &Value| url.as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let edge = &dev.regions[0]["edges"][0];
    let base: u16 = port(&dev.regions[0]["nats"]).parse().unwrap();
    // The same edge once more, beside the first, and so slow to drain that nobody waits for it.
    let file = std::fs::read_to_string(dev.state().join("eu/eu-1.toml"))
        .unwrap()
        .replace(&port(&edge["http"]), &(base + 20).to_string())
        .replace(&port(&edge["admin"]), &(base + 21).to_string())
        .replace("window_ms = 500", "window_ms = 600000");
    let path = dev.state().join("slow.toml");
    std::fs::write(&path, file).unwrap();
    let log = std::fs::File::create(dev.state().join("slow.log")).unwrap();
    let mut slow =
        command(&["edge", "--config", path.to_str().unwrap()]).stderr(log).spawn().unwrap();
    let url = format!("ws://127.0.0.1:{}", base + 20);
    assert_published(&url).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::connect(&url, Options::default()).await.unwrap());
    }

    kill_process(pid_of(&slow), Signal::TERM).unwrap();
    let notice = timeout(DEADLINE, clients[0].notices().next()).await.unwrap();
    assert!(matches!(notice, Some(Notice::GoAway(_))), "{notice:?}");
    kill_process(pid_of(&slow), Signal::TERM).unwrap();
    assert_eq!(exit_code(&mut slow).await, 130);
}

#[tokio::test]
async fn taken_ports_are_all_listed_and_nothing_is_started() {
    let (_ports, base) = consecutive_ports(1);
    let _nats = TcpListener::bind((Ipv4Addr::LOCALHOST, base)).unwrap();
    let _edge = TcpListener::bind((Ipv4Addr::LOCALHOST, base + 10)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ended = dev_output(directory.path(), base, &[]).await;
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{base}, {}", base + 10)), "{said}");
    assert!(said.contains("--base-port"), "{said}");
    assert!(ended.stdout.is_empty());
}

#[tokio::test]
async fn a_missing_nats_server_is_explained() {
    let (_ports, base) = consecutive_ports(1);
    let directory = tempfile::tempdir().unwrap();
    let ended = dev_output(directory.path(), base, &["--nats-server", "/no/such/server"]).await;
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("/no/such/server"), "{said}");
}

async fn dev_output(directory: &Path, base: u16, more: &[&str]) -> Output {
    let (base, state) = (base.to_string(), directory.join("state"));
    let arguments = ["dev", "--json", "--regions", "1", "--base-port", &base, "--state-dir"];
    output(&[&arguments, &[state.to_str().unwrap()][..], more].concat()).await
}

#[tokio::test]
async fn every_mistake_of_a_configuration_is_listed_with_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.toml");
    std::fs::write(&file, "[edge]\nid = \"no spaces please\"\n[listne]\nx = 1\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["config", "check"][..], &["config", "show"], &["edge"]] {
        let ended = output(&[arguments, &["--config", file]].concat()).await;
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("listne") && said.contains("no spaces please"), "{said}");
    }
}

#[tokio::test]
async fn shown_configuration_hides_passwords_and_can_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.toml");
    std::fs::write(&file, "[nats]\nservers = [\"nats://edge:geheim@127.0.0.1:1\"]\n").unwrap();
    let shown = output(&["config", "show", "--config", file.to_str().unwrap()]).await;
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    assert!(!text(&shown.stdout).contains("geheim"));
    std::fs::write(&file, &shown.stdout).unwrap();
    let checked = output(&["config", "check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}
