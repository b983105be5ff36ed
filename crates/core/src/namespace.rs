//! Namespaces: what is reachable from outside, and under which rules. Nothing else is.

use meridian_proto::{Filter, Subject};

/// How messages of a namespace are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Core NATS: lowest latency, at most once.
    Ephemeral,
    /// Stored in a stream with a copy in each region: in order, with positions to resume from.
    Durable,
}

/// What a durable namespace's stream drops when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// The oldest messages of all: what is left is whole.
    Oldest,
    /// Beside those, the oldest of a subject with more than so many: what is left has holes.
    PerSubject {
        /// Messages that a subject keeps.
        messages_max: u64,
    },
}

/// Who answers for a region's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// One server: each answer knows what every earlier one knew.
    Single,
    /// Several: an answer may come from one that is behind the others.
    Several,
}

/// What happens to live messages for a client that reads too slowly, when its outbox is full. What
/// is not a message always leaves, and so does what is replayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SlowClient {
    /// None is lost: the client is closed with 3003, and resumes.
    #[default]
    Disconnect,
    /// The oldest that wait give way, and a gap tells it.
    DropOldest,
    /// Of each subject the newest waits, also before the outbox is full; a gap tells what it
    /// replaced. Too many subjects end as `Disconnect`.
    Conflate,
}

/// One declared subject space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// A name for logs and metrics.
    pub name: String,
    /// The subjects it covers. Patterns of different namespaces do not overlap.
    pub pattern: Filter,
    /// The same as NATS has it: the pattern, or that of all tenants.
    pub upstream: Filter,
    /// How its messages are delivered.
    pub class: Class,
    /// The stream that holds this region's copy, of a durable namespace; empty otherwise.
    pub copy: String,
    /// What that stream drops.
    pub retention: Retention,
    /// Who answers for it.
    pub replication: Replication,
    /// What happens to its messages for a slow client.
    pub slow_client: SlowClient,
    /// Whether clients may publish.
    pub publish: Permission,
    /// Whether clients may send requests.
    pub request: Permission,
    /// Header names that pass between clients and NATS, in lower case, beside `content-type`.
    pub headers: Vec<String>,
}

/// A yes or no that reads at the call site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Refused with 103.
    Denied,
    /// Allowed to every client.
    Granted,
}

/// Every namespace of an edge, patterns disjoint.
#[derive(Debug, Clone, Default)]
pub struct Namespaces(Vec<Namespace>);

/// Two namespaces whose patterns share a subject: nobody could tell which rules hold there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("namespaces {0} and {1} overlap: make their patterns disjoint")]
pub struct Overlap(pub String, pub String);

impl Namespaces {
    /// Keeps the namespaces.
    ///
    /// # Errors
    /// The first [`Overlap`].
    pub fn new(namespaces: Vec<Namespace>) -> Result<Self, Overlap> {
        for (index, first) in namespaces.iter().enumerate() {
            for second in &namespaces[index + 1..] {
                if first.pattern.overlaps(&second.pattern) {
                    return Err(Overlap(first.name.clone(), second.name.clone()));
                }
            }
        }
        Ok(Self(namespaces))
    }

    /// The namespace that declares `subject`.
    #[must_use]
    pub fn of_subject(&self, subject: &Subject) -> Option<&Namespace> {
        self.0.iter().find(|namespace| namespace.pattern.matches(subject.as_str()))
    }

    /// The namespace that declares every subject of `filter`.
    #[must_use]
    pub fn of_filter(&self, filter: &Filter) -> Option<&Namespace> {
        self.0.iter().find(|namespace| namespace.pattern.contains(filter))
    }

    /// The namespace that holds every subject of a filter as NATS has it.
    #[must_use]
    pub fn of_upstream_filter(&self, filter: &Filter) -> Option<&Namespace> {
        self.0.iter().find(|namespace| namespace.upstream.contains(filter))
    }

    /// The namespace that holds a subject as NATS has it.
    #[must_use]
    pub fn of_upstream_subject(&self, subject: &Subject) -> Option<&Namespace> {
        self.0.iter().find(|namespace| namespace.upstream.matches(subject.as_str()))
    }

    /// The place of the namespace that declares `subject`, for [`Namespaces::at`]. A subject that
    /// nobody declares has the place after the last.
    #[must_use]
    pub fn index_of(&self, subject: &Subject) -> usize {
        let declares = |namespace: &Namespace| namespace.pattern.matches(subject.as_str());
        self.0.iter().position(declares).unwrap_or(self.0.len())
    }

    /// The namespace at a place.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&Namespace> {
        self.0.get(index)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Namespace> {
        self.0.iter()
    }
}

impl Namespace {
    /// Whether a header may pass between clients and NATS.
    #[must_use]
    pub fn allows_header(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("content-type")
            || self.headers.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A namespace for the tests of this crate.
    pub(crate) fn namespace(name: &str, pattern: &str, permission: Permission) -> Namespace {
        Namespace {
            name: name.into(),
            pattern: Filter::parse(pattern).unwrap(),
            upstream: Filter::parse(pattern).unwrap(),
            class: Class::Ephemeral,
            copy: String::new(),
            retention: Retention::Oldest,
            replication: Replication::Single,
            slow_client: SlowClient::Disconnect,
            publish: permission,
            request: permission,
            headers: vec!["x-kind".into()],
        }
    }

    #[test]
    fn a_filter_belongs_only_where_all_its_subjects_do() {
        let all = vec![
            namespace("demo", "demo.>", Permission::Granted),
            namespace("one", "only.one", Permission::Granted),
        ];
        let namespaces = Namespaces::new(all).unwrap();
        let of = |text: &str| {
            let found = namespaces.of_filter(&Filter::parse(text).unwrap());
            found.map(|namespace| namespace.name.as_str())
        };
        assert_eq!(of("demo.*.x"), Some("demo"));
        assert_eq!(of("demo.>"), Some("demo"));
        assert_eq!(of("only.one"), Some("one"));
        assert_eq!(of("only.*"), None);
        assert_eq!(of("demo"), None);
        assert_eq!(of("demox.a"), None);
    }

    #[test]
    fn overlapping_namespaces_are_refused() {
        let overlapping = vec![
            namespace("left", "a.*.c", Permission::Granted),
            namespace("right", "a.b.>", Permission::Granted),
        ];
        let overlap = Namespaces::new(overlapping).unwrap_err();
        assert_eq!(overlap, Overlap("left".into(), "right".into()));
    }
}
