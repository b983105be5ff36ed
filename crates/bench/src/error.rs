//! What can go wrong in a benchmark run, worded so that the reader knows what to do next.
//!
//! A lost message is not an error here: it is a figure in the report.

use std::io;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A URL that this crate cannot read.
    #[error("cannot read the address {url:?}: {why}")]
    Url {
        /// The text as given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Options that contradict a limit.
    #[error("the options cannot be run: {0}")]
    Options(String),
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}; is the server running there?")]
    Connect {
        /// Host and port.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The server answered, but not with what the dialect expects.
    #[error("{address} refused the handshake: {why}")]
    Refused {
        /// Host and port.
        address: String,
        /// The server's words, or what was missing.
        why: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; see the server's log")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// The deadline, in seconds.
        seconds: u64,
    },
    /// The publishing side failed.
    #[error("publishing stopped: {0}; check the NATS URL and the server's log")]
    Publish(String),
    /// A process could not be sampled.
    #[error("cannot read /proc/{pid}: {why}; is that process still running?")]
    Process {
        /// The process that was to be sampled.
        pid: u32,
        /// What was missing.
        why: String,
    },
    /// A thread or a runtime of the load generator itself failed.
    #[error("the load generator could not start or stopped early: {0}")]
    Generator(String),
}
