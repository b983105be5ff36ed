//! The client's own limits and times, each with its reason. Those of the protocol stand in
//! `meridian_proto::limits`.

use std::time::Duration;

/// From the first packet to the connect reply. An edge across an ocean answers in under a second.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From a command to its reply. A subscribe waits for the edge's proof that NATS has the interest.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Added to a request's own timeout, so that the edge's answer "timed out" arrives before the
/// client gives up: the edge knows why, the client does not.
pub(crate) const REQUEST_SLACK: Duration = Duration::from_secs(2);

/// One write to the socket. A peer that takes nothing for so long is gone.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// From our close frame to the peer's. Longer only delays the caller: the socket closes anyway.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Added to two heartbeats before a silent edge counts as lost: one heartbeat may be late.
pub(crate) const SILENCE_SLACK: Duration = Duration::from_secs(5);

/// Commands that wait for the socket. More makes `publish` wait.
pub(crate) const COMMANDS_QUEUED_MAX: usize = 256;

/// Answers of the reader that wait for the writer: pongs, and unsubscribes of dropped streams.
pub(crate) const CONTROLS_QUEUED_MAX: usize = 64;

/// Events that wait in one subscription before the reader stops reading.
pub(crate) const EVENTS_QUEUED_MAX: usize = 1024;

/// Notices that wait for a slow listener; older ones are then counted and dropped.
pub(crate) const NOTICES_QUEUED_MAX: usize = 64;

/// Bytes of commands put into one frame, if there is more than one: the smallest limit that an
/// edge can be configured to.
pub(crate) const FRAME_GATHER_BYTES_MAX: usize = 1024;

/// Largest message taken from an edge: NATS carries 1 MiB by default and 8 MiB in practice, and
/// escaped text or base64 is larger than what it stands for.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of an HTTP refusal that are read and shown.
pub(crate) const REFUSAL_BYTES_MAX: usize = 512;
