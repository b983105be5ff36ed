//! `proto/vectors` in both codecs: the same meaning, and the bytes that other languages read.

use super::{command_line, hex, item_line, lists};
use meridian_proto::codes::CloseCode;
use meridian_proto::command::{Body, Command};
use meridian_proto::item::Item;
use meridian_proto::json;
use meridian_proto::payload::Kind;
use meridian_proto::pb;
use meridian_proto::{DecodeError, Filter, Subject};
use serde_json::Value;

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("no text {key} in {entry}"))
}

fn read_commands(bytes: &[u8]) -> Vec<Command> {
    pb::commands(bytes).map(|command| command.unwrap()).collect()
}

fn read_items(bytes: &[u8]) -> Vec<Item> {
    pb::items(bytes).map(|item| item.unwrap()).collect()
}

fn encoded<T>(write: impl Fn(&mut Vec<u8>, &T), value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

#[test]
fn commands_mean_the_same_in_both_codecs() {
    for entry in lists("commands", "vectors") {
        let (line, bytes) = (text(&entry, "line"), hex(text(&entry, "pb")));
        let lines: Vec<String> = read_commands(&bytes).iter().map(command_line).collect();
        assert_eq!(lines, [line], "{entry}");
        let command = json::commands(line).next().unwrap().unwrap();
        assert_eq!(encoded(pb::command, &command), bytes, "{entry}");
    }
}

#[test]
fn items_mean_the_same_in_both_codecs() {
    for entry in lists("items", "vectors") {
        let (line, bytes) = (text(&entry, "line"), hex(text(&entry, "pb")));
        let lines: Vec<String> = read_items(&bytes).iter().map(item_line).collect();
        assert_eq!(lines, [line], "{entry}");
        let item = json::item(line).unwrap();
        assert_eq!(encoded(pb::write_item, &item), bytes, "{entry}");
    }
}

#[test]
fn the_answer_of_a_responder_is_written_as_the_vectors_say() {
    for entry in lists("items", "vectors") {
        let bytes = hex(text(&entry, "pb"));
        for item in read_items(&bytes) {
            let Item::Reply(id, meridian_proto::item::Reply::Request(reply)) = item else {
                continue;
            };
            let pairs = reply
                .h
                .iter()
                .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value)));
            let pairs: Vec<(&str, &str)> = pairs.collect();
            let mut out = Vec::new();
            pb::request_reply(&mut out, id, reply.content().payload(), &pairs);
            assert_eq!(out, bytes, "{entry}");
        }
    }
}

#[test]
fn frames_of_commands_hold_what_the_vectors_say() {
    for entry in lists("pb", "frames") {
        let commands = read_commands(&hex(text(&entry, "hex")));
        let lines: Vec<String> = commands.iter().map(command_line).collect();
        assert_eq!(serde_json::json!(lines), entry["lines"], "{entry}");
        let payload = commands.iter().find_map(|command| match &command.body {
            Body::Publish(publish) => publish.b.as_ref(),
            _ => None,
        });
        let is_unsaid = payload.map(|raw| raw.kind == Kind::Unsaid);
        assert_eq!(is_unsaid, entry["unsaid"].as_bool(), "{entry}");
    }
}

/// What refuses a command that was decoded, of what the vectors name.
fn refusal(body: &Body) -> Option<u16> {
    let is_refused = match body {
        Body::Subscribe(body) => Filter::parse(&body.f).is_err(),
        Body::History(body) => Filter::parse(&body.f).is_err(),
        Body::Publish(body) => Subject::parse(&body.s).is_err(),
        Body::Unserved(_) => return Some(108),
        _ => false,
    };
    is_refused.then_some(207)
}

#[test]
fn refused_frames_get_the_code_that_the_vectors_say() {
    for entry in lists("pb", "rejected") {
        let bytes = hex(text(&entry, "hex"));
        let mut commands = pb::commands(&bytes);
        for _ in 0..entry["before"].as_u64().unwrap() {
            assert!(commands.next().unwrap().is_ok(), "{entry}");
        }
        let (id, error, close) = match commands.next().unwrap() {
            Err(DecodeError::Refused(id, failure)) => (id, Some(u16::from(failure.code)), None),
            Err(error) => {
                assert!(error.to_string().len() <= 123, "fits a close frame: {error}");
                (None, None, Some(CloseCode::BadProtocol.number()))
            }
            Ok(command) => (command.id, refusal(&command.body), None),
        };
        assert_eq!(serde_json::json!(close), entry["close"], "{entry}");
        assert_eq!(serde_json::json!(error), entry["error"], "{entry}");
        assert_eq!(serde_json::json!(id), entry["id"], "{entry}");
    }
}

#[test]
fn frames_of_items_hold_what_the_vectors_say() {
    for entry in lists("pb", "items") {
        let items = read_items(&hex(text(&entry, "hex")));
        let lines: Vec<String> = items.iter().map(item_line).collect();
        assert_eq!(serde_json::json!(lines), entry["lines"], "{entry}");
    }
    for entry in lists("pb", "skipped") {
        let items = read_items(&hex(text(&entry, "hex")));
        assert!(matches!(items[..], [Item::Unknown(_)]), "{entry}: {items:?}");
    }
    for entry in lists("pb", "malformed") {
        let bytes = hex(text(&entry, "hex"));
        assert!(pb::items(&bytes).any(|item| item.is_err()), "{entry}");
    }
}
