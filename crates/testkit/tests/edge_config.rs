//! Configuration from a file and the environment, and an edge that cannot start as configured.

#![allow(clippy::unwrap_used)]

use meridian_edge::config::ConfigErrors;
use meridian_edge::{Config, Edge, Error};
use meridian_testkit::{RunningEdge, config_for};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

fn load(text: &str) -> Result<Config, ConfigErrors> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path))
}

/// A configuration for an edge without NATS: it starts all the same.
fn config() -> Config {
    config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1")
}

#[test]
fn every_mistake_of_a_file_is_reported_at_once() {
    let mistakes = load(
        r#"
        surprise = 1
        [edge]
        id = "has space"
        shards = "many"
        [listen]
        public = "0.0.0.0:7410"
        admin = "nowhere"
        [nats]
        servers = []
        [limits]
        filters_max = 0
        filters_min = 1
        [mesh]
        silence_ms = 10
        [[namespaces]]
        name = "a"
        pattern = "a.>"
        [[namespaces]]
        name = "b"
        pattern = "*.b"
        [[namespaces]]
        name = "c"
        pattern = "a.c"
        "#,
    )
    .unwrap_err();
    let expected = [
        "surprise",
        "edge.id",
        "edge.shards",
        "auth.mode: dev on 0.0.0.0:7410",
        "listen.admin",
        "nats.servers",
        "limits.filters_max",
        "limits.filters_min",
        "mesh.silence_ms",
        "namespaces[1].pattern",
        "namespaces a and c overlap",
    ];
    for place in expected {
        let found = mistakes.0.iter().filter(|mistake| mistake.contains(place)).count();
        assert_eq!(found, 1, "{place} in {mistakes}");
    }
    assert_eq!(mistakes.0.len(), expected.len(), "{mistakes}");
    assert!(mistakes.to_string().starts_with("11 mistakes in the configuration:\n"), "{mistakes}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Config::load(Some("/no/such/edge.toml".as_ref())).unwrap_err();
    assert!(missing.to_string().contains("/no/such/edge.toml"), "{missing}");
    let broken = load("[edge\nid = 1").unwrap_err();
    assert!(broken.to_string().contains("edge.toml"), "{broken}");
}

#[test]
fn a_file_that_it_shows_is_a_file_that_it_reads() {
    let config = config();
    assert_eq!(load(&config.to_toml()).unwrap(), config);
}

#[test]
fn anonymous_clients_beyond_loopback_are_refused_unless_asked_for() {
    let open = "[listen]\npublic = \"0.0.0.0:0\"\n";
    let refused = load(open).unwrap_err();
    assert_eq!(refused.0.len(), 1);
    assert!(refused.0[0].contains("allow_anonymous_beyond_loopback"), "{refused}");
    let asked = format!("{open}[auth]\nallow_anonymous_beyond_loopback = true\n");
    assert!(load(&asked).is_ok());
    assert!(load("[listen]\npublic = \"[::1]:0\"\n").is_ok(), "loopback has two families");
}

/// The environment of a process cannot be changed safely, so the test runs itself in another.
fn in_environment(test: &str, variables: &[(&str, &str)]) {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program);
    child.args(["--exact", test, "--nocapture"]).envs(variables.iter().copied());
    let output = child.env("MERIDIAN_TEST_CHILD", "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "the child ran the test: {text}");
}

fn is_child() -> bool {
    std::env::var_os("MERIDIAN_TEST_CHILD").is_some()
}

#[test]
fn the_environment_overrides_the_file() {
    if !is_child() {
        return in_environment(
            "the_environment_overrides_the_file",
            &[
                ("MERIDIAN__LIMITS__FILTERS_MAX", "7"),
                ("MERIDIAN__MESH__REGIONS", "eu,us"),
                ("MERIDIAN__LISTEN__ADMIN", "127.0.0.1:9"),
                ("MERIDIAN__EDGE__ID", "eu-77"),
            ],
        );
    }
    let config = load("[limits]\nfilters_max = 5\nhandshakes_max = 6\n").unwrap();
    assert_eq!((config.limits.filters_max, config.limits.handshakes_max), (7, 6));
    assert_eq!(config.mesh.regions, ["eu", "us"]);
    assert_eq!(config.listen.admin.port(), 9);
    assert_eq!(config.edge.id, "eu-77");
}

#[test]
fn a_mistake_in_the_environment_is_reported_like_one_in_the_file() {
    if !is_child() {
        return in_environment(
            "a_mistake_in_the_environment_is_reported_like_one_in_the_file",
            &[("MERIDIAN__LIMITS__FILTERS_MIN", "7"), ("MERIDIAN__DRAIN__WINDOW_MS", "soon")],
        );
    }
    let mistakes = load("").unwrap_err();
    assert_eq!(mistakes.0.len(), 2, "{mistakes}");
    for place in ["limits.filters_min", "drain.window_ms"] {
        assert!(mistakes.to_string().contains(place), "{mistakes}");
    }
}

fn assert_cannot_listen(config: Config, taken: SocketAddr) {
    match Edge::start(config).map(|_| ()) {
        Err(error @ Error::Listen { address, .. }) => {
            assert_eq!(address, taken);
            assert!(error.to_string().contains("choose another port"), "{error}");
        }
        other => panic!("{taken} was taken: {other:?}"),
    }
}

#[test]
fn a_taken_port_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let mut public = config();
    public.listen.public = taken;
    assert_cannot_listen(public, taken);
    let mut admin = config();
    admin.listen.admin = taken;
    assert_cannot_listen(admin, taken);
}

#[tokio::test]
async fn a_port_of_another_edge_is_taken_too() {
    let first = RunningEdge::start_unready(config());
    let mut second = config();
    second.edge.id = "eu-2".into();
    // Shards of one edge share their port; two edges on one port would each get half the clients.
    second.listen.public = first.public();
    assert_cannot_listen(second, first.public());
}
