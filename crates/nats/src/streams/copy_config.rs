//! What Meridian decides about one copy's JetStream configuration, as one table of fields. Pure.
//!
//! The table is used three times: to create a stream, to compare it with an existing one, and to
//! change that. Fields that are not in it stay as they are: an update replaces the whole
//! configuration, so what an operator or a newer server has added must be sent along.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::namespace::{DurableNamespace, copy_name, home_stream_name, live_subject_prefix};

/// Whose a stream is. A stream without it is never touched.
pub(super) const NAMESPACE_FIELD: &str = "metadata/meridian.namespace";

/// What the sequence numbers belong to, see [`super::epoch`].
pub(super) const EPOCH_FIELD: &str = "metadata/meridian.epoch";

/// Where the copy is stored.
pub(super) const CLUSTER_FIELD: &str = "placement/cluster";

/// Whose mirror it is.
pub(super) const MIRROR_FIELD: &str = "mirror/name";

/// What JetStream refuses to change in a stream that exists, or to take back.
const FIXED_FIELDS: [&str; 5] = [MIRROR_FIELD, "storage", "retention", "allow_msg_ttl", "sealed"];

/// JetStream's durations.
const NANOSECOND_FIELDS: [&str; 2] = ["max_age", "duplicate_window"];

const NS_PER_S: u64 = 1_000_000_000;

/// What the server takes when none is given; given all the same, so that it is compared.
const DUPLICATE_WINDOW_S_DEFAULT: u64 = 120;

/// How one copy has to be configured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CopyConfig {
    /// The stream's name.
    pub stream: String,
    /// Paths into JetStream's stream configuration with their values, in the order in which they
    /// are shown.
    #[serde(serialize_with = "as_object")]
    fields: Vec<(&'static str, Value)>,
}

/// A field that an existing stream has with another value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Its path in JetStream's stream configuration, for instance `placement/cluster`.
    pub field: &'static str,
    /// What it is; null if it is not there.
    pub from: Value,
    /// What it has to be.
    pub to: Value,
}

impl CopyConfig {
    /// The configuration of a region's copy. Home and mirrors carry the same epoch.
    pub(super) fn of(namespace: &DurableNamespace, region: &str, epoch: &str) -> Self {
        let is_home = region == namespace.home;
        let pattern = &namespace.pattern;
        let unlimited_or = |limit: i64| if limit > 0 { limit } else { -1 };
        let (subjects, mirror) = if is_home {
            (json!([pattern]), Value::Null)
        } else {
            (Value::Null, json!(home_stream_name(namespace)))
        };
        let mut fields = vec![
            ("subjects", subjects),
            (MIRROR_FIELD, mirror),
            (CLUSTER_FIELD, json!(region)),
            ("num_replicas", json!(namespace.replicas)),
            ("storage", json!("file")),
            ("retention", json!("limits")),
            ("discard", json!("old")),
            ("max_age", json!(namespace.max_age_s.saturating_mul(NS_PER_S))),
            ("max_msgs", json!(-1)),
            ("max_msgs_per_subject", json!(unlimited_or(namespace.max_messages_per_subject))),
            ("max_bytes", json!(unlimited_or(namespace.max_bytes))),
        ];
        if is_home {
            // A mirror has none: it takes what its origin has stored.
            fields.push(("duplicate_window", json!(duplicate_window_s(namespace) * NS_PER_S)));
        }
        let dest = format!("{}{}", live_subject_prefix(region), mapped(pattern));
        fields.extend([
            // Replay reads by direct get. What a mirror does with requests for its origin's name
            // (mirror_direct) the server decides by the origin's allow_direct.
            ("allow_direct", json!(true)),
            // A rollup or a message's own lifetime deletes out of order: an edge could not tell
            // any more whether a client that resumes has missed something.
            ("allow_rollup_hdrs", json!(false)),
            ("allow_msg_ttl", json!(false)),
            ("sealed", json!(false)),
            ("republish/src", json!(pattern)),
            ("republish/dest", json!(dest)),
            ("republish/headers_only", json!(false)),
            (NAMESPACE_FIELD, json!(namespace.name)),
            (EPOCH_FIELD, json!(epoch)),
        ]);
        Self { stream: copy_name(namespace, region), fields }
    }

    /// The same without what edges look for: nothing is republished, and there is no epoch. So a
    /// mirror fills up unheard, instead of sending all of history to those who want what is new.
    pub(super) fn quiet(&self) -> Self {
        let is_heard = |field: &str| field == EPOCH_FIELD || field.starts_with("republish/");
        let fields = self.fields.iter().filter(|(field, _)| !is_heard(field)).cloned();
        Self { stream: self.stream.clone(), fields: fields.collect() }
    }

    /// The stream that it mirrors.
    pub(super) fn origin(&self) -> Option<&str> {
        self.get(MIRROR_FIELD).as_str()
    }

    /// One field's value.
    pub(super) fn get(&self, field: &str) -> &Value {
        let found = self.fields.iter().find(|(path, _)| *path == field);
        found.map_or(&Value::Null, |(_, value)| value)
    }

    /// The fields that say something, for people.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let says_something = |value: &Value| !is_absent(value) && *value != json!(-1);
        self.fields
            .iter()
            .map(|(path, value)| (*path, value))
            .filter(move |(_, v)| says_something(v))
    }

    /// What differs in an existing configuration.
    pub(super) fn changes(&self, existing: &Value) -> Vec<FieldChange> {
        let differs = |(path, to): &(&'static str, Value)| {
            let from = get(existing, path);
            let is_same = from == to || (is_absent(from) && is_absent(to));
            (!is_same).then(|| FieldChange { field: path, from: from.clone(), to: to.clone() })
        };
        self.fields.iter().filter_map(differs).collect()
    }

    /// The whole configuration to send: an existing one with our fields changed, or a new one.
    pub(super) fn over(&self, existing: Option<&Value>) -> Value {
        let mut config = existing.cloned().unwrap_or_else(|| json!({"max_consumers": -1}));
        set(&mut config, "name", json!(self.stream));
        for (path, value) in &self.fields {
            // Absent where it is absent already: an empty object would be one more thing to refuse.
            if !(is_absent(value) && is_absent(get(&config, path))) {
                set(&mut config, path, value.clone());
            }
        }
        config
    }
}

/// A pattern as the destination of what it matches: where it has a `*`, the same token.
fn mapped(pattern: &str) -> String {
    let mut number = 0;
    let tokens = pattern.split('.').map(|token| match token {
        "*" => {
            number += 1;
            format!("{{{{wildcard({number})}}}}")
        }
        token => token.to_owned(),
    });
    tokens.collect::<Vec<_>>().join(".")
}

impl FieldChange {
    /// Whether the server can make it in place.
    pub(super) fn is_possible(&self) -> bool {
        !FIXED_FIELDS.contains(&self.field)
    }
}

/// A field of a JetStream configuration; null if it is not there.
pub(super) fn get<'a>(config: &'a Value, path: &str) -> &'a Value {
    let mut node = config;
    for part in path.split('/') {
        node = &node[part];
    }
    node
}

/// Sets a field, and makes the objects that lead to it.
pub(super) fn set(config: &mut Value, path: &str, value: Value) {
    let mut node = config;
    for part in path.split('/') {
        if !node.is_object() {
            *node = Value::Object(Map::new());
        }
        node = &mut node[part];
    }
    *node = value;
}

/// A field's value for people.
pub(super) fn show(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        value if NANOSECOND_FIELDS.contains(&field) => match value.as_u64() {
            Some(ns) if ns % NS_PER_S == 0 => format!("{} s", ns / NS_PER_S),
            _ => format!("{value} ns"),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| show(field, item)).collect();
            items.join(", ")
        }
        value if *value == json!(-1) => "unlimited".to_owned(),
        value => value.to_string(),
    }
}

fn as_object<S: Serializer>(
    fields: &[(&'static str, Value)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(path, value)| (path, value)))
}

/// JSON leaves out what is empty, and servers do so with some fields and not with others.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        value => *value == json!(0),
    }
}

/// The server refuses a window that is longer than messages live.
fn duplicate_window_s(namespace: &DurableNamespace) -> u64 {
    match (namespace.duplicate_window_s, namespace.max_age_s) {
        (0, 0) => DUPLICATE_WINDOW_S_DEFAULT,
        (0, max_age_s) => DUPLICATE_WINDOW_S_DEFAULT.min(max_age_s),
        (window_s, _) => window_s,
    }
}

#[cfg(test)]
mod tests {
    use super::super::namespace::tests::orders;
    use super::*;

    #[test]
    fn home_stores_the_subjects_and_a_mirror_copies_home() {
        let home = CopyConfig::of(&orders(), "eu", "ORDERS_1@7").over(None);
        assert_eq!(home["name"], "ORDERS_1");
        assert_eq!(home["subjects"], json!(["orders.>"]));
        assert_eq!(home["max_age"], json!(86_400_000_000_000_u64));
        assert_eq!(home["duplicate_window"], json!(120_000_000_000_u64));
        assert_eq!(home["max_msgs_per_subject"], -1);
        assert_eq!(home["republish"]["dest"], "_mrd.reg.eu.orders.>");
        assert!(home.get("mirror").is_none());
        let mirror = CopyConfig::of(&orders(), "us", "ORDERS_1@7").over(None);
        assert_eq!(mirror["name"], "ORDERS_1_us");
        assert_eq!(mirror["mirror"], json!({"name": "ORDERS_1"}));
        assert_eq!(mirror["placement"], json!({"cluster": "us"}));
        assert_eq!(mirror["republish"]["dest"], "_mrd.reg.us.orders.>");
        assert_eq!(mirror["metadata"], home["metadata"]);
        assert!(mirror.get("subjects").is_none() && mirror.get("duplicate_window").is_none());
    }

    #[test]
    fn what_was_applied_differs_in_nothing_and_strangers_fields_stay() {
        let config = CopyConfig::of(&orders(), "us", "ORDERS_1@7");
        let mut existing = config.over(None);
        assert_eq!(config.changes(&existing), []);
        existing["description"] = json!("by hand");
        existing["metadata"]["_nats.level"] = json!("5");
        existing["num_replicas"] = json!(3);
        let changes = config.changes(&existing);
        let change = FieldChange { field: "num_replicas", from: json!(3), to: json!(1) };
        assert_eq!(changes, [change]);
        let sent = config.over(Some(&existing));
        assert_eq!(sent["num_replicas"], 1);
        assert_eq!(sent["description"], "by hand");
        assert_eq!(sent["metadata"]["_nats.level"], "5");
    }

    #[test]
    fn a_quiet_mirror_copies_and_tells_nobody() {
        let config = CopyConfig::of(&orders(), "us", "ORDERS_1@7");
        let quiet = config.quiet().over(None);
        assert_eq!(quiet["mirror"], json!({"name": "ORDERS_1"}));
        assert!(quiet.get("republish").is_none(), "{quiet}");
        assert_eq!(quiet["metadata"], json!({"meridian.namespace": "orders"}));
        assert_eq!(config.changes(&quiet).len(), 3);
        assert!(config.changes(&quiet).iter().all(FieldChange::is_possible));
    }

    #[test]
    fn default_duplicate_window_is_never_longer_than_messages_live() {
        let window_s = |window, age| {
            let mut namespace = orders();
            (namespace.duplicate_window_s, namespace.max_age_s) = (window, age);
            duplicate_window_s(&namespace)
        };
        assert_eq!(window_s(0, 0), 120);
        assert_eq!(window_s(0, 60), 60);
        assert_eq!(window_s(0, 600), 120);
        assert_eq!(window_s(300, 600), 300);
    }

    #[test]
    fn values_are_shown_in_units() {
        assert_eq!(show("max_age", &json!(86_400_000_000_000_u64)), "86400 s");
        assert_eq!(show("max_age", &json!(5)), "5 ns");
        assert_eq!(show("subjects", &json!(["a.>", "b.>"])), "a.>, b.>");
        assert_eq!(show("max_bytes", &json!(-1)), "unlimited");
        assert_eq!(show("mirror/name", &Value::Null), "nothing");
    }
}
