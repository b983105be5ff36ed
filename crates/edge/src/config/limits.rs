//! The section `[limits]`: what one client, and all of them together, may use.

use meridian_core::SessionLimits;
use meridian_core::census::Share;
use meridian_proto::limits;
use serde::{Deserialize, Serialize};

/// hyper's smallest buffer for a request head.
const HEADER_BYTES_MIN: usize = 8 * 1024;

/// Linux's smallest useful send buffer: below it every frame of a burst would wait for the one
/// before.
const SEND_BUFFER_BYTES_MIN: usize = 4 * 1024;

/// What one client, and all of them together, may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Connections of the whole edge.
    pub connections_max: usize,
    /// Connections of one client address, an IPv4 address or an IPv6 /64; 0: no limit.
    pub connections_per_address_max: u32,
    /// Connections of one user, where tokens name one; 0: no limit.
    pub connections_per_user_max: u32,
    /// Connections of one tenant, where tokens name one; 0: no limit.
    pub connections_per_tenant_max: u32,
    /// Connections of the whole edge that have not finished their upgrade.
    pub handshakes_max: usize,
    /// Handshakes a second of the whole edge, and twice as many at once.
    pub handshakes_per_second: u32,
    /// Handshakes a second of one client address, and five times as many at once; 0: no limit.
    pub handshakes_per_address_per_second: u32,
    /// From accept to a successful `connect`, in ms.
    pub handshake_ms: u64,
    /// Request head, in ms and, below, bytes.
    pub header_read_ms: u64,
    /// Largest request head, in bytes, at least 8,192.
    pub header_bytes_max: usize,
    /// Largest client message, all fragments together, in bytes.
    pub message_bytes_max: usize,
    /// Most fragments of a client message.
    pub fragments_max: u32,
    /// Filters of one connection.
    pub filters_max: usize,
    /// Commands a second of one connection.
    pub commands_per_second: u32,
    /// Commands of one connection at once.
    pub commands_burst: u32,
    /// Messages a second that one connection publishes, twice as many at once; 0: as commands.
    pub publishes_per_second: u32,
    /// Bytes of them a second, and four times as many at once.
    pub publish_bytes_per_second: u32,
    /// Starts from a position or from history a second of the whole edge, twice as many at once.
    pub resumes_per_second: u32,
    /// Bytes that may wait for one slow client.
    pub outbox_bytes_max: usize,
    /// Bytes that may wait for all slow clients of the edge together.
    pub pending_bytes_max: usize,
    /// How long a slow client's socket may take nothing, in ms.
    pub write_stall_ms: u64,
    /// Kernel send buffer of one connection, in bytes: bounds what a client that does not read
    /// can pin.
    pub send_buffer_bytes: usize,
    /// How long a filter outlives its last subscriber, in ms.
    pub interest_linger_ms: u64,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            connections_max: 15_000,
            // An edge cannot know whether all its clients come by one proxy or one office.
            connections_per_address_max: 0,
            connections_per_user_max: 0,
            connections_per_tenant_max: 0,
            handshakes_max: 2_000,
            // A full edge's clients are back within ten seconds, and live traffic keeps most of the
            // processor.
            handshakes_per_second: 2_000,
            handshakes_per_address_per_second: 0,
            handshake_ms: 10_000,
            header_read_ms: 5_000,
            header_bytes_max: 8 * 1024,
            message_bytes_max: limits::CLIENT_MESSAGE_BYTES_MAX,
            fragments_max: limits::FRAGMENTS_MAX,
            filters_max: limits::FILTERS_MAX,
            commands_per_second: limits::COMMANDS_PER_SECOND,
            commands_burst: limits::COMMANDS_BURST,
            publishes_per_second: 0,
            publish_bytes_per_second: limits::PUBLISH_BYTES_PER_SECOND,
            resumes_per_second: 2_000,
            outbox_bytes_max: limits::OUTBOX_BYTES_MAX,
            // A thousand clients that are as slow as they may be.
            pending_bytes_max: 256 << 20,
            write_stall_ms: 10_000,
            send_buffer_bytes: 64 * 1024,
            interest_linger_ms: 30_000,
        }
    }
}

impl LimitsSection {
    /// What one session may do.
    pub(super) fn of_session(&self) -> SessionLimits {
        SessionLimits {
            message_bytes_max: self.message_bytes_max,
            filters_max: self.filters_max,
            commands_per_second: self.commands_per_second,
            commands_burst: self.commands_burst,
            publishes_per_second: self.publishes_per_second,
            publish_bytes_per_second: self.publish_bytes_per_second,
        }
    }

    /// What one client address may have.
    pub(crate) fn of_address(&self) -> Share {
        Share {
            connections_max: self.connections_per_address_max,
            per_second: self.handshakes_per_address_per_second,
        }
    }

    /// What one user may have.
    pub(crate) fn of_user(&self) -> Share {
        Share { connections_max: self.connections_per_user_max, per_second: 0 }
    }

    /// What one tenant may have.
    pub(crate) fn of_tenant(&self) -> Share {
        Share { connections_max: self.connections_per_tenant_max, per_second: 0 }
    }

    /// What lies outside its range.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let most = |max: u64| 1..=max;
        let up_to = |max: u64| 0..=max;
        let (outbox, pending) = (self.outbox_bytes_max as u64, self.pending_bytes_max as u64);
        let (per_user, per_tenant) =
            (self.connections_per_user_max, self.connections_per_tenant_max);
        let ranges = [
            ("connections_max", self.connections_max as u64, most(10_000_000)),
            (
                "connections_per_address_max",
                u64::from(self.connections_per_address_max),
                up_to(10_000_000),
            ),
            ("connections_per_user_max", u64::from(per_user), up_to(10_000_000)),
            ("connections_per_tenant_max", u64::from(per_tenant), up_to(10_000_000)),
            ("handshakes_max", self.handshakes_max as u64, most(1_000_000)),
            ("handshakes_per_second", u64::from(self.handshakes_per_second), most(1_000_000)),
            (
                "handshakes_per_address_per_second",
                u64::from(self.handshakes_per_address_per_second),
                up_to(100_000),
            ),
            ("handshake_ms", self.handshake_ms, 100..=120_000),
            ("header_read_ms", self.header_read_ms, 100..=120_000),
            ("header_bytes_max", self.header_bytes_max as u64, HEADER_BYTES_MIN as u64..=1 << 20),
            ("message_bytes_max", self.message_bytes_max as u64, 1024..=16 << 20),
            ("fragments_max", u64::from(self.fragments_max), most(65_536)),
            ("filters_max", self.filters_max as u64, most(100_000)),
            ("commands_per_second", u64::from(self.commands_per_second), most(1_000_000)),
            ("commands_burst", u64::from(self.commands_burst), most(1_000_000)),
            ("publishes_per_second", u64::from(self.publishes_per_second), up_to(1_000_000)),
            (
                "publish_bytes_per_second",
                u64::from(self.publish_bytes_per_second),
                1_024..=1_000_000_000,
            ),
            ("resumes_per_second", u64::from(self.resumes_per_second), most(1_000_000)),
            ("outbox_bytes_max", outbox, 16 << 10..=1 << 30),
            // Less than a few full outboxes would close clients that are no slower than allowed.
            ("pending_bytes_max", pending, (4 * outbox)..=1 << 40),
            ("write_stall_ms", self.write_stall_ms, 100..=600_000),
            (
                "send_buffer_bytes",
                self.send_buffer_bytes as u64,
                SEND_BUFFER_BYTES_MIN as u64..=16 << 20,
            ),
            ("interest_linger_ms", self.interest_linger_ms, 0..=3_600_000),
        ];
        let outside = ranges.into_iter().filter(|(_, value, range)| !range.contains(value));
        outside
            .map(|(key, value, range)| {
                let (least, most) = (range.start(), range.end());
                format!("limits.{key}: {value} is outside {least} to {most}")
            })
            .collect()
    }
}
