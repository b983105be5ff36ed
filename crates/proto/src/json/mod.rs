//! The JSON spelling of the protocol, `meridian.v1.json`: one object a line, several lines in a
//! frame. `command` and `item` hold the meaning; this codec holds only the spelling.

mod decode;
mod encode;
mod message;

pub use crate::decode_error::DecodeError;
pub use crate::outgoing::{Origin, Outgoing};
pub use decode::{commands, item, items};
pub(crate) use encode::close;
pub use encode::{command, item as write_item};
pub(crate) use message::decimal;
pub use message::{message, request_reply};

/// The WebSocket subprotocol of this codec.
pub const SUBPROTOCOL: &str = "meridian.v1.json";
