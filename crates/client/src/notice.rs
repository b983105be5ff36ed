//! What an edge says about the whole connection.

use crate::error::Closed;
use meridian_proto::item::{Expire, Failure, GoAway, Mesh};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The edge will close soon: go where it says.
    GoAway(GoAway),
    /// What does not work in the mesh, as the edge sees it; empty when everything does.
    Mesh(Mesh),
    /// A token ends soon: send a newer one by [`crate::Client::refresh`].
    Expire(Expire),
    /// A command without an id failed.
    Error(Failure),
    /// So many notices were dropped because nobody read them.
    Missed(u64),
    /// The connection ended. The last notice.
    Closed(Closed),
}

/// A stream of notices. It holds the last 64; see [`Notice::Missed`].
#[derive(Debug)]
pub struct Notices(pub(crate) broadcast::Receiver<Notice>);

impl Notices {
    /// The next notice, or `None` after [`Notice::Closed`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(missed)) => Some(Notice::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
