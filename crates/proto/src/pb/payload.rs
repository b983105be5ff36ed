//! A payload in the binary codec: its bytes as they are, and what they are said to be. And headers,
//! which stand beside it in three messages.

use super::fields::{Fields, Malformed};
use super::writer::{self, Sink};
use crate::command::{HeaderValues, Headers};
use crate::payload::{Content, Kind, Payload, Raw};
use crate::trace;
use serde_json::value::RawValue;

/// The three spellings of a payload in a body.
pub(super) type Spelling = (Option<Box<RawValue>>, Option<String>, Option<Raw>);

/// Numbers of the enum `Kind`. Others count as unsaid: they are of a later version.
const KINDS: [(Kind, u64); 4] =
    [(Kind::Unsaid, 0), (Kind::Json, 1), (Kind::Text, 2), (Kind::Bytes, 3)];

pub(super) fn kind_of(number: u64) -> Kind {
    let known = KINDS.into_iter().find(|(_, other)| *other == number);
    known.map_or(Kind::Unsaid, |(kind, _)| kind)
}

fn number_of(kind: Kind) -> u64 {
    KINDS.into_iter().find(|(other, _)| *other == kind).map_or(0, |(_, number)| number)
}

/// What goes out: the bytes and the number of their kind. No bytes are of no kind.
pub(super) fn parts(payload: Payload<'_>) -> (&[u8], u64) {
    match payload {
        Payload::Empty => (b"", 0),
        Payload::Json(json) => (json.as_bytes(), number_of(Kind::Json)),
        Payload::Text(text) => (text.as_bytes(), number_of(Kind::Text)),
        Payload::Bytes(bytes) => (bytes, number_of(Kind::Bytes)),
    }
}

/// The same of a body's content. Bytes of which nothing was said stay so.
pub(super) fn content_parts(content: Content<'_>) -> (&[u8], u64) {
    match content.b {
        Some(raw) if !raw.bytes.is_empty() => (&raw.bytes, number_of(raw.kind)),
        _ => parts(content.payload()),
    }
}

/// What a peer sent, checked: what it says of the bytes must be true.
pub(super) fn spelling(bytes: &[u8], kind: Kind) -> Result<Spelling, Malformed> {
    if bytes.is_empty() {
        return Ok((None, None, None));
    }
    let text = || std::str::from_utf8(bytes);
    match kind {
        Kind::Json => {
            let text = text().map_err(|_| Malformed::Json)?;
            let raw = RawValue::from_string(text.to_owned()).map_err(|_| Malformed::Json)?;
            // A `RawValue` has no white space around it. Bytes are exact here, so keep it.
            if raw.get().len() == bytes.len() {
                return Ok((Some(raw), None, None));
            }
            Ok((None, None, Some(Raw { kind, bytes: bytes.into() })))
        }
        Kind::Text => {
            let text = text().map_err(|_| Malformed::Text)?;
            Ok((None, Some(text.to_owned()), None))
        }
        Kind::Bytes | Kind::Unsaid => Ok((None, None, Some(Raw { kind, bytes: bytes.into() }))),
    }
}

/// Writes one header as an element of the repeated field `field`.
pub(super) fn header(out: &mut impl Sink, field: u32, name: &str, value: &str) {
    let mut length = writer::Length::default();
    header_fields(&mut length, name, value);
    writer::bytes_ahead(out, field, length.0);
    header_fields(out, name, value);
}

fn header_fields(out: &mut impl Sink, name: &str, value: &str) {
    writer::bytes(out, 1, name.as_bytes());
    writer::bytes(out, 2, value.as_bytes());
}

/// Writes all headers, the values of a name in order.
pub(super) fn headers(out: &mut Vec<u8>, field: u32, headers: &Headers) {
    for (name, values) in headers {
        values.iter().for_each(|value| header(out, field, name, value));
    }
}

/// Reads one header and adds it to those that are there.
pub(super) fn add_header(headers: &mut Headers, bytes: &[u8]) -> Result<(), Malformed> {
    let (mut name, mut value) = (String::new(), String::new());
    for field in Fields::new(bytes) {
        match field? {
            (1, text) => name = text.text(1)?,
            (2, text) => value = text.text(2)?,
            _ => {}
        }
    }
    match headers.get_mut(&name) {
        None => {
            headers.insert(name, HeaderValues::One(value));
        }
        Some(HeaderValues::Many(values)) => values.push(value),
        Some(HeaderValues::One(first)) => {
            let values = vec![std::mem::take(first), value];
            headers.insert(name, HeaderValues::Many(values));
        }
    }
    Ok(())
}

/// Writes a `traceparent`. One that is malformed becomes a single byte, which the reader takes for
/// malformed too: what to do about it is decided in one place for both codecs.
pub(super) fn traceparent(out: &mut impl Sink, field: u32, traceparent: Option<&str>) {
    if let Some(text) = traceparent {
        match trace::to_binary(text) {
            Some(binary) => writer::bytes(out, field, &binary),
            None => writer::bytes(out, field, b"?"),
        }
    }
}

/// Reads a `traceparent`. Bytes of another length become a text that is malformed.
pub(super) fn read_traceparent(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| trace::from_binary(bytes).unwrap_or_else(|| "?".into()))
}
