//! What can go wrong between a client and an edge.

use meridian_proto::codes::is_reconnectable;
use meridian_proto::item::Failure;
use std::fmt;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not the address of an edge.
    #[error("{url:?} is not the address of an edge ({why}): write ws://host:port/v1/ws")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `wss://` was asked for.
    #[error("{0:?} needs TLS, which this client does not speak: use ws://, or a proxy that does")]
    Tls(String),
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}: check the address, and that the edge runs")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A TCP connection, but no WebSocket.
    #[error(
        "{address} does not serve this protocol: {why}: check that it is an edge's public port"
    )]
    Handshake {
        /// Host and port.
        address: String,
        /// What it answered instead.
        why: String,
    },
    /// No answer in time. Whether the command had an effect is not known.
    #[error("no {what} within {after_ms} ms: check the edge, or wait longer")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long, in ms.
        after_ms: u64,
    },
    /// The edge refused the command.
    #[error("{}", show(.0))]
    Refused(Failure),
    /// The connection ended.
    #[error("{0}")]
    Closed(Closed),
    /// The command is larger than the edge takes. Nothing was sent.
    #[error("the command has {bytes} bytes, and the edge takes {bytes_max}: send less at once")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The edge's limit.
        bytes_max: usize,
    },
    /// The value has no JSON form.
    #[error("the payload cannot be written as JSON: {0}")]
    Json(String),
    /// The edge's answer has no meaning to this version.
    #[error("the edge's answer is not understood: {0}: check that both are of one version")]
    Malformed(String),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The WebSocket close code. 1006: the connection ended without one.
    pub code: u16,
    /// The close reason, or what broke.
    pub reason: String,
}

impl Closed {
    /// The connection ended without a close frame.
    pub(crate) fn lost(reason: impl Into<String>) -> Self {
        Self { code: 1006, reason: reason.into() }
    }

    /// Whether connecting again makes sense, by the code's range.
    #[must_use]
    pub fn is_reconnectable(&self) -> bool {
        is_reconnectable(self.code)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = if self.is_reconnectable() { "connect again" } else { "do not retry as it is" };
        write!(formatter, "the connection closed with {} {:?}: {next}", self.code, self.reason)
    }
}

fn show(failure: &Failure) -> String {
    let mut text = format!("the edge refused ({}): {}", failure.code as u16, failure.msg);
    if let Some(hint) = &failure.hint {
        text.push_str(": ");
        text.push_str(hint);
    }
    if let Some(after_ms) = failure.after_ms {
        text.push_str(&format!(": retry after {after_ms} ms"));
    }
    text
}
