//! How a connection spells the protocol. The same subprotocol, frames and commands for its life.

use fastwebsockets::{Frame, OpCode};
use meridian_proto::command::Command;
use meridian_proto::{json, pb};

/// How commands and items are spelled on a connection. The edge serves both, and what subscribers
/// receive does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Lines of JSON, readable along the way. Bytes that are neither JSON nor text travel as
    /// base64, a third larger, and line breaks between the tokens of JSON become spaces.
    #[default]
    Json,
    /// Protobuf: smaller, and every payload byte for byte.
    Binary,
}

impl Codec {
    /// The WebSocket subprotocol to ask for.
    pub(crate) fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => json::SUBPROTOCOL,
            Self::Binary => pb::SUBPROTOCOL,
        }
    }

    /// One command as a part of a frame.
    pub(crate) fn part(self, command: &Command) -> Vec<u8> {
        let mut part = Vec::new();
        match self {
            Self::Json => json::command(&mut part, command),
            Self::Binary => pb::command(&mut part, command),
        }
        part
    }

    /// What stands between two parts of a frame.
    pub(crate) fn separator(self) -> &'static [u8] {
        match self {
            Self::Json => b"\n",
            Self::Binary => b"",
        }
    }

    /// A frame of whole parts.
    pub(crate) fn frame(self, parts: Vec<u8>) -> Frame<'static> {
        match self {
            Self::Json => Frame::text(parts.into()),
            Self::Binary => Frame::binary(parts.into()),
        }
    }

    /// What begins a message of the edge.
    pub(crate) fn opcode(self) -> OpCode {
        match self {
            Self::Json => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}
