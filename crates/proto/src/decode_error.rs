//! Why what a peer sent cannot be read, the same for every codec: either the connection must close,
//! or one command is refused and the next is read.

use crate::codes::ErrorCode;
use crate::item::Failure;
use crate::limits::COMMANDS_PER_FRAME_MAX;

/// Longest text of a refusal in bytes.
const DETAIL_BYTES_MAX: usize = 200;

/// Why a line or a part of a frame is not a command, or not an item.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not one JSON object: nobody can tell what it answers, so the connection must close.
    #[error("not a JSON object: {0}")]
    NotAnObject(String),
    /// Not a protobuf frame: nobody can tell where the next command begins, so the connection must
    /// close.
    #[error("not a protobuf frame: {0}")]
    NotAFrame(String),
    /// More commands than one frame may hold.
    #[error("more than {COMMANDS_PER_FRAME_MAX} commands in a frame: split it")]
    TooManyCommands,
    /// Set apart from its neighbours, but not a well-formed command: the sender is told, and the
    /// connection goes on.
    #[error("{}", .1.msg)]
    Refused(Option<u32>, Failure),
}

/// Refuses one command, or one item.
pub(crate) fn refuse<T>(
    id: Option<u32>,
    code: ErrorCode,
    detail: String,
) -> Result<T, DecodeError> {
    Err(DecodeError::Refused(id, Failure::new(code, shorten(detail))))
}

/// A decoder quotes the value that it refuses, which may be as long as the message.
pub(crate) fn shorten(mut detail: String) -> String {
    if detail.len() > DETAIL_BYTES_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        detail.push('…');
    }
    detail
}
