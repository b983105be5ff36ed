//! How a received message looks: for people, as one JSON object, or its bytes alone. Pure.

use crate::pretty_json::pretty;
use crate::terminal::{Paint, harmless};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meridian_proto::command::Headers;
use meridian_proto::item::{Message, RequestReply};
use meridian_proto::{Content, Payload};
use serde::Serialize;
use serde_json::value::RawValue;

/// What to print of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Human(Paint),
    /// One JSON object a line.
    Json,
    /// The payload's bytes and a line end.
    Raw,
}

/// One JSON line. `n` counts from 1; an answer to a request has neither subject nor number.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: &'a Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    /// Its sequence in the stream, of a durable message.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// A subscription's message, with its number from 1.
pub(crate) fn message(format: Format, message: &Message, n: u64) -> Vec<u8> {
    let content = message.content();
    match format {
        Format::Raw => raw(content),
        Format::Json => json(&Line {
            subject: Some(&message.s),
            traceparent: message.tp.as_deref(),
            n: Some(n),
            sequence: message.q,
            ..line(content, &message.h)
        }),
        Format::Human(paint) => {
            let number = paint.dim(format!("[#{n}]"));
            let mut out = format!("{number} {}", paint.bold(harmless(&message.s)));
            if let Some(sequence) = message.q {
                out.push_str(&paint.dim(format!(" @{sequence}")));
            }
            out.push('\n');
            human_headers(&mut out, paint, &message.h);
            if let Some(traceparent) = &message.tp {
                out.push_str(&paint.dim(format!("traceparent: {}", harmless(traceparent))));
                out.push('\n');
            }
            human_content(&mut out, content);
            out.push('\n');
            out.into_bytes()
        }
    }
}

/// The answer to a request.
pub(crate) fn reply(format: Format, reply: &RequestReply) -> Vec<u8> {
    let content = reply.content();
    match format {
        Format::Raw => raw(content),
        Format::Json => json(&line(content, &reply.h)),
        Format::Human(paint) => {
            let mut out = String::new();
            human_headers(&mut out, paint, &reply.h);
            human_content(&mut out, content);
            out.into_bytes()
        }
    }
}

fn line<'a>(content: Content<'a>, headers: &'a Headers) -> Line<'a> {
    let (data, text, base64) = match content.payload() {
        Payload::Empty => (None, None, None),
        // In the binary codec there may be white space around a value.
        Payload::Json(json) => (serde_json::from_str(json).ok(), None, None),
        Payload::Text(text) => (None, Some(text), None),
        Payload::Bytes(bytes) => (None, None, Some(STANDARD.encode(bytes))),
    };
    Line { subject: None, data, text, base64, headers, traceparent: None, n: None, sequence: None }
}

fn json(line: &Line<'_>) -> Vec<u8> {
    let mut out = serde_json::to_vec(line).expect("plain structs into memory cannot fail");
    out.push(b'\n');
    out
}

fn raw(content: Content<'_>) -> Vec<u8> {
    let mut out = match content.payload() {
        Payload::Empty => Vec::new(),
        Payload::Json(text) | Payload::Text(text) => text.as_bytes().to_vec(),
        Payload::Bytes(bytes) => bytes.to_vec(),
    };
    out.push(b'\n');
    out
}

fn human_headers(out: &mut String, paint: Paint, headers: &Headers) {
    for (name, values) in headers {
        for value in values.iter() {
            out.push_str(&paint.dim(format!("{}: {}", harmless(name), harmless(value))));
            out.push('\n');
        }
    }
}

fn human_content(out: &mut String, content: Content<'_>) {
    match content.payload() {
        Payload::Json(json) => out.push_str(&harmless(&pretty(json))),
        Payload::Text(text) => out.push_str(&harmless(text)),
        Payload::Bytes(bytes) => {
            let encoded = STANDARD.encode(bytes);
            out.push_str(&format!("{} bytes, base64: {encoded}", bytes.len()));
        }
        Payload::Empty => out.push_str("(empty)"),
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_proto::item::Item;
    use meridian_proto::json::item;

    fn received(line: &str) -> Message {
        match item(line).unwrap() {
            Item::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn shown(format: Format, line: &str) -> String {
        String::from_utf8(message(format, &received(line), 12)).unwrap()
    }

    const HUMAN: Format = Format::Human(Paint::Plain);

    #[test]
    fn each_kind_of_payload_has_its_json_key() {
        for (line, expected) in [
            (
                r#"{"m":{"i":7,"s":"a.b","d":{"z":1.0,"a":2},"h":{"x":"1"},"tp":"00-x"}}"#,
                concat!(
                    r#"{"subject":"a.b","data":{"z":1.0,"a":2},"headers":{"x":"1"},"#,
                    r#""traceparent":"00-x","n":12}"#
                ),
            ),
            (r#"{"m":{"i":7,"s":"a.b","t":"hi\n"}}"#, r#"{"subject":"a.b","text":"hi\n","n":12}"#),
            (
                r#"{"m":{"i":7,"s":"a.b","b":"/wA="}}"#,
                r#"{"subject":"a.b","base64":"/wA=","n":12}"#,
            ),
            (r#"{"m":{"i":7,"s":"a.b"}}"#, r#"{"subject":"a.b","n":12}"#),
        ] {
            assert_eq!(shown(Format::Json, line), format!("{expected}\n"));
        }
    }

    #[test]
    fn raw_is_the_publishers_bytes_and_a_line_end() {
        assert_eq!(shown(Format::Raw, r#"{"m":{"i":7,"s":"a","d":{"z": 1.0}}}"#), "{\"z\": 1.0}\n");
        assert_eq!(shown(Format::Raw, r#"{"m":{"i":7,"s":"a"}}"#), "\n");
        let bytes = message(Format::Raw, &received(r#"{"m":{"i":7,"s":"a","b":"/wA="}}"#), 1);
        assert_eq!(bytes, b"\xff\0\n");
    }

    #[test]
    fn people_see_number_subject_headers_and_payload() {
        let line = r#"{"m":{"i":7,"s":"a.b","t":"x\u001b[2J","h":{"k":["1","2"]}}}"#;
        assert_eq!(shown(HUMAN, line), "[#12] a.b\nk: 1\nk: 2\nx\u{fffd}[2J\n\n");
        let bytes = r#"{"m":{"i":7,"s":"a.b","b":"/wA="}}"#;
        assert_eq!(shown(HUMAN, bytes), "[#12] a.b\n2 bytes, base64: /wA=\n\n");
    }

    #[test]
    fn an_answer_has_neither_subject_nor_number() {
        let answer = RequestReply { t: Some("pong".into()), ..RequestReply::default() };
        assert_eq!(reply(Format::Json, &answer), b"{\"text\":\"pong\"}\n");
        assert_eq!(reply(Format::Raw, &answer), b"pong\n");
        assert_eq!(reply(HUMAN, &answer), b"pong\n");
    }
}
