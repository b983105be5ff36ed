//! For any text frame a client may send: decoding does not panic, a refusal stays short, and an
//! accepted command survives being written and read again, its payload through NATS included.
//!
//! The frame is also read as the client reads the edge's, which shares most of the decoder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_proto::command::{Body, Command};
use meridian_proto::json::{self, DecodeError};
use meridian_proto::limits::COMMANDS_PER_FRAME_MAX;
use meridian_proto::{Content, Payload};

/// A refusal may quote what it refuses, but must not grow with it: it takes up outbox space.
const REFUSAL_BYTES_MAX: usize = 1_024;

fuzz_target!(|input: &[u8]| {
    let Ok(frame) = std::str::from_utf8(input) else { return };
    let mut accepted = 0;
    for result in json::commands(frame) {
        match result {
            Ok(command) => {
                accepted += 1;
                check_command(&command);
            }
            Err(DecodeError::Refused(_, failure)) => {
                let msg = failure.msg;
                assert!(msg.len() <= REFUSAL_BYTES_MAX, "refusal of {} bytes", msg.len());
            }
            Err(DecodeError::NotAnObject(msg) | DecodeError::NotAFrame(msg)) => {
                assert!(msg.len() <= REFUSAL_BYTES_MAX, "error of {} bytes", msg.len());
            }
            Err(DecodeError::TooManyCommands) => break,
        }
    }
    assert!(accepted <= COMMANDS_PER_FRAME_MAX);
    json::items(frame).for_each(drop);
});

fn check_command(command: &Command) {
    let line = write(command);
    assert!(!line.contains(&b'\n'), "a command must stay on its line");
    let text = std::str::from_utf8(&line).expect("JSON is UTF-8");
    let mut again = json::commands(text);
    let second = again.next().expect("one line").expect("what we write we accept");
    assert!(again.next().is_none());
    assert_eq!(write(&second), line);
    match (&command.body, &second.body) {
        (Body::Publish(first), Body::Publish(second)) => {
            check_content(first.content(), second.content());
        }
        (Body::Request(first), Body::Request(second)) => {
            check_content(first.content(), second.content());
        }
        _ => {}
    }
}

fn write(command: &Command) -> Vec<u8> {
    let mut line = Vec::new();
    json::command(&mut line, command);
    line
}

/// The payload comes out of NATS as the kind that went in.
fn check_content(first: Content<'_>, second: Content<'_>) {
    let Ok(nats) = first.to_nats() else {
        assert!(second.to_nats().is_err());
        return;
    };
    let content_type = nats.content_type.map(str::as_bytes);
    let payload = Payload::classify(content_type, &nats.bytes);
    let is_empty = nats.bytes.is_empty();
    match (first.d, first.t, first.b, payload) {
        (_, _, _, Payload::Empty) => assert!(is_empty),
        (Some(raw), None, None, Payload::Json(text) | Payload::Text(text)) => {
            assert_eq!(raw.get(), text);
        }
        (None, Some(sent), None, Payload::Text(text)) => assert_eq!(sent, text),
        (None, None, Some(_), Payload::Bytes(bytes)) => assert_eq!(nats.bytes, bytes),
        (_, _, _, payload) => panic!("{first:?} came out as {payload:?}"),
    }
}
