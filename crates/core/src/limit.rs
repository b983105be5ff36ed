//! The closed set of limits that an edge enforces: what a refusal or a close is counted under.
//!
//! Not the limits themselves, which stand in the configuration. The edge keeps one plain counter
//! for each of these, and operators see them by these names.

/// A limit that somebody ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Limit {
    /// Connections of the edge.
    Connections,
    /// Unfinished handshakes at once.
    Handshakes,
    /// Handshakes a second of the edge.
    HandshakeRate,
    /// Connections of one client address.
    AddressConnections,
    /// Handshakes a second of one client address.
    AddressRate,
    /// Connections of one user.
    UserConnections,
    /// Connections of one tenant.
    TenantConnections,
    /// Time from accept to `connect`, TLS and request head included.
    HandshakeTime,
    /// Bytes or number of headers of a request's head.
    HeaderBytes,
    /// Bytes of a client message over all its fragments.
    MessageBytes,
    /// Fragments of a client message.
    Fragments,
    /// Time from a client message's first byte to its last.
    MessageTime,
    /// Pings and pongs a second of a connection.
    ControlFrames,
    /// Filters of a connection.
    Filters,
    /// Commands a second of a connection.
    Commands,
    /// Messages that a connection publishes a second.
    Publishes,
    /// Bytes that a connection publishes a second.
    PublishBytes,
    /// Resumes and other starts from history a second of the edge.
    Resumes,
    /// The edge's memory for slow clients is nearly used up: new work is refused.
    Memory,
    /// It is all but used up: the slowest clients are closed.
    MemoryShed,
    /// Bytes that wait for one client.
    Outbox,
    /// Time for which a client's socket takes nothing.
    WriteStall,
    /// Time for which nothing is heard of a client.
    Silence,
}

/// How many limits there are.
pub const LIMITS: usize = 23;

impl Limit {
    /// Every limit, in the order of its number.
    pub const ALL: [Self; LIMITS] = [
        Self::Connections,
        Self::Handshakes,
        Self::HandshakeRate,
        Self::AddressConnections,
        Self::AddressRate,
        Self::UserConnections,
        Self::TenantConnections,
        Self::HandshakeTime,
        Self::HeaderBytes,
        Self::MessageBytes,
        Self::Fragments,
        Self::MessageTime,
        Self::ControlFrames,
        Self::Filters,
        Self::Commands,
        Self::Publishes,
        Self::PublishBytes,
        Self::Resumes,
        Self::Memory,
        Self::MemoryShed,
        Self::Outbox,
        Self::WriteStall,
        Self::Silence,
    ];

    /// A closed-set name for metrics, `/stats` and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::HandshakeRate => "handshake_rate",
            Self::AddressConnections => "address_connections",
            Self::AddressRate => "address_rate",
            Self::UserConnections => "user_connections",
            Self::TenantConnections => "tenant_connections",
            Self::HandshakeTime => "handshake_time",
            Self::HeaderBytes => "header_bytes",
            Self::MessageBytes => "message_bytes",
            Self::Fragments => "fragments",
            Self::MessageTime => "message_time",
            Self::ControlFrames => "control_frames",
            Self::Filters => "filters",
            Self::Commands => "commands",
            Self::Publishes => "publishes",
            Self::PublishBytes => "publish_bytes",
            Self::Resumes => "resumes",
            Self::Memory => "memory",
            Self::MemoryShed => "memory_shed",
            Self::Outbox => "outbox",
            Self::WriteStall => "write_stall",
            Self::Silence => "silence",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_place_and_a_name_of_its_own() {
        let mut labels = Vec::new();
        for (place, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, place);
            assert!(!labels.contains(&limit.label()), "{limit:?}");
            labels.push(limit.label());
        }
    }
}
