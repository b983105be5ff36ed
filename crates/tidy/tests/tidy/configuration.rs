//! `config/edge.toml` shows every key of an edge's configuration, documented, with its default.

use crate::report;
use crate::tree::root;
use meridian_edge::Config;
use meridian_edge::config::{ClassName, DemoRegion, NamespaceSection};
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
    config.demo.regions.push(DemoRegion { name: String::new(), url: String::new() });
    config.namespaces.push(NamespaceSection {
        name: String::new(),
        pattern: String::new(),
        class: ClassName::Ephemeral,
        publish: false,
        request: false,
        headers: Vec::new(),
    });
    config
}

#[test]
fn every_key_is_shown_under_its_section_and_documented() {
    let shown: toml::Table = full().to_toml().parse().expect("the edge prints TOML");
    let text = text();
    let mut breaches = Vec::new();
    for (section, content) in &shown {
        let (heading, keys) = match content {
            toml::Value::Array(elements) => (format!("[[{section}]]"), &elements[0]),
            single => (format!("[{section}]"), single),
        };
        let keys = keys.as_table().expect("a section is a table").keys();
        let Some((before, rest)) = text.split_once(&format!("\n{heading}\n")) else {
            breaches.push(format!("{heading} is missing"));
            continue;
        };
        if !before.lines().next_back().is_some_and(|line| line.starts_with("# ")) {
            breaches.push(format!("{heading} has no comment above"));
        }
        let body = rest.split("\n[").next().unwrap_or_default();
        for key in keys {
            if !is_documented(body, key) {
                breaches.push(format!("{heading} {key}: show it below a comment"));
            }
        }
    }
    report(&breaches);
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
