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
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::CLIENT_MESSAGE_BYTES_MAX,
            filters_max: limits::FILTERS_MAX,
            commands_per_second: limits::COMMANDS_PER_SECOND,
            commands_burst: limits::COMMANDS_BURST,
        }
    }
}
