//! `[auth]`: who may connect, and who decides that.

use crate::auth::KeyAlgorithm;
use serde::{Deserialize, Serialize};

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSection {
    /// How clients prove who they are.
    pub mode: AuthMode,
    /// Whether `dev` mode may listen beyond loopback, where anybody could connect.
    pub allow_anonymous_beyond_loopback: bool,
    /// How far clocks may differ, in s, at most 300: a token is taken this long before its `nbf`
    /// and after its `exp`.
    pub clock_skew_s: u64,
    /// The cookie that may hold a token, for pages of allowed origins; empty: none is looked at.
    pub cookie: String,
    /// Whether `?token=` in an address may hold a token, which logs on the way may then hold too.
    pub query: bool,
    /// What stands before every subject of a tenant in NATS, such as `t.{tenant}.`; empty: nothing,
    /// and rules alone keep tenants apart.
    pub tenant_prefix: String,
    /// The only tenant that is served, by an edge whose NATS account is that tenant's own; empty:
    /// all are.
    pub tenant: String,
    /// Where revocations are kept.
    pub revocations: RevocationsSection,
    /// Somebody else who decides.
    pub service: ServiceSection,
    /// Whose tokens are taken, in `token` mode.
    pub issuers: Vec<IssuerSection>,
}

/// A service that decides who may connect, in `service` mode, or who may subscribe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSection {
    /// `nats`, for requests on `_mrd.auth.connect` and `_mrd.auth.subscribe`, or a webhook's
    /// address: `https://…`, or `http://…` on this machine. Empty: nobody is asked.
    pub ask: String,
    /// Whether to ask about filters that the connection's own permissions do not allow.
    pub subscribe: bool,
    /// How long an answer may take, in ms, 50 to 30,000.
    pub timeout_ms: u64,
    /// How long an answer is kept, in s, up to 3,600; 0: not at all.
    pub cache_s: u64,
}

/// Where revocations are kept: a stream like that of a durable namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RevocationsSection {
    /// The stream's home region. Empty: revocations reach the edges that run, and no other.
    pub home: String,
    /// Servers of a region that store each: 1, 3 or 5.
    pub replicas: usize,
    /// How long they are kept, in s: no token may live longer.
    pub keep_s: u64,
}

/// An issuer of tokens. One of `key_file`, `key_env`, `jwks_file` and `jwks_url` holds its keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSection {
    /// What tokens say in `iss`.
    pub issuer: String,
    /// What tokens say in `aud`, or among others there.
    pub audience: String,
    /// What the key in `key_file` or `key_env` is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<KeyAlgorithm>,
    /// The `kid` of that key. Without it, it is tried for every token of its algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// A file with a shared secret of at least 32 bytes, or with a public key in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// The name of an environment variable with the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// A file with a JWK set of public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<String>,
    /// The address of a JWK set: `https://…`, or `http://…` on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// A file that the edge keeps the last good set of `jwks_url` in, for its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_copy: Option<String>,
}

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Not at all: everybody is anonymous.
    #[default]
    Dev,
    /// By a signed token in `connect`.
    Token,
    /// By whatever the service in `auth.service` takes.
    Service,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self {
            mode: AuthMode::Dev,
            allow_anonymous_beyond_loopback: false,
            // Machines that synchronise their clocks differ by less than a second.
            clock_skew_s: 30,
            cookie: String::new(),
            query: false,
            tenant_prefix: String::new(),
            tenant: String::new(),
            revocations: RevocationsSection::default(),
            service: ServiceSection::default(),
            issuers: Vec::new(),
        }
    }
}

impl Default for ServiceSection {
    fn default() -> Self {
        // A service that answers later than this is down, and reconnects come in seconds.
        Self { ask: String::new(), subscribe: false, timeout_ms: 2_000, cache_s: 30 }
    }
}

impl Default for RevocationsSection {
    fn default() -> Self {
        // A month: longer than any access token should live.
        Self { home: String::new(), replicas: 1, keep_s: 30 * 24 * 3_600 }
    }
}
