//! The sending half of a data connection.
//!
//! Any task of the shard appends commands; the upstream task pushes them out. Appending is
//! synchronous and never blocks, so the writer can stand in a `RefCell`, and waiting for the socket
//! borrows nothing from it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::command::{
    Publication, append_connect, append_publish, append_subscribe, append_unsubscribe,
};
use crate::defaults::OUTGOING_BYTES_KEPT;
use crate::error::Error;
use crate::stream::WriteSide;

/// Owned by the shard; its tasks borrow it for one command at a time.
#[derive(Debug)]
pub struct Writer {
    side: WriteSide,
    outgoing: Vec<u8>,
    /// How much of `outgoing` the socket has taken.
    sent: usize,
    outgoing_bytes_max: usize,
    /// The server's `max_payload`, shared with the reader: INFO may change it at any time.
    max_payload: Arc<AtomicUsize>,
}

/// What became of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The socket has taken everything.
    Done,
    /// The socket takes no more at the moment: await [`Writer::writable`], then try again.
    Blocked,
}

impl Writer {
    pub(crate) fn new(
        side: WriteSide,
        outgoing_bytes_max: usize,
        max_payload: Arc<AtomicUsize>,
    ) -> Self {
        Self { side, outgoing: Vec::new(), sent: 0, outgoing_bytes_max, max_payload }
    }

    /// Appends SUB. The server has the interest when a PONG answers a later [`Writer::ping`].
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::TooLarge`] or [`Error::Backlog`]; nothing was appended.
    pub fn subscribe(&mut self, sid: u64, subject: &str) -> Result<(), Error> {
        self.check_backlog(subject.len())?;
        append_subscribe(&mut self.outgoing, sid, subject)
    }

    /// Appends UNSUB. Messages that are already on their way still come.
    pub fn unsubscribe(&mut self, sid: u64) {
        append_unsubscribe(&mut self.outgoing, sid);
    }

    /// Appends PUB, or HPUB when there are headers. Wildcards are refused: as a publisher's subject
    /// they are a mistake that nats-server does not report.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::TooLarge`] (headers and payload together against the server's
    /// `max_payload`) or [`Error::Backlog`]; nothing was appended.
    pub fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Result<(), Error> {
        self.check_backlog(payload.len())?;
        let publication = Publication { subject, reply, headers, payload };
        append_publish(&mut self.outgoing, publication, self.max_payload.load(Ordering::Relaxed))
    }

    /// Appends PING.
    pub fn ping(&mut self) {
        self.outgoing.extend_from_slice(b"PING\r\n");
    }

    /// Appends PONG, the answer to a PING.
    pub fn pong(&mut self) {
        self.outgoing.extend_from_slice(b"PONG\r\n");
    }

    /// Appends CONNECT, the first command of a connection.
    pub(crate) fn connect(&mut self, json: &str) -> Result<(), Error> {
        append_connect(&mut self.outgoing, json)
    }

    /// Bytes that the socket has not taken yet.
    pub fn buffered_bytes(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Whether the socket has taken everything.
    pub fn is_empty(&self) -> bool {
        self.buffered_bytes() == 0
    }

    /// The most bytes of headers and payload together that [`Writer::publish`] takes.
    pub fn max_payload(&self) -> usize {
        self.max_payload.load(Ordering::Relaxed)
    }

    /// Gives the socket as much as it takes at once.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::Io`]: the connection is gone, and what was appended with it.
    pub fn try_flush(&mut self) -> Result<Flush, Error> {
        while !self.is_empty() {
            match self.side.try_write(&self.outgoing[self.sent..]) {
                Ok(0) => return Err(Error::Closed),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drop_sent();
                    return Ok(Flush::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        if self.outgoing.capacity() > OUTGOING_BYTES_KEPT {
            self.outgoing = Vec::new();
        }
        match self.side.try_flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Flush::Blocked),
            flushed => Ok(flushed.map(|()| Flush::Done)?),
        }
    }

    /// Waits until the socket takes bytes again. Cancel-safe, and borrows nothing from the writer,
    /// so that others can append in the meantime.
    pub fn writable(&self) -> impl Future<Output = Result<(), Error>> + use<> {
        let writable = self.side.writable();
        async move { Ok(writable.await?) }
    }

    /// Moves the rest to the front once it is the smaller part, so that each byte moves at most
    /// once on average however long the socket stays slow.
    fn drop_sent(&mut self) {
        if self.sent > self.buffered_bytes() {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn check_backlog(&self, bytes: usize) -> Result<(), Error> {
        if self.buffered_bytes().saturating_add(bytes) > self.outgoing_bytes_max {
            return Err(Error::Backlog { bytes_max: self.outgoing_bytes_max });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    async fn connected(outgoing_bytes_max: usize) -> (Writer, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_, side) = crate::stream::plain(near.unwrap());
        let max_payload = Arc::new(AtomicUsize::new(1024 * 1024));
        (Writer::new(side, outgoing_bytes_max, max_payload), far.unwrap().0)
    }

    #[tokio::test]
    async fn slow_server_blocks_the_flush_and_gets_every_byte_in_the_end() {
        let (mut writer, mut server) = connected(64 * 1024 * 1024).await;
        let payload = vec![b'x'; 1024 * 1024];
        let mut sent = 0;
        while writer.try_flush().unwrap() == Flush::Done {
            writer.publish("a", None, &[], &payload).unwrap();
            sent += 1;
        }
        assert!(!writer.is_empty());
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            all
        });
        let flushing = async {
            while writer.try_flush().unwrap() == Flush::Blocked {
                writer.writable().await.unwrap();
            }
        };
        timeout(DEADLINE, flushing).await.unwrap();
        assert_eq!((writer.buffered_bytes(), writer.outgoing.capacity()), (0, 0));
        drop(writer);
        let all = timeout(DEADLINE, reading).await.unwrap().unwrap();
        assert_eq!(all.len(), sent * (b"PUB a 1048576\r\n\r\n".len() + payload.len()));
    }

    #[tokio::test]
    async fn backlog_is_refused_one_past_the_limit_but_pong_and_unsub_always_pass() {
        let (mut writer, _server) = connected(100).await;
        writer.publish("a", None, &[], &[b'x'; 50]).unwrap();
        let left = 100 - writer.buffered_bytes();
        let outcome = writer.publish("a", None, &[], &vec![b'x'; left + 1]);
        assert!(matches!(outcome, Err(Error::Backlog { bytes_max: 100 })), "{outcome:?}");
        writer.publish("a", None, &[], &vec![b'x'; left]).unwrap();
        assert!(matches!(writer.subscribe(1, "a"), Err(Error::Backlog { .. })));
        writer.pong();
        writer.unsubscribe(1);
        assert_eq!(writer.try_flush().unwrap(), Flush::Done);
        writer.subscribe(1, "a").unwrap();
    }

    #[tokio::test]
    async fn others_append_while_one_waits_for_the_socket() {
        let (writer, _server) = connected(1024).await;
        let writer = std::cell::RefCell::new(writer);
        let waiting = writer.borrow().writable();
        writer.borrow_mut().ping();
        timeout(DEADLINE, waiting).await.unwrap().unwrap();
        assert_eq!(writer.borrow_mut().try_flush().unwrap(), Flush::Done);
    }
}
