//! Revocations on their way through the mesh: heard live, and read from the region's copy of their
//! stream, which an edge that starts, or has missed one, finds them in.
//!
//! A part of the control plane. What a revocation hits is decided in `meridian_core::revocation`;
//! shards get all that hold by `Orders`. Making one is the command line's business.

use crate::auth::unix_time_s;
use crate::shard::Orders;
use futures_util::{Stream, StreamExt};
use meridian_core::revocation::Revocations;
pub use meridian_core::revocation::{Revocation, RevokedKind};
use meridian_nats::streams::{Error, Streams};
use meridian_nats::{Control, subjects};
use sha1::{Digest, Sha1};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

/// How often the copy is looked at for what was not heard: one question in the own region.
const LOOK: Duration = Duration::from_secs(2);

/// How often everything is read again: the stream may have begun anew.
const READ_ALL: Duration = Duration::from_secs(300);

/// How long one answer may take, in ms.
const PATIENCE_MS: u64 = 1_000;

/// The subject that a revocation is published and stored on: one a name, so that a stream keeps
/// the newest of each. Names are hashed, since they may hold what no subject does.
#[must_use]
pub fn subject(revocation: &Revocation) -> String {
    let Revocation { kind, name, tenant, .. } = revocation;
    let kind = match kind {
        RevokedKind::User => "user",
        RevokedKind::Session => "session",
        RevokedKind::Token => "token",
    };
    let tenant = tenant.as_deref().map_or_else(String::new, |tenant| format!("{tenant}\n"));
    let hash = Sha1::new().chain_update(tenant).chain_update(name).finalize();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{kind}.{hash}", subjects::REVOKE)
}

/// Owned by the control task.
pub(crate) struct RevocationWatch<'a> {
    control: &'a Control,
    streams: Streams,
    /// The region's copy, if revocations are kept.
    stream: Option<String>,
    orders: &'a watch::Sender<Orders>,
    /// Where reading goes on.
    read_up_to: u64,
    read_all_at: Instant,
    is_told: bool,
}

impl<'a> RevocationWatch<'a> {
    pub(crate) fn new(
        control: &'a Control,
        stream: Option<String>,
        orders: &'a watch::Sender<Orders>,
    ) -> Self {
        let streams = Streams::new(control).with_patience_ms(PATIENCE_MS);
        let read_all_at = Instant::now();
        Self { control, streams, stream, orders, read_up_to: 0, read_all_at, is_told: false }
    }

    /// Hears and reads, and ends only with the control connection.
    pub(crate) async fn run(mut self) {
        // First the ear, then the book: what is published in between is in one of them.
        let mut heard = match self.control.subscribe(subjects::REVOCATIONS).await {
            Ok(heard) => pin!(heard),
            Err(error) => {
                warn!(%error, "cannot hear revocations");
                return;
            }
        };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // What is published holds at once. Cancel-safe.
                message = heard.next() => match message {
                    Some((_, payload)) => {
                        let mut payloads = vec![payload];
                        drain(&mut heard, &mut payloads);
                        self.take(payloads.iter().map(|payload| payload.as_ref()));
                    }
                    None => return,
                },
                // What was not heard. Cancel-safe.
                _ = looks.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let Some(stream) = self.stream.clone() else {
            return self.take(std::iter::empty());
        };
        if !self.control.is_connected() {
            return;
        }
        if Instant::now() >= self.read_all_at {
            self.read_up_to = 0;
        }
        match self.read(&stream).await {
            Ok(()) => self.is_told = false,
            Err(error) if self.is_told => debug!(stream, %error, "cannot read revocations"),
            Err(error) => {
                self.is_told = true;
                warn!(stream, %error, "cannot read revocations: was `meridian streams apply` run?");
            }
        }
    }

    async fn read(&mut self, stream: &str) -> Result<(), Error> {
        let is_all = self.read_up_to == 0;
        let mut payloads = Vec::new();
        loop {
            let page = self.streams.stored_after(stream, self.read_up_to).await?;
            let Some(last) = page.last() else { break };
            self.read_up_to = last.sequence;
            payloads.extend(page.into_iter().map(|stored| stored.payload));
        }
        if is_all {
            self.read_all_at = Instant::now() + READ_ALL;
        }
        self.take(payloads.iter().map(|payload| payload.as_ref()));
        Ok(())
    }

    /// Adds what came to what holds, forgets what is over, and orders it if it is another set.
    fn take<'p>(&self, payloads: impl Iterator<Item = &'p [u8]>) {
        let known = self.orders.borrow().revocations.clone();
        let mut revocations = known.as_deref().cloned().unwrap_or_default();
        for payload in payloads {
            match serde_json::from_slice::<Revocation>(payload) {
                Ok(revocation) => {
                    let (kind, at) = (revocation.kind, revocation.at);
                    if revocations.insert(revocation) {
                        info!(?kind, at, "revocation");
                    }
                }
                Err(error) => warn!(%error, "a revocation that cannot be read"),
            }
        }
        let excess = revocations.forget(unix_time_s());
        if excess > 0 {
            warn!(excess, "too many revocations: those that end first were forgotten");
        }
        if known.as_deref() != Some(&revocations) {
            let revocations: Arc<Revocations> = Arc::new(revocations);
            self.orders.send_modify(|orders| orders.revocations = Some(revocations));
        }
    }
}

/// Takes what waits already, so that many revocations are one change.
fn drain<T>(messages: &mut (impl Stream<Item = (String, T)> + Unpin), taken: &mut Vec<T>) {
    use futures_util::FutureExt;
    while let Some(Some((_, payload))) = messages.next().now_or_never() {
        taken.push(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_subject_of_its_own_and_whatever_it_holds_is_a_token() {
        let of = |kind, name: &str, tenant: Option<&str>| {
            let tenant = tenant.map(Into::into);
            subject(&Revocation { kind, name: name.into(), tenant, at: 1, until: 2 })
        };
        let all = [
            of(RevokedKind::User, "ann", None),
            of(RevokedKind::User, "ann", Some("acme")),
            of(RevokedKind::User, "a b.*>", None),
            of(RevokedKind::Session, "ann", None),
            of(RevokedKind::Token, "ann", None),
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        for subject in &all {
            assert_eq!(subject.split('.').count(), 5, "{subject}");
            assert!(subject.starts_with("_mrd.auth.revoke."), "{subject}");
        }
    }
}
