//! The codec against `meridian.proto`, which another implementation of protobuf reads: it finds
//! every field under the number, type and name that the file gives, and writes the same bytes.

use super::{file, hex, lists};
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use serde_json::Value as Json;
use std::sync::LazyLock;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let source = file("meridian/v1/meridian.proto");
    let parsed = protox::file::File::from_source("meridian.proto", &source).unwrap();
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(parsed.file_descriptor_proto().clone()).unwrap();
    pool
});

/// Reads a frame by the `.proto` file. Every field must be known to it, and its canonical encoding
/// must be ours.
pub(crate) fn read(message: &str, bytes: &[u8]) -> DynamicMessage {
    let descriptor = POOL.get_message_by_name(&format!("meridian.v1.{message}")).unwrap();
    let read = DynamicMessage::decode(descriptor, bytes).unwrap();
    assert_all_known(&read);
    assert_eq!(read.encode_to_vec(), bytes, "its own encoding");
    read
}

fn assert_all_known(message: &DynamicMessage) {
    let unknown: Vec<u32> = message.unknown_fields().map(|field| field.number()).collect();
    assert!(unknown.is_empty(), "{unknown:?} in {}", message.descriptor().full_name());
    for (_, value) in message.fields() {
        match value {
            Value::Message(nested) => assert_all_known(nested),
            Value::List(values) => {
                values.iter().filter_map(Value::as_message).for_each(assert_all_known);
            }
            _ => {}
        }
    }
}

/// Follows the only field that is set, but for `id`, as often as there is one: from a frame over a
/// command, an item or a reply to the body. Returns the names on the way.
fn body(frame: &DynamicMessage) -> (Vec<String>, Option<DynamicMessage>) {
    let (mut names, mut message) = (Vec::new(), frame.clone());
    loop {
        let is_inner = matches!(
            message.descriptor().name(),
            "ClientFrame" | "ServerFrame" | "Command" | "Item" | "Reply"
        );
        if !is_inner {
            return (names, Some(message));
        }
        let inner = message.fields().find(|(field, _)| field.name() != "id");
        let Some((field, value)) = inner else { return (names, None) };
        names.push(field.name().to_owned());
        message = match value {
            Value::Message(inner) => inner.clone(),
            Value::List(items) => items[0].as_message().unwrap().clone(),
            _ => panic!("{} is no message", field.full_name()),
        };
    }
}

/// A scalar of the `.proto` file as JSON has it.
fn plain(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Bool(flag) => Json::from(*flag),
        Value::U32(number) => Json::from(*number),
        Value::U64(number) => Json::from(*number),
        Value::String(text) => Json::from(text.as_str()),
        Value::List(values) => values.iter().map(plain).collect::<Option<Vec<Json>>>()?.into(),
        _ => return None,
    })
}

/// Compares every field that is spelled alike in both codecs, by its name. Returns how many.
fn compare(body: &DynamicMessage, fields: &Json) -> usize {
    let mut compared = 0;
    for (field, value) in body.fields() {
        let expected = &fields[field.name()];
        match value {
            Value::Message(nested) => compared += compare(nested, expected),
            // Headers are an object in JSON.
            Value::List(values) if values[0].as_message().is_some() && field.name() != "h" => {
                let nested = values.iter().filter_map(Value::as_message).zip(0_usize..);
                compared +=
                    nested.map(|(nested, at)| compare(nested, &expected[at])).sum::<usize>();
            }
            other => match (field.name(), plain(other)) {
                ("after_ms_min", Some(plain)) => assert_eq!(plain, fields["after_ms"][0]),
                ("after_ms_max", Some(plain)) => assert_eq!(plain, fields["after_ms"][1]),
                ("r", Some(plain)) => assert_eq!(plain, Json::from(expected == 1)),
                // The id of an error stands beside it in JSON.
                ("id", Some(_)) if body.descriptor().name() == "Error" => {}
                (name, Some(plain)) => {
                    assert_eq!(plain, *expected, "{name} in {fields}");
                    compared += 1;
                }
                // Headers, payloads, enums and trace contexts have spellings of their own.
                (_, None) => {}
            },
        }
    }
    compared
}

#[test]
fn the_vectors_say_by_the_proto_file_what_they_say_in_json() {
    let mut compared = 0;
    for (file, message) in [("commands", "ClientFrame"), ("items", "ServerFrame")] {
        // Commands that are not served have a reserved number, and no message yet.
        let entries = lists(file, "vectors").into_iter();
        for entry in entries.filter(|entry| entry["kind"] != "unserved") {
            let frame = read(message, &hex(entry["pb"].as_str().unwrap()));
            let (names, body) = body(&frame);
            let kind = entry["kind"].as_str().unwrap();
            let Some(body) = body else {
                assert!(matches!(kind, "heartbeat" | "unsubscribe"), "{entry}");
                continue;
            };
            assert_eq!(names.last().unwrap(), kind, "{entry}");
            compared += compare(&body, &entry["fields"]);
        }
    }
    assert!(compared > 90, "only {compared} fields compared");
}

#[test]
fn enums_have_the_numbers_of_the_proto_file() {
    let number = |name: &str, value: &str| {
        let descriptor = POOL.get_enum_by_name(&format!("meridian.v1.{name}")).unwrap();
        descriptor.get_value_by_name(value).unwrap().number()
    };
    for (list, kind, path) in [
        ("publish_json", "KIND_JSON", &["c", "publish", "kind"][..]),
        ("publish_text", "KIND_TEXT", &["c", "publish", "kind"]),
        ("publish_bytes", "KIND_BYTES", &["c", "publish", "kind"]),
        ("publish_ack_none", "ACK_NONE", &["c", "publish", "ack"]),
        ("publish_full", "ACK_EDGE", &["c", "publish", "ack"]),
        ("publish_ack_stream", "ACK_STREAM", &["c", "publish", "ack"]),
    ] {
        let entry = lists("commands", "vectors").into_iter().find(|entry| entry["name"] == list);
        let frame = read("ClientFrame", &hex(entry.unwrap()["pb"].as_str().unwrap()));
        let (_, body) = body(&frame);
        let value = body.unwrap().get_field_by_name(path[2]).unwrap().as_enum_number();
        let name = if kind.starts_with("ACK") { "Ack" } else { "Kind" };
        assert_eq!(value, Some(number(name, kind)), "{list}");
    }
}
