//! Every limit and time of the crate, each with its reason. Not configuration: what an operator may
//! change is a field of [`ConnectOptions`](crate::ConnectOptions), whose start value stands here.

/// NATS clients' well-known port, used when a server address names none.
pub const PORT: u16 = 4222;

/// From the first SYN to the PONG that ends the handshake. A server in the same region answers in
/// milliseconds; 3 s leaves room for one lost SYN (retransmitted after 1 s) and a slow start.
pub const CONNECT_TIMEOUT_MS: u64 = 3_000;

/// nats-server closes the connection on a longer control line (its `max_control_line`). The whole
/// line with verb and CRLF is held to it here, which is a little stricter.
pub const CONTROL_LINE_BYTES_MAX: usize = 4_096;

/// The longest line accepted from a server. An INFO line lists the addresses of the whole cluster,
/// so it is allowed more than the 4 KiB of what clients send.
pub const CONTROL_LINE_IN_BYTES_MAX: usize = 64 * 1024;

/// What a server may add to a message beyond its own `max_payload`: headers of its own (republish,
/// trace). nats-server checks `max_payload` when a message is published, not when it is delivered.
pub const ADDED_HEADERS_BYTES_MAX: usize = 16 * 1024;

/// The `max_payload` of a server that names none in its INFO line (nats-server's own default).
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// No message is larger, whatever a server claims as its `max_payload`: nats-server itself refuses
/// a `max_payload` over its `max_pending` of 64 MiB.
pub const MESSAGE_BYTES_CAP: usize = 64 * 1024 * 1024;

/// The read buffer of an idle data connection. One read takes up to this many bytes: some 300
/// messages of 200 bytes, which is enough for the fan-out to gather writes.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// A read with less room than this is not worth its system call: unread bytes are moved to the
/// front of the buffer first.
pub const READ_SPACE_BYTES_MIN: usize = 4 * 1024;

/// Outgoing bytes that may wait for a server that does not read. Room for subscribing again to
/// 50,000 filters of the greatest length (255 bytes) after a reconnect.
pub const OUTGOING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An outgoing buffer that has grown beyond this is given back once it is empty.
pub const OUTGOING_BYTES_KEPT: usize = 256 * 1024;

/// The widest delay before the first attempt after a loss. Spreads a server's clients over a
/// quarter of a second without a gap that a reader would notice.
pub const RECONNECT_FIRST_MS_MAX: u64 = 250;

/// The widest delay between attempts, however many have failed. A returning server is found within
/// this time.
pub const RECONNECT_MS_MAX: u64 = 4_000;

/// A connection that has lived this long was a good one, and the next loss starts from the shortest
/// delay. A shorter life counts as a failed attempt: a subscription that the server answers by
/// closing would otherwise be repeated without end (measured with async-nats: 601 reconnects in 1.7
/// s).
pub const STABLE_AFTER_MS: u64 = 10_000;

/// The control connection's ping interval. A silent peer is noticed after three (async-nats allows
/// two unanswered pings); its own default of 60 s would take minutes.
pub const CONTROL_PING_INTERVAL_MS: u64 = 5_000;

/// Commands that wait for the control connection's task.
pub const CONTROL_COMMANDS_MAX: usize = 256;

/// Messages that wait in one control subscription; what comes beyond is dropped, with a warning.
pub const CONTROL_MESSAGES_MAX: usize = 1_024;

/// How long draining the control connection may take. A process that ends does not wait for a
/// server that does not answer.
pub const CONTROL_DRAIN_TIMEOUT_MS: u64 = 2_000;

/// How long a stream may take to acknowledge what the control connection publishes: a way to its
/// home and back.
pub const CONTROL_STORE_TIMEOUT_MS: u64 = 5_000;
