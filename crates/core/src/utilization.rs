//! How much of an edge is in use: the one number that autoscaling goes by.

/// What an edge may carry. A capacity of 0 is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Connections, `limits.connections_max`.
    pub connections: u64,
    /// Bytes a second to clients.
    pub egress_bytes_per_s: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// How late an event loop may be, in µs.
    pub lag_us: u64,
}

/// What it carries now, in the same units.
pub type Load = Capacity;

/// Shares of the capacity, in millionths; 0 where none is configured. May be more than the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of connections.
    pub connections: u64,
    /// Of egress.
    pub egress: u64,
    /// Of memory.
    pub memory: u64,
    /// Of lag.
    pub lag: u64,
}

impl Shares {
    /// What a load is of a capacity.
    #[must_use]
    pub fn of(load: Load, capacity: Capacity) -> Self {
        Self {
            connections: share(load.connections, capacity.connections),
            egress: share(load.egress_bytes_per_s, capacity.egress_bytes_per_s),
            memory: share(load.memory_bytes, capacity.memory_bytes),
            lag: share(load.lag_us, capacity.lag_us),
        }
    }

    /// The worst of them: an edge is as full as its scarcest means.
    #[must_use]
    pub fn worst(self) -> u64 {
        self.connections.max(self.egress).max(self.memory).max(self.lag)
    }
}

fn share(load: u64, capacity: u64) -> u64 {
    let millionths = u128::from(load) * 1_000_000;
    let share = millionths.checked_div(u128::from(capacity)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_means_decides_and_what_has_no_capacity_does_not_count() {
        let capacity =
            Capacity { connections: 100, egress_bytes_per_s: 1_000, ..Capacity::default() };
        let load =
            Load { connections: 60, egress_bytes_per_s: 750, memory_bytes: u64::MAX, lag_us: 9 };
        let shares = Shares::of(load, capacity);
        assert_eq!((shares.connections, shares.egress), (600_000, 750_000));
        assert_eq!((shares.memory, shares.lag), (0, 0));
        assert_eq!(shares.worst(), 750_000);
        let full = Load { connections: 150, ..load };
        assert_eq!(Shares::of(full, capacity).worst(), 1_500_000);
    }
}
