//! `config/edge.toml` shows every key of an edge's configuration, documented, with its default.

use crate::report;
use crate::tree::root;
use meridian_edge::Config;
use meridian_edge::config::{
    ClassName, DemoRegion, NamespaceSection, SlowClientName, StreamSection,
};
use std::path::PathBuf;

fn path() -> PathBuf {
    root().join("config/edge.toml")
}

fn text() -> String {
    std::fs::read_to_string(path()).expect("config/edge.toml is there")
}

#[test]
fn the_shown_configuration_is_good_and_holds_the_defaults() {
    let mut config = Config::load(Some(&path())).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!config.namespaces.is_empty(), "an example of a namespace");
    config.namespaces.clear();
    assert_eq!(config, Config::default());
}

/// A configuration in which every list has an element, so that every key shows.
fn full() -> Config {
    let mut config = Config::default();
    config.demo.regions.push(DemoRegion::default());
    config.namespaces.push(NamespaceSection {
        name: String::new(),
        pattern: String::new(),
        class: ClassName::Durable,
        publish: false,
        request: false,
        headers: Vec::new(),
        slow_client: SlowClientName::Disconnect,
        stream: Some(StreamSection {
            name: Some(String::new()),
            epoch: 1,
            home: String::new(),
            home_stream: Some("X_1".into()),
            replicas: 1,
            max_age_s: 0,
            max_messages_per_subject: 0,
            max_bytes: 0,
            duplicate_window_s: 0,
        }),
    });
    config
}

#[test]
fn every_key_is_shown_under_its_section_and_documented() {
    let shown: toml::Table = full().to_toml().parse().expect("the edge prints TOML");
    let text = text();
    let mut breaches = Vec::new();
    for (section, content) in &shown {
        match content {
            toml::Value::Array(elements) => {
                check_section(&text, &format!("[[{section}]]"), section, &elements[0])
            }
            single => check_section(&text, &format!("[{section}]"), section, single),
        }
        .into_iter()
        .for_each(|breach| breaches.push(breach));
    }
    report(&breaches);
}

/// The breaches of a section and of the tables in it.
fn check_section(text: &str, heading: &str, path: &str, content: &toml::Value) -> Vec<String> {
    let mut breaches = Vec::new();
    let Some((before, rest)) = text.split_once(&format!("\n{heading}\n")) else {
        return vec![format!("{heading} is missing")];
    };
    if !before.lines().next_back().is_some_and(|line| line.starts_with("# ")) {
        breaches.push(format!("{heading} has no comment above"));
    }
    let body = rest.split("\n[").next().unwrap_or_default();
    for (key, value) in content.as_table().expect("a section is a table") {
        let path = format!("{path}.{key}");
        if value.is_table() {
            breaches.extend(check_section(text, &format!("[{path}]"), &path, value));
        } else if !is_documented(body, key) {
            breaches.push(format!("{heading} {key}: show it below a comment"));
        }
    }
    breaches
}

/// Whether a key stands right below a comment, or in a run of keys below one.
fn is_documented(body: &str, key: &str) -> bool {
    let start = format!("{key} = ");
    let lines: Vec<&str> = body.lines().collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&start)) else { return false };
    let is_key = |line: &&&str| !line.starts_with('#') && line.contains(" = ");
    let above = lines[..at].iter().rev().find(|line| !is_key(line));
    above.is_some_and(|line| line.starts_with("# "))
}
