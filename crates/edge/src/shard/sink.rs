//! Where a connection's bytes come from and go to: a WebSocket on a bare socket, which is written
//! where it stands, one through TLS, or a streamed response; their bytes take the way over the
//! outbox.
//!
//! Called by `connection` (out) and `reader` (in), each from one task at a time.

use super::http::Transport;
use super::pump::Pump;
use socket2::SockRef;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What waits in the outbox on its way to a task or to hyper: as much as a bare socket's buffer
/// takes before its client counts as slow.
const SLACK_BYTES: usize = 64 * 1024;

/// Owned by its connection. No borrow lives across an await.
pub(crate) enum Sink {
    /// What the socket takes is written at once.
    Direct(TcpStream),
    /// A task encrypts what waits in the outbox. The reader and that task use one stream, each with
    /// the waker of its own direction.
    Tls(Box<RefCell<TlsStream<TcpStream>>>),
    /// hyper takes what waits in the outbox. Nothing is read here.
    Pumped(Box<Pump>),
}

impl From<Transport> for Sink {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Plain(stream) => Self::Direct(stream),
            Transport::Tls(stream) => Self::Tls(Box::new(RefCell::new(*stream))),
        }
    }
}

impl Sink {
    /// Writes without waiting. None where everything goes by the outbox.
    pub(super) fn try_write(&self, frames: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        match (self, frames) {
            // Almost always the socket has room. So it is asked itself, without a look at what
            // tokio believes of it, which lies elsewhere in memory; tokio has to learn of a full
            // one, and so is asked then.
            (Self::Direct(stream), [one]) => Some(match SockRef::from(stream).send(one) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.try_write(one),
                written => written,
            }),
            (Self::Direct(stream), several) => Some(stream.try_write_vectored(several)),
            (Self::Tls(_) | Self::Pumped(_), _) => None,
        }
    }

    /// Bytes that may wait in the outbox while the client keeps up.
    pub(super) fn slack_bytes(&self) -> usize {
        match self {
            Self::Direct(_) => 0,
            Self::Tls(_) | Self::Pumped(_) => SLACK_BYTES,
        }
    }

    /// Writes some bytes as soon as they are taken.
    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Direct(stream) => loop {
                ready!(stream.poll_write_ready(context))?;
                match stream.try_write_vectored(slices) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => return Poll::Ready(written),
                }
            },
            Self::Tls(stream) => {
                Pin::new(&mut *stream.borrow_mut()).poll_write_vectored(context, slices)
            }
            Self::Pumped(_) => Poll::Pending,
        }
    }

    /// Reads some bytes as soon as there are any; none means the end.
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Direct(stream) => loop {
                ready!(stream.poll_read_ready(context))?;
                match stream.try_read(buffer.initialize_unfilled()) {
                    Ok(count) => {
                        buffer.advance(count);
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
            Self::Tls(stream) => Pin::new(&mut *stream.borrow_mut()).poll_read(context, buffer),
            Self::Pumped(_) => Poll::Pending,
        }
    }

    /// Waits until what was written has left this process.
    pub(super) async fn flush(&self) -> io::Result<()> {
        match self {
            Self::Direct(_) | Self::Pumped(_) => Ok(()),
            Self::Tls(stream) => {
                poll_fn(|context| Pin::new(&mut *stream.borrow_mut()).poll_flush(context)).await
            }
        }
    }

    /// Says that nothing more is written. The client may still send.
    pub(super) async fn finish(&self) {
        // An error means that the peer was faster.
        match self {
            Self::Direct(stream) => drop(SockRef::from(stream).shutdown(Shutdown::Write)),
            Self::Tls(stream) => drop(
                poll_fn(|context| Pin::new(&mut *stream.borrow_mut()).poll_shutdown(context)).await,
            ),
            Self::Pumped(_) => {}
        }
    }

    /// Ends both directions now: whoever waits on them wakes.
    pub(super) fn end(&self) {
        let end = |stream: &TcpStream| drop(SockRef::from(stream).shutdown(Shutdown::Both));
        match self {
            Self::Direct(stream) => end(stream),
            Self::Tls(stream) => end(stream.borrow().get_ref().0),
            Self::Pumped(pump) => pump.end(),
        }
    }
}
