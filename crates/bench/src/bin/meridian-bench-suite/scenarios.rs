//! The scenarios and what is promised for each. The one place where sizes and limits stand; they
//! were set before the program was measured and are not to be fitted to it.

use meridian_bench::comparison::Promise;

use crate::servers::ServerKind;

/// The shape of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One subject, every socket.
    Fanout,
    /// A subject for each socket.
    Unicast,
    /// A subject for each socket and no traffic.
    Idle,
}

/// One row of the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What is compared.
    pub(crate) targets: &'static [ServerKind],
    pub(crate) sockets: usize,
    pub(crate) rate_per_s: u32,
    /// The measured window. Longer at low rates, since CPU is counted in steps of 10 ms.
    pub(crate) duration_s: u64,
    pub(crate) promise: Promise,
}

/// What tracing costs is the edge against itself, fed with messages that have a `traceparent`.
const TRACED: &[ServerKind] =
    &[ServerKind::Untraced, ServerKind::TracedThousandth, ServerKind::TracedAll];

const TRACING: Promise = Promise { cpu_over_untraced: Some(1.03), ..NOTHING };

const NOTHING: Promise = Promise {
    cpu_over_untraced: None,
    cpu_over_floor: None,
    cpu_over_nats: None,
    cpu_over_ephemeral: None,
    connection_kb: None,
};

const ALL: &[ServerKind] = &[ServerKind::Floor, ServerKind::Nats, ServerKind::Edge];

/// A floor holds nothing for a connection.
const SERVERS: &[ServerKind] = &[ServerKind::Nats, ServerKind::Edge];

/// What durability costs is the edge against itself.
const CLASSES: &[ServerKind] = &[ServerKind::Edge, ServerKind::Durable];

const DURABLE: Promise = Promise { cpu_over_ephemeral: Some(1.3), ..NOTHING };

const FANOUT: Promise =
    Promise { cpu_over_floor: Some(1.15), cpu_over_nats: Some(0.55), ..NOTHING };

/// In the order in which they run.
pub(crate) const SCENARIOS: [Scenario; 11] = [
    Scenario {
        name: "fanout-20",
        kind: Kind::Fanout,
        targets: ALL,
        sockets: 1_000,
        rate_per_s: 20,
        duration_s: 20,
        promise: FANOUT,
    },
    Scenario {
        name: "fanout-80",
        kind: Kind::Fanout,
        targets: ALL,
        sockets: 1_000,
        rate_per_s: 80,
        duration_s: 10,
        promise: FANOUT,
    },
    Scenario {
        name: "burst-1000",
        kind: Kind::Fanout,
        targets: ALL,
        sockets: 200,
        rate_per_s: 1_000,
        duration_s: 10,
        promise: NOTHING,
    },
    Scenario {
        name: "burst-5000",
        kind: Kind::Fanout,
        targets: ALL,
        sockets: 200,
        rate_per_s: 5_000,
        duration_s: 10,
        promise: Promise { cpu_over_nats: Some(0.7), ..NOTHING },
    },
    Scenario {
        name: "unicast",
        kind: Kind::Unicast,
        targets: ALL,
        sockets: 5_000,
        rate_per_s: 20_000,
        duration_s: 10,
        promise: Promise { cpu_over_nats: Some(0.6), ..NOTHING },
    },
    Scenario {
        name: "idle",
        kind: Kind::Idle,
        targets: SERVERS,
        sockets: 10_000,
        rate_per_s: 0,
        duration_s: 0,
        promise: Promise { connection_kb: Some(3.0), ..NOTHING },
    },
    Scenario {
        name: "durable-20",
        kind: Kind::Fanout,
        targets: CLASSES,
        sockets: 1_000,
        rate_per_s: 20,
        duration_s: 20,
        promise: DURABLE,
    },
    Scenario {
        name: "durable-1000",
        kind: Kind::Fanout,
        targets: CLASSES,
        sockets: 200,
        rate_per_s: 1_000,
        duration_s: 10,
        promise: DURABLE,
    },
    Scenario {
        name: "durable-unicast",
        kind: Kind::Unicast,
        targets: CLASSES,
        sockets: 2_000,
        rate_per_s: 5_000,
        duration_s: 10,
        promise: DURABLE,
    },
    Scenario {
        name: "traced-80",
        kind: Kind::Fanout,
        targets: TRACED,
        sockets: 1_000,
        rate_per_s: 80,
        duration_s: 10,
        promise: TRACING,
    },
    Scenario {
        name: "traced-unicast",
        kind: Kind::Unicast,
        targets: TRACED,
        sockets: 2_000,
        rate_per_s: 5_000,
        duration_s: 10,
        promise: TRACING,
    },
];

/// Finds a scenario by name, for the command line.
pub(crate) fn find(name: &str) -> Result<&'static Scenario, String> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_name_and_others_are_refused() {
        for scenario in &SCENARIOS {
            assert_eq!(find(scenario.name), Ok(scenario));
        }
        assert!(find("fanout").unwrap_err().contains("fanout-20"));
    }
}
