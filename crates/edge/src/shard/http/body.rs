//! A streamed response: takes what waits for its connection, as fast as the client does.

use crate::shard::Shard;
use crate::shard::connection::Connection;
use crate::shard::reader::Registered;
use bytes::Bytes;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Owned by hyper, which drops it when the response has ended or the client has gone: the
/// connection ends with it.
pub(crate) struct StreamBody {
    registered: Registered,
}

impl StreamBody {
    pub(super) fn new(shard: &Rc<Shard>, connection: &Rc<Connection>) -> Self {
        Self { registered: Registered::new(shard, connection) }
    }

    /// The next bytes; None at the end.
    ///
    /// # Errors
    /// When the edge cuts the response off.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Registered { shard, connection } = &self.registered;
        connection.poll_take(shard, context)
    }
}
