//! What a data connection is made with. Filled by the edge from its configuration.

use crate::defaults;
use crate::server_url::ServerUrl;

/// How to reach the servers of one region.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The region's servers, the preferred one first. Servers that a server advertises are never
    /// used: an edge stays in its region.
    pub servers: Vec<ServerUrl>,
    /// How the connection is called in the server's monitoring, for instance `edge-eu-1/shard-0`.
    pub name: String,
    /// From the first SYN to the end of the handshake, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Outgoing bytes that may wait for the server.
    pub outgoing_bytes_max: usize,
}

impl ConnectOptions {
    /// Options for these servers, with the limits of [`defaults`].
    pub fn new(servers: Vec<ServerUrl>, name: impl Into<String>) -> Self {
        Self {
            servers,
            name: name.into(),
            connect_timeout_ms: defaults::CONNECT_TIMEOUT_MS,
            outgoing_bytes_max: defaults::OUTGOING_BYTES_MAX,
        }
    }
}
