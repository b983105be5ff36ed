//! The files that the public listener serves beside the transports: the client for browsers, and
//! the demo page with what it loads, if the configuration says so. `page/assets.rs` has the list.

mod assets;

use crate::config::{Config, DemoSection};
use assets::Asset;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::collections::BTreeSet;

/// The page loads nothing from elsewhere; where it may connect to follows.
const CONTENT_SECURITY_POLICY: &str = concat!(
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; ",
    "object-src 'none'; connect-src 'self'",
);

/// A name with a hash never means anything else: a year is what caches take at most.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Kept, but asked for again each time, which the entity tag makes cheap.
const ASK_AGAIN: &str = "no-cache";

/// What the public listener serves beside the transports. Immutable, shared by all shards.
pub(crate) struct Page {
    files: Vec<Asset>,
    content_security_policy: HeaderValue,
}

/// What the page learns of the mesh, at `/demo/mesh.json`.
#[derive(Serialize)]
struct Told<'a> {
    /// The region that this edge serves.
    here: &'a str,
    #[serde(flatten)]
    demo: &'a DemoSection,
}

impl Page {
    pub(crate) fn new(config: &Config) -> Self {
        let demo = &config.demo;
        let policy = content_security_policy(config);
        let content_security_policy = HeaderValue::from_str(&policy)
            .unwrap_or_else(|_| HeaderValue::from_static(CONTENT_SECURITY_POLICY));
        let mut files = assets::all(demo.page);
        if demo.page {
            let told = Told { here: &config.edge.region, demo };
            let body = serde_json::to_vec(&told).expect("names and URLs serialize").into();
            files.push(Asset::without_hash("/demo/mesh.json", assets::JSON, body));
        }
        Self { files, content_security_policy }
    }

    /// The answer to GET or HEAD of a path, or None. `request` are the request's headers.
    pub(crate) fn answer(&self, path: &str, request: &HeaderMap) -> Option<Response<Bytes>> {
        let is_at = |file: &&Asset| file.path == path || file.plain_path.as_deref() == Some(path);
        let file = self.files.iter().find(is_at)?;
        let is_hashed = file.plain_path.is_some() && file.path == path;
        let is_known = request.get_all(header::IF_NONE_MATCH).iter().any(|tags| {
            let mut tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
            // A weak tag is as good here: RFC 9110 section 13.1.2.
            tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == file.etag)
        });
        let body = if is_known { Bytes::new() } else { file.body.clone() };
        let mut response = Response::new(body);
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        let cache = if is_hashed { FOR_EVER } else { ASK_AGAIN };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        let etag = HeaderValue::from_str(&file.etag).expect("hex in quotes is a header value");
        headers.insert(header::ETAG, etag);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if file.path.starts_with(assets::ROOT) {
            // The same bytes for everybody and no credentials: pages elsewhere may load them, and
            // a CDN need not keep one for each origin.
            let all = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, all);
        } else {
            let policy = self.content_security_policy.clone();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        Some(response)
    }
}

/// With the origins of all edges that the page or a client on it may be told, by WebSocket and by
/// HTTP, and of `meridian dev`.
fn content_security_policy(config: &Config) -> String {
    let demo = &config.demo;
    let regions = demo.regions.iter().map(|region| &region.url);
    let edges: BTreeSet<String> =
        regions.chain(&config.edge.alternates).filter_map(|url| origin(url)).collect();
    let mut policy = CONTENT_SECURITY_POLICY.to_owned();
    for edge in edges {
        let http = edge.replacen("ws", "http", 1);
        policy.push_str(&format!(" {edge} {http}"));
    }
    if let Some(control) = origin(&demo.control) {
        policy.push_str(&format!(" {control}"));
    }
    policy
}

/// Scheme, host and port of a URL; None for what could say more than that in a policy.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let is_plain = |text: &str| {
        let is_of_hosts = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        !text.is_empty() && text.bytes().all(is_of_hosts)
    };
    (is_plain(scheme) && is_plain(host)).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DemoRegion;

    #[test]
    fn the_policy_names_the_edges_that_a_client_may_be_told_and_nothing_else() {
        let mut config = Config::default();
        let url = "wss://eu.example.com/v1/ws".into();
        config.demo.regions = vec![DemoRegion { url, ..DemoRegion::default() }];
        config.edge.alternates = vec!["ws://127.0.0.1:7510/v1/ws".into(), "ws://a; *".into()];
        config.demo.control = "http://127.0.0.1:7406".into();
        let policy = content_security_policy(&config);
        let (_, connect) = policy.split_once("connect-src ").unwrap();
        let expected = "'self' ws://127.0.0.1:7510 http://127.0.0.1:7510 wss://eu.example.com \
                        https://eu.example.com http://127.0.0.1:7406";
        assert_eq!(connect, expected);
    }
}
