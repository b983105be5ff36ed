//! `meridian token`: what it signs an edge takes, and it says why an edge does not.

#![allow(clippy::unwrap_used)]

use meridian_testkit::{TestIssuer, ask_for_tokens, config_for};
use std::path::Path;
use std::process::Command;

/// Exit code and standard output.
fn meridian(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_meridian")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.code().unwrap(), text)
}

fn new(more: &[&str]) -> String {
    let key = TestIssuer::key_path("eddsa.pem").display().to_string();
    let least = [
        "token",
        "new",
        "--key",
        &key,
        "--algorithm",
        "EdDSA",
        "--key-id",
        "d1",
        "--issuer",
        "test",
        "--audience",
        "mesh",
        "--user",
        "ann",
        "--tenant",
        "acme",
    ];
    let (code, token) = meridian(&[&least[..], more].concat());
    assert_eq!(code, 0);
    token
}

/// An edge of tenants, as a file.
fn configuration(directory: &Path) -> String {
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    ask_for_tokens(&mut config);
    config.auth.tenant_prefix = "t.{tenant}.".into();
    let path = directory.join("edge.toml");
    std::fs::write(&path, config.to_toml()).unwrap();
    path.display().to_string()
}

#[test]
fn what_is_signed_is_taken_and_each_answer_names_its_rule() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let token = new(&["--allow", "sub:demo.>", "--deny", "sub:demo.secret"]);
    let (code, said) = meridian(&["token", "check", "--config", &config, "--token", &token]);
    assert!(code == 0 && said.starts_with("taken: ann of tenant acme for 3"), "{code} {said}");

    let explain = |verb: &str, subject: &str| {
        let place = ["--config", &config, "--token", &token];
        meridian(&[&["token", "explain", verb, subject][..], &place].concat())
    };
    let (code, said) = explain("sub", "demo.a");
    let expected =
        "yes, sub demo.a: allowed by sub rule demo.>\n  namespace: demo\n  in NATS: t.acme.demo.a";
    assert_eq!((code, said.as_str()), (0, expected));
    for (verb, subject, why) in [
        ("sub", "demo.>", "denied by sub rule demo.secret"),
        ("pub", "demo.a", "no pub rule allows demo.a"),
        ("pub", "quiet.a", "the namespace lets no client publish"),
        ("sub", "other.a", "no namespace declares other.a"),
        ("sub", "demo..a", "no filter: an empty token"),
        ("read", "demo.a", "\"read\" is none of sub, pub, req, hist, pres"),
    ] {
        let (code, said) = explain(verb, subject);
        assert!(code == 4 && said.contains(why), "{verb} {subject}: {code} {said}");
    }
}

#[test]
fn what_an_edge_does_not_take_ends_with_4_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path());
    let expired = new(&["--life-s", "0"]);
    let subscription = new(&["--filter", "demo.a"]);
    for (token, why) in [
        (expired.as_str(), "not taken: token expired"),
        ("nonsense", "not taken: malformed token"),
        (&subscription, "not taken: malformed token: a subscription token"),
    ] {
        let (code, said) = meridian(&["token", "check", "--config", &config, "--token", token]);
        assert!(code == 4 && said.starts_with(why), "{code} {said}");
    }
}
