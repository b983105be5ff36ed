//! A token's outside (RFC 7515 section 7.1): three parts, of which the header names a key.

use super::claims::Claims;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meridian_core::permission::PermissionError;
use meridian_proto::CloseCode;
use meridian_proto::limits::TOKEN_BYTES_MAX;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest key id in bytes. It is looked up and used for nothing else.
const KEY_ID_BYTES_MAX: usize = 128;

/// Why a token is not taken. The client is told, so none repeats the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The client sent none.
    #[error("no token: send one in connect")]
    Missing,
    /// Over [`TOKEN_BYTES_MAX`].
    #[error("the token is over {TOKEN_BYTES_MAX} bytes: put less into it")]
    TooLong,
    /// Not a signed JWT, or one whose claims have other types.
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    /// `iss` is none of the configured.
    #[error("unknown issuer: this edge takes no tokens of it")]
    UnknownIssuer,
    /// No key of the issuer has this `alg` and `kid`.
    #[error("unknown key: the issuer has none with this kid and alg here")]
    UnknownKey,
    /// The signature does not verify.
    #[error("wrong signature")]
    Signature,
    /// `aud` does not name the configured audience.
    #[error("wrong audience: the token is for another service")]
    Audience,
    /// `exp` has passed.
    #[error("token expired: get a new one")]
    Expired,
    /// `nbf` has not come.
    #[error("token not valid yet: look at the clocks")]
    NotYet,
    /// The issuer's keys have not been fetched yet.
    #[error("the issuer's keys are not known yet: try again")]
    KeysUnknown,
    /// A rule that nobody can go by.
    #[error(transparent)]
    Permissions(#[from] PermissionError),
}

impl TokenError {
    /// What a connection is closed with that sent it.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::KeysUnknown => CloseCode::Internal,
            _ => CloseCode::InvalidToken,
        }
    }
}

/// A token taken apart. Nothing in it is true before [`super::issuer::Issuer::verify`].
pub(super) struct Token<'a> {
    pub(super) header: Header,
    pub(super) claims: Claims,
    /// What is signed.
    pub(super) message: &'a str,
    /// In base64url.
    pub(super) signature: &'a str,
}

/// What of a header counts. URLs and keys in it are never looked at.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let parts = text.rsplit_once('.').and_then(|(message, signature)| {
            let (header, claims) = message.split_once('.')?;
            (!claims.contains('.')).then_some((message, header, claims, signature))
        });
        let (message, header, claims, signature) =
            parts.ok_or(TokenError::Malformed("not three parts with dots between"))?;
        let header: Header =
            part(header).ok_or(TokenError::Malformed("the header is not understood"))?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed("crit: no extensions are understood"));
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > KEY_ID_BYTES_MAX) {
            return Err(TokenError::Malformed("kid is too long"));
        }
        let claims: Claims = part(claims).ok_or(TokenError::Malformed(
            "iss, aud, sub and exp must be there, and permissions in the known shape",
        ))?;
        Ok(Self { header, claims, message, signature })
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
