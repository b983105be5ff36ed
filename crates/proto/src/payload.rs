//! What a message carries: JSON, text, bytes or nothing, decided once a message.
//!
//! JSON is embedded raw in the edge's frames, so it must be proven well formed first: otherwise
//! a publisher could inject frames into the stream of every subscriber.

use crate::limits::JSON_DEPTH_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A payload with its kind, borrowed from whoever holds the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// No bytes at all.
    Empty,
    /// Valid JSON, at most [`JSON_DEPTH_MAX`] levels deep.
    Json(&'a str),
    /// UTF-8 that is not JSON, or that its publisher declared as text.
    Text(&'a str),
    /// Anything else.
    Bytes(&'a [u8]),
}

/// What somebody says that the bytes of a payload are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing was said: the bytes decide.
    Unsaid,
    /// One JSON value.
    Json,
    /// UTF-8.
    Text,
    /// Anything.
    Bytes,
}

/// A payload as plain bytes. JSON spells it as base64 (standard alphabet with padding), which says
/// [`Kind::Bytes`]; in the binary codec it stands as it is, with any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// What the bytes are said to be. Whoever makes one has checked that they can be.
    pub kind: Kind,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The three spellings of a payload in messages, of which at most one may be present: `d` (raw
/// JSON), `t` (text), `b` (bytes).
#[derive(Debug, Clone, Copy, Default)]
pub struct Content<'a> {
    /// Raw JSON.
    pub d: Option<&'a RawValue>,
    /// Text.
    pub t: Option<&'a str>,
    /// Bytes.
    pub b: Option<&'a Raw>,
}

/// A payload as it travels over NATS, with the `Content-Type` it needs to come out as it went in.
#[derive(Debug, PartialEq, Eq)]
pub struct NatsPayload<'a> {
    /// The bytes.
    pub bytes: Cow<'a, [u8]>,
    /// Present only where sniffing the bytes would give another kind.
    pub content_type: Option<&'static str>,
}

/// Reads a payload that is present. serde would take the JSON value `null` for an absent one.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

/// Why a [`Content`] has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Two or three of `d`, `t` and `b`.
    #[error("more than one of d, t and b: send one")]
    Several,
}

impl<'a> Payload<'a> {
    /// Decides the kind of a NATS payload. `content_type` wins over the bytes: `text/*` is text,
    /// `application/octet-stream` is bytes; anything else is sniffed. A declared kind that the
    /// bytes contradict falls back to what they can be.
    #[must_use]
    pub fn classify(content_type: Option<&[u8]>, bytes: &'a [u8]) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        let declared = content_type.unwrap_or_default();
        let Ok(text) = std::str::from_utf8(bytes) else { return Self::Bytes(bytes) };
        if declared.eq_ignore_ascii_case(b"application/octet-stream") {
            return Self::Bytes(bytes);
        }
        if declared.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/")) {
            return Self::Text(text);
        }
        if is_embeddable_json(text) { Self::Json(text) } else { Self::Text(text) }
    }
}

impl<'a> Content<'a> {
    /// The bytes to hand to NATS.
    ///
    /// # Errors
    /// [`ContentError`] when more than one spelling is present.
    pub fn to_nats(self) -> Result<NatsPayload<'a>, ContentError> {
        let payload = match (self.d, self.t, self.b) {
            (None, None, None) => NatsPayload { bytes: Cow::Borrowed(b""), content_type: None },
            (Some(raw), None, None) => {
                NatsPayload { bytes: Cow::Borrowed(raw.get().as_bytes()), content_type: None }
            }
            (None, Some(text), None) => {
                let sniffed = Payload::classify(None, text.as_bytes());
                let differs = matches!(sniffed, Payload::Json(_));
                NatsPayload {
                    bytes: Cow::Borrowed(text.as_bytes()),
                    content_type: differs.then_some("text/plain; charset=utf-8"),
                }
            }
            (None, None, Some(raw)) => {
                let sniffed = Payload::classify(None, &raw.bytes);
                let content_type = match (raw.kind, sniffed) {
                    (Kind::Bytes, Payload::Json(_) | Payload::Text(_)) => {
                        Some("application/octet-stream")
                    }
                    (Kind::Text, Payload::Json(_)) => Some("text/plain; charset=utf-8"),
                    _ => None,
                };
                NatsPayload { bytes: Cow::Borrowed(&raw.bytes), content_type }
            }
            _ => return Err(ContentError::Several),
        };
        Ok(payload)
    }

    /// The payload with its kind. The first of several spellings, which no decoded item has.
    #[must_use]
    pub fn payload(self) -> Payload<'a> {
        match (self.d, self.t, self.b) {
            (Some(raw), _, _) => Payload::Json(raw.get()),
            (None, Some(""), _) | (None, None, None) => Payload::Empty,
            (None, Some(text), _) => Payload::Text(text),
            (None, None, Some(raw)) => raw.payload(),
        }
    }

    /// The bytes that the publisher sent, whatever their spelling here. JSON is exact but for
    /// line breaks between its tokens, which travel as spaces.
    ///
    /// # Errors
    /// As [`Content::to_nats`].
    pub fn to_bytes(self) -> Result<Cow<'a, [u8]>, ContentError> {
        self.to_nats().map(|payload| payload.bytes)
    }
}

impl Raw {
    /// Bytes, even if they read like text.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { kind: Kind::Bytes, bytes }
    }

    /// The payload with the kind that was said, as far as the bytes can be that.
    #[must_use]
    pub fn payload(&self) -> Payload<'_> {
        match self.kind {
            _ if self.bytes.is_empty() => Payload::Empty,
            Kind::Bytes => Payload::Bytes(&self.bytes),
            Kind::Text => Payload::classify(Some(b"text/plain"), &self.bytes),
            Kind::Json | Kind::Unsaid => Payload::classify(None, &self.bytes),
        }
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(encoded);
        bytes.map(Self::new).map_err(|_| {
            serde::de::Error::custom("b is not base64 (standard alphabet, with padding)")
        })
    }
}

/// Whether `text` is one JSON value that common parsers accept at the depth of an envelope.
fn is_embeddable_json(text: &str) -> bool {
    // A payload that cannot be JSON by its first byte need not be parsed: prose is common.
    let plausible =
        text.trim_start_matches([' ', '\t', '\n', '\r']).bytes().next().is_some_and(|first| {
            matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
        });
    plausible && serde_json::from_str::<IgnoredAny>(text).is_ok() && depth(text) <= JSON_DEPTH_MAX
}

/// Nesting depth of valid JSON. Counts brackets first: few brackets cannot nest deeply, and most
/// payloads end there.
fn depth(json: &str) -> usize {
    let openers = json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if openers <= JSON_DEPTH_MAX {
        return openers;
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_wins_over_sniffing() {
        assert_eq!(Payload::classify(None, b"123"), Payload::Json("123"));
        assert_eq!(Payload::classify(Some(b"Text/plain"), b"123"), Payload::Text("123"));
        assert_eq!(
            Payload::classify(Some(b"application/octet-stream"), b"123"),
            Payload::Bytes(b"123")
        );
        assert_eq!(Payload::classify(Some(b"application/json"), b"{oops"), Payload::Text("{oops"));
        assert_eq!(Payload::classify(Some(b"text/plain"), b"\xff"), Payload::Bytes(b"\xff"));
        assert_eq!(Payload::classify(None, b""), Payload::Empty);
    }

    #[test]
    fn json_that_could_inject_frames_is_text() {
        for text in ["{} {}", "{}\n{}", "{\"a\":1}}", "[1,]", "01", "nul", "\"\u{1}\"", "{'a':1}"] {
            assert_eq!(Payload::classify(None, text.as_bytes()), Payload::Text(text), "{text}");
        }
    }

    #[test]
    fn json_deeper_than_the_limit_is_text() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let (deep, deeper) = (nested(JSON_DEPTH_MAX), nested(JSON_DEPTH_MAX + 1));
        assert!(matches!(Payload::classify(None, deep.as_bytes()), Payload::Json(_)));
        assert!(matches!(Payload::classify(None, deeper.as_bytes()), Payload::Text(_)));
        let many_but_flat = format!("[{}]", vec!["[\"[\\\"\"]"; 300].join(","));
        assert!(matches!(Payload::classify(None, many_but_flat.as_bytes()), Payload::Json(_)));
    }

    #[test]
    fn a_payload_comes_out_of_nats_as_it_went_in() {
        let raw = RawValue::from_string("{\"a\":1}".into()).unwrap();
        let (digits, binary) = (Raw::new(b"123".to_vec()), Raw::new(b"\xff".to_vec()));
        let said_text = Raw { kind: Kind::Text, bytes: b"1 ".to_vec() };
        let said_json = Raw { kind: Kind::Json, bytes: b"1\n".to_vec() };
        let unsaid = Raw { kind: Kind::Unsaid, bytes: b"1 ".to_vec() };
        for (content, expected) in [
            (Content { d: Some(&raw), ..Content::default() }, Payload::Json("{\"a\":1}")),
            (Content { t: Some("123"), ..Content::default() }, Payload::Text("123")),
            (Content { t: Some("hi"), ..Content::default() }, Payload::Text("hi")),
            (Content { b: Some(&digits), ..Content::default() }, Payload::Bytes(b"123")),
            (Content { b: Some(&binary), ..Content::default() }, Payload::Bytes(b"\xff")),
            (Content { b: Some(&said_text), ..Content::default() }, Payload::Text("1 ")),
            (Content { b: Some(&said_json), ..Content::default() }, Payload::Json("1\n")),
            (Content { b: Some(&unsaid), ..Content::default() }, Payload::Json("1 ")),
            (Content::default(), Payload::Empty),
        ] {
            let nats = content.to_nats().unwrap();
            let content_type = nats.content_type.map(str::as_bytes);
            assert_eq!(Payload::classify(content_type, &nats.bytes), expected);
        }
    }

    #[test]
    fn ambiguous_or_malformed_content_is_refused() {
        let raw = Raw::new(b"x".to_vec());
        let both = Content { t: Some("x"), b: Some(&raw), d: None };
        assert_eq!(both.to_nats(), Err(ContentError::Several));
        let bad = serde_json::from_str::<Raw>("\"!\"");
        assert!(bad.unwrap_err().to_string().starts_with("b is not base64"));
        assert_eq!(serde_json::from_str::<Raw>("\"\\u002fw==\"").unwrap().bytes, b"\xff");
    }
}
