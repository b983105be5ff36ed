//! For any binary frame a client may send: decoding does not panic, a refusal stays short, and an
//! accepted command survives being written and read again, in this codec and in JSON.
//!
//! The frame is also read as the client reads the edge's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_proto::command::{Body, Command};
use meridian_proto::item::Item;
use meridian_proto::limits::COMMANDS_PER_FRAME_MAX;
use meridian_proto::{Content, DecodeError, json, pb};

/// A refusal may quote what it refuses, but must not grow with it: it takes up outbox space.
const REFUSAL_BYTES_MAX: usize = 1_024;

fuzz_target!(|frame: &[u8]| {
    let mut accepted = 0;
    for result in pb::commands(frame) {
        match result {
            Ok(command) => {
                accepted += 1;
                check_command(&command);
            }
            Err(DecodeError::TooManyCommands) => break,
            Err(error) => {
                let msg = error.to_string();
                assert!(msg.len() <= REFUSAL_BYTES_MAX, "refusal of {} bytes", msg.len());
            }
        }
    }
    assert!(accepted <= COMMANDS_PER_FRAME_MAX);
    pb::items(frame).flatten().for_each(|item| check_item(&item));
});

fn check_command(command: &Command) {
    let frame = write(command);
    let mut again = pb::commands(&frame);
    let second = again.next().expect("one command").expect("what we write we accept");
    assert!(again.next().is_none());
    assert_eq!(write(&second), frame);
    let mut line = Vec::new();
    json::command(&mut line, command);
    let text = std::str::from_utf8(&line).expect("JSON is UTF-8");
    assert!(!text.contains('\n'), "a command must stay on its line");
    let third = json::commands(text).next().expect("one line").expect("it is a command");
    match (&command.body, &second.body, &third.body) {
        (Body::Publish(first), Body::Publish(second), Body::Publish(third)) => {
            check_content(first.content(), second.content(), third.content());
        }
        (Body::Request(first), Body::Request(second), Body::Request(third)) => {
            check_content(first.content(), second.content(), third.content());
        }
        _ => {}
    }
}

fn write(command: &Command) -> Vec<u8> {
    let mut frame = Vec::new();
    pb::command(&mut frame, command);
    frame
}

/// This codec keeps every byte and what is said of them; JSON all but line breaks between tokens.
fn check_content(first: Content<'_>, second: Content<'_>, json: Content<'_>) {
    let nats = |content: Content<'_>| content.to_nats().expect("one spelling").bytes.into_owned();
    assert_eq!(first.to_nats(), second.to_nats());
    let flat = |bytes: Vec<u8>| -> Vec<u8> {
        let space = |byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte };
        bytes.into_iter().map(space).collect()
    };
    assert_eq!(flat(nats(first)), flat(nats(json)));
}

fn check_item(item: &Item) {
    let mut line = Vec::new();
    json::write_item(&mut line, item);
    assert!(!line.contains(&b'\n'), "an item must stay on its line");
    let mut frame = Vec::new();
    pb::write_item(&mut frame, item);
    let second = pb::items(&frame).next().expect("one item").expect("what we write we accept");
    let mut again = Vec::new();
    pb::write_item(&mut again, &second);
    assert_eq!(again, frame);
}
