//! Tokens on a shard: what one comes to at `connect`, `subscribe` and `refresh`, and what becomes
//! of those who stand when it ends, gives less or is revoked.
//!
//! Not for: keys and signatures, which are `auth`'s, and what a grant allows, which the session
//! decides.

use super::Shard;
use super::connection::Connection;
use super::meters::auth_outcome;
use crate::auth::{TokenError, unix_time_s};
use meridian_core::permission::{FilterGrant, Grant};
use meridian_core::revocation::{Revocations, Suspect};
use meridian_core::session::{Credentials, Deadline, Ended};
use meridian_proto::item::{Failure, Item, RefreshReply, Reply, Unsubscribed};
use meridian_proto::{CloseCode, ErrorCode};
use meridian_telemetry::metrics::labels::Auth;
use std::rc::Rc;
use std::sync::Arc;

/// What a client is told whose token was revoked.
const REVOKED: &str = "revoked";

/// When a client may come again that came before revocations were known, in ms.
const UNKNOWN_AGAIN_MS: u64 = 1_000;

impl Shard {
    /// What the token of a `connect` comes to.
    pub(super) fn credentials(&self, token: Option<&str>) -> Credentials {
        let authenticator = self.authenticator.borrow().clone();
        let Some(authenticator) = authenticator else {
            self.meters.auth(Auth::NotAsked);
            return Credentials::NotAsked;
        };
        let token = token.ok_or(TokenError::Missing);
        let granted = token.and_then(|token| authenticator.check(token, unix_time_s()));
        match granted {
            Ok(grant) => self.unless_revoked(grant),
            Err(error) => {
                self.meters.auth(auth_outcome(&error));
                Credentials::Refused(error.close_code(), error.to_string())
            }
        }
    }

    /// What a grant comes to.
    pub(super) fn unless_revoked(&self, grant: Grant) -> Credentials {
        match self.stands(&grant, None) {
            Ok(()) => {
                self.meters.auth(Auth::Granted);
                Credentials::Granted(Box::new(grant))
            }
            Err((code, reason)) => {
                self.meters.auth(Auth::Revoked);
                Credentials::Refused(code, reason.into())
            }
        }
    }

    /// Whether no revocation hits a grant. While they are not known, nobody is let in.
    fn stands(&self, grant: &Grant, cid: Option<&str>) -> Result<(), (CloseCode, &'static str)> {
        let revocations = self.revocations.borrow();
        let Some(revocations) = revocations.as_ref() else {
            return Err((CloseCode::Internal, "revocations are not known yet"));
        };
        match revocations.hit(Suspect { grant, cid }) {
            None => Ok(()),
            Some(_) => Err((CloseCode::Revoked, REVOKED)),
        }
    }

    /// What a subscription's own token comes to.
    pub(super) fn filter_grant(&self, token: &str) -> Result<Box<FilterGrant>, Failure> {
        let authenticator = self.authenticator.borrow().clone();
        let Some(authenticator) = authenticator else {
            return Err(Failure::new(ErrorCode::NotAvailable, "this edge asks for no tokens"));
        };
        let grant = authenticator.check_filter(token, unix_time_s()).map_err(refused)?;
        let revocations = self.revocations.borrow();
        if revocations.as_ref().is_none_or(|revocations| is_revoked(revocations, &grant)) {
            return Err(Failure::new(ErrorCode::Unauthorized, REVOKED));
        }
        Ok(Box::new(grant))
    }

    /// Puts a newer token in the place of one that ends.
    pub(super) fn refresh(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: u32,
        token: String,
        subscription: Option<u32>,
    ) {
        let (shard, connection) = (Rc::clone(self), Rc::clone(connection));
        tokio::task::spawn_local(async move {
            let renewed = match subscription {
                None => {
                    let credentials = shard.decide(Some(&token)).await;
                    shard.renew(&connection, credentials)
                }
                Some(subscription) => shard
                    .renew_filter(&connection, &token, subscription)
                    .map(|reply| (reply, Vec::new())),
            };
            if connection.is_open() {
                shard.renewed(&connection, id, renewed);
            }
        });
    }

    fn renewed(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        id: u32,
        renewed: Result<(RefreshReply, Vec<Ended>), Failure>,
    ) {
        match renewed {
            Ok((reply, ended)) => {
                connection.send(self, &Item::Reply(id, Reply::Refresh(reply)));
                self.end_subscriptions(connection, ended);
                self.schedule_look(connection);
            }
            Err(failure) => connection.send(self, &Item::Error(Some(id), failure)),
        }
    }

    fn renew(
        &self,
        connection: &Connection,
        credentials: Credentials,
    ) -> Result<(RefreshReply, Vec<Ended>), Failure> {
        let grant = match credentials {
            Credentials::Granted(grant) => grant,
            Credentials::NotAsked => {
                let msg = "this edge asks for no tokens";
                return Err(Failure::new(ErrorCode::NotAvailable, msg));
            }
            Credentials::Refused(CloseCode::Internal, reason) => {
                let failure = Failure::new(ErrorCode::Internal, reason);
                return Err(Failure { after_ms: Some(UNKNOWN_AGAIN_MS), ..failure });
            }
            Credentials::Refused(_, reason) => {
                return Err(Failure::new(ErrorCode::Unauthorized, reason));
            }
        };
        let mut session = connection.session.borrow_mut();
        let session = session.as_mut().ok_or_else(gone)?;
        session.renew(grant, &self.interest.borrow(), unix_time_s())
    }

    fn renew_filter(
        &self,
        connection: &Connection,
        token: &str,
        subscription: u32,
    ) -> Result<RefreshReply, Failure> {
        let grant = self.filter_grant(token)?;
        let mut session = connection.session.borrow_mut();
        let session = session.as_mut().ok_or_else(gone)?;
        session.renew_filter(subscription, grant, &self.interest.borrow(), unix_time_s())
    }

    /// Lets subscriptions go that the session no longer holds, and tells the client.
    pub(super) fn end_subscriptions(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        ended: Vec<Ended>,
    ) {
        let (member, now_ms) = (connection.key.index, self.now_ms());
        for Ended { subscription: i, command, code, reason } in ended {
            self.interest.borrow_mut().leave(i, member, now_ms);
            let item = match command {
                Some(id) => Item::Error(Some(id), Failure::new(ErrorCode::Forbidden, reason)),
                None => Item::Unsubscribed(Unsubscribed { i, code, reason }),
            };
            connection.send(self, &item);
        }
    }

    /// Looks at what the time brings for a connection's tokens.
    pub(super) fn look_at_tokens(self: &Rc<Self>, connection: &Rc<Connection>) {
        if !connection.is_open() {
            return;
        }
        let due = match connection.session.borrow_mut().as_mut() {
            Some(session) => session.pass(unix_time_s()),
            None => return,
        };
        for deadline in due {
            match deadline {
                Deadline::Connection => return connection.close(self, CloseCode::Expired),
                Deadline::Notice(notice) => connection.send(self, &Item::Expire(notice)),
                Deadline::Subscription(ended) => self.end_subscriptions(connection, vec![ended]),
            }
        }
        self.schedule_look(connection);
    }

    /// Takes the revocations that hold now, and ends whom they hit.
    pub(super) fn take_revocations(self: &Rc<Self>, newer: Option<Arc<Revocations>>) {
        let is_same = match (&*self.revocations.borrow(), &newer) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if is_same {
            return;
        }
        self.revocations.borrow_mut().clone_from(&newer);
        let Some(revocations) = newer.filter(|revocations| !revocations.is_empty()) else { return };
        let all: Vec<Rc<Connection>> =
            self.connections.borrow().iter().map(|(_, connection)| Rc::clone(connection)).collect();
        for connection in all {
            let ended = {
                let mut session = connection.session.borrow_mut();
                let Some(session) = session.as_mut() else { continue };
                let hit = session.credential().is_some_and(|(cid, grant)| {
                    revocations.hit(Suspect { grant, cid: Some(cid) }).is_some()
                });
                if hit {
                    None
                } else {
                    Some(session.revoke_filters(|grant| is_revoked(&revocations, grant)))
                }
            };
            match ended {
                None => connection.close(self, CloseCode::Revoked),
                Some(ended) => self.end_subscriptions(&connection, ended),
            }
        }
    }
}

/// Whether a subscription's own token is hit.
fn is_revoked(revocations: &Revocations, grant: &FilterGrant) -> bool {
    let FilterGrant { identity, facts, expires_at_s, .. } = grant.clone();
    let grant = Grant { identity, expires_at_s, facts, ..Grant::default() };
    revocations.hit(Suspect { grant: &grant, cid: None }).is_some()
}

fn refused(error: TokenError) -> Failure {
    let code = match error.close_code() {
        CloseCode::Internal => ErrorCode::Internal,
        _ => ErrorCode::Unauthorized,
    };
    Failure::new(code, error.to_string())
}

/// The connection ended while its token was read.
fn gone() -> Failure {
    Failure::new(ErrorCode::Internal, "the connection is closing")
}
