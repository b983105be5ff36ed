//! What can go wrong with a local mesh. Not for errors of a message or a client.
//!
//! Each text says what to do next, since a developer reads it in a terminal.

use std::io;
use std::path::PathBuf;

/// Why a local mesh cannot start or did not stay up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable nats-server anywhere; `seen` lists what was found but refused, with the reason.
    #[error(
        "no nats-server {wanted} or newer found{seen}; run `make tools`, or set NATS_SERVER=path"
    )]
    NatsServerMissing {
        /// The oldest version that works.
        wanted: String,
        /// Empty, or " (…)" with each refused candidate and why.
        seen: String,
    },

    /// Ports of the asked layout are taken by other processes.
    #[error("ports {} are taken; stop what uses them or choose --base-port", list(ports))]
    PortsTaken {
        /// All taken ports of the layout, ascending.
        ports: Vec<u16>,
    },

    /// Every block of test ports is claimed or has a taken port.
    #[error("no free block of {count} loopback ports; stop other test runs")]
    NoFreePorts {
        /// How many consecutive ports were wanted.
        count: u16,
    },

    /// The asked mesh is impossible; the text says which rule it breaks.
    #[error("impossible mesh: {reason}")]
    InvalidMesh {
        /// The broken rule.
        reason: String,
    },

    /// A region or link of that name is not part of this mesh.
    #[error("this mesh has no {what}; it has regions {known}")]
    Unknown {
        /// The region or link that was asked for.
        what: String,
        /// The regions that there are.
        known: String,
    },

    /// A process ended that should run.
    #[error("{name} ended ({status}); the end of {log}:\n{log_tail}", log = log_path.display())]
    Exited {
        /// Which process, for example `nats-server eu-1`.
        name: String,
        /// Exit code or signal.
        status: String,
        /// Where its output goes.
        log_path: PathBuf,
        /// The last lines of that file.
        log_tail: String,
    },

    /// A condition did not come true in time.
    #[error("{what} not reached within {deadline_ms} ms{detail}")]
    NotReady {
        /// The awaited condition.
        what: String,
        /// How long it was waited for.
        deadline_ms: u64,
        /// Empty, or what was seen instead.
        detail: String,
    },

    /// The operating system refused; `action` says what was tried.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, with path or address.
        action: String,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}
