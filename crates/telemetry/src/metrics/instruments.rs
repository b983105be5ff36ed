//! The one list of what an edge measures: names, units, help, labels. Dashboards and alert rules
//! are compared with it by a test.
//!
//! Names follow Prometheus (base units, `_total`), units are UCUM for OTLP. A name is a promise to
//! whoever built a dashboard: add, and do not rename.

use super::labels::Labels;
use super::labels::{
    Auth, Budget, Build, Class, Close, Codec, Command, Error, Export, Gap, Handshake, Hit,
    Namespace, Peer, Region, Resume, SlowAction, Transport,
};
use super::layout::{Bounds, Counter, Gauge, Histogram, Instrument, Kind, Owner, Unit, offsets};

/// µs from a tenth of a millisecond, a round trip on one machine, to 10 s, when somebody has given
/// up. 250 ms is a bound because the objective of latency is.
const LATENCY_US: Bounds = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// µs of work that may read a store: 1 s is the objective of resumes.
const WORK_US: Bounds =
    &[1_000, 5_000, 25_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 30_000_000];

/// µs that a shard's thread was late. A timer is exact to a millisecond.
const LAG_US: Bounds = &[1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000];

/// Receivers of a message, and messages of a replay.
const SIZES: Bounds = &[0, 1, 10, 100, 1_000, 10_000, 100_000];

/// Declares instruments: a typed handle each, and the list of all.
macro_rules! instruments {
    ($($owner:ident $handle:ident: $kind:ident<$labels:ty>$([$bounds:ident])? =
        $name:literal, $unit:expr, $help:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Place { $($handle,)* }

        /// Every instrument, in the order of the exposition.
        pub const ALL: [Instrument; [$($name,)*].len()] = [$(
            Instrument {
                name: $name,
                kind: instruments!(@kind $kind $($bounds)?),
                unit: $unit,
                help: $help,
                owner: Owner::$owner,
                labels: <$labels as Labels>::NAMES,
                rows: <$labels as Labels>::ROWS,
                values: <$labels as Labels>::values,
            },
        )*];

        $(
            #[doc = $help]
            pub const $handle: $kind<$labels> = $kind::new(
                OFFSETS[Place::$handle as usize],
                ALL[Place::$handle as usize].kind,
            );
        )*
    };
    (@kind Counter) => { Kind::Counter };
    (@kind Gauge) => { Kind::Gauge };
    (@kind Histogram $bounds:ident) => { Kind::Histogram($bounds) };
}

/// Where each begins, see [`ALL`].
pub(super) const OFFSETS: [usize; ALL.len()] = offsets(&ALL);

/// Slots of all instruments together.
pub(super) const SLOTS: usize = {
    let last = ALL.len() - 1;
    OFFSETS[last] + ALL[last].rows * ALL[last].width()
};

instruments! {
    // Clients.
    Shards CONNECTIONS: Gauge<(Transport, Codec)> =
        "meridian_connections", Unit::Of("{connection}"),
        "Connections held, those without a session included.";
    Shards SESSIONS: Counter<()> =
        "meridian_sessions_total", Unit::Of("{session}"),
        "Sessions begun.";
    Shards HANDSHAKES: Counter<(Handshake,)> =
        "meridian_handshakes_total", Unit::Of("{handshake}"),
        "Sockets and streams on their way to a connection, by what came of it.";
    Shards AUTH: Counter<(Auth,)> =
        "meridian_auth_total", Unit::Of("{connect}"),
        "Connects by what their token came to.";
    Shards CLOSES: Counter<(Close,)> =
        "meridian_closes_total", Unit::Of("{connection}"),
        "Connections that the edge closed, by close code.";
    Shards ERRORS: Counter<(Error,)> =
        "meridian_errors_total", Unit::Of("{error}"),
        "Commands that failed, by error code.";
    Shards LIMITS: Counter<(Hit,)> =
        "meridian_limits_hit_total", Unit::Of("{hit}"),
        "Refusals and closes because of a limit.";

    // Messages.
    Shards COMMANDS: Counter<(Command,)> =
        "meridian_client_commands_total", Unit::Of("{command}"),
        "Commands of clients.";
    Shards CLIENT_BYTES_IN: Counter<()> =
        "meridian_client_received_bytes_total", Unit::Bytes,
        "Payload bytes of clients' frames and bodies.";
    Shards CLIENT_BYTES_OUT: Counter<()> =
        "meridian_client_sent_bytes_total", Unit::Bytes,
        "Bytes that clients' sockets have taken, before TLS and HTTP.";
    Shards NATS_MESSAGES_IN: Counter<(Class,)> =
        "meridian_nats_received_messages_total", Unit::Of("{message}"),
        "Messages that NATS delivered to this edge.";
    Shards NATS_BYTES_IN: Counter<(Class,)> =
        "meridian_nats_received_bytes_total", Unit::Bytes,
        "Their headers and payloads.";
    Shards NATS_MESSAGES_OUT: Counter<()> =
        "meridian_nats_sent_messages_total", Unit::Of("{message}"),
        "Messages of clients that went to NATS.";
    Shards NATS_BYTES_OUT: Counter<()> =
        "meridian_nats_sent_bytes_total", Unit::Bytes,
        "Their payloads.";
    Shards DELIVERIES: Counter<(Class,)> =
        "meridian_deliveries_total", Unit::Of("{delivery}"),
        "Live messages handed to connections.";
    Shards FANOUT: Histogram<(Class,)>[SIZES] =
        "meridian_fanout_size", Unit::Of("{connection}"),
        "Connections that one message went to.";
    Shards LATENCY: Histogram<(Class, Region)>[LATENCY_US] =
        "meridian_delivery_latency_seconds", Unit::Seconds,
        "From the publish to the last socket write of this shard, by class and region of the \
         publish.";
    Shards GAPS: Counter<(Gap,)> =
        "meridian_gaps_total", Unit::Of("{gap}"),
        "Gaps told to clients.";
    Shards SLOW_ACTIONS: Counter<(SlowAction,)> =
        "meridian_slow_client_actions_total", Unit::Of("{action}"),
        "Clients closed, and messages dropped or conflated, because a client reads too \
         slowly.";
    Shards QUEUE_BYTES: Gauge<()> =
        "meridian_queue_bytes", Unit::Bytes,
        "Bytes that wait for slow clients.";
    Shards QUEUES: Gauge<()> =
        "meridian_queues", Unit::Of("{connection}"),
        "Connections that bytes wait for.";

    // Subscriptions.
    Shards SUBSCRIBE: Histogram<(Class,)>[LATENCY_US] =
        "meridian_subscribe_latency_seconds", Unit::Seconds,
        "From a subscribe to its reply.";
    Shards SUBSCRIPTIONS: Gauge<()> =
        "meridian_subscriptions", Unit::Of("{subscription}"),
        "Filters of all connections together.";
    Shards INTEREST: Gauge<()> =
        "meridian_interest_filters", Unit::Of("{filter}"),
        "Distinct filters held upstream, lingering ones included.";
    Shards RESUMES: Counter<(Resume,)> =
        "meridian_resumes_total", Unit::Of("{resume}"),
        "Resumes from a position.";
    Shards RESUME_TIME: Histogram<()>[WORK_US] =
        "meridian_resume_duration_seconds", Unit::Seconds,
        "From a resume to live.";
    Shards REPLAY_SIZE: Histogram<()>[SIZES] =
        "meridian_replay_size", Unit::Of("{message}"),
        "Messages that a start from a position, a time or a count replayed.";

    // The edge.
    EachShard NATS_CONNECTED: Gauge<()> =
        "meridian_nats_connected", Unit::Of("{connection}"),
        "1 while the shard has its NATS connection.";
    EachShard NATS_RECONNECTS: Counter<()> =
        "meridian_nats_reconnects_total", Unit::Of("{connection}"),
        "NATS connections of the shard after its first.";
    EachShard LAG: Histogram<()>[LAG_US] =
        "meridian_event_loop_lag_seconds", Unit::Seconds,
        "How late the shard's thread came to a timer.";
    EachShard LAG_WORST: Gauge<()> =
        "meridian_event_loop_lag_worst_seconds", Unit::Seconds,
        "The worst of the last second.";
    Control CONTROL_CONNECTED: Gauge<()> =
        "meridian_control_connected", Unit::Of("{connection}"),
        "1 while the control plane has its NATS connection.";
    Control CONTROL_RECONNECTS: Counter<()> =
        "meridian_control_reconnects_total", Unit::Of("{connection}"),
        "NATS connections of the control plane after its first.";
    Control CONTROL_DROPPED: Counter<()> =
        "meridian_control_dropped_total", Unit::Of("{event}"),
        "Times that async-nats dropped control messages because they were not taken fast \
         enough.";
    Control REGION_SILENT: Gauge<(Peer,)> =
        "meridian_region_silent", Unit::Of("{region}"),
        "1 while a region's heartbeat is not heard.";
    Control MIRROR_LAG: Gauge<(Namespace,)> =
        "meridian_mirror_lag_messages", Unit::Of("{message}"),
        "Messages that the region's mirror has not yet copied, as far as it knows.";
    Control MIRROR_HEARD: Gauge<(Namespace,)> =
        "meridian_mirror_heard_age_seconds", Unit::Seconds,
        "Since the region's mirror heard of home.";
    Control COPY_STALE: Gauge<(Namespace,)> =
        "meridian_copy_stale", Unit::Of("{copy}"),
        "1 while the region's copy is behind home, or may be.";
    Control READONLY: Gauge<(Namespace,)> =
        "meridian_namespace_readonly", Unit::Of("{namespace}"),
        "1 while home takes no writes.";
    Control META_LEADER: Gauge<()> =
        "meridian_jetstream_meta_leader", Unit::Of("{leader}"),
        "1 while JetStream has a meta leader. Only where there are durable namespaces.";
    Control DRAINING: Gauge<()> =
        "meridian_draining", Unit::Of("{edge}"),
        "1 while the edge drains.";
    Control BUDGETS: Gauge<(Budget,)> =
        "meridian_budget_used_ratio", Unit::Ratio,
        "Use of what has a capacity.";
    Control UTILIZATION: Gauge<()> =
        "meridian_edge_utilization_ratio", Unit::Ratio,
        "The worst of the budgets: the number to scale on.";
    Control EXPORTS: Counter<(Export,)> =
        "meridian_otlp_exports_total", Unit::Of("{export}"),
        "Exports of metrics by OTLP.";
    Control RESIDENT: Gauge<()> =
        "meridian_process_resident_memory_bytes", Unit::Bytes,
        "Resident memory of the process.";
    Control CPU: Counter<()> =
        "meridian_process_cpu_seconds_total", Unit::Seconds,
        "User and system time of the process.";
    Control DESCRIPTORS: Gauge<()> =
        "meridian_process_open_fds", Unit::Of("{descriptor}"),
        "Open file descriptors.";
    Control BUILD_INFO: Gauge<Build> =
        "meridian_build_info", Unit::Of("{edge}"),
        "Always 1; the labels say what runs.";
}

/// Label names that stand beside those of [`ALL`].
pub const SHARD: &str = "shard";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_end_as_their_kind_and_unit_want() {
        let mut names = BTreeSet::new();
        for Instrument { name, kind, unit, help, .. } in ALL {
            assert!(names.insert(name), "{name} stands twice");
            assert!(name.starts_with("meridian_") && help.ends_with('.'), "{name}");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            assert!(stem.ends_with(unit.suffix()), "{name} has the unit {unit:?}");
        }
    }

    #[test]
    fn every_slot_belongs_to_one_instrument() {
        for pair in 1..ALL.len() {
            let before = &ALL[pair - 1];
            assert_eq!(OFFSETS[pair], OFFSETS[pair - 1] + before.rows * before.width());
        }
    }
}
