//! What a session's tokens give it, until when, and what becomes of its subscriptions when a newer
//! token gives less.
//!
//! Time is Unix time in s, and is passed in.

use super::on_subscribe::declared;
use super::{Moment, Session, judge};
use crate::interest::Interest;
use crate::permission::{FilterGrant, Grant, Identity, Verb, Verdict};
use meridian_proto::command::Subscribe;
use meridian_proto::item::{Expire, Failure, RefreshReply};
use meridian_proto::{ErrorCode, Filter};

/// How long before its end a client is told that a token ends, in s; a token that lives for less
/// than four times as long is announced for its last quarter.
const NOTICE_S: u64 = 60;

/// Codes of the push `unsub` (`proto/PROTOCOL.md`, unsub).
pub const UNSUB_FORBIDDEN: u16 = 2501;
/// The subscription's own token has expired.
pub const UNSUB_EXPIRED: u16 = 2502;
/// The subscription's own token was revoked.
pub const UNSUB_REVOKED: u16 = 2503;

/// Owned by the session, where tokens are asked for.
#[derive(Debug)]
pub(super) struct Rights {
    /// The connection's id, which a revocation may name.
    pub(super) cid: Box<str>,
    pub(super) grant: Box<Grant>,
    term: Term,
    /// Subscriptions that stand by a token of their own.
    filters: Vec<FilterRight>,
}

#[derive(Debug)]
struct FilterRight {
    subscription: u32,
    grant: Box<FilterGrant>,
    term: Term,
}

/// A token's end, and the moment to speak of it.
#[derive(Debug, Clone, Copy)]
struct Term {
    expires_at_s: u64,
    /// None once it was told.
    notice_at_s: Option<u64>,
}

impl Term {
    fn new(expires_at_s: u64, now_s: u64) -> Self {
        let life_s = expires_at_s.saturating_sub(now_s);
        let notice_at_s = Some(expires_at_s - NOTICE_S.min(life_s / 4));
        Self { expires_at_s, notice_at_s }
    }

    fn next_s(&self) -> u64 {
        self.notice_at_s.unwrap_or(self.expires_at_s)
    }

    /// The notice, once, when its time has come.
    fn notice(&mut self, subscription: Option<u32>, now_s: u64) -> Option<Deadline> {
        self.notice_at_s.take_if(|at_s| *at_s <= now_s)?;
        let in_s = self.expires_at_s.saturating_sub(now_s);
        Some(Deadline::Notice(Expire { in_s, i: subscription }))
    }
}

/// What the passing of time brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deadline {
    /// Tell the client.
    Notice(Expire),
    /// A subscription's own token has expired.
    Subscription(Ended),
    /// The connection's token has expired: close.
    Connection,
}

/// A subscription that the session no longer holds. Leave the interest table for it; then answer
/// the subscribe that still waits, or send `unsub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub subscription: u32,
    /// The subscribe that is not yet answered.
    pub command: Option<u32>,
    /// Of `unsub`.
    pub code: u16,
    /// For people.
    pub reason: String,
}

impl Rights {
    pub(super) fn new(cid: &str, grant: Box<Grant>, now_s: u64) -> Box<Self> {
        let term = Term::new(grant.expires_at_s, now_s);
        Box::new(Self { cid: cid.into(), grant, term, filters: Vec::new() })
    }

    /// Refuses what a token allows that is over already: the edge closes within a second.
    pub(super) fn in_time(&self, moment: &Moment<'_>) -> Result<(), Failure> {
        if self.grant.expires_at_s > moment.unix_s {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::TokenExpired, "the token has expired").hint("send refresh"))
    }

    pub(super) fn keep(&mut self, subscription: u32, grant: Box<FilterGrant>, now_s: u64) {
        self.release(subscription);
        let term = Term::new(grant.expires_at_s, now_s);
        self.filters.push(FilterRight { subscription, grant, term });
    }

    pub(super) fn release(&mut self, subscription: u32) {
        self.filters.retain(|right| right.subscription != subscription);
    }

    /// Whether a token of its own allows a client a filter: the same user and tenant, and nothing
    /// that the connection's token denies.
    ///
    /// # Errors
    /// What to tell the client.
    pub(super) fn allow_by(&self, offered: &FilterGrant, filter: &Filter) -> Result<(), Failure> {
        if offered.identity != self.grant.identity {
            let msg = "the subscription token is another user's, or another tenant's";
            return Err(Failure::new(ErrorCode::Forbidden, msg));
        }
        if let Some(rule) = self.grant.permissions.denies(Verb::Sub, filter) {
            let failure = Failure::new(ErrorCode::Forbidden, format!("not allowed: {filter}"));
            return Err(failure.hint(format!("denied by sub rule {rule}")));
        }
        if !offered.filter.contains(filter) {
            let msg = format!("the subscription token is for {}", offered.filter);
            return Err(Failure::new(ErrorCode::Forbidden, msg));
        }
        Ok(())
    }
}

impl Session {
    /// When to call [`Session::pass`] next, in s of Unix time. None without tokens.
    #[must_use]
    pub fn next_deadline_s(&self) -> Option<u64> {
        let rights = self.rights.as_ref()?;
        let filters = rights.filters.iter().map(|right| right.term.next_s());
        Some(filters.fold(rights.term.next_s(), u64::min))
    }

    /// What is due. Subscriptions that end are held no longer.
    pub fn pass(&mut self, now_s: u64) -> Vec<Deadline> {
        let Some(rights) = self.rights.as_mut() else { return Vec::new() };
        if rights.term.expires_at_s <= now_s {
            return vec![Deadline::Connection];
        }
        let mut due: Vec<Deadline> = rights.term.notice(None, now_s).into_iter().collect();
        let mut over = Vec::new();
        for right in &mut rights.filters {
            if right.term.expires_at_s <= now_s {
                over.push(right.subscription);
            } else {
                due.extend(right.term.notice(Some(right.subscription), now_s));
            }
        }
        for subscription in over {
            let reason = "the subscription token has expired";
            due.push(Deadline::Subscription(self.end(subscription, UNSUB_EXPIRED, reason.into())));
        }
        due
    }

    /// Puts a newer token in the place of the connection's. Subscriptions that it does not allow
    /// are held no longer.
    ///
    /// # Errors
    /// When it is another user's or tenant's: such a client connects anew.
    pub fn renew<K: Copy + Eq>(
        &mut self,
        grant: Box<Grant>,
        interest: &Interest<K>,
        now_s: u64,
    ) -> Result<(RefreshReply, Vec<Ended>), Failure> {
        let Some(rights) = self.rights.as_mut() else {
            return Err(Failure::new(ErrorCode::NotAvailable, "this edge asks for no tokens"));
        };
        if grant.identity != rights.grant.identity {
            let msg = "the token is another user's, or another tenant's";
            let failure = Failure::new(ErrorCode::Forbidden, msg);
            return Err(failure.hint("connect anew with it"));
        }
        let reply = RefreshReply { expires: grant.expires_at_s };
        rights.term = Term::new(grant.expires_at_s, now_s);
        rights.grant = grant;
        let mut ended = Vec::new();
        for subscription in self.subscriptions.clone() {
            if let Err(reason) = self.still_allowed(subscription, interest) {
                ended.push(self.end(subscription, UNSUB_FORBIDDEN, reason));
            }
        }
        Ok((reply, ended))
    }

    /// Puts a newer token in the place of a subscription's own.
    ///
    /// # Errors
    /// When the subscription is not held, or the token does not allow it.
    pub fn renew_filter<K: Copy + Eq>(
        &mut self,
        subscription: u32,
        grant: Box<FilterGrant>,
        interest: &Interest<K>,
        now_s: u64,
    ) -> Result<RefreshReply, Failure> {
        let filter = interest.filter_of_group(subscription).filter(|_| self.holds(subscription));
        let filter = filter.and_then(|filter| self.scope.strip(filter));
        let (Some(filter), Some(rights)) = (filter, self.rights.as_mut()) else {
            return Err(Failure::new(ErrorCode::BadRequest, "no such subscription"));
        };
        rights.allow_by(&grant, &filter)?;
        let reply = RefreshReply { expires: grant.expires_at_s };
        rights.keep(subscription, grant, now_s);
        Ok(reply)
    }

    /// Whether somebody else may be asked about a subscribe: a declared filter that no rule allows
    /// and none denies. Gives whom it is for, and until when its connection may be.
    #[must_use]
    pub fn would_ask(&self, body: &Subscribe, moment: &Moment<'_>) -> Option<(Identity, u64)> {
        let rights = self.rights.as_ref()?;
        let (filter, _) = declared(&body.f, moment).ok()?;
        let verdict = rights.grant.permissions.of_filter(Verb::Sub, &filter);
        let is_open = matches!(verdict, Verdict::NotAllowed { .. });
        let Grant { identity, expires_at_s, .. } = &*rights.grant;
        (is_open && rights.in_time(moment).is_ok()).then(|| (identity.clone(), *expires_at_s))
    }

    /// What a revocation has to be compared with: the connection's id and grant.
    #[must_use]
    pub fn credential(&self) -> Option<(&str, &Grant)> {
        self.rights.as_ref().map(|rights| (&*rights.cid, &*rights.grant))
    }

    /// Ends the subscriptions whose own token `is_revoked`.
    pub fn revoke_filters(&mut self, is_revoked: impl Fn(&FilterGrant) -> bool) -> Vec<Ended> {
        let Some(rights) = self.rights.as_ref() else { return Vec::new() };
        let revoked = rights.filters.iter().filter(|right| is_revoked(&right.grant));
        let revoked: Vec<u32> = revoked.map(|right| right.subscription).collect();
        let reason = "the subscription token was revoked";
        let end = |subscription| self.end(subscription, UNSUB_REVOKED, reason.into());
        revoked.into_iter().map(end).collect()
    }

    fn still_allowed<K: Copy + Eq>(
        &self,
        subscription: u32,
        interest: &Interest<K>,
    ) -> Result<(), String> {
        let Some(rights) = self.rights.as_ref() else { return Ok(()) };
        let filter = interest.filter_of_group(subscription);
        let filter = filter.and_then(|filter| self.scope.strip(filter));
        let filter = filter.ok_or_else(|| "the filter is gone".to_owned())?;
        let own = rights.filters.iter().find(|right| right.subscription == subscription);
        let allowed = match own {
            Some(right) => rights.allow_by(&right.grant, &filter),
            None => judge(&rights.grant.permissions.of_filter(Verb::Sub, &filter), filter.as_str()),
        };
        allowed.map_err(|failure| match failure.hint {
            Some(hint) => format!("no longer allowed: {hint}"),
            None => failure.msg,
        })
    }

    fn end(&mut self, subscription: u32, code: u16, reason: String) -> Ended {
        let waiting = self.unanswered.iter().find(|waiting| waiting.subscription == subscription);
        let command = waiting.and_then(|waiting| waiting.command);
        self.release(subscription);
        Ended { subscription, command, code, reason }
    }
}
