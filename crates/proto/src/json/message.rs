//! The hot path: one NATS message to one line, written once for all subscribers of a filter.

use crate::outgoing::{Origin, Outgoing};
use crate::payload::Payload;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::ser::{CompactFormatter, Formatter};

/// Appends `{"m":{…}}` without a line end.
pub fn message(out: &mut Vec<u8>, message: &Outgoing<'_>) {
    out.extend_from_slice(b"{\"m\":{\"i\":");
    decimal(out, u64::from(message.i));
    out.extend_from_slice(b",\"s\":");
    match std::str::from_utf8(message.subject) {
        Ok(subject) => string(out, subject),
        Err(_) => string(out, &String::from_utf8_lossy(message.subject)),
    }
    if let Some(sequence) = message.sequence {
        out.extend_from_slice(b",\"q\":");
        decimal(out, sequence);
    }
    payload(out, message.payload, b",");
    headers(out, message.headers);
    if let Some(traceparent) = message.traceparent {
        out.extend_from_slice(b",\"tp\":");
        string(out, traceparent);
    }
    if message.origin == Origin::Replay {
        out.extend_from_slice(b",\"r\":1");
    }
    out.extend_from_slice(b"}}");
}

/// Appends `{"id":…,"request":{…}}` without a line end.
pub fn request_reply(out: &mut Vec<u8>, id: u32, body: Payload<'_>, names: &[(&str, &str)]) {
    out.extend_from_slice(b"{\"id\":");
    decimal(out, u64::from(id));
    out.extend_from_slice(b",\"request\":{");
    payload(out, body, b"");
    let start = out.len();
    headers(out, names);
    if matches!(body, Payload::Empty) && out.len() > start {
        out.remove(start);
    }
    out.extend_from_slice(b"}}");
}

fn payload(out: &mut Vec<u8>, payload: Payload<'_>, separator: &[u8]) {
    match payload {
        Payload::Empty => {}
        Payload::Json(json) => {
            out.extend_from_slice(separator);
            out.extend_from_slice(b"\"d\":");
            let start = out.len();
            out.extend_from_slice(json.as_bytes());
            // In valid JSON a raw line break stands only between tokens, so a space means the
            // same, and the line stays one line.
            for position in memchr::memchr2_iter(b'\n', b'\r', json.as_bytes()) {
                out[start + position] = b' ';
            }
        }
        Payload::Text(text) => {
            out.extend_from_slice(separator);
            out.extend_from_slice(b"\"t\":");
            string(out, text);
        }
        Payload::Bytes(bytes) => {
            out.extend_from_slice(separator);
            out.extend_from_slice(b"\"b\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
    }
}

/// Writes `,"h":{…}`, several values of one name as an array at the first one's place.
fn headers(out: &mut Vec<u8>, headers: &[(&str, &str)]) {
    if headers.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"h\":");
    let mut opener = b'{';
    for (index, (name, value)) in headers.iter().enumerate() {
        if headers[..index].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        out.push(opener);
        opener = b',';
        string(out, name);
        out.push(b':');
        let mut more = headers[index + 1..].iter().filter(|(later, _)| later == name).peekable();
        if more.peek().is_none() {
            string(out, value);
            continue;
        }
        out.push(b'[');
        string(out, value);
        for (_, value) in more {
            out.push(b',');
            string(out, value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn string(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a string into memory cannot fail");
    }
}

pub(crate) fn decimal(out: &mut Vec<u8>, number: u64) {
    CompactFormatter.write_u64(out, number).expect("a number into memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(outgoing: &Outgoing<'_>) -> String {
        let mut out = Vec::new();
        message(&mut out, outgoing);
        String::from_utf8(out).unwrap()
    }

    const PLAIN: Outgoing<'_> = Outgoing {
        i: 7,
        subject: b"orders.eu.1",
        naming: crate::outgoing::Naming::Needed,
        sequence: None,
        epoch: None,
        origin: Origin::Live,
        payload: Payload::Empty,
        headers: &[],
        traceparent: None,
    };

    #[test]
    fn each_kind_of_payload_has_its_key() {
        for (payload, expected) in [
            (Payload::Empty, r#"{"m":{"i":7,"s":"orders.eu.1"}}"#),
            (Payload::Json("{\"a\":\r\n1}"), r#"{"m":{"i":7,"s":"orders.eu.1","d":{"a":  1}}}"#),
            (Payload::Text("a\"\n"), r#"{"m":{"i":7,"s":"orders.eu.1","t":"a\"\n"}}"#),
            (Payload::Bytes(b"\xff\x00"), r#"{"m":{"i":7,"s":"orders.eu.1","b":"/wA="}}"#),
        ] {
            assert_eq!(written(&Outgoing { payload, ..PLAIN }), expected);
        }
    }

    #[test]
    fn headers_and_trace_follow_and_repeated_names_become_arrays() {
        let headers = [("x-kind", "fill"), ("x-tag", "a"), ("x-tag", "b\"")];
        let outgoing = Outgoing { headers: &headers, traceparent: Some("00-x"), ..PLAIN };
        let both = r#""h":{"x-kind":"fill","x-tag":["a","b\""]},"tp":"00-x""#;
        assert_eq!(written(&outgoing), format!(r#"{{"m":{{"i":7,"s":"orders.eu.1",{both}}}}}"#));
    }

    #[test]
    fn durable_messages_carry_their_sequence_and_replayed_ones_say_so() {
        let outgoing = Outgoing { sequence: Some(9), origin: Origin::Replay, ..PLAIN };
        assert_eq!(written(&outgoing), r#"{"m":{"i":7,"s":"orders.eu.1","q":9,"r":1}}"#);
    }

    #[test]
    fn hostile_subjects_stay_inside_their_string() {
        let outgoing = Outgoing { subject: b"a.\"}}\x01\xff", ..PLAIN };
        let value: serde_json::Value = serde_json::from_str(&written(&outgoing)).unwrap();
        assert_eq!(value["m"]["s"], "a.\"}}\u{1}\u{fffd}");
    }

    #[test]
    fn request_replies_are_objects_with_and_without_payload() {
        for (payload, headers, expected) in [
            (Payload::Empty, &[][..], r#"{"id":5,"request":{}}"#),
            (Payload::Empty, &[("a", "b")], r#"{"id":5,"request":{"h":{"a":"b"}}}"#),
            (Payload::Json("1"), &[("a", "b")], r#"{"id":5,"request":{"d":1,"h":{"a":"b"}}}"#),
        ] {
            let mut out = Vec::new();
            request_reply(&mut out, 5, payload, headers);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
