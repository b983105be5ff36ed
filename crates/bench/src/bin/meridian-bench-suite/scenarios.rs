//! The scenarios and what is promised for each. The one place where sizes and limits stand; they
//! are those of the first issue and are not to be fitted to the program.

use meridian_bench::comparison::Promise;

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
    pub(crate) sockets: usize,
    pub(crate) rate_per_s: u32,
    /// The measured window. Longer at low rates, since CPU is counted in steps of 10 ms.
    pub(crate) duration_s: u64,
    pub(crate) promise: Promise,
}

const NOTHING: Promise = Promise { cpu_over_floor: None, cpu_over_nats: None, connection_kb: None };

const FANOUT: Promise =
    Promise { cpu_over_floor: Some(1.15), cpu_over_nats: Some(0.55), ..NOTHING };

/// In the order in which they run.
pub(crate) const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "fanout-20",
        kind: Kind::Fanout,
        sockets: 1_000,
        rate_per_s: 20,
        duration_s: 20,
        promise: FANOUT,
    },
    Scenario {
        name: "fanout-80",
        kind: Kind::Fanout,
        sockets: 1_000,
        rate_per_s: 80,
        duration_s: 10,
        promise: FANOUT,
    },
    Scenario {
        name: "burst-1000",
        kind: Kind::Fanout,
        sockets: 200,
        rate_per_s: 1_000,
        duration_s: 10,
        promise: NOTHING,
    },
    Scenario {
        name: "burst-5000",
        kind: Kind::Fanout,
        sockets: 200,
        rate_per_s: 5_000,
        duration_s: 10,
        promise: Promise { cpu_over_nats: Some(0.7), ..NOTHING },
    },
    Scenario {
        name: "unicast",
        kind: Kind::Unicast,
        sockets: 5_000,
        rate_per_s: 20_000,
        duration_s: 10,
        promise: Promise { cpu_over_nats: Some(0.6), ..NOTHING },
    },
    Scenario {
        name: "idle",
        kind: Kind::Idle,
        sockets: 10_000,
        rate_per_s: 0,
        duration_s: 0,
        promise: Promise { connection_kb: Some(3.0), ..NOTHING },
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
