//! A client's messages come back as they are: for the Autobahn test suite, which judges how frames
//! are read and written and knows nothing of commands.
//!
//! Built only with the feature `echo`, which nothing but `make autobahn` asks for (ADR 0027). What
//! is tested is the way of every message: guard, library, assembly, outbox.

use super::Shard;
use super::connection::Connection;
use fastwebsockets::OpCode;
use meridian_proto::frame;
use std::io::IoSlice;
use std::rc::Rc;

/// Sends a whole message back. False for what is no message, or no good one.
pub(super) fn echo(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    opcode: OpCode,
    payload: &[u8],
) -> bool {
    let mut bytes = Vec::new();
    let write = |out: &mut Vec<u8>| out.extend_from_slice(payload);
    match opcode {
        OpCode::Text if std::str::from_utf8(payload).is_ok() => frame::text(&mut bytes, write),
        OpCode::Binary => frame::binary(&mut bytes, write),
        _ => return false,
    }
    connection.write(shard, &[IoSlice::new(&bytes)]);
    true
}
