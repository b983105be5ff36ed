//! The two halves of a data connection's byte stream: a bare socket, or one through TLS.
//!
//! The reader owns the one half and the writer the other, in one thread. Not here: bytes' meaning.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::client::TlsStream;

use crate::error::Error;

/// What both halves of a TLS stream share. No borrow lives across an await.
type SharedTls = Rc<RefCell<TlsStream<TcpStream>>>;

/// Owned by the reader.
#[derive(Debug)]
pub(crate) enum ReadSide {
    Plain(OwnedReadHalf),
    Tls(SharedTls),
}

/// Owned by the writer.
#[derive(Debug)]
pub(crate) enum WriteSide {
    Plain(Rc<OwnedWriteHalf>),
    Tls(SharedTls),
}

pub(crate) fn plain(stream: TcpStream) -> (ReadSide, WriteSide) {
    let (read_half, write_half) = stream.into_split();
    (ReadSide::Plain(read_half), WriteSide::Plain(Rc::new(write_half)))
}

pub(crate) fn encrypted(stream: TlsStream<TcpStream>) -> (ReadSide, WriteSide) {
    let stream = Rc::new(RefCell::new(stream));
    (ReadSide::Tls(Rc::clone(&stream)), WriteSide::Tls(stream))
}

/// The socket of a connection without TLS, in one piece again.
///
/// # Errors
/// [`Error::Closed`] for halves that are not of one socket, or already encrypted.
pub(crate) fn reunite(read: ReadSide, write: WriteSide) -> Result<TcpStream, Error> {
    match (read, write) {
        (ReadSide::Plain(read), WriteSide::Plain(write)) => {
            let write = Rc::try_unwrap(write).map_err(|_| Error::Closed)?;
            read.reunite(write).map_err(|_| Error::Closed)
        }
        _ => Err(Error::Closed),
    }
}

impl ReadSide {
    /// Waits for bytes and takes what is there; 0 is the end. Cancel-safe.
    pub(crate) async fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(half) => half.read(space).await,
            Self::Tls(stream) => poll_fn(|context| read_records(stream, context, space)).await,
        }
    }
}

/// TLS gives a record at a time. All that have come are taken, so that they make one batch.
fn read_records(
    stream: &SharedTls,
    context: &mut Context<'_>,
    space: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut stream = stream.borrow_mut();
    let mut buffer = ReadBuf::new(space);
    ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
    while buffer.remaining() > 0 {
        let before = buffer.filled().len();
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {}
            // The end and errors come again at the next read.
            _ => break,
        }
    }
    Poll::Ready(Ok(buffer.filled().len()))
}

impl WriteSide {
    /// Gives as much as is taken at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(half) => half.try_write(bytes),
            Self::Tls(stream) => {
                now(|context| Pin::new(&mut *stream.borrow_mut()).poll_write(context, bytes))
            }
        }
    }

    /// Pushes out what TLS has taken and the socket has not.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => {
                now(|context| Pin::new(&mut *stream.borrow_mut()).poll_flush(context))
            }
        }
    }

    /// Waits until the socket takes bytes again. Cancel-safe; borrows nothing.
    pub(crate) fn writable(&self) -> impl Future<Output = io::Result<()>> + use<> {
        let this = match self {
            Self::Plain(half) => Self::Plain(Rc::clone(half)),
            Self::Tls(stream) => Self::Tls(Rc::clone(stream)),
        };
        async move {
            match this {
                Self::Plain(half) => half.writable().await,
                Self::Tls(stream) => {
                    poll_fn(|context| stream.borrow().get_ref().0.poll_write_ready(context)).await
                }
            }
        }
    }
}

/// One attempt. Nobody is woken for it: whoever is refused awaits `writable`.
fn now<T>(attempt: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    match attempt(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
