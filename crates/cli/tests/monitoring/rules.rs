//! Rules are good, fire when they should and only then, and each alert says what to do.

use crate::{monitoring, read, root};
use meridian_testkit::program;
use std::process::Command;

fn promtool(arguments: &[&str]) {
    let output = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(monitoring())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

fn alerts() -> Vec<String> {
    let text = read(monitoring().join("rules/alerts.yml"));
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn rules_and_the_scrape_configuration_are_good() {
    promtool(&["check", "rules", "rules/recording.yml", "rules/alerts.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let files = ["tests/alerts.yml", "tests/objectives.yml"];
    promtool(&["test", "rules", files[0], files[1]]);
    let tests = files.map(|file| read(monitoring().join(file))).concat();
    for alert in alerts() {
        for case in [format!("name: {alert} fires"), format!("name: {alert} does not fire")] {
            assert!(tests.lines().any(|line| line.trim_start_matches("  - ") == case), "{case}");
        }
    }
}

#[test]
fn each_alert_has_a_runbook_that_says_what_to_do() {
    let (rules, operations) =
        (read(monitoring().join("rules/alerts.yml")), read(root().join("docs/operations.md")));
    for alert in alerts() {
        let link = format!("runbook: docs/operations.md#{}", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} names no runbook");
        let heading = format!("\n### {alert}\n");
        let (_, rest) = operations.split_once(&heading).unwrap_or_else(|| {
            panic!("docs/operations.md has no section {alert}");
        });
        let body = rest.split("\n#").next().unwrap();
        assert!(body.trim().len() > 80, "the runbook of {alert} says little");
    }
}
