//! What a token is good for, and why: for people who wonder at a refusal. The same decisions as a
//! session's, in the same order, told whole.

use crate::config::Config;
use meridian_core::namespace::{Class, Permission};
use meridian_core::permission::{Grant, Verb, Verdict};
use meridian_core::policy::Tenants;
use meridian_core::tenant::Scope;
use meridian_core::{Namespace, Policy};
use meridian_proto::{Filter, Subject};

/// An answer for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether a client with the token may.
    pub is_allowed: bool,
    /// What says so: the rule, the namespace, or what is wrong with the question.
    pub why: String,
    /// The namespace that declares it.
    pub namespace: Option<String>,
    /// What NATS knows it as, if that is something else.
    pub upstream: Option<String>,
}

impl Explanation {
    fn refused(why: String, namespace: Option<&Namespace>) -> Self {
        let namespace = namespace.map(|namespace| namespace.name.clone());
        Self { is_allowed: false, why, namespace, upstream: None }
    }
}

/// Explains what an edge of this configuration says to a client with this grant that wants to do
/// `verb` (`sub`, `pub`, `req`, `hist` or `pres`) with a filter or subject.
#[must_use]
pub fn explain(config: &Config, grant: &Grant, verb: &str, asked: &str) -> Explanation {
    let policy = config.policy();
    let scope = match scope(&policy, grant) {
        Ok(scope) => scope,
        Err(why) => return Explanation::refused(why, None),
    };
    match Verb::ALL.into_iter().find(|known| known.name() == verb) {
        Some(verb @ (Verb::Pub | Verb::Req)) => of_subject(&policy, grant, &scope, verb, asked),
        Some(verb) => of_filter(&policy, grant, &scope, verb, asked),
        None => {
            let known = Verb::ALL.map(Verb::name).join(", ");
            Explanation::refused(format!("{verb:?} is none of {known}"), None)
        }
    }
}

fn scope(policy: &Policy, grant: &Grant) -> Result<Scope, String> {
    let tenant = grant.identity.tenant.as_deref();
    match &policy.tenants {
        Tenants::Prefixed(prefix) => prefix.scope(tenant).map_err(|error| error.to_string()),
        Tenants::Only(only) if tenant != Some(only) => {
            Err(format!("this edge serves the tenant {only} only"))
        }
        Tenants::Together | Tenants::Only(_) => Ok(Scope::default()),
    }
}

fn of_filter(
    policy: &Policy,
    grant: &Grant,
    scope: &Scope,
    verb: Verb,
    asked: &str,
) -> Explanation {
    let filter = match Filter::parse(asked) {
        Ok(filter) => filter,
        Err(error) => return Explanation::refused(format!("no filter: {error}"), None),
    };
    let Some(namespace) = policy.namespaces.of_filter(&filter) else {
        return Explanation::refused(format!("no namespace declares {filter}"), None);
    };
    if verb == Verb::Hist && namespace.class == Class::Ephemeral {
        let why = format!("{} is ephemeral: nothing of it is stored", namespace.name);
        return Explanation::refused(why, Some(namespace));
    }
    let upstream = scope.filter(&filter).map(|filter| filter.as_str().to_owned());
    judged(&grant.permissions.of_filter(verb, &filter), namespace, upstream.ok(), asked)
}

fn of_subject(
    policy: &Policy,
    grant: &Grant,
    scope: &Scope,
    verb: Verb,
    asked: &str,
) -> Explanation {
    let subject = match Subject::parse(asked) {
        Ok(subject) => subject,
        Err(error) => return Explanation::refused(format!("no subject: {error}"), None),
    };
    let Some(namespace) = policy.namespaces.of_subject(&subject) else {
        return Explanation::refused(format!("no namespace declares {subject}"), None);
    };
    let (permission, what) = match verb {
        Verb::Pub => (namespace.publish, "publish"),
        _ => (namespace.request, "send requests"),
    };
    if permission == Permission::Denied {
        let why = format!("the namespace lets no client {what}: set it to true there");
        return Explanation::refused(why, Some(namespace));
    }
    let verdict = grant.permissions.of_subject(verb, &subject);
    let upstream = scope.subject(subject.clone()).map(|subject| subject.as_str().to_owned());
    judged(&verdict, namespace, upstream.ok(), asked)
}

fn judged(
    verdict: &Verdict<'_>,
    namespace: &Namespace,
    upstream: Option<String>,
    asked: &str,
) -> Explanation {
    Explanation {
        is_allowed: verdict.is_allowed(),
        why: verdict.to_string(),
        namespace: Some(namespace.name.clone()),
        upstream: upstream.filter(|upstream| upstream != asked),
    }
}
