//! The files that the public listener serves beside the transports: the demo page and what it
//! loads, if the configuration says so. `page/assets.rs` has the list.

mod assets;

use crate::config::DemoSection;
use assets::Asset;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

/// The page loads nothing from elsewhere, and connects to the regions' WebSockets only.
const CONTENT_SECURITY_POLICY: &str = concat!(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; ",
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A name with a hash never means anything else: a year is what caches take at most.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Kept, but asked for again each time, which the entity tag makes cheap.
const ASK_AGAIN: &str = "no-cache";

/// What the public listener serves beside the transports. Immutable, shared by all shards.
pub(crate) struct Page {
    /// Empty when the page is off.
    files: Vec<Asset>,
}

impl Page {
    pub(crate) fn new(demo: &DemoSection) -> Self {
        if !demo.page {
            return Self { files: Vec::new() };
        }
        let mut files = assets::all();
        let body: Bytes =
            serde_json::to_vec(&demo.regions).expect("names and URLs serialize").into();
        files.push(Asset {
            path: "/demo/regions.json".into(),
            plain_path: None,
            content_type: "application/json",
            etag: format!("\"{}\"", assets::hash(&body)),
            body,
        });
        Self { files }
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
        if file.plain_path.is_some() {
            // The same bytes for everybody and no credentials: pages elsewhere may load them, and
            // a CDN need not keep one for each origin.
            let all = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, all);
        } else {
            let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        Some(response)
    }
}
