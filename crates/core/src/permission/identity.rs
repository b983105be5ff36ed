//! Who a client is, and all that its token gave it.

use super::Permissions;
use meridian_proto::Filter;

/// Who a client is. Texts as a token has them: only placeholders ask for more than that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user.
    pub user: String,
    /// One of several customers of a mesh, if the token names one.
    pub tenant: Option<String>,
}

/// What a client has proven, and what it may do for it. Owned by its session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Who it is.
    pub identity: Identity,
    /// What it may do.
    pub permissions: Permissions,
    /// Until when, in s of Unix time.
    pub expires_at_s: u64,
    /// Whether everything that it sends is traced (claim `debug`).
    pub is_followed: bool,
    /// What else its token says of itself.
    pub facts: TokenFacts,
}

/// What a token says of itself, for revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFacts {
    /// `jti`.
    pub token_id: Option<String>,
    /// `sid`.
    pub session_id: Option<String>,
    /// `iat`, in s of Unix time.
    pub issued_at_s: Option<u64>,
}

/// What a subscription token gives: one filter, or a part of it, to the user that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterGrant {
    /// Whose it is.
    pub identity: Identity,
    /// What may be subscribed to.
    pub filter: Filter,
    /// Until when, in s of Unix time.
    pub expires_at_s: u64,
    /// What else the token says of itself.
    pub facts: TokenFacts,
}
