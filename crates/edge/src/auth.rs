//! Who a client is: tokens are read and verified here, and become a `Grant`.
//!
//! Not for: what a grant allows, which `meridian_core::permission` decides. Called by the shards at
//! `connect`, by the configuration's checks, and by `meridian token`.

mod claims;
mod explain;
mod issuer;
mod jwks;
mod key;
mod reload;
mod service;
mod signer;
#[cfg(test)]
mod tests;
mod token;

pub use explain::{Explanation, explain};
pub use key::KeyAlgorithm;
pub(crate) use reload::keep_fresh;
pub(crate) use service::{Asked, BY_NATS, Desk, Question, run as answer_questions};
pub use signer::Signer;
pub use token::TokenError;

use crate::config::AuthSection;
use issuer::{Fetched, Issuer};
use meridian_core::permission::{FilterGrant, Grant};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use token::Token;
use tokio::sync::Notify;

/// The time that tokens are measured by, in s of Unix time; 0 if the clock stands before 1970.
#[must_use]
pub fn unix_time_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Every issuer whose tokens are taken, with its keys. Immutable: new keys make a new one.
#[derive(Debug)]
pub struct Authenticator {
    issuers: Vec<Issuer>,
    clock_skew_s: u64,
    /// Of all key material, to see whether it changed. Never shown.
    fingerprint: u64,
    /// Told of tokens whose key is not known, which may be new at its issuer. The same for all that
    /// follow each other.
    missed: Arc<Notify>,
}

impl Authenticator {
    /// Reads every key from its file or environment variable. Keys that are fetched are those of
    /// the last good copy, or none yet.
    ///
    /// # Errors
    /// Every mistake, each with its place in the configuration and never with a secret.
    pub fn new(section: &AuthSection) -> Result<Self, Vec<String>> {
        Self::with(section, &Fetched::new())
    }

    /// The same, with the key sets that were fetched.
    fn with(section: &AuthSection, fetched: &Fetched) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut hasher = DefaultHasher::new();
        let mut issuers: Vec<Issuer> = Vec::new();
        for (index, section) in section.issuers.iter().enumerate() {
            let place = format!("auth.issuers[{index}]");
            if issuers.iter().any(|other| other.name == section.issuer) {
                mistakes.push(format!("{place}.issuer: {:?} stands twice", section.issuer));
            }
            match Issuer::load(section, fetched, &place) {
                Ok((issuer, material)) => {
                    material.hash(&mut hasher);
                    issuers.push(issuer);
                }
                Err(mut wrong) => mistakes.append(&mut wrong),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let (clock_skew_s, fingerprint) = (section.clock_skew_s, hasher.finish());
        Ok(Self { issuers, clock_skew_s, fingerprint, missed: Arc::default() })
    }

    /// Takes the place of another.
    fn after(self, other: &Self) -> Self {
        Self { missed: other.missed(), ..self }
    }

    /// Is notified of tokens whose key is not known.
    fn missed(&self) -> Arc<Notify> {
        Arc::clone(&self.missed)
    }

    /// Verifies a token. `now_s` is Unix time. The grant ends when the token does, the allowed
    /// difference of clocks included.
    ///
    /// # Errors
    /// Why it is not taken, see [`TokenError`].
    pub fn check(&self, text: &str, now_s: u64) -> Result<Grant, TokenError> {
        let (token, issuer) = self.verified(text)?;
        token.claims.grant(&issuer.audience, now_s, self.clock_skew_s)
    }

    /// Verifies a subscription token, as above.
    ///
    /// # Errors
    /// Why it is not taken, see [`TokenError`].
    pub fn check_filter(&self, text: &str, now_s: u64) -> Result<FilterGrant, TokenError> {
        let (token, issuer) = self.verified(text)?;
        token.claims.filter_grant(&issuer.audience, now_s, self.clock_skew_s)
    }

    fn verified<'a>(&self, text: &'a str) -> Result<(Token<'a>, &Issuer), TokenError> {
        let token = Token::read(text)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.name == token.claims.iss);
        let issuer = issuer.ok_or(TokenError::UnknownIssuer)?;
        let verified = issuer.verify(&token);
        if matches!(verified, Err(TokenError::UnknownKey | TokenError::KeysUnknown)) {
            self.missed.notify_one();
        }
        verified.map(|()| (token, issuer))
    }
}
