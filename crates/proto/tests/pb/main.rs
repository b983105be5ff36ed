//! The binary codec: against the golden vectors, against the `.proto` file by reflection, and by
//! properties.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach test helpers"
)]

mod properties;
mod reflection;
mod vectors;

use meridian_proto::command::Command;
use meridian_proto::item::Item;
use meridian_proto::json;
use serde_json::Value;

fn file(name: &str) -> String {
    let path = format!("{}/../../proto/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The entries of a list of golden vectors. An empty list is a mistake: it would test nothing.
fn lists(name: &str, key: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(&file(&format!("vectors/{name}.json"))).unwrap();
    let entries = vectors[key].as_array().unwrap_or_else(|| panic!("no list {key}")).clone();
    assert!(!entries.is_empty(), "{key} is empty");
    entries
}

fn hex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// A command's meaning, told by the other codec.
fn command_line(command: &Command) -> String {
    let mut out = Vec::new();
    json::command(&mut out, command);
    String::from_utf8(out).unwrap()
}

/// An item's meaning, told by the other codec.
fn item_line(item: &Item) -> String {
    let mut out = Vec::new();
    json::write_item(&mut out, item);
    String::from_utf8(out).unwrap()
}
