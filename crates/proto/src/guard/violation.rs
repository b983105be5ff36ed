//! What a client's frame stream can do wrong, and what the client is told about it.
//!
//! One pure table: close code, reason, metric label. It does not detect anything
//! ([`FrameGuard`](super::FrameGuard) does) and sends nothing (the edge does).

use crate::codes::CloseCode;
use std::error::Error;
use std::fmt;

/// Why a client's frame was refused. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A client frame without a mask (RFC 6455 5.1).
    Unmasked,
    /// RSV1, RSV2 or RSV3 set though no extension was negotiated (RFC 6455 5.2).
    ReservedBits,
    /// An opcode that RFC 6455 5.2 reserves (3 to 7, 11 to 15).
    UnknownOpcode,
    /// A control frame of more than 125 bytes (RFC 6455 5.5).
    ControlTooLong,
    /// A control frame without FIN (RFC 6455 5.5).
    ControlFragmented,
    /// A continuation while no message is open (RFC 6455 5.4).
    UnexpectedContinuation,
    /// A text or binary frame while a fragmented message is still open (RFC 6455 5.4).
    StartInsideMessage,
    /// More fragments in one message than [`GuardLimits`](super::GuardLimits) allows.
    TooManyFragments,
    /// More payload in one message, over all its fragments, than
    /// [`GuardLimits`](super::GuardLimits) allows.
    MessageTooBig,
    /// A length in more bytes than it needs (RFC 6455 5.2).
    LengthNotMinimal,
    /// A 64-bit length whose highest bit is set (RFC 6455 5.2).
    LengthOverflow,
}

impl Violation {
    /// Every violation, so that metrics can declare a closed label set.
    pub const ALL: [Self; 11] = [
        Self::Unmasked,
        Self::ReservedBits,
        Self::UnknownOpcode,
        Self::ControlTooLong,
        Self::ControlFragmented,
        Self::UnexpectedContinuation,
        Self::StartInsideMessage,
        Self::TooManyFragments,
        Self::MessageTooBig,
        Self::LengthNotMinimal,
        Self::LengthOverflow,
    ];

    /// The WebSocket close code to send: 1008 and 1009 for our own limits, 1002 for all else.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        let code = match self {
            Self::TooManyFragments => CloseCode::PolicyViolation,
            Self::MessageTooBig => CloseCode::MessageTooBig,
            Self::Unmasked
            | Self::ReservedBits
            | Self::UnknownOpcode
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::UnexpectedContinuation
            | Self::StartInsideMessage
            | Self::LengthNotMinimal
            | Self::LengthOverflow => CloseCode::ProtocolError,
        };
        code.number()
    }

    /// The close reason to send: ASCII, well under the 123 bytes that fit beside the code.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unmasked => "client frames must be masked",
            Self::ReservedBits => "reserved bits are set but no extension was negotiated",
            Self::UnknownOpcode => "unknown opcode",
            Self::ControlTooLong => "control frames carry at most 125 bytes",
            Self::ControlFragmented => "control frames must not be fragmented",
            Self::UnexpectedContinuation => "continuation without a message to continue",
            Self::StartInsideMessage => "new message before the last one was finished",
            Self::TooManyFragments => "too many fragments in one message",
            Self::MessageTooBig => "message too big",
            Self::LengthNotMinimal => "frame length is not in its shortest form",
            Self::LengthOverflow => "frame length has its highest bit set",
        }
    }

    /// The value of the metric label that counts this violation.
    #[must_use]
    pub const fn metric_label(self) -> &'static str {
        match self {
            Self::Unmasked => "unmasked",
            Self::ReservedBits => "reserved_bits",
            Self::UnknownOpcode => "unknown_opcode",
            Self::ControlTooLong => "control_too_long",
            Self::ControlFragmented => "control_fragmented",
            Self::UnexpectedContinuation => "unexpected_continuation",
            Self::StartInsideMessage => "start_inside_message",
            Self::TooManyFragments => "too_many_fragments",
            Self::MessageTooBig => "message_too_big",
            Self::LengthNotMinimal => "length_not_minimal",
            Self::LengthOverflow => "length_overflow",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for Violation {}
