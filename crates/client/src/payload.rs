//! A payload that a caller owns, and its spelling in a command.

use crate::error::Error;
use meridian_proto::Payload;
use meridian_proto::payload::Raw;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// What to send. Subscribers receive the same bytes, and the same kind.
#[derive(Debug, Clone, Default)]
pub enum PayloadBuf {
    /// No bytes.
    #[default]
    Empty,
    /// JSON, embedded as it stands.
    Json(Box<RawValue>),
    /// Text, even if it reads like JSON.
    Text(String),
    /// Bytes, even if they read like text. In JSON they travel as base64, a third larger.
    Bytes(Vec<u8>),
}

/// The three keys `d`, `t` and `b`, of which at most one is present.
pub(crate) type Spelling = (Option<Box<RawValue>>, Option<String>, Option<Raw>);

impl PayloadBuf {
    /// JSON of a value.
    ///
    /// # Errors
    /// [`Error::Json`] if the value has no JSON form, for example a map whose keys are no strings.
    pub fn json(value: &impl Serialize) -> Result<Self, Error> {
        to_raw_value(value).map(Self::Json).map_err(|error| Error::Json(error.to_string()))
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// Decides by the bytes, as an edge does for a message from NATS: JSON if they are valid JSON,
    /// else text if they are UTF-8, else bytes.
    #[must_use]
    pub fn sniff(bytes: Vec<u8>) -> Self {
        match Payload::classify(None, &bytes) {
            Payload::Empty => Self::Empty,
            Payload::Json(json) => match RawValue::from_string(json.to_owned()) {
                Ok(raw) => Self::Json(raw),
                Err(_) => Self::Text(json.to_owned()),
            },
            Payload::Text(text) => Self::Text(text.to_owned()),
            Payload::Bytes(_) => Self::Bytes(bytes),
        }
    }

    pub(crate) fn into_spelling(self) -> Spelling {
        match self {
            Self::Empty => (None, None, None),
            Self::Json(raw) => (Some(raw), None, None),
            Self::Text(text) => (None, Some(text), None),
            Self::Bytes(bytes) => (None, None, Some(Raw::new(bytes))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_the_kind() {
        assert!(matches!(PayloadBuf::sniff(b"{\"a\":1}".to_vec()), PayloadBuf::Json(_)));
        assert!(matches!(PayloadBuf::sniff(b" 12\n".to_vec()), PayloadBuf::Json(_)));
        assert!(matches!(PayloadBuf::sniff(b"{oops".to_vec()), PayloadBuf::Text(_)));
        assert!(matches!(PayloadBuf::sniff(b"\xff".to_vec()), PayloadBuf::Bytes(_)));
        assert!(matches!(PayloadBuf::sniff(Vec::new()), PayloadBuf::Empty));
    }

    #[test]
    fn each_kind_has_exactly_one_key() {
        let json = PayloadBuf::json(&[1, 2]).unwrap().into_spelling();
        assert_eq!(json.0.map(|raw| raw.get().to_owned()), Some("[1,2]".to_owned()));
        assert_eq!(PayloadBuf::text("12").into_spelling().1.as_deref(), Some("12"));
        assert_eq!(
            PayloadBuf::bytes(*b"\xff\0").into_spelling().2,
            Some(Raw::new(b"\xff\0".to_vec()))
        );
        let (d, t, b) = PayloadBuf::Empty.into_spelling();
        assert!(d.is_none() && t.is_none() && b.is_none());
    }
}
