//! The closed label sets. No subject, tenant, user or connection is ever a label: the number of
//! series is set by this file and the configuration, not by who connects.

use super::layout::Names;

/// One label and its values.
pub trait Label: Copy {
    /// Its name.
    const NAME: &'static str;
    /// How many values it has.
    const COUNT: usize;
    /// The number of this value.
    fn index(self) -> usize;
    /// The text of a value; `None` if this process has no such value.
    fn text(index: usize, names: &Names) -> Option<String>;
}

/// The labels of an instrument: a tuple of up to two.
pub trait Labels: Copy {
    /// Their names.
    const NAMES: &'static [&'static str];
    /// Combinations of their values.
    const ROWS: usize;
    /// The number of this combination.
    fn row(self) -> usize;
    /// The values of a combination.
    fn values(row: usize, names: &Names) -> Option<Vec<String>>;
}

impl Labels for () {
    const NAMES: &'static [&'static str] = &[];
    const ROWS: usize = 1;

    fn row(self) -> usize {
        0
    }

    fn values(_: usize, _: &Names) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}

impl<A: Label> Labels for (A,) {
    const NAMES: &'static [&'static str] = &[A::NAME];
    const ROWS: usize = A::COUNT;

    fn row(self) -> usize {
        self.0.index()
    }

    fn values(row: usize, names: &Names) -> Option<Vec<String>> {
        Some(vec![A::text(row, names)?])
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    const NAMES: &'static [&'static str] = &[A::NAME, B::NAME];
    const ROWS: usize = A::COUNT * B::COUNT;

    fn row(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn values(row: usize, names: &Names) -> Option<Vec<String>> {
        Some(vec![A::text(row / B::COUNT, names)?, B::text(row % B::COUNT, names)?])
    }
}

/// A label with an enum of values.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident $label:literal { $($value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum $name { $($value,)* }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// Its text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const COUNT: usize = Self::ALL.len();

            fn index(self) -> usize {
                self as usize
            }

            fn text(index: usize, _: &Names) -> Option<String> {
                Self::ALL.get(index).map(|value| value.as_str().to_owned())
            }
        }
    };
}

/// A label whose values are words of another crate's tables; what is not known is `other`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident $label:literal [ $($word:literal,)* ]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(usize);

        impl $name {
            /// Every value, `other` last.
            pub const WORDS: &'static [&'static str] = &[$($word,)* "other"];

            /// The value of a word.
            #[must_use]
            pub fn of(word: &str) -> Self {
                let found = Self::WORDS.iter().position(|known| *known == word);
                Self(found.unwrap_or(Self::WORDS.len() - 1))
            }
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const COUNT: usize = Self::WORDS.len();

            fn index(self) -> usize {
                self.0
            }

            fn text(index: usize, _: &Names) -> Option<String> {
                Self::WORDS.get(index).map(|word| (*word).to_owned())
            }
        }
    };
}

label! {
    /// How a client is connected.
    Transport "transport" { WebSocket = "websocket", Stream = "stream", Sse = "sse", }
}

label! {
    /// How its frames are spelled.
    Codec "codec" { Json = "json", Protobuf = "protobuf", }
}

label! {
    /// How a namespace's messages are delivered.
    Class "class" { Ephemeral = "ephemeral", Durable = "durable", }
}

label! {
    /// What a socket's way to a connection came to.
    Handshake "outcome" {
        Accepted = "accepted",
        Full = "full",
        Tls = "tls",
        Slow = "slow",
        Refused = "refused",
        Origin = "origin",
        Subprotocol = "subprotocol",
    }
}

label! {
    /// What a `connect` came to.
    Auth "outcome" {
        NotAsked = "not_asked",
        Granted = "granted",
        Missing = "missing",
        Malformed = "malformed",
        Issuer = "issuer",
        Key = "key",
        Signature = "signature",
        Audience = "audience",
        Expired = "expired",
        NotYet = "not_yet",
        Revoked = "revoked",
        Other = "other",
    }
}

label! {
    /// What a resume from a position came to.
    Resume "outcome" {
        Recovered = "recovered",
        Expired = "expired",
        Limit = "limit",
        Epoch = "epoch",
        Unavailable = "unavailable",
    }
}

label! {
    /// What happened to a client that reads too slowly, or to its messages.
    SlowAction "action" { Closed = "closed", Dropped = "dropped", Conflated = "conflated", }
}

label! {
    /// What has a capacity.
    Budget "budget" {
        Connections = "connections",
        Egress = "egress",
        Memory = "memory",
        Lag = "lag",
    }
}

label! {
    /// How sending telemetry ended.
    Export "outcome" { Sent = "sent", Failed = "failed", }
}

words! {
    /// A limit that somebody ran into: labels of the edge's limits.
    Hit "limit" [
        "connections", "handshakes", "handshake_rate", "address_connections", "address_rate",
        "user_connections", "tenant_connections", "handshake_time", "header_bytes",
        "message_bytes", "fragments", "message_time", "control_frames", "filters", "commands",
        "publishes", "publish_bytes", "resumes", "memory", "memory_shed", "outbox", "write_stall",
        "silence",
    ]
}

words! {
    /// A command of a client.
    Command "command" [
        "heartbeat", "connect", "subscribe", "unsubscribe", "publish", "request", "history",
        "receipt", "malformed",
    ]
}

words! {
    /// Why messages may be missing, as the protocol's `gap` says it.
    Gap "reason" [
        "nats", "expired", "limit", "epoch", "slow", "conflated",
    ]
}

words! {
    /// Why the edge closed a connection: labels of the protocol's close codes.
    Close "code" [
        "normal", "protocol_error", "unsupported", "invalid_utf8", "policy_violation",
        "message_too_big", "shutdown", "drained", "expired", "slow", "stale", "internal",
        "overloaded", "invalid_token", "bad_protocol", "version", "revoked", "origin",
    ]
}

words! {
    /// What a command failed with: labels of the protocol's error codes.
    Error "code" [
        "internal", "unauthorized", "unknown_subject_space", "forbidden", "unknown_command",
        "already_subscribed", "limit", "bad_request", "not_available", "token_expired", "expired",
        "too_many_requests", "unrecoverable_position", "upstream_timeout", "no_responders",
        "stream_unavailable", "ack_unknown", "wrong_sequence", "region_unreachable",
        "payload_too_large", "invalid_subject",
    ]
}

/// A region of the mesh, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region(usize);

impl Region {
    /// Regions that are told apart. Further ones are `other`, like those that nobody configured.
    pub const MAX: usize = 16;

    /// The region that stands at a place of [`Names::regions`], or `other`.
    #[must_use]
    pub fn at(place: Option<usize>) -> Self {
        Self(place.filter(|place| *place < Self::MAX).unwrap_or(Self::MAX))
    }
}

impl Label for Region {
    const NAME: &'static str = "origin";
    const COUNT: usize = Self::MAX + 1;

    fn index(self) -> usize {
        self.0
    }

    fn text(index: usize, names: &Names) -> Option<String> {
        if index == Self::MAX { Some("other".into()) } else { names.regions.get(index).cloned() }
    }
}

/// A region that is listened to, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(Region);

impl Peer {
    /// The region that stands at a place of [`Names::regions`], or `other`.
    #[must_use]
    pub fn at(place: Option<usize>) -> Self {
        Self(Region::at(place))
    }
}

impl Label for Peer {
    const NAME: &'static str = "peer";
    const COUNT: usize = Region::COUNT;

    fn index(self) -> usize {
        self.0.index()
    }

    fn text(index: usize, names: &Names) -> Option<String> {
        Region::text(index, names)
    }
}

/// A durable namespace, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace(usize);

impl Namespace {
    /// Namespaces that are shown.
    pub const MAX: usize = 32;

    /// The namespace that stands at a place of [`Names::namespaces`], if it is shown.
    #[must_use]
    pub fn at(place: usize) -> Option<Self> {
        (place < Self::MAX).then_some(Self(place))
    }
}

impl Label for Namespace {
    const NAME: &'static str = "namespace";
    const COUNT: usize = Self::MAX;

    fn index(self) -> usize {
        self.0
    }

    fn text(index: usize, names: &Names) -> Option<String> {
        names.namespaces.get(index).cloned()
    }
}

/// What runs: the labels of the one row of `meridian_build_info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build;

impl Labels for Build {
    const NAMES: &'static [&'static str] = &["version", "edge", "region"];
    const ROWS: usize = 1;

    fn row(self) -> usize {
        0
    }

    fn values(_: usize, names: &Names) -> Option<Vec<String>> {
        Some(names.build.to_vec())
    }
}
