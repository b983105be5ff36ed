//! One client's incoming side: waits without a buffer, reads whole messages, hands them on.
//!
//! fastwebsockets reads are not cancel-safe, so they run here, in one task, to their end; a
//! deadline that passes ends the connection and nothing less. Fragments are joined here and not
//! by the library, which drops a character that a message's last fragment leaves unfinished.

use super::connection::Connection;
use super::guarded::{Guarded, GuardedStream};
use super::{Shard, commands};
use bytes::Bytes;
use fastwebsockets::{
    CloseCode as RfcCloseCode, OpCode, Role, WebSocketError, after_handshake_split,
};
use meridian_core::Limit;
use meridian_proto::guard::Violation;
use meridian_proto::limits::MESSAGE_ASSEMBLY_MS_MAX;
use meridian_proto::{CloseCode, Wire, json, pb};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::time::{Instant, timeout_at};

/// Why a connection's incoming side is over.
enum End {
    /// The socket ended or failed.
    Gone,
    /// The edge closes it, with this code and reason.
    Close(CloseCode, &'static str),
}

/// Serves a connection until it ends, whichever side ends it. `ahead` is what the client sent
/// behind its upgrade request.
pub(crate) async fn run(shard: Rc<Shard>, connection: Rc<Connection>, ahead: Bytes) {
    // Leaves the table and the interest on every path, a panic included.
    let registered = Registered::new(&shard, &connection);
    if let End::Close(code, reason) = run_inner(&shard, &connection, ahead).await {
        connection.close_with(&shard, code, reason);
        discard(&shard, &connection).await;
    } else if !connection.is_open() {
        // The edge has closed: what the client still sends is of no use.
        discard(&shard, &connection).await;
    }
    drop(registered);
}

/// Ends a connection, and takes it out of the table and the interest, when it is dropped.
pub(super) struct Registered {
    pub(super) shard: Rc<Shard>,
    pub(super) connection: Rc<Connection>,
}

impl Registered {
    pub(super) fn new(shard: &Rc<Shard>, connection: &Rc<Connection>) -> Self {
        Self { shard: Rc::clone(shard), connection: Rc::clone(connection) }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connection.end();
        self.shard.remove(&self.connection);
    }
}

async fn run_inner(shard: &Rc<Shard>, connection: &Rc<Connection>, mut ahead: Bytes) -> End {
    while connection.is_open() {
        if ahead.is_empty() {
            match wait_for_bytes(shard, connection).await {
                Ok(bytes) if bytes.is_empty() => return End::Gone,
                Ok(bytes) => ahead = bytes,
                Err(_) => return End::Gone,
            }
        }
        // Boxed, so that an idle connection's task does not carry the library's state.
        let served = Box::pin(serve_burst(shard, connection, std::mem::take(&mut ahead)));
        if let Err(end) = served.await {
            return end;
        }
    }
    End::Gone
}

/// Waits for a client to send. Owns no buffer meanwhile: bytes come by the shard's scratch.
async fn wait_for_bytes(shard: &Shard, connection: &Connection) -> io::Result<Bytes> {
    poll_fn(|context| {
        let mut scratch = shard.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(connection.sink.poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
    .await
}

/// Reads messages until the client stands between two of them and nothing is left over.
async fn serve_burst(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    ahead: Bytes,
) -> Result<(), End> {
    let guarded = Guarded::new(connection, shard.limits.guard, ahead);
    let (mut frames, _) =
        after_handshake_split(GuardedStream(&guarded), tokio::io::sink(), Role::Server);
    frames.set_auto_close(false);
    frames.set_auto_pong(false);
    // The guard holds the limit; the library's own is off by one.
    frames.set_max_message_size(shard.limits.guard.message_bytes_max as usize + 1);
    let patience = Duration::from_millis(MESSAGE_ASSEMBLY_MS_MAX);
    let mut deadline = Instant::now() + patience;
    let mut fragments: Option<Fragments> = None;
    let mut returned: u32 = 0;
    loop {
        let mut no_sends = |_| async { Ok::<(), WebSocketError>(()) };
        let read = timeout_at(deadline, frames.read_frame(&mut no_sends)).await;
        connection.heard_at_s.set(shard.now_s());
        if let Err(failure) = shard.spend_controls(connection, guarded.take_controls()) {
            shard.counters.add_limit(Limit::ControlFrames);
            return Err(End::Close(CloseCode::PolicyViolation, failure));
        }
        let frame = match read {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return Err(end_of(shard, &error, &guarded)),
            Err(_) => {
                shard.counters.add_limit(Limit::MessageTime);
                return Err(End::Close(CloseCode::PolicyViolation, "message took too long"));
            }
        };
        // The guard has judged the order, number and size of the fragments.
        match (frame.opcode, frame.fin) {
            (OpCode::Text | OpCode::Binary, false) => {
                fragments = Some(Fragments { opcode: frame.opcode, bytes: frame.payload.to_vec() });
            }
            (OpCode::Continuation, is_last) => {
                if let Some(message) = &mut fragments {
                    message.bytes.extend_from_slice(&frame.payload);
                }
                if let Some(message) = fragments.take_if(|_| is_last) {
                    returned = returned.wrapping_add(1);
                    handle(shard, connection, message.opcode, &message.bytes)?;
                    connection.decided().await;
                }
            }
            (opcode, _) => {
                returned = returned.wrapping_add(1);
                handle(shard, connection, opcode, &frame.payload)?;
                // Nothing more is read of a client while somebody else decides who it is.
                connection.decided().await;
            }
        }
        if !connection.is_open() || guarded.is_quiet(returned) {
            return Ok(());
        }
        // A control frame between fragments gives their message no more time.
        if fragments.is_none() {
            deadline = Instant::now() + patience;
        }
    }
}

/// A message of which the last fragment is still to come.
struct Fragments {
    opcode: OpCode,
    bytes: Vec<u8>,
}

fn handle(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    opcode: OpCode,
    payload: &[u8],
) -> Result<(), End> {
    shard.meters.client_bytes_in(payload.len());
    #[cfg(feature = "echo")]
    if super::echo::echo(shard, connection, opcode, payload) {
        return Ok(());
    }
    match opcode {
        OpCode::Text if connection.wire == Wire::PbBinary => {
            Err(End::Close(CloseCode::Unsupported, "text frame on a binary protocol"))
        }
        OpCode::Text => {
            let text = std::str::from_utf8(payload);
            let text = text.map_err(|_| End::Close(CloseCode::InvalidUtf8, "invalid UTF-8"))?;
            commands::perform(shard, connection, json::commands(text));
            Ok(())
        }
        OpCode::Binary if connection.wire == Wire::PbBinary => {
            commands::perform(shard, connection, pb::commands(payload));
            Ok(())
        }
        OpCode::Ping => {
            let mut pong = Vec::with_capacity(2 + payload.len());
            meridian_proto::frame::pong(&mut pong, payload);
            connection.write(shard, &[IoSlice::new(&pong)]);
            Ok(())
        }
        OpCode::Pong => Ok(()),
        OpCode::Close => Err(answer_to_close(payload)),
        OpCode::Binary => Err(End::Close(CloseCode::Unsupported, CloseCode::Unsupported.reason())),
        OpCode::Continuation => {
            Err(End::Close(CloseCode::ProtocolError, "unexpected continuation"))
        }
    }
}

/// RFC 6455 section 7.4: a well-formed close is answered, a malformed one is a violation.
fn answer_to_close(payload: &[u8]) -> End {
    match payload {
        [] => End::Close(CloseCode::Normal, ""),
        [_] => End::Close(CloseCode::ProtocolError, "malformed close frame"),
        [high, low, reason @ ..] => {
            let code = RfcCloseCode::from(u16::from_be_bytes([*high, *low]));
            if !code.is_allowed() {
                return End::Close(CloseCode::ProtocolError, "close code not allowed");
            }
            match std::str::from_utf8(reason) {
                Ok(_) => End::Close(CloseCode::Normal, CloseCode::Normal.reason()),
                Err(_) => End::Close(CloseCode::InvalidUtf8, "invalid UTF-8 in close reason"),
            }
        }
    }
}

fn end_of(shard: &Shard, error: &WebSocketError, guarded: &Guarded<'_>) -> End {
    if let Some(violation) = guarded.violation() {
        match violation {
            Violation::MessageTooBig => shard.counters.add_limit(Limit::MessageBytes),
            Violation::TooManyFragments => shard.counters.add_limit(Limit::Fragments),
            _ => {}
        }
        let code = match violation.close_code() {
            1008 => CloseCode::PolicyViolation,
            1009 => CloseCode::MessageTooBig,
            _ => CloseCode::ProtocolError,
        };
        return End::Close(code, violation.reason());
    }
    match error {
        WebSocketError::InvalidUTF8 => {
            End::Close(CloseCode::InvalidUtf8, CloseCode::InvalidUtf8.reason())
        }
        WebSocketError::UnexpectedEOF
        | WebSocketError::ConnectionClosed
        | WebSocketError::IoError(_) => End::Gone,
        _ => End::Close(CloseCode::ProtocolError, CloseCode::ProtocolError.reason()),
    }
}

/// Reads and forgets until the client closes too, so that the close frame is not lost to a reset.
/// `Connection::close` bounds the time.
async fn discard(shard: &Shard, connection: &Connection) {
    while let Ok(bytes) = wait_for_bytes(shard, connection).await {
        if bytes.is_empty() {
            return;
        }
    }
}
