//! What can go wrong with streams. Variants are told apart by what the operator should do next.

/// Why streams could not be planned, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A durable namespace that cannot be. Nothing was sent.
    #[error("namespace {namespace}: {what}")]
    Invalid {
        /// The namespace's name.
        namespace: String,
        /// What is wrong, and what would be right.
        what: String,
    },

    /// A stream that Meridian did not make has the name that a copy needs.
    #[error(
        "stream {stream} exists and does not belong to namespace {namespace}: choose another \
         stream name or epoch, or remove that stream yourself"
    )]
    NotOurs {
        /// The stream.
        stream: String,
        /// The namespace that wants its name.
        namespace: String,
    },

    /// Another stream stores the same subjects, which JetStream allows to one only.
    #[error(
        "stream {stream} also stores subjects of {pattern}: change one of the patterns, or remove \
         the other stream yourself"
    )]
    Overlap {
        /// The other stream, or the one that was refused when the server named none.
        stream: String,
        /// The namespace's pattern.
        pattern: String,
    },

    /// Steps that delete stored messages were not confirmed. Nothing was changed.
    #[error("this deletes stored messages ({streams}): look at the plan, then confirm with --yes")]
    NotConfirmed {
        /// The streams, separated by commas.
        streams: String,
    },

    /// The account has no JetStream, or no server of it runs any.
    #[error(
        "no JetStream for this account: set `jetstream: enabled` in the account and a `jetstream` \
         block in the servers' configuration"
    )]
    NoJetStream,

    /// JetStream has no meta leader, so that nothing can be created or changed.
    #[error(
        "JetStream has no meta leader after {waited_ms} ms: more than half of the mesh's \
         nats-servers must run and reach each other; try again"
    )]
    NoMetaLeader {
        /// How long it was waited for.
        waited_ms: u64,
    },

    /// No servers to put a copy on.
    #[error(
        "no place for stream {stream} in cluster {cluster}: the cluster must be named so, have \
         {replicas} running servers with JetStream, and room left ({message})"
    )]
    NoPeers {
        /// The copy.
        stream: String,
        /// The region, which is the cluster's name.
        cluster: String,
        /// How many servers it needs.
        replicas: usize,
        /// The server's own words.
        message: String,
    },

    /// There is no such stream.
    #[error("stream {stream} does not exist: run `meridian streams apply`")]
    Missing {
        /// The stream.
        stream: String,
    },

    /// No answer in time. Whether the request had an effect is not known.
    #[error(
        "no answer to {what} after {waited_ms} ms: check that the region's nats-servers run, then \
         run it again, which is harmless"
    )]
    Unanswered {
        /// What was asked.
        what: String,
        /// How long it was waited for.
        waited_ms: u64,
    },

    /// A mirror did not copy in time what home has. Nothing was taken away from home.
    #[error(
        "stream {stream} still lacks {missing} messages of home after {waited_ms} ms: see that it \
         hears of home (`meridian streams status`), then run this again"
    )]
    NotCaughtUp {
        /// The mirror.
        stream: String,
        /// How many messages home has more.
        missing: u64,
        /// How long it was waited for.
        waited_ms: u64,
    },

    /// JetStream said no for another reason.
    #[error("JetStream refused {what}: {message} (error {code})")]
    Refused {
        /// What was asked.
        what: String,
        /// The server's own words.
        message: String,
        /// JetStream's error code, as in nats-server's `errors.json`; 0 for an answer that is
        /// none.
        code: u64,
    },

    /// The connection to NATS.
    #[error(transparent)]
    Connection(#[from] crate::Error),
}
