//! The Autobahn test suite's fuzzing client against an edge that sends messages back: framing,
//! pings, reserved bits, opcodes, fragmentation, UTF-8, closes. Run by `make autobahn`, which
//! installs the suite; it needs Python 2.7.

#![allow(clippy::unwrap_used)]

use meridian_testkit::{RunningEdge, config_for};
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio::process::Command;

/// The categories that concern an edge: 9 measures, and 12 and 13 are compression, which is not
/// offered.
const CATEGORIES: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];

/// All cases of those.
const CASES: usize = 247;

/// What the suite says of a case that is as it may be.
const PASSED: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

#[tokio::test]
async fn every_case_of_the_suite_passes_or_is_a_matter_of_taste() {
    let wstest = std::env::var("AUTOBAHN_WSTEST").expect("make autobahn sets AUTOBAHN_WSTEST");
    let out = PathBuf::from(std::env::var("AUTOBAHN_OUT").expect("make autobahn sets it"));
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    // The suite never connects in the protocol's sense.
    config.limits.handshake_ms = 120_000;
    let edge = RunningEdge::start_unready(config);
    let spec = json!({
        "outdir": out.join("report"),
        "servers": [{"agent": "meridian", "url": edge.url()}],
        "cases": CATEGORIES,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    std::fs::write(out.join("spec.json"), spec.to_string()).unwrap();
    let ran = Command::new(wstest)
        .args(["-m", "fuzzingclient", "-s", "spec.json"])
        .current_dir(&out)
        .output()
        .await
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let index = std::fs::read_to_string(out.join("report/index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let cases = index["meridian"].as_object().unwrap();
    assert_eq!(cases.len(), CASES);
    let is_passed = |verdict: &Value| PASSED.contains(&verdict.as_str().unwrap());
    let failed: Vec<_> = cases
        .iter()
        .filter(|(_, case)| !is_passed(&case["behavior"]) || !is_passed(&case["behaviorClose"]))
        .collect();
    for passed in PASSED {
        let count = cases.values().filter(|case| case["behavior"] == passed).count();
        eprintln!("{passed}: {count} of {CASES}");
    }
    assert!(failed.is_empty(), "{failed:#?}");
    edge.stop().await;
}
