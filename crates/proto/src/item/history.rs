//! The answer to `history`: a page of stored messages, what is missing in it, and where to go on.

use crate::command::{HeaderValues, Headers, Position};
use crate::payload::{Content, Kind, Payload, Raw};
use crate::wire::Wire;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io;

/// A page of what is stored: every message of the filter that the region's copy has from the
/// sequence `before` to the sequence `after`, but for the gaps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryReply {
    /// The messages, their sequences ascending, whichever way the page was asked for.
    pub m: Vec<HistoryMessage>,
    /// The epoch of every sequence here.
    pub e: String,
    /// To be sent as `after`, with `e`, for the next newer page.
    pub after: u64,
    /// To be sent as `before`, with `e`, for the next older page.
    pub before: u64,
    /// Whether the copy has more messages of the filter in the direction that was asked for.
    pub more: bool,
    /// Whether the namespace keeps a number of messages a subject: others may have stood between
    /// these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thinned: bool,
    /// What was asked for and cannot be given, in order of sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<HistoryGap>,
}

/// A stored message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryMessage {
    /// The subject that it was published on.
    pub s: String,
    /// Its sequence in the stream.
    pub q: u64,
    /// Payload as JSON.
    #[serde(
        default,
        deserialize_with = "crate::payload::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub d: Option<Box<RawValue>>,
    /// Payload as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t: Option<String>,
    /// Payload as bytes, in JSON as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Raw>,
    /// The headers asked for.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub h: Headers,
    /// `traceparent`, if asked for and sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tp: Option<String>,
}

/// A range of sequences of which a page cannot show every message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryGap {
    /// The last sequence before the gap.
    pub after: u64,
    /// The last sequence within the gap.
    pub upto: u64,
    /// `expired`: the stream no longer has them. `behind`: this region's copy does not have them
    /// yet.
    pub why: String,
}

impl HistoryReply {
    /// Where the next newer page begins.
    #[must_use]
    pub fn newer(&self) -> Position {
        Position { e: self.e.clone(), q: self.after }
    }

    /// Where the next older page ends.
    #[must_use]
    pub fn older(&self) -> Position {
        Position { e: self.e.clone(), q: self.before }
    }
}

impl HistoryMessage {
    /// A message with the headers that were asked for, in order of appearance. On the binary wire
    /// JSON keeps the white space around it, which a JSON body cannot hold.
    #[must_use]
    pub fn new(
        subject: &[u8],
        sequence: u64,
        payload: Payload<'_>,
        headers: &[(&str, &str)],
        traceparent: Option<&str>,
        wire: Wire,
    ) -> Self {
        let (mut d, mut t, mut b) = (None, None, None);
        match payload {
            Payload::Empty => {}
            Payload::Json(json) if wire == Wire::PbBinary && json.trim_ascii() != json => {
                b = Some(Raw { kind: Kind::Json, bytes: json.into() });
            }
            // What was classified as JSON reads as JSON.
            Payload::Json(json) => d = RawValue::from_string(json.into()).ok(),
            Payload::Text(text) => t = Some(text.into()),
            Payload::Bytes(bytes) => b = Some(Raw::new(bytes.into())),
        }
        let (s, h) = (String::from_utf8_lossy(subject).into_owned(), gathered(headers));
        Self { s, q: sequence, d, t, b, h, tp: traceparent.map(Into::into) }
    }

    /// The payload's spelling.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        Content { d: self.d.as_deref(), t: self.t.as_deref(), b: self.b.as_ref() }
    }

    /// Bytes of the message in JSON: what counts for a page, in whichever codec it travels.
    #[must_use]
    pub fn json_bytes(&self) -> usize {
        let mut counted = Counted(0);
        serde_json::to_writer(&mut counted, self).expect("plain structs and counting cannot fail");
        counted.0
    }
}

/// Several values of one name stand in one entry, in order.
fn gathered(headers: &[(&str, &str)]) -> Headers {
    let mut gathered = Headers::new();
    for (name, value) in headers {
        let value = || (*value).to_owned();
        let values = match gathered.remove(*name) {
            None => HeaderValues::One(value()),
            Some(HeaderValues::One(first)) => HeaderValues::Many(vec![first, value()]),
            Some(HeaderValues::Many(mut values)) => {
                values.push(value());
                HeaderValues::Many(values)
            }
        };
        gathered.insert((*name).to_owned(), values);
    }
    gathered
}

/// Counts what is written, and keeps nothing.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_payload_has_its_key_and_its_bytes_are_counted() {
        let headers = [("x-tag", "a"), ("x-kind", "k"), ("x-tag", "b"), ("x-tag", "c")];
        for (payload, headers, expected) in [
            (Payload::Empty, &[][..], r#"{"s":"a.b","q":7}"#),
            (Payload::Json(r#"{"z": 1.0}"#), &[], r#"{"s":"a.b","q":7,"d":{"z": 1.0}}"#),
            (Payload::Text("a\"\u{1}"), &[], r#"{"s":"a.b","q":7,"t":"a\"\u0001"}"#),
            (
                Payload::Bytes(b"\xff\x00"),
                &headers,
                r#"{"s":"a.b","q":7,"b":"/wA=","h":{"x-kind":"k","x-tag":["a","b","c"]}}"#,
            ),
        ] {
            let message = HistoryMessage::new(b"a.b", 7, payload, headers, None, Wire::JsonText);
            assert_eq!(serde_json::to_string(&message).unwrap(), expected);
            assert_eq!(message.json_bytes(), expected.len());
        }
    }

    #[test]
    fn white_space_around_json_is_kept_where_it_can_be() {
        let spaced = Payload::Json(" 1\n");
        let message = |wire| HistoryMessage::new(b"a", 7, spaced, &[], None, wire);
        assert_eq!(message(Wire::PbBinary).content().payload(), spaced);
        assert_eq!(message(Wire::JsonText).content().payload(), Payload::Json("1"));
    }
}
