//! A token's inside (RFC 7519 section 4): for whom, for how long, and what it permits.

use super::token::TokenError;
use meridian_core::permission::{Grant, Identity, PermissionTexts, Permissions};
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
    #[serde(default)]
    debug: bool,
    #[serde(default)]
    permissions: PermissionTexts,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    /// Checks everything but the signature. Times are inclusive of `skew_s` on both sides.
    pub(super) fn grant(
        self,
        audience: &str,
        now_s: u64,
        skew_s: u64,
    ) -> Result<Grant, TokenError> {
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
        for name in [Some(&self.sub), self.tenant.as_ref()].into_iter().flatten() {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control)
            {
                return Err(TokenError::Malformed("sub or tenant is no name"));
            }
        }
        let identity = Identity { user: self.sub, tenant: self.tenant };
        let permissions = Permissions::new(&self.permissions, &identity)?;
        Ok(Grant { identity, permissions, expires_at_s, is_followed: self.debug })
    }
}
