//! The limits that a shard enforces: its equal share of the edge's, and what holds for each client.

use crate::config::{ClientAddress, Config};
use meridian_core::address::{AddressBlock, client_key, forwarded_client, is_in_any};
use meridian_proto::guard::GuardLimits;
use std::net::IpAddr;

/// Owned by the shard, immutable.
pub(crate) struct ShardLimits {
    /// Among how many the edge's limits are shared.
    pub(crate) shards: usize,
    pub(crate) connections_max: usize,
    pub(crate) handshakes_max: usize,
    pub(crate) handshakes_per_second: u32,
    pub(crate) resumes_per_second: u32,
    pub(crate) handshake_ms: u64,
    pub(crate) header_read_ms: u64,
    pub(crate) header_bytes_max: usize,
    pub(crate) outbox_bytes_max: usize,
    pub(crate) pending_bytes_max: usize,
    pub(crate) write_stall_ms: u64,
    pub(crate) guard: GuardLimits,
    pub(crate) addresses: Addresses,
}

/// How many times its rate a shard takes at once of what the whole edge may do a second.
pub(crate) const BURST_S: u32 = 2;

impl ShardLimits {
    pub(crate) fn of(config: &Config) -> Self {
        let (limits, shards) = (&config.limits, config.shard_count());
        let rate = |per_second: u32| per_second.div_ceil(shards as u32);
        Self {
            shards,
            connections_max: limits.connections_max.div_ceil(shards),
            handshakes_max: limits.handshakes_max.div_ceil(shards),
            handshakes_per_second: rate(limits.handshakes_per_second),
            resumes_per_second: rate(limits.resumes_per_second),
            handshake_ms: limits.handshake_ms,
            header_read_ms: limits.header_read_ms,
            header_bytes_max: limits.header_bytes_max,
            outbox_bytes_max: limits.outbox_bytes_max,
            pending_bytes_max: limits.pending_bytes_max.div_ceil(shards),
            write_stall_ms: limits.write_stall_ms,
            guard: GuardLimits {
                message_bytes_max: limits.message_bytes_max as u32,
                fragments_max: limits.fragments_max,
            },
            addresses: Addresses {
                place: config.listen.client_address,
                trusted: config.listen.trusted_blocks(),
            },
        }
    }
}

/// Where clients' addresses stand, and whose word is taken for them.
pub(crate) struct Addresses {
    place: ClientAddress,
    trusted: Vec<AddressBlock>,
}

/// What a socket's own address says of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is the client's, in the form that counts.
    Client(IpAddr),
    /// It is a trusted proxy's: a PROXY header comes first.
    ProxyHeader,
    /// It is a trusted proxy's: each request says whose it is.
    Forwarded,
}

impl Addresses {
    /// Where to look for the client of a socket.
    pub(crate) fn source(&self, peer: IpAddr) -> Source {
        match self.place {
            ClientAddress::ProxyProtocol if is_in_any(&self.trusted, peer) => Source::ProxyHeader,
            ClientAddress::XForwardedFor if is_in_any(&self.trusted, peer) => Source::Forwarded,
            _ => Source::Client(client_key(peer)),
        }
    }

    /// Whose a request of a trusted proxy is, by the values of `X-Forwarded-For`. None: the proxy's
    /// own, which has no limit.
    pub(crate) fn forwarded<'a>(
        &self,
        values: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Option<IpAddr> {
        forwarded_client(values, &self.trusted).map(client_key)
    }
}
