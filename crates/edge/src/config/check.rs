//! What types cannot say: ranges, names, and what contradicts itself. Every mistake is returned,
//! with its place and what to do.

mod auth;

pub(super) use auth::{revocations, tenant_prefix, tenants};

use super::{
    AuthMode, ClassName, Config, ListenSection, NamespaceSection, NatsSection, SlowClientName,
};
use meridian_core::namespace::{Permission, Replication, Retention};
use meridian_core::tenant::TenantPrefix;
use meridian_core::{Class, Namespace, Namespaces, SlowClient};
use meridian_nats::ServerUrl;
use meridian_nats::streams::{DurableNamespace, copy_name};
use meridian_proto::Filter;

/// Two lost heartbeats; less would raise false alarms.
const SILENCE_MS_MIN: u64 = 1_500;

/// More threads than this are a typing mistake.
const SHARDS_MAX: usize = 256;

/// Everything that is wrong with a well-typed configuration.
pub(super) fn check(config: &Config) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut wrong = |place: &str, what: String| mistakes.push(format!("{place}: {what}"));
    for (place, name) in [("edge.id", &config.edge.id), ("edge.region", &config.edge.region)] {
        if !is_name(name) {
            wrong(place, format!("{name:?} is no name: 1 to 64 letters, digits, - and _"));
        }
    }
    if config.edge.shards > SHARDS_MAX {
        wrong("edge.shards", format!("{} is over {SHARDS_MAX}", config.edge.shards));
    }
    let (public, admin) = (config.listen.public, config.listen.admin);
    if public == admin && public.port() != 0 {
        wrong("listen.admin", format!("{admin} is the public address too: choose another"));
    }
    let listen = &config.listen;
    mistakes.extend([check_listen(listen), super::proxies::mistakes(listen)].concat());
    let mut wrong = |place: &str, what: String| mistakes.push(format!("{place}: {what}"));
    let is_open = config.auth.mode == AuthMode::Dev && !public.ip().is_loopback();
    if is_open && !config.auth.allow_anonymous_beyond_loopback {
        let what = "accepts anybody, so it listens on loopback only: listen there, or set \
                    auth.allow_anonymous_beyond_loopback = true";
        wrong("auth.mode", format!("dev on {public} {what}"));
    }
    if !config.demo.control.is_empty() && !public.ip().is_loopback() {
        let what = "would tell everybody how to kill regions: only for `meridian dev`, on loopback";
        wrong("demo.control", what.into());
    }
    if config.nats.servers.is_empty() {
        wrong("nats.servers", "empty: name the region's NATS servers".into());
    }
    mistakes.extend(check_nats(&config.nats));
    let mut wrong = |place: &str, what: String| mistakes.push(format!("{place}: {what}"));
    for (index, region) in config.mesh.regions.iter().enumerate() {
        if !is_name(region) {
            let what = format!("{region:?} is no name: 1 to 64 letters, digits, - and _");
            wrong(&format!("mesh.regions[{index}]"), what);
        }
    }
    if config.mesh.silence_ms < SILENCE_MS_MIN {
        let what = format!("{} is under {SILENCE_MS_MIN}", config.mesh.silence_ms);
        wrong("mesh.silence_ms", what);
    }
    mistakes.extend([config.limits.mistakes(), config.metrics.check()].concat());
    mistakes.extend(config.tracing.check());
    mistakes.extend(auth::check(config));
    if !config.mesh.regions.is_empty() {
        let durables = config.durable_namespaces().into_iter();
        let checks = durables.map(|durable| durable.check(&config.mesh.regions));
        mistakes.extend(checks.filter_map(|check| Some(check.err()?.to_string())));
    }
    if let Err(mut errors) = namespaces(config) {
        mistakes.append(&mut errors);
    }
    mistakes
}

/// What is wrong with the servers' addresses and the files for TLS to them.
fn check_nats(nats: &NatsSection) -> Vec<String> {
    let mut mistakes = Vec::new();
    let is_named = |path: &std::path::Path| !path.as_os_str().is_empty();
    for (index, server) in nats.servers.iter().enumerate() {
        match server.parse::<ServerUrl>() {
            Ok(url) if url.demands_tls() && !is_named(&nats.tls_ca) => {
                let what = "tls:// needs nats.tls_ca, the authority that signs the server's";
                mistakes.push(format!("nats.servers[{index}]: {what} certificate"));
            }
            Ok(_) => {}
            Err(error) => mistakes.push(format!("nats.servers[{index}]: {error}")),
        }
    }
    if is_named(&nats.tls_certificate) != is_named(&nats.tls_key) {
        let what = "a client certificate needs both tls_certificate and tls_key";
        mistakes.push(format!("nats.tls_key: {what}: name both files, or none"));
    } else if is_named(&nats.tls_certificate) && !is_named(&nats.tls_ca) {
        mistakes.push("nats.tls_ca: missing: a client certificate is for TLS alone".into());
    } else if let Err(error) = nats.tls() {
        mistakes.push(format!("nats.tls_ca: {error}"));
    }
    mistakes
}

/// What is wrong with TLS and with the origins.
fn check_listen(listen: &ListenSection) -> Vec<String> {
    let mut mistakes = Vec::new();
    let (certificate, key) = (&listen.tls_certificate, &listen.tls_key);
    if certificate.as_os_str().is_empty() != key.as_os_str().is_empty() {
        let what = "TLS needs both tls_certificate and tls_key";
        mistakes.push(format!("listen.tls_key: {what}: name both files, or none"));
    }
    for (index, origin) in listen.origins.iter().enumerate() {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let is_host = |host: &str| {
            !host.is_empty()
                && !host.contains(['/', '?', '#', ' ', ','])
                && !host.chars().any(|letter| letter.is_ascii_uppercase())
        };
        if origin != "*" && !host.is_some_and(is_host) {
            let what = "is no origin: https://host or https://host:port, in lower case, or *";
            mistakes.push(format!("listen.origins[{index}]: {origin:?} {what}"));
        }
    }
    mistakes
}

/// The namespaces of a configuration.
pub(super) fn namespaces(config: &Config) -> Result<Namespaces, Vec<String>> {
    let (sections, region) = (&config.namespaces, &config.edge.region);
    // A prefix that is none is reported by itself.
    let prefix = auth::tenant_prefix(&config.auth).unwrap_or_default();
    let mut mistakes = Vec::new();
    let mut namespaces: Vec<Namespace> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let place = format!("namespaces[{index}]");
        if !is_name(&section.name) {
            mistakes.push(format!("{place}.name: {:?} is no name", section.name));
        }
        if namespaces.iter().any(|other| other.name == section.name) {
            mistakes.push(format!("{place}.name: {:?} stands twice", section.name));
        }
        mistakes.extend(check_stream(section).map(|what| format!("{place}.stream: {what}")));
        let pattern = Filter::parse(&section.pattern);
        let upstream = match (&pattern, &prefix) {
            (Ok(pattern), Some(prefix)) => prefix.pattern(pattern),
            _ => pattern.clone(),
        };
        match pattern.and_then(|pattern| Ok((pattern, upstream?))) {
            Ok((pattern, upstream)) => {
                let durable = durable(section, prefix.as_ref());
                namespaces.push(namespace(section, (pattern, upstream), durable, region));
            }
            Err(error) => {
                mistakes.push(format!("{place}.pattern: {:?}: {error}", section.pattern));
            }
        }
    }
    match Namespaces::new(namespaces) {
        Err(overlap) => mistakes.push(format!("namespaces: {overlap}")),
        Ok(namespaces) if mistakes.is_empty() => return Ok(namespaces),
        Ok(_) => {}
    }
    Err(mistakes)
}

/// What is wrong with a namespace's stream.
fn check_stream(section: &NamespaceSection) -> Option<String> {
    match (section.class, &section.stream) {
        (ClassName::Ephemeral, None) => None,
        (ClassName::Ephemeral, Some(_)) => {
            Some("an ephemeral namespace has none: set class = \"durable\"".into())
        }
        (ClassName::Durable, None) => Some("missing: a durable namespace needs its home".into()),
        (ClassName::Durable, Some(stream)) => {
            let stem = section.pattern.strip_suffix(".>");
            let is_literal = stem.is_some_and(|stem| !stem.contains(['*', '>']));
            if !is_literal {
                return Some(format!("{:?}: a durable pattern is `a.b.>`", section.pattern));
            }
            let name = stream.name.as_ref().is_none_or(|name| is_name(name));
            (!name || !is_name(&stream.home)).then(|| "name or home is no name".into())
        }
    }
}

/// The stream of a durable namespace.
pub(super) fn durable(
    section: &NamespaceSection,
    prefix: Option<&TenantPrefix>,
) -> Option<DurableNamespace> {
    let stream = section.stream.as_ref()?;
    let pattern = Filter::parse(&section.pattern).ok();
    let upstream = pattern.and_then(|pattern| prefix?.pattern(&pattern).ok());
    let name = section.name.to_ascii_uppercase();
    Some(DurableNamespace {
        name: section.name.clone(),
        pattern: upstream.map_or_else(|| section.pattern.clone(), |all| all.as_str().into()),
        stream: stream.name.clone().unwrap_or(name),
        epoch: stream.epoch,
        home: stream.home.clone(),
        home_stream: stream.home_stream.clone(),
        replicas: stream.replicas,
        max_age_s: stream.max_age_s,
        max_messages_per_subject: stream.max_messages_per_subject,
        max_bytes: stream.max_bytes,
        duplicate_window_s: stream.duplicate_window_s,
    })
}

fn namespace(
    section: &NamespaceSection,
    (pattern, upstream): (Filter, Filter),
    durable: Option<DurableNamespace>,
    region: &str,
) -> Namespace {
    let per_subject = durable.as_ref().map_or(0, |durable| durable.max_messages_per_subject);
    let is_replicated = durable.as_ref().is_some_and(|durable| durable.replicas > 1);
    let permission = |granted| if granted { Permission::Granted } else { Permission::Denied };
    Namespace {
        name: section.name.clone(),
        pattern,
        upstream,
        class: match section.class {
            ClassName::Ephemeral => Class::Ephemeral,
            ClassName::Durable => Class::Durable,
        },
        copy: durable.map_or_else(String::new, |durable| copy_name(&durable, region)),
        retention: match u64::try_from(per_subject) {
            Ok(messages_max @ 1..) => Retention::PerSubject { messages_max },
            _ => Retention::Oldest,
        },
        replication: if is_replicated { Replication::Several } else { Replication::Single },
        slow_client: match section.slow_client {
            SlowClientName::Disconnect => SlowClient::Disconnect,
            SlowClientName::DropOldest => SlowClient::DropOldest,
            SlowClientName::Conflate => SlowClient::Conflate,
        },
        publish: permission(section.publish),
        request: permission(section.request),
        headers: section.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
    }
}

/// Names become NATS subject tokens and metric labels.
pub(crate) fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(is_part)
}
