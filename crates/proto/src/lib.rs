//! What a Meridian client and an edge say to each other: subjects and filters, commands and
//! items, codes, limits, and WebSocket frames that are encoded once for many sockets.
//!
//! Not for: sockets, NATS, time or policy. Everything here is a pure function or a plain value,
//! so it is fuzzed and property-tested without a runtime. Called by `meridian-core`,
//! `meridian-edge`, `meridian-client` and the command line.
//!
//! The prose specification stands in `proto/PROTOCOL.md` at the top of the tree, and the golden
//! vectors beside it are read by the tests of this crate.

pub mod codes;
pub mod command;
mod decode_error;
pub mod frame;
pub mod guard;
pub mod item;
pub mod json;
pub mod limits;
pub mod outgoing;
pub mod payload;
pub mod pb;
pub mod subject;
pub mod trace;
pub mod wire;

pub use codes::{CloseCode, ErrorCode};
pub use decode_error::DecodeError;
pub use outgoing::{Naming, Origin, Outgoing};
pub use payload::{Content, Payload};
pub use subject::{Filter, Subject, SubjectError};
pub use wire::Wire;
