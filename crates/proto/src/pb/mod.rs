//! The binary spelling of the protocol, `meridian.v1.pb`: the messages of
//! `proto/meridian/v1/meridian.proto` in the protobuf wire format. `command` and `item` hold the
//! meaning; this codec holds only the spelling.
//!
//! Written by hand (`docs/adr/0013-wire-kinds.md`): a frame is read field by field, so that one bad
//! command is refused and the next one read, and nothing is allocated that a limit forbids. The
//! tests hold it against the `.proto` file by reflection.

mod commands;
mod fields;
mod items;
mod message;
mod payload;
mod writer;

pub use commands::{command, commands};
pub use items::{items, write_item};
pub use message::{message, request_reply};

/// The WebSocket subprotocol of this codec.
pub const SUBPROTOCOL: &str = "meridian.v1.pb";
