//! The writing half of a connection: commands in, masked frames out, several commands a frame.

use crate::codec::Codec;
use crate::connection::Link;
use crate::defaults::{FRAME_GATHER_BYTES_MAX, WRITE_TIMEOUT};
use crate::error::{Closed, Error};
use crate::pending::{Effect, Pending, Registration, Waiting};
use fastwebsockets::{Frame, WebSocketWrite};
use meridian_proto::CloseCode;
use meridian_proto::command::{Body, Command};
use meridian_proto::item::Reply;
use meridian_proto::limits::COMMANDS_PER_FRAME_MAX;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// What the reader asks of the writer.
pub(crate) enum Control {
    /// Answer a ping.
    Pong(Vec<u8>),
    /// Send a command of the reader's own.
    Command(Vec<u8>),
    /// Answer, or start, the close.
    Close(u16),
}

/// Owned by the connection's task.
pub(crate) struct Writer<W> {
    pub(crate) write: WebSocketWrite<W>,
    pub(crate) codec: Codec,
    /// Ends when the client is dropped.
    pub(crate) commands: mpsc::Receiver<Vec<u8>>,
    /// Ends when the reader does.
    pub(crate) controls: mpsc::Receiver<Control>,
    /// A command that did not fit into the frame before.
    pub(crate) held: Option<Vec<u8>>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes until the client is dropped, the reader ends or asks for a close, or the socket
    /// fails. Returns how the connection ended, for want of the reader's better knowledge.
    pub(crate) async fn run(&mut self) -> Closed {
        let bye =
            Closed { code: CloseCode::Normal.number(), reason: "closed by this client".into() };
        loop {
            let next = match self.held.take() {
                Some(command) => Next::Commands(self.gather(command)),
                None => self.next().await,
            };
            let written = match next {
                Next::Nothing => return Closed::lost("the reader ended"),
                Next::Commands(parts) | Next::Control(Control::Command(parts)) => {
                    self.write(self.codec.frame(parts)).await
                }
                Next::Control(Control::Pong(payload)) => {
                    self.write(Frame::pong(payload.into())).await
                }
                Next::Control(Control::Close(code)) => {
                    let end = self.write(Frame::close(code, b"")).await.err();
                    return end.unwrap_or(bye);
                }
            };
            if let Err(closed) = written {
                return closed;
            }
        }
    }

    /// What to write next. The writing itself stands outside of the race.
    async fn next(&mut self) -> Next {
        // Both receives are cancel-safe.
        tokio::select! { biased;
            // First: pongs keep the connection alive, whatever waits in the queue.
            control = self.controls.recv() => control.map_or(Next::Nothing, Next::Control),
            // Then what the client asks for. When it is dropped, the queue is empty by now.
            command = self.commands.recv() => match command {
                Some(command) => Next::Commands(self.gather(command)),
                None => Next::Control(Control::Close(CloseCode::Normal.number())),
            },
        }
    }

    /// Joins commands that wait already to one frame.
    fn gather(&mut self, mut parts: Vec<u8>) -> Vec<u8> {
        for _ in 1..COMMANDS_PER_FRAME_MAX {
            let Ok(command) = self.commands.try_recv() else { break };
            if parts.len() + 1 + command.len() > FRAME_GATHER_BYTES_MAX {
                self.held = Some(command);
                break;
            }
            parts.extend_from_slice(self.codec.separator());
            parts.extend_from_slice(&command);
        }
        parts
    }

    async fn write(&mut self, frame: Frame<'_>) -> Result<(), Closed> {
        match timeout(WRITE_TIMEOUT, self.write.write_frame(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Closed::lost(format!("cannot write: {error}"))),
            Err(_) => Err(Closed::lost("the edge takes no bytes")),
        }
    }
}

enum Next {
    /// The reader has ended.
    Nothing,
    Commands(Vec<u8>),
    Control(Control),
}

/// One command as a part of a frame, if it is not too large for the edge.
pub(crate) fn part_within(
    codec: Codec,
    command: &Command,
    bytes_max: usize,
) -> Result<Vec<u8>, Error> {
    let part = codec.part(command);
    let bytes = part.len();
    if bytes > bytes_max { Err(Error::TooLarge { bytes, bytes_max }) } else { Ok(part) }
}

/// A command that wants a reply.
pub(crate) struct Call {
    pub(crate) body: Body,
    pub(crate) effect: Effect,
    /// The edge's limit on a client message.
    pub(crate) bytes_max: usize,
}

/// Sends a command and waits for its reply.
pub(crate) async fn call(link: &Link, call: Call, within: Duration) -> Result<Reply, Error> {
    exchange(&link.commands, &link.pending, call, within).await
}

/// As [`call`], for those who hold less than a link.
pub(crate) async fn exchange(
    commands: &mpsc::Sender<Vec<u8>>,
    pending: &Pending,
    call: Call,
    within: Duration,
) -> Result<Reply, Error> {
    let (reply, answer) = oneshot::channel();
    let Call { body, effect, bytes_max } = call;
    let id = pending.register(Waiting { reply, effect })?;
    let _registration = Registration { pending, id };
    let part = part_within(pending.codec, &Command { id: Some(id), body }, bytes_max)?;
    let exchange = async {
        if commands.send(part).await.is_err() {
            return Err(ended(pending));
        }
        answer.await.unwrap_or_else(|_| Err(ended(pending)))
    };
    let after_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let late = |_| Err(Error::Timeout { what: "reply", after_ms });
    timeout(within, exchange).await.unwrap_or_else(late)
}

/// The connection's end as an error.
pub(crate) fn ended(pending: &Pending) -> Error {
    Error::Closed(pending.closed().unwrap_or_else(|| Closed::lost("the connection is closing")))
}
