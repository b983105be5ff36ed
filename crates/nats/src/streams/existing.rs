//! A stream as JetStream describes it: what a plan compares with. Pure.

use serde::Deserialize;
use serde_json::Value;

use super::copy_config::{CLUSTER_FIELD, EPOCH_FIELD, MIRROR_FIELD, NAMESPACE_FIELD, get};
use crate::subjects::INTERNAL_ROOT;

/// A stream that there is, ours or not. Made from an answer of JetStream's API.
#[derive(Debug, Clone, Deserialize)]
pub struct ExistingStream {
    /// The whole configuration, with fields that this version does not know.
    pub(super) config: Value,
    /// When it was created, as RFC 3339 in UTC.
    #[serde(default)]
    created: String,
    #[serde(default)]
    pub(super) state: State,
    #[serde(default)]
    pub(super) mirror: Option<MirrorState>,
}

/// What a stream holds.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct State {
    #[serde(default)]
    pub(super) messages: u64,
    #[serde(default)]
    pub(super) first_seq: u64,
    #[serde(default)]
    pub(super) last_seq: u64,
    #[serde(default)]
    pub(super) num_deleted: u64,
    #[serde(default)]
    pub(super) consumer_count: usize,
}

/// How far a mirror is behind.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct MirrorState {
    /// In messages.
    #[serde(default)]
    pub(super) lag: u64,
    /// Since it heard of its origin, in nanoseconds; -1 if it never did.
    #[serde(default)]
    pub(super) active: i64,
}

impl ExistingStream {
    /// Its name.
    pub fn name(&self) -> &str {
        self.text("name").unwrap_or_default()
    }

    /// The namespace that it is a copy of, if Meridian made it.
    pub fn namespace(&self) -> Option<&str> {
        self.text(NAMESPACE_FIELD)
    }

    /// Its epoch, if Meridian made it.
    pub fn epoch(&self) -> Option<&str> {
        self.text(EPOCH_FIELD)
    }

    /// The cluster that it was placed in; empty if it was not.
    pub fn region(&self) -> &str {
        self.text(CLUSTER_FIELD).unwrap_or_default()
    }

    /// How many messages it held.
    pub fn messages(&self) -> u64 {
        self.state.messages
    }

    /// The stream that it mirrors.
    pub(super) fn mirror_of(&self) -> Option<&str> {
        self.text(MIRROR_FIELD)
    }

    /// Whether it is a home stream: neither a mirror nor retired.
    pub(super) fn takes_writes(&self) -> bool {
        let is_public = |subject: &str| subject.split('.').next() != Some(INTERNAL_ROOT);
        self.mirror_of().is_none() && self.subjects().any(is_public)
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = &str> {
        let subjects = self.config["subjects"].as_array();
        subjects.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether it was created before another one. Both times are the meta leader's.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        comparable(&self.created) < comparable(&other.created)
    }

    fn text(&self, field: &str) -> Option<&str> {
        get(&self.config, field).as_str()
    }
}

/// The server leaves trailing zeros of the fraction out; with them, times are in order as texts.
fn comparable(rfc3339_utc: &str) -> String {
    let (seconds, fraction) = rfc3339_utc
        .trim_end_matches('Z')
        .split_once('.')
        .unwrap_or((rfc3339_utc.trim_end_matches('Z'), ""));
    format!("{seconds}.{fraction:0<9}")
}

/// Whether some subject belongs to both.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return true,
            // `>` stands for one token at least.
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_order_whatever_their_fraction() {
        let ascending = [
            "2026-11-24T14:18:08Z",
            "2026-11-24T14:18:08.05Z",
            "2026-11-24T14:18:08.3Z",
            "2026-11-24T14:18:08.315998017Z",
            "2026-11-24T14:18:09Z",
        ];
        let texts = ascending.map(comparable);
        assert!(texts.is_sorted() && texts[0] != texts[1], "{texts:?}");
    }

    #[test]
    fn patterns_overlap_when_one_subject_fits_both() {
        for (one, other, expected) in [
            ("orders.>", "orders.eu.1", true),
            ("orders.>", ">", true),
            ("orders.>", "*.eu", true),
            ("orders.>", "orders", false),
            ("orders.>", "order.>", false),
            ("a.b.>", "a.*", false),
            ("a.*.c", "a.b.*", true),
            ("a", "a", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
