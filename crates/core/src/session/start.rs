//! Where a subscription starts: now, after a position, or from history.

use super::Moment;
use crate::namespace::{Class, Namespace};
use meridian_proto::ErrorCode;
use meridian_proto::command::{Position, Subscribe};
use meridian_proto::item::Failure;
use serde_json::Value;

/// Most messages of history that `from: last` may ask for.
const LAST_MAX: u64 = 500;

/// The largest sequence that every client can write.
pub(super) const SEQUENCE_MAX: u64 = (1 << 53) - 1;

/// Where a subscription starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Now, on an ephemeral filter.
    Ephemeral(Recover),
    /// On a durable filter.
    Durable(From),
}

/// Whether a subscribe on an ephemeral filter asked for a position to be recovered, which nobody
/// can there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recover {
    /// It did.
    Asked,
    /// It did not.
    NotAsked,
}

/// Where a subscription on a durable filter starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// Now.
    New,
    /// After a position.
    Position(Position),
    /// With the last so many messages, 1 to 500.
    Last(u64),
    /// With everything stored since a time, as RFC 3339 spells it.
    Time(String),
    /// With the last message of each subject.
    LastPerSubject,
}

/// Reads `recover` and `from`.
pub(super) fn start(
    body: &Subscribe,
    namespace: &Namespace,
    _moment: &Moment<'_>,
) -> Result<Start, Failure> {
    if namespace.class == Class::Ephemeral {
        if body.from.is_some() {
            let msg = format!("{} is ephemeral: it has no history to start from", body.f);
            return Err(Failure::new(ErrorCode::NotAvailable, msg));
        }
        let asked = body.recover.is_some();
        return Ok(Start::Ephemeral(if asked { Recover::Asked } else { Recover::NotAsked }));
    }
    match (&body.recover, &body.from) {
        (Some(_), Some(_)) => {
            Err(Failure::new(ErrorCode::BadRequest, "both recover and from: send one"))
        }
        (Some(position), None) if position.q > SEQUENCE_MAX => {
            Err(Failure::new(ErrorCode::BadRequest, "recover.q is over 2^53 - 1"))
        }
        (Some(position), None) => Ok(Start::Durable(From::Position(position.clone()))),
        (None, Some(from)) => history(from).map(Start::Durable),
        (None, None) => Ok(Start::Durable(From::New)),
    }
}

fn history(from: &Value) -> Result<From, Failure> {
    if let Some(count) = from.get("last").and_then(Value::as_u64) {
        if (1..=LAST_MAX).contains(&count) {
            return Ok(From::Last(count));
        }
        let msg = format!("from.last is outside 1 to {LAST_MAX}");
        return Err(Failure::new(ErrorCode::Limit, msg));
    }
    if let Some(time) = from.get("time").and_then(Value::as_str) {
        // Only these characters stand in RFC 3339; what is left of its grammar the store checks.
        let is_plain = |byte: u8| byte.is_ascii_digit() || b"-:.+TtZz".contains(&byte);
        if (10..=40).contains(&time.len()) && time.bytes().all(is_plain) {
            return Ok(From::Time(time.into()));
        }
        return Err(Failure::new(ErrorCode::BadRequest, "from.time is not RFC 3339"));
    }
    if from.get("last_per_subject").and_then(Value::as_bool) == Some(true) {
        return Ok(From::LastPerSubject);
    }
    let hint = r#"{"last":50}, {"time":"2026-11-24T09:00:00Z"} or {"last_per_subject":true}"#;
    Err(Failure::new(ErrorCode::BadRequest, "from is not understood").hint(hint))
}
