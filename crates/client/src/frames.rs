//! Whole WebSocket messages from an edge: reads frames, joins fragments, bounds their sum.
//!
//! fastwebsockets joins fragments too, but without a bound. Its reads are not cancel-safe: only
//! the reader task calls this, and gives up the connection when a read takes too long.

use crate::codec::Codec;
use crate::defaults::MESSAGE_BYTES_MAX;
use crate::error::Closed;
use fastwebsockets::{Frame, OpCode, Role, WebSocketError, WebSocketRead, WebSocketWrite};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// What one read brings.
pub(crate) enum Received {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// To be answered with a pong that repeats the bytes.
    Ping(Vec<u8>),
    Pong,
    /// The edge closes.
    Close(Closed),
}

/// The reading half of a WebSocket. Owned by the reader task.
pub(crate) struct Frames<R> {
    read: WebSocketRead<R>,
    codec: Codec,
    /// Fragments of a message whose last one is still to come.
    fragments: Option<Vec<u8>>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// The two halves of a connection that has completed its handshake.
    pub(crate) fn split<W>(read: R, write: W, codec: Codec) -> (Self, WebSocketWrite<W>)
    where
        W: AsyncWrite + Unpin,
    {
        let (mut read, write) = fastwebsockets::after_handshake_split(read, write, Role::Client);
        read.set_auto_close(false);
        read.set_auto_pong(false);
        read.set_max_message_size(MESSAGE_BYTES_MAX + 1);
        (Self { read, codec, fragments: None }, write)
    }

    /// Waits for the next message. Not cancel-safe.
    ///
    /// # Errors
    /// Why no more can come: the stream ended, or what came is not WebSocket.
    pub(crate) async fn next(&mut self) -> Result<Received, Closed> {
        loop {
            // With automatic answers off, nothing is ever sent through this.
            let mut nothing = |_: Frame<'_>| std::future::ready(Ok::<(), io::Error>(()));
            let frame = self.read.read_frame(&mut nothing).await.map_err(|e| broken(&e))?;
            match frame.opcode {
                OpCode::Close => return Ok(Received::Close(closed(&frame.payload))),
                OpCode::Ping => return Ok(Received::Ping(frame.payload.to_vec())),
                OpCode::Pong => return Ok(Received::Pong),
                OpCode::Continuation => {}
                OpCode::Text | OpCode::Binary if frame.opcode == self.codec.opcode() => {}
                OpCode::Text => return Err(misuse("a text frame on a binary protocol")),
                OpCode::Binary => return Err(misuse("a binary frame on a text protocol")),
            }
            let (is_start, is_last) = (frame.opcode != OpCode::Continuation, frame.fin);
            let payload = Vec::from(frame.payload);
            let Some(message) = self.join(payload, is_start, is_last)? else { continue };
            return match self.codec {
                Codec::Binary => Ok(Received::Binary(message)),
                Codec::Json => {
                    let text = String::from_utf8(message);
                    text.map(Received::Text).map_err(|_| misuse("text that is not UTF-8"))
                }
            };
        }
    }

    fn join(
        &mut self,
        payload: Vec<u8>,
        is_start: bool,
        is_last: bool,
    ) -> Result<Option<Vec<u8>>, Closed> {
        let message = match (self.fragments.take(), is_start) {
            (None, true) => payload,
            (Some(mut message), false) => {
                if message.len() + payload.len() > MESSAGE_BYTES_MAX {
                    return Err(Closed {
                        code: 1009,
                        reason: "the edge's message is too big".into(),
                    });
                }
                message.extend_from_slice(&payload);
                message
            }
            (Some(_), true) => return Err(misuse("a second message inside a message")),
            (None, false) => return Err(misuse("a continuation of nothing")),
        };
        if !is_last {
            self.fragments = Some(message);
            return Ok(None);
        }
        Ok(Some(message))
    }
}

fn closed(payload: &[u8]) -> Closed {
    match payload {
        [high, low, reason @ ..] => Closed {
            code: u16::from_be_bytes([*high, *low]),
            reason: String::from_utf8_lossy(reason).into_owned(),
        },
        // 1005: a close frame without a code (RFC 6455 section 7.1.5).
        _ => Closed { code: 1005, reason: "no reason given".into() },
    }
}

fn misuse(what: &str) -> Closed {
    Closed { code: 1002, reason: format!("the edge sent {what}") }
}

fn broken(error: &WebSocketError) -> Closed {
    match error {
        WebSocketError::UnexpectedEOF => Closed::lost("the connection ended without a close frame"),
        WebSocketError::IoError(error) => Closed::lost(error.to_string()),
        WebSocketError::FrameTooLarge => {
            Closed { code: 1009, reason: "the edge's message is too big".into() }
        }
        other => misuse(&format!("what is not WebSocket: {other}")),
    }
}
