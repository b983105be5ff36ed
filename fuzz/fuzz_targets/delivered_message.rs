//! For any bytes a publisher may send over plain NATS: the line that the edge writes for them is
//! one line, and a client reads the same kind and the same bytes back.
//!
//! The first input byte chooses the `Content-Type`, the rest is the payload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_proto::item::{Item, Reply};
use meridian_proto::json::{self, Outgoing};
use meridian_proto::{Content, Payload};

const CONTENT_TYPES: [Option<&[u8]>; 4] = [
    None,
    Some(b"text/plain; charset=utf-8"),
    Some(b"application/octet-stream"),
    Some(b"application/json"),
];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let content_type = CONTENT_TYPES[usize::from(choice) % CONTENT_TYPES.len()];
    let payload = Payload::classify(content_type, bytes);

    let mut line = Vec::new();
    let subject: &[u8] = bytes.get(..8).unwrap_or(b"demo.a");
    let headers: &[(&str, &str)] = match payload {
        Payload::Text(text) => &[("A", text), ("B", ""), ("A", "\u{0}\"\\\n")],
        _ => &[],
    };
    let traceparent = None;
    let plain = Outgoing::plain(1, subject, payload);
    json::message(&mut line, &Outgoing { headers, traceparent, ..plain });
    match read(&line) {
        Item::Message(message) => {
            assert_eq!(message.s, String::from_utf8_lossy(subject));
            check_content(payload, message.content());
        }
        other => panic!("a message came out as {other:?}"),
    }

    line.clear();
    json::request_reply(&mut line, 7, payload, headers);
    match read(&line) {
        Item::Reply(7, Reply::Request(reply)) => check_content(payload, reply.content()),
        other => panic!("a reply came out as {other:?}"),
    }
});

fn read(line: &[u8]) -> Item {
    let text = std::str::from_utf8(line).expect("JSON is UTF-8");
    assert!(!text.contains(['\n', '\r']), "a message must stay on its line");
    json::item(text).expect("what the edge writes, a client reads")
}

fn check_content(payload: Payload<'_>, content: Content<'_>) {
    match (payload, content.d, content.t, content.b) {
        (Payload::Empty, None, None, None) => {}
        // Around the value white space is not part of it; inside, line breaks became spaces.
        (Payload::Json(json), Some(raw), None, None) => {
            let one_line = json.replace(['\n', '\r'], " ");
            assert_eq!(raw.get(), one_line.trim_matches([' ', '\t']));
        }
        (Payload::Text(text), None, Some(read), None) => assert_eq!(read, text),
        (Payload::Bytes(bytes), None, None, Some(_)) => {
            assert_eq!(content.to_bytes().expect("what the edge encodes, it decodes"), bytes);
        }
        _ => panic!("{payload:?} came out as {content:?}"),
    }
}
