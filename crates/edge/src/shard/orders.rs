//! What the control plane orders of all shards: a snapshot that each looks at when it changes.

use super::Shard;
use super::connection::SharedItem;
use meridian_core::session::MeshNotices;
use meridian_proto::item::{Item, Mesh};
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

/// Written by the control plane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// Regions that the edge no longer hears, sorted.
    pub(crate) degraded: Vec<String>,
    /// Epochs of the region's copies that exist, by stream name.
    pub(crate) epochs: BTreeMap<String, String>,
    /// How to serve TLS, if the public listener is to.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Set once, at the end.
    pub(crate) drain: Option<Drain>,
}

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drain {
    /// Closes are spread over this many ms.
    pub(crate) window_ms: u64,
}

/// Obeys until a drain is ordered, or nobody can order any more.
pub(super) async fn obey(shard: &Rc<Shard>, orders: &mut watch::Receiver<Orders>) -> Drain {
    loop {
        let (degraded, epochs, drain) = {
            let orders = orders.borrow_and_update();
            shard.tls.borrow_mut().clone_from(&orders.tls);
            (orders.degraded.clone(), orders.epochs.clone(), orders.drain)
        };
        shard.set_epochs(&epochs);
        if let Some(drain) = drain {
            return drain;
        }
        if *shard.degraded.borrow() != degraded {
            shard.tell_degraded(&degraded);
            *shard.degraded.borrow_mut() = degraded;
        }
        if orders.changed().await.is_err() {
            return Drain { window_ms: 0 };
        }
    }
}

impl Shard {
    /// Tells every session that asked for it.
    fn tell_degraded(self: &Rc<Self>, degraded: &[String]) {
        let item = SharedItem::new(Item::Mesh(Mesh { degraded: degraded.to_vec() }));
        for (_, connection) in self.connections.borrow().iter() {
            let notices =
                connection.session.borrow().as_ref().map(|session| session.mesh_notices());
            if notices == Some(MeshNotices::Wanted) {
                connection.write(self, &[IoSlice::new(item.frame(connection.wire))]);
            }
        }
    }
}
