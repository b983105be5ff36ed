//! The hot path: one NATS message to one encoded `ServerFrame`, written once for all subscribers of
//! a filter. Lengths stand ahead of what they measure, so they are counted first; nothing is moved
//! and nothing allocated.

use super::payload::{header, parts, traceparent};
use super::writer::{self, Length, Sink};
use crate::outgoing::{Naming, Origin, Outgoing};
use crate::payload::Payload;
use std::borrow::Cow;

/// Field of a `ServerFrame` that holds an item.
pub(super) const ITEM: u32 = 1;

/// Field of an `Item` that holds a message, and of one that holds a reply.
const MESSAGE: u32 = 1;
pub(super) const REPLY: u32 = 2;

/// Appends a frame with one message. Frames may be appended to each other.
pub fn message(out: &mut Vec<u8>, message: &Outgoing<'_>) {
    let subject = match message.naming {
        Naming::ByFilter => Cow::Borrowed(""),
        Naming::Needed => String::from_utf8_lossy(message.subject),
    };
    let mut body = Length::default();
    fields(&mut body, message, &subject);
    let mut item = Length(body.0);
    writer::bytes_ahead(&mut item, MESSAGE, body.0);
    writer::bytes_ahead(out, ITEM, item.0);
    writer::bytes_ahead(out, MESSAGE, body.0);
    fields(out, message, &subject);
}

fn fields(out: &mut impl Sink, message: &Outgoing<'_>, subject: &str) {
    let (payload, kind) = parts(message.payload);
    writer::number(out, 1, u64::from(message.i));
    writer::bytes(out, 2, subject.as_bytes());
    writer::optional_number(out, 3, message.sequence);
    writer::bytes(out, 4, payload);
    for (name, value) in message.headers {
        header(out, 5, name, value);
    }
    traceparent(out, 6, message.traceparent);
    writer::number(out, 8, u64::from(message.origin == Origin::Replay));
    writer::number(out, 10, kind);
}

/// Appends a frame with the reply to a request.
pub fn request_reply(out: &mut Vec<u8>, id: u32, payload: Payload<'_>, headers: &[(&str, &str)]) {
    let (payload, kind) = parts(payload);
    writer::nested(out, ITEM, |out| {
        writer::nested(out, REPLY, |out| {
            writer::number(out, 1, u64::from(id));
            writer::nested(out, 5, |out| {
                writer::bytes(out, 1, payload);
                writer::number(out, 2, kind);
                for (name, value) in headers {
                    header(out, 3, name, value);
                }
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(outgoing: &Outgoing<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message(&mut out, outgoing);
        out
    }

    #[test]
    fn a_filter_without_wildcards_names_the_subject() {
        let outgoing = Outgoing::plain(7, b"a.b", Payload::Bytes(b"\xff"));
        let named = b"\x0a\x0e\x0a\x0c\x08\x07\x12\x03a.b\x22\x01\xff\x50\x03";
        assert_eq!(written(&outgoing), named);
        let unnamed = b"\x0a\x09\x0a\x07\x08\x07\x22\x01\xff\x50\x03";
        assert_eq!(written(&Outgoing { naming: Naming::ByFilter, ..outgoing }), unnamed);
    }

    #[test]
    fn a_large_payload_stands_behind_lengths_of_several_bytes() {
        let large = vec![0xff; 70_000];
        let out = written(&Outgoing::plain(1, b"a", Payload::Bytes(&large)));
        // Keys and lengths of frame, item and payload; i, s and kind.
        assert_eq!(out.len(), large.len() + (1 + 3) * 3 + 2 + 3 + 2);
        assert_eq!(out[..4], [0x0a, 0xff, 0xa2, 0x04], "70,015 bytes follow");
    }
}
