//! The one table of error codes and close codes: number, default text, may the client retry.
//!
//! Ranges and the numbers 100 to 112 agree with the Centrifuge protocol, so that a later
//! compatibility listener maps them by identity (`proto/PROTOCOL.md`, Codes).

use serde::{Deserialize, Serialize};

/// Why a command failed. The number travels as `error.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
#[repr(u16)]
pub enum ErrorCode {
    /// The edge failed; nothing is known about the command's effect.
    Internal = 100,
    /// The connection has not identified itself.
    Unauthorized = 101,
    /// No namespace declares this subject or filter.
    UnknownSubjectSpace = 102,
    /// The namespace or the token does not allow it.
    Forbidden = 103,
    /// No such command.
    UnknownCommand = 104,
    /// The filter is already subscribed on this connection.
    AlreadySubscribed = 105,
    /// A limit of the connection is reached.
    Limit = 106,
    /// The command is malformed.
    BadRequest = 107,
    /// The command exists, but not here or not for this subject.
    NotAvailable = 108,
    /// The token expired: refresh it, then retry.
    TokenExpired = 109,
    /// The subscription expired.
    Expired = 110,
    /// The command budget is spent; `after_ms` says how long to wait.
    TooManyRequests = 111,
    /// The position cannot be recovered.
    UnrecoverablePosition = 112,
    /// A responder exists but did not answer in time.
    UpstreamTimeout = 200,
    /// Nobody serves this subject in any region.
    NoResponders = 201,
    /// The stream behind a durable subject is not available.
    StreamUnavailable = 202,
    /// The publish was sent, and its acknowledgement was lost.
    AckUnknown = 203,
    /// The expected sequence does not match.
    WrongSequence = 204,
    /// The edge has no connection to its region's NATS servers.
    RegionUnreachable = 205,
    /// The payload is larger than the NATS servers accept.
    PayloadTooLarge = 206,
    /// The subject or filter is not well formed.
    InvalidSubject = 207,
}

impl ErrorCode {
    /// Every code, for tables and tests.
    pub const ALL: [Self; 21] = [
        Self::Internal,
        Self::Unauthorized,
        Self::UnknownSubjectSpace,
        Self::Forbidden,
        Self::UnknownCommand,
        Self::AlreadySubscribed,
        Self::Limit,
        Self::BadRequest,
        Self::NotAvailable,
        Self::TokenExpired,
        Self::Expired,
        Self::TooManyRequests,
        Self::UnrecoverablePosition,
        Self::UpstreamTimeout,
        Self::NoResponders,
        Self::StreamUnavailable,
        Self::AckUnknown,
        Self::WrongSequence,
        Self::RegionUnreachable,
        Self::PayloadTooLarge,
        Self::InvalidSubject,
    ];

    /// Whether the same command may succeed when it is sent again.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Internal
                | Self::TokenExpired
                | Self::TooManyRequests
                | Self::UpstreamTimeout
                | Self::NoResponders
                | Self::StreamUnavailable
                | Self::RegionUnreachable
        )
    }

    /// A closed-set name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Unauthorized => "unauthorized",
            Self::UnknownSubjectSpace => "unknown_subject_space",
            Self::Forbidden => "forbidden",
            Self::UnknownCommand => "unknown_command",
            Self::AlreadySubscribed => "already_subscribed",
            Self::Limit => "limit",
            Self::BadRequest => "bad_request",
            Self::NotAvailable => "not_available",
            Self::TokenExpired => "token_expired",
            Self::Expired => "expired",
            Self::TooManyRequests => "too_many_requests",
            Self::UnrecoverablePosition => "unrecoverable_position",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::NoResponders => "no_responders",
            Self::StreamUnavailable => "stream_unavailable",
            Self::AckUnknown => "ack_unknown",
            Self::WrongSequence => "wrong_sequence",
            Self::RegionUnreachable => "region_unreachable",
            Self::PayloadTooLarge => "payload_too_large",
            Self::InvalidSubject => "invalid_subject",
        }
    }
}

impl From<ErrorCode> for u16 {
    fn from(code: ErrorCode) -> Self {
        code as Self
    }
}

impl TryFrom<u16> for ErrorCode {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|code| *code as u16 == number)
            .ok_or_else(|| format!("unknown error code {number}"))
    }
}

/// Why the edge closed a connection, as the WebSocket close code (RFC 6455 section 7.4).
///
/// A client that meets a code it does not know goes by the range: 3000 to 3499 and 4000 to 4499
/// reconnect, 3500 to 3999 and 4500 to 4999 stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client asked for it.
    Normal = 1000,
    /// A frame broke RFC 6455.
    ProtocolError = 1002,
    /// A binary frame on a text protocol.
    Unsupported = 1003,
    /// A text frame that is not UTF-8.
    InvalidUtf8 = 1007,
    /// A limit on fragments or control frames was passed.
    PolicyViolation = 1008,
    /// A message larger than the limit.
    MessageTooBig = 1009,
    /// The edge stops now.
    Shutdown = 3000,
    /// The edge drained this connection; the last `goaway` says where to go.
    Drained = 3001,
    /// The token expired.
    Expired = 3002,
    /// The client reads too slowly for its outbox.
    Slow = 3003,
    /// No `connect` in time, or nothing heard for two heartbeats.
    Stale = 3004,
    /// The edge failed.
    Internal = 3006,
    /// The edge has more connections than it may hold.
    Overloaded = 3007,
    /// The token is missing or not taken; the reason says why.
    InvalidToken = 3500,
    /// A command that cannot be attributed: not a JSON object, or too many in a frame.
    BadProtocol = 3501,
    /// The subprotocol or version is not served here.
    Version = 3505,
    /// The token, its session or its user was revoked.
    Revoked = 3506,
    /// The page's origin is not one of those that may.
    Origin = 3507,
}

impl CloseCode {
    /// Every code that an edge sends, for tables and tests.
    pub const ALL: [Self; 18] = [
        Self::Normal,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidUtf8,
        Self::PolicyViolation,
        Self::MessageTooBig,
        Self::Shutdown,
        Self::Drained,
        Self::Expired,
        Self::Slow,
        Self::Stale,
        Self::Internal,
        Self::Overloaded,
        Self::InvalidToken,
        Self::BadProtocol,
        Self::Version,
        Self::Revoked,
        Self::Origin,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The reason text sent with the code, at most 123 bytes.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::ProtocolError => "websocket protocol error",
            Self::Unsupported => "binary frame on a text protocol",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::PolicyViolation => "too many fragments or control frames",
            Self::MessageTooBig => "message too big",
            Self::Shutdown => "shutdown",
            Self::Drained => "drain",
            Self::Expired => "token expired",
            Self::Slow => "slow",
            Self::Stale => "stale",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::InvalidToken => "invalid token",
            Self::BadProtocol => "protocol error",
            Self::Version => "subprotocol not served",
            Self::Revoked => "revoked",
            Self::Origin => "origin not allowed",
        }
    }

    /// A closed-set name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ProtocolError => "protocol_error",
            Self::Unsupported => "unsupported",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::PolicyViolation => "policy_violation",
            Self::MessageTooBig => "message_too_big",
            Self::Shutdown => "shutdown",
            Self::Drained => "drained",
            Self::Expired => "expired",
            Self::Slow => "slow",
            Self::Stale => "stale",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::InvalidToken => "invalid_token",
            Self::BadProtocol => "bad_protocol",
            Self::Version => "version",
            Self::Revoked => "revoked",
            Self::Origin => "origin",
        }
    }
}

/// Whether a client should reconnect after a close with this number, known or not.
#[must_use]
pub const fn is_reconnectable(number: u16) -> bool {
    matches!(number, 1001 | 1006 | 1011..=1013 | 3000..=3499 | 4000..=4499)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_survive_the_number() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::try_from(u16::from(code)), Ok(code));
        }
        assert!(ErrorCode::try_from(999).is_err());
    }

    #[test]
    fn close_reasons_fit_a_control_frame_and_ranges_decide_reconnects() {
        for code in CloseCode::ALL {
            assert!(code.reason().len() <= crate::limits::CLOSE_REASON_BYTES_MAX);
        }
        assert!(is_reconnectable(CloseCode::Slow.number()));
        assert!(is_reconnectable(CloseCode::Drained.number()));
        assert!(!is_reconnectable(CloseCode::BadProtocol.number()));
        assert!(!is_reconnectable(CloseCode::ProtocolError.number()));
        assert!(!is_reconnectable(4500));
    }
}
