//! Why an edge cannot start or go on.

use std::net::SocketAddr;
use std::path::PathBuf;

/// An edge's failure, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}: is another process there? choose another port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use TLS with {path}: {reason}: name a PEM file that this process may read")]
    Tls {
        /// The file that is wrong, or the certificate's if both do not fit together.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread, runtime or registration failed.
    #[error("cannot start: {0}: look at the limits on threads and descriptors")]
    Runtime(#[source] std::io::Error),
    /// The keys for tokens cannot be read, though they could when the configuration was checked.
    #[error("cannot read the keys for tokens: {}: look at the files", .0.join("; "))]
    Keys(Vec<String>),
    /// NATS cannot be used as configured.
    #[error(transparent)]
    Nats(#[from] meridian_nats::Error),
    /// A shard's thread ended by a panic.
    #[error("shard {0} panicked: its log line says where")]
    ShardPanicked(usize),
}
