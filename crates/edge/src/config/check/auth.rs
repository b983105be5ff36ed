//! What is wrong with who may connect, and what follows from it for namespaces and streams.

use super::{AuthMode, Config, is_name};
use crate::auth::BY_NATS;
use crate::config::AuthSection;
use crate::web::WebAddress;
use meridian_core::policy::Tenants;
use meridian_core::tenant::{TenantError, TenantPrefix};
use meridian_nats::streams::DurableNamespace;
use meridian_nats::subjects;

/// More would keep expired tokens alive, and hide a clock that is wrong.
const CLOCK_SKEW_S_MAX: u64 = 300;

/// Revocations are small; beyond this somebody fills the stream.
const REVOCATIONS_BYTES_MAX: i64 = 256 << 20;

/// Every mistake.
pub(super) fn check(config: &Config) -> Vec<String> {
    let auth = &config.auth;
    let mut mistakes = Vec::new();
    let mut wrong = |key: &str, what: String| mistakes.push(format!("auth.{key}: {what}"));
    if auth.clock_skew_s > CLOCK_SKEW_S_MAX {
        wrong("clock_skew_s", format!("{} is over {CLOCK_SKEW_S_MAX}", auth.clock_skew_s));
    }
    match (auth.mode, auth.issuers.is_empty()) {
        (AuthMode::Dev, false) => {
            wrong("issuers", "dev mode reads no tokens: set auth.mode = \"token\"".into());
        }
        (AuthMode::Service, false) => {
            let what = "service mode reads no tokens, but hands them on: leave issuers out";
            wrong("issuers", what.into());
        }
        (AuthMode::Token, true) => wrong("issuers", "empty: whose tokens are taken?".into()),
        _ => {}
    }
    if let Err(error) = tenant_prefix(auth) {
        wrong("tenant_prefix", error.to_string());
    }
    let has_tenants = !auth.tenant_prefix.is_empty() || !auth.tenant.is_empty();
    if has_tenants && auth.mode == AuthMode::Dev {
        wrong("tenant_prefix", "dev mode knows no tenants: set auth.mode = \"token\"".into());
    }
    if !auth.tenant_prefix.is_empty() && !auth.tenant.is_empty() {
        let what = "an edge of one tenant has its own NATS account, and needs no tenant_prefix";
        wrong("tenant", what.into());
    }
    if !auth.cookie.is_empty() && !is_cookie_name(&auth.cookie) {
        wrong("cookie", format!("{:?} is no cookie's name", auth.cookie));
    }
    if !auth.cookie.is_empty() && config.listen.origins.iter().any(|origin| origin == "*") {
        let what = "with listen.origins \"*\" any page could use it: list the origins";
        wrong("cookie", what.into());
    }
    mistakes.extend(check_service(auth));
    let mut wrong = |key: &str, what: String| mistakes.push(format!("auth.{key}: {what}"));
    let home = &auth.revocations.home;
    if !home.is_empty() && !is_name(home) {
        wrong("revocations.home", format!("{home:?} is no region"));
    }
    if !home.is_empty() && auth.mode == AuthMode::Dev {
        wrong("revocations.home", "dev mode reads no tokens: set auth.mode = \"token\"".into());
    }
    if auth.revocations.keep_s == 0 {
        wrong("revocations.keep_s", "0: how long do tokens live at most?".into());
    }
    mistakes.extend(config.authenticator().err().unwrap_or_default());
    mistakes
}

/// What is wrong with whom to ask.
fn check_service(auth: &AuthSection) -> Vec<String> {
    let service = &auth.service;
    let mut mistakes = Vec::new();
    let mut wrong = |key: &str, what: &str| mistakes.push(format!("auth.service.{key}: {what}"));
    if service.ask.is_empty() && (auth.mode == AuthMode::Service || service.subscribe) {
        wrong("ask", "empty: \"nats\", or a webhook's address");
    }
    if !service.ask.is_empty()
        && service.ask != BY_NATS
        && let Err(what) = WebAddress::parse(&service.ask)
    {
        wrong("ask", what);
    }
    if !service.ask.is_empty() && auth.mode == AuthMode::Dev {
        wrong("ask", "dev mode asks nobody: set auth.mode to \"service\" or \"token\"");
    }
    if !(50..=30_000).contains(&service.timeout_ms) {
        wrong("timeout_ms", "outside 50 to 30000");
    }
    if service.cache_s > 3_600 {
        wrong("cache_s", "over 3600");
    }
    mistakes
}

/// What stands before tenants' subjects, if anything does.
pub(in crate::config) fn tenant_prefix(
    auth: &AuthSection,
) -> Result<Option<TenantPrefix>, TenantError> {
    let text = &auth.tenant_prefix;
    (!text.is_empty()).then(|| TenantPrefix::parse(text)).transpose()
}

/// Which tenants the edge serves.
pub(in crate::config) fn tenants(auth: &AuthSection) -> Result<Tenants, TenantError> {
    Ok(match tenant_prefix(auth)? {
        Some(prefix) => Tenants::Prefixed(prefix),
        None if auth.tenant.is_empty() => Tenants::Together,
        None => Tenants::Only(auth.tenant.clone()),
    })
}

/// The stream of revocations, if they are kept: the newest of each name.
pub(in crate::config) fn revocations(auth: &AuthSection) -> Option<DurableNamespace> {
    let kept = &auth.revocations;
    (!kept.home.is_empty()).then(|| DurableNamespace {
        name: "revocations".into(),
        pattern: format!("{}.>", subjects::REVOKE),
        stream: "MRD_REVOCATIONS".into(),
        epoch: 1,
        home: kept.home.clone(),
        home_stream: None,
        replicas: kept.replicas,
        max_age_s: kept.keep_s,
        max_messages_per_subject: 1,
        max_bytes: REVOCATIONS_BYTES_MAX,
        duplicate_window_s: 0,
    })
}

/// RFC 6265 section 4.1.1: a token of HTTP.
fn is_cookie_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
