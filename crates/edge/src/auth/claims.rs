//! A token's inside (RFC 7519 section 4): for whom, for how long, and what it permits.

use super::token::TokenError;
use meridian_core::permission::{
    FilterGrant, Grant, Identity, PermissionTexts, Permissions, TokenFacts,
};
use meridian_proto::Filter;
use serde::Deserialize;

/// Longest name of a user or tenant in bytes: they are shown in logs and in presence.
const NAME_BYTES_MAX: usize = 128;

/// What counts of a token's claims. Others may stand beside them.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    aud: Audience,
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    tenant: Option<String>,
    jti: Option<String>,
    sid: Option<String>,
    iat: Option<f64>,
    /// Only in a subscription token: what it is for.
    filter: Option<String>,
    #[serde(default)]
    debug: bool,
    #[serde(default)]
    permissions: PermissionTexts,
}

/// What of a token's claims does not depend on what it is for.
struct Common {
    identity: Identity,
    expires_at_s: u64,
    facts: TokenFacts,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    /// A connection's token: checks everything but the signature. Times are inclusive of `skew_s`
    /// on both sides.
    pub(super) fn grant(
        mut self,
        audience: &str,
        now_s: u64,
        skew_s: u64,
    ) -> Result<Grant, TokenError> {
        if self.filter.is_some() {
            return Err(TokenError::Malformed("a subscription token: send it in subscribe"));
        }
        let is_followed = self.debug;
        let texts = std::mem::take(&mut self.permissions);
        let Common { identity, expires_at_s, facts } = self.common(audience, now_s, skew_s)?;
        let permissions = Permissions::new(&texts, &identity)?;
        Ok(Grant { identity, permissions, expires_at_s, is_followed, facts })
    }

    /// A subscription's token, as above.
    pub(super) fn filter_grant(
        mut self,
        audience: &str,
        now_s: u64,
        skew_s: u64,
    ) -> Result<FilterGrant, TokenError> {
        let filter = self.filter.take();
        let filter = filter.ok_or(TokenError::Malformed("no subscription token: no filter"))?;
        let filter = Filter::parse(&filter)
            .map_err(|_| TokenError::Malformed("the filter of a subscription token is none"))?;
        let Common { identity, expires_at_s, facts } = self.common(audience, now_s, skew_s)?;
        Ok(FilterGrant { identity, filter, expires_at_s, facts })
    }

    fn common(self, audience: &str, now_s: u64, skew_s: u64) -> Result<Common, TokenError> {
        let is_meant = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        };
        if !is_meant {
            return Err(TokenError::Audience);
        }
        // Saturating: a negative time is 0, and one beyond all measure the largest there is.
        let expires_at_s = (self.exp as u64).saturating_add(skew_s);
        if expires_at_s <= now_s {
            return Err(TokenError::Expired);
        }
        if self.nbf.is_some_and(|nbf| nbf.ceil() as u64 > now_s.saturating_add(skew_s)) {
            return Err(TokenError::NotYet);
        }
        let names = [Some(&self.sub), self.tenant.as_ref(), self.jti.as_ref(), self.sid.as_ref()];
        for name in names.into_iter().flatten() {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control)
            {
                return Err(TokenError::Malformed("sub, tenant, jti or sid is no name"));
            }
        }
        let identity = Identity { user: self.sub, tenant: self.tenant };
        let issued_at_s = self.iat.map(|iat| iat as u64);
        let facts = TokenFacts { token_id: self.jti, session_id: self.sid, issued_at_s };
        Ok(Common { identity, expires_at_s, facts })
    }
}
