//! What the control plane orders of all shards: a snapshot that each looks at when it changes.

use super::Shard;
use super::connection::SharedItem;
use crate::auth::Authenticator;
use meridian_core::holes::Hole;
use meridian_core::revocation::Revocations;
use meridian_core::session::MeshNotices;
use meridian_proto::item::{Failure, Item, Mesh};
use meridian_proto::{ErrorCode, Subject};
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

/// When a publish is worth another try whose home is lost, in ms: about as often as home is asked.
const STORE_AGAIN_MS: u64 = 1_000;

/// Written by the control plane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// What does not work in the mesh, as clients are told.
    pub(crate) mesh: Mesh,
    /// Epochs of the region's copies that exist, by stream name.
    pub(crate) epochs: BTreeMap<String, String>,
    /// What the region's copies skipped last, by stream name.
    pub(crate) holes: BTreeMap<String, Hole>,
    /// Up to where streams were purged: of that only they show what is left.
    pub(crate) purged: BTreeMap<String, u64>,
    /// How to serve TLS, if the public listener is to.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// What verifies tokens, with its newest keys; none where no tokens are asked for.
    pub(crate) authenticator: Option<Arc<Authenticator>>,
    /// Whether clients are sent elsewhere, and how.
    pub(crate) moving: Option<Move>,
    /// Which tokens were revoked; None while that is not known.
    pub(crate) revocations: Option<Arc<Revocations>>,
    /// Set once, at the end.
    pub(crate) drain: Option<Drain>,
}

/// Where clients are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// WebSocket URLs, at least one.
    pub(crate) servers: Arc<[String]>,
    /// How many clients of the edge a second, at least one.
    pub(crate) per_second: u32,
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
        let Orders { mesh, epochs, holes, purged, tls, authenticator, revocations, moving, drain } =
            orders.borrow_and_update().clone();
        shard.tls.borrow_mut().clone_from(&tls);
        *shard.authenticator.borrow_mut() = authenticator;
        shard.take_revocations(revocations);
        shard.set_purged(&purged);
        shard.set_holes(holes, &epochs);
        shard.set_epochs(&epochs);
        if let Some(drain) = drain {
            // The end sends everybody away, at its own pace.
            shard.order_move(None);
            return drain;
        }
        shard.order_move(moving);
        if *shard.mesh.borrow() != mesh {
            shard.tell_mesh(&mesh);
            *shard.mesh.borrow_mut() = mesh;
        }
        if orders.changed().await.is_err() {
            return Drain { window_ms: 0 };
        }
    }
}

impl Shard {
    /// Tells every session that asked for it.
    fn tell_mesh(self: &Rc<Self>, mesh: &Mesh) {
        let item = SharedItem::new(Item::Mesh(mesh.clone()));
        for (_, connection) in self.connections.borrow().iter() {
            let notices =
                connection.session.borrow().as_ref().map(|session| session.mesh_notices());
            if notices == Some(MeshNotices::Wanted) {
                connection.write(self, &[IoSlice::new(item.frame(connection.wire))]);
            }
        }
    }

    /// Why a publish on this subject cannot be stored, if that is known before it is sent: its
    /// home is lost. The watch asks for home all the time, so this ends soon after home is back.
    pub(super) fn lost_home(&self, subject: &Subject) -> Option<Failure> {
        let mesh = self.mesh.borrow();
        let namespace = self.policy.namespaces.of_upstream_subject(subject)?;
        mesh.readonly.contains(&namespace.name).then(|| {
            let msg = format!("the home region of {} does not answer", namespace.name);
            let failure = Failure::new(ErrorCode::StreamUnavailable, msg);
            Failure { after_ms: Some(STORE_AGAIN_MS), ..failure }
        })
    }
}
