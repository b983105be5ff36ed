//! The limits of the protocol, each with its reason. The edge's configuration may lower or raise
//! those that it names; the others are fixed, because both sides rely on them.

/// Longest subject or filter, in bytes. nats-server closes a connection whose control line passes
/// 4,096 bytes, and the edge's connection is shared by every client on it.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// Most tokens in a subject or filter. Bounds the depth of nats-server's subject tree.
pub const SUBJECT_TOKENS_MAX: usize = 16;

/// Largest client message in bytes, summed over its fragments. Default; configurable.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most fragments in one client message. Empty continuations cost a sender nothing.
pub const FRAGMENTS_MAX: u32 = 64;

/// Longest time in ms that one client message may take from its first byte to its last.
pub const MESSAGE_ASSEMBLY_MS_MAX: u64 = 10_000;

/// Most filters that one connection may hold. Default; configurable.
pub const FILTERS_MAX: usize = 128;

/// Most commands in one frame: more is a client bug, or an attempt to pass the command budget.
pub const COMMANDS_PER_FRAME_MAX: usize = 64;

/// Commands a second and connection that refill the budget. Default; configurable.
pub const COMMANDS_PER_SECOND: u32 = 50;

/// Commands that a connection may send at once. Default; configurable.
pub const COMMANDS_BURST: u32 = 100;

/// Bytes that a connection may publish a second, and four times as many at once. Default;
/// configurable.
pub const PUBLISH_BYTES_PER_SECOND: u32 = 256 * 1024;

/// Bytes that may wait for one slow client before its policy applies. Default; configurable.
pub const OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Most headers on one publish, request or delivered message.
pub const HEADERS_MAX: usize = 32;

/// Most bytes in all header names and values of one message together.
pub const HEADER_BYTES_MAX: usize = 4 * 1024;

/// Longest close reason in bytes: a control frame holds 125, two of them are the code
/// (RFC 6455 section 5.5).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Deepest JSON nesting that is embedded raw; deeper payloads travel as text, because common
/// parsers (serde_json among them) refuse more than 128 levels, and the envelope takes three.
pub const JSON_DEPTH_MAX: usize = 120;

/// Longest token, name, version, message id or trace context string in a command, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Longest `mid` (message id) in bytes.
pub const MESSAGE_ID_BYTES_MAX: usize = 128;

/// Most messages in one page of history: a reader that wants more pages on, and others get a turn
/// between its pages.
pub const HISTORY_LIMIT_MAX: u64 = 500;

/// Messages in a page of history that names no limit.
pub const HISTORY_LIMIT_DEFAULT: u64 = 100;

/// Most bytes in one page of history, as JSON, but for a single larger message: half of what may
/// wait for a slow client, so that a page never closes one. Less where the outbox is smaller.
pub const HISTORY_PAGE_BYTES_MAX: usize = OUTBOX_BYTES_MAX / 2;

/// Shortest and longest heartbeat interval in s that a client may ask for.
pub const PING_S_RANGE: (u32, u32) = (5, 300);

/// Heartbeat interval in s when the client does not ask: under the 60 s idle timeout of common
/// load balancers, with room for one lost packet.
pub const PING_S_DEFAULT: u32 = 25;

/// Shortest and longest timeout in ms of a client's request.
pub const REQUEST_TIMEOUT_MS_RANGE: (u64, u64) = (1, 60_000);

/// Timeout in ms of a request that names none.
pub const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 5_000;
