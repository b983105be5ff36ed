//! Revocations: which tokens are worth nothing any more, though their signature and their time say
//! otherwise.
//!
//! Pure. How they travel between regions, and where they are kept, is the edge's business.

use crate::permission::Grant;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Most revocations that an edge keeps: at 100 bytes each some megabytes. Beyond it those that end
/// first are forgotten first, and the edge says so.
pub const REVOCATIONS_MAX: usize = 100_000;

/// What is revoked. The name is the user's, the session's or the token's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevokedKind {
    /// Every token of a user (`sub`) that was issued until then.
    User,
    /// Every token of a session: `sid`, or the connection with this `cid`.
    Session,
    /// One token: `jti`.
    Token,
}

/// One revocation, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What is revoked.
    pub kind: RevokedKind,
    /// Whose.
    pub name: String,
    /// Of this tenant only; without it, of every tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When it was revoked, in s of Unix time. Tokens of a user that say (`iat`) that they were
    /// issued later are good.
    pub at: u64,
    /// Until when it holds, in s of Unix time: no token that it is for lives longer.
    pub until: u64,
}

/// What a revocation says of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Suspect<'a> {
    /// What its token gave.
    pub grant: &'a Grant,
    /// The connection's id, once it has one.
    pub cid: Option<&'a str>,
}

/// All that hold. Replaced as a whole by whoever adds to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations(HashMap<(RevokedKind, String), Vec<Revocation>>);

impl Revocations {
    /// Adds one. Answers whether it says anything new.
    pub fn insert(&mut self, revocation: Revocation) -> bool {
        let known = self.0.entry((revocation.kind, revocation.name.clone())).or_default();
        match known.iter_mut().find(|other| other.tenant == revocation.tenant) {
            Some(other) if other.at >= revocation.at && other.until >= revocation.until => false,
            Some(other) => {
                other.at = other.at.max(revocation.at);
                other.until = other.until.max(revocation.until);
                true
            }
            None => {
                known.push(revocation);
                true
            }
        }
    }

    /// Forgets what holds no longer, and what is too much. Returns how many were too much.
    pub fn forget(&mut self, now_s: u64) -> usize {
        self.0.retain(|_, known| {
            known.retain(|revocation| revocation.until > now_s);
            !known.is_empty()
        });
        let excess = self.len().saturating_sub(REVOCATIONS_MAX);
        if excess > 0 {
            let mut ends: Vec<u64> = self.iter().map(|revocation| revocation.until).collect();
            ends.sort_unstable();
            let last = ends[excess - 1];
            self.0.retain(|_, known| {
                known.retain(|revocation| revocation.until > last);
                !known.is_empty()
            });
        }
        excess
    }

    /// The revocation that ends a connection, or keeps a token from opening one.
    #[must_use]
    pub fn hit(&self, suspect: Suspect<'_>) -> Option<&Revocation> {
        if self.0.is_empty() {
            return None;
        }
        let Grant { identity, facts, .. } = suspect.grant;
        let names = [
            (RevokedKind::User, Some(identity.user.as_str())),
            (RevokedKind::Session, facts.session_id.as_deref()),
            (RevokedKind::Session, suspect.cid),
            (RevokedKind::Token, facts.token_id.as_deref()),
        ];
        let known =
            names.into_iter().filter_map(|(kind, name)| self.0.get(&(kind, name?.to_owned())));
        known.flatten().find(|revocation| {
            let is_theirs = revocation.tenant.is_none() || revocation.tenant == identity.tenant;
            let is_newer = revocation.kind == RevokedKind::User
                && facts.issued_at_s.is_some_and(|issued| issued > revocation.at);
            is_theirs && !is_newer
        })
    }

    /// How many hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.0.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permission::{Identity, Permissions, TokenFacts};

    fn grant(tenant: Option<&str>, issued_at_s: Option<u64>) -> Grant {
        Grant {
            identity: Identity { user: "ann".into(), tenant: tenant.map(Into::into) },
            permissions: Permissions::default(),
            expires_at_s: 1_000,
            is_followed: false,
            facts: TokenFacts {
                token_id: Some("t1".into()),
                session_id: Some("s1".into()),
                issued_at_s,
            },
        }
    }

    fn revoked(kind: RevokedKind, name: &str) -> Revocation {
        Revocation { kind, name: name.into(), tenant: None, at: 100, until: 500 }
    }

    fn hits(revocation: Revocation, grant: &Grant) -> bool {
        let mut revocations = Revocations::default();
        assert!(revocations.insert(revocation));
        revocations.hit(Suspect { grant, cid: Some("c1") }).is_some()
    }

    #[test]
    fn users_sessions_connections_and_tokens_are_hit_by_their_own_names_only() {
        let grant = grant(None, None);
        for (kind, right) in [
            (RevokedKind::User, &["ann"][..]),
            (RevokedKind::Session, &["s1", "c1"]),
            (RevokedKind::Token, &["t1"]),
        ] {
            for name in ["ann", "s1", "c1", "t1", "bob", ""] {
                let expected = right.contains(&name);
                assert_eq!(hits(revoked(kind, name), &grant), expected, "{kind:?} {name}");
            }
        }
    }

    #[test]
    fn a_user_who_signs_in_again_is_let_in_and_an_old_token_is_not() {
        assert!(hits(revoked(RevokedKind::User, "ann"), &grant(None, Some(100))));
        assert!(!hits(revoked(RevokedKind::User, "ann"), &grant(None, Some(101))));
        // One token stays revoked, whatever it says of itself.
        assert!(hits(revoked(RevokedKind::Token, "t1"), &grant(None, Some(101))));
    }

    #[test]
    fn a_tenants_revocation_is_no_other_tenants() {
        let acme = |kind, name| Revocation { tenant: Some("acme".into()), ..revoked(kind, name) };
        assert!(hits(acme(RevokedKind::User, "ann"), &grant(Some("acme"), None)));
        assert!(!hits(acme(RevokedKind::User, "ann"), &grant(Some("other"), None)));
        assert!(!hits(acme(RevokedKind::User, "ann"), &grant(None, None)));
    }

    #[test]
    fn what_is_over_is_forgotten_and_repeats_say_nothing_new() {
        let mut revocations = Revocations::default();
        assert!(revocations.insert(revoked(RevokedKind::User, "ann")));
        assert!(!revocations.insert(revoked(RevokedKind::User, "ann")));
        let later = Revocation { until: 600, ..revoked(RevokedKind::User, "ann") };
        assert!(revocations.insert(later));
        assert_eq!(revocations.len(), 1);
        assert_eq!(revocations.forget(599), 0);
        assert_eq!(revocations.len(), 1);
        assert_eq!(revocations.forget(600), 0);
        assert!(revocations.is_empty());
    }

    #[test]
    fn beyond_the_bound_those_that_end_first_are_forgotten() {
        let mut revocations = Revocations::default();
        for number in 0..=REVOCATIONS_MAX as u64 {
            let name = number.to_string();
            let until = 1_000 + number;
            revocations.insert(Revocation { until, ..revoked(RevokedKind::Token, &name) });
        }
        assert_eq!(revocations.forget(0), 1);
        assert_eq!(revocations.len(), REVOCATIONS_MAX);
        assert!(revocations.iter().all(|revocation| revocation.until > 1_000));
    }
}
