//! Who a client is, and all that its token gave it.

use super::Permissions;

/// Who a client is. Texts as a token has them: only placeholders ask for more than that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user.
    pub user: String,
    /// One of several customers of a mesh, if the token names one.
    pub tenant: Option<String>,
}

/// What a client has proven, and what it may do for it. Owned by its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who it is.
    pub identity: Identity,
    /// What it may do.
    pub permissions: Permissions,
    /// Until when, in s of Unix time.
    pub expires_at_s: u64,
    /// Whether everything that it sends is traced (claim `debug`).
    pub is_followed: bool,
}
