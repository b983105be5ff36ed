//! What one edge allows and says of itself: read from configuration, never changed while it runs.

use crate::namespace::Namespaces;
use crate::tenant::TenantPrefix;
use meridian_proto::limits;

/// Shared by all sessions of an edge, immutable.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The edge's id, unique in the mesh.
    pub node: String,
    /// The edge's region.
    pub region: String,
    /// The edge's version.
    pub version: String,
    /// Other edges that clients may try, in order.
    pub alternates: Vec<String>,
    /// What is reachable at all.
    pub namespaces: Namespaces,
    /// Which tenants are served.
    pub tenants: Tenants,
    /// What one connection may do.
    pub limits: SessionLimits,
}

/// Which tenants an edge serves, and where their subjects lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tenants {
    /// Whoever a token names, and all in the same subjects: rules alone keep them apart.
    #[default]
    Together,
    /// Each in subjects of its own.
    Prefixed(TenantPrefix),
    /// This one and no other: the edge's NATS account is its own.
    Only(String),
}

/// What one connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Largest client message in bytes, all fragments together.
    pub message_bytes_max: usize,
    /// Filters held at once.
    pub filters_max: usize,
    /// Commands a second that refill the budget.
    pub commands_per_second: u32,
    /// Commands that may come at once.
    pub commands_burst: u32,
    /// Messages that may be published a second; 0: as many as commands.
    pub publishes_per_second: u32,
    /// Bytes of them a second.
    pub publish_bytes_per_second: u32,
}

/// How many seconds' worth of published bytes may come at once.
const PUBLISH_BYTES_BURST_S: u32 = 4;

impl SessionLimits {
    /// Messages that may be published a second, and at once.
    #[must_use]
    pub fn publishes(&self) -> (u32, u32) {
        match self.publishes_per_second {
            0 => (self.commands_per_second, self.commands_burst),
            rate => (rate, rate.saturating_mul(2)),
        }
    }

    /// Bytes that may be published at once.
    #[must_use]
    pub fn publish_bytes_burst(&self) -> u32 {
        self.publish_bytes_per_second.saturating_mul(PUBLISH_BYTES_BURST_S)
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::CLIENT_MESSAGE_BYTES_MAX,
            filters_max: limits::FILTERS_MAX,
            commands_per_second: limits::COMMANDS_PER_SECOND,
            commands_burst: limits::COMMANDS_BURST,
            publishes_per_second: 0,
            publish_bytes_per_second: limits::PUBLISH_BYTES_PER_SECOND,
        }
    }
}
