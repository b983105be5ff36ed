//! One connection from its handshake to its end: starts the two halves, and tells everybody who
//! waits when it is over.

use crate::codec::Codec;
use crate::defaults::{
    CLOSE_TIMEOUT, COMMANDS_QUEUED_MAX, CONTROLS_QUEUED_MAX, NOTICES_QUEUED_MAX,
};
use crate::error::Closed;
use crate::frames::Frames;
use crate::handshake::Upgraded;
use crate::notice::Notice;
use crate::pending::Pending;
use crate::reader::Reader;
use crate::writer::Writer;
use std::fmt;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::timeout;

/// What a client holds of its connection. Owned by the client; dropping it ends the connection.
pub(crate) struct Link {
    pub(crate) commands: mpsc::Sender<Vec<u8>>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) notices: broadcast::WeakSender<Notice>,
    /// Everything since the beginning, for the first who asks.
    pub(crate) first_notices: Mutex<Option<broadcast::Receiver<Notice>>>,
    pub(crate) closed: watch::Receiver<Option<Closed>>,
}

/// What a subscription holds of the connection: too little to keep it open.
pub(crate) struct WeakLink {
    commands: mpsc::WeakSender<Vec<u8>>,
    pending: Arc<Pending>,
}

impl Link {
    pub(crate) fn downgrade(&self) -> WeakLink {
        WeakLink { commands: self.commands.downgrade(), pending: self.pending.clone() }
    }
}

impl WeakLink {
    /// The way to send commands, unless the client is gone.
    pub(crate) fn upgrade(&self) -> Option<(mpsc::Sender<Vec<u8>>, &Pending)> {
        self.commands.upgrade().map(|commands| (commands, &*self.pending))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("closed", &*self.closed.borrow())
            .finish_non_exhaustive()
    }
}

/// Who has to hear of the end.
struct Audience {
    pending: Arc<Pending>,
    notices: broadcast::Sender<Notice>,
    closed: watch::Sender<Option<Closed>>,
}

/// Starts the tasks of a connection.
pub(crate) fn start(upgraded: Upgraded, codec: Codec) -> Link {
    let (commands, commands_out) = mpsc::channel(COMMANDS_QUEUED_MAX);
    let (controls, controls_out) = mpsc::channel(CONTROLS_QUEUED_MAX);
    let (notices, first_notices) = broadcast::channel(NOTICES_QUEUED_MAX);
    let (closed_in, closed) = watch::channel(None);
    let pending = Arc::new(Pending::new(codec));

    let (read, write) = upgraded.stream.into_split();
    let (frames, write) = Frames::split(Cursor::new(upgraded.first).chain(read), write, codec);
    let reader = Reader::new(frames, pending.clone(), controls, notices.clone());
    let writer =
        Writer { write, codec, commands: commands_out, controls: controls_out, held: None };
    let weak_notices = notices.downgrade();
    let audience = Audience { pending: pending.clone(), notices, closed: closed_in };
    tokio::spawn(run(reader, writer, audience));
    let first_notices = Mutex::new(Some(first_notices));
    Link { commands, pending, notices: weak_notices, first_notices, closed }
}

async fn run<R, W>(reader: Reader<R>, mut writer: Writer<W>, audience: Audience)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin,
{
    let mut reading = tokio::spawn(reader.run());
    let written = writer.run().await;
    // Most ends are seen by the reader, and it knows the reason. But it may be waiting for a full
    // subscription, or for an edge that never answers our close.
    let closed = match timeout(CLOSE_TIMEOUT, &mut reading).await {
        Ok(Ok(closed)) => closed,
        Ok(Err(_)) => Closed::lost("the reader failed"),
        Err(_) => {
            reading.abort();
            written
        }
    };
    audience.pending.close(&closed);
    let _ = audience.notices.send(Notice::Closed(closed.clone()));
    let _ = audience.closed.send(Some(closed));
}
