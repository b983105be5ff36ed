//! The demo page: three small files in the binary, served at the public address when the
//! configuration says so.

use crate::config::DemoSection;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{self, HeaderValue};

const INDEX: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/demo.js");
const STYLE: &str = include_str!("page/demo.css");

/// The page loads nothing from elsewhere, and connects to the regions' WebSockets only.
const CONTENT_SECURITY_POLICY: &str = concat!(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; ",
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What the public listener serves beside the WebSocket.
pub(crate) struct Page {
    /// None when the page is off.
    regions: Option<Bytes>,
}

impl Page {
    pub(crate) fn new(demo: &DemoSection) -> Self {
        let regions = demo
            .page
            .then(|| serde_json::to_vec(&demo.regions).expect("names and URLs serialize").into());
        Self { regions }
    }

    /// The file at a path, or None.
    pub(crate) fn answer(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        let regions = self.regions.as_ref()?;
        let (content_type, body) = match path {
            "/" => ("text/html; charset=utf-8", INDEX.into()),
            "/demo.js" => ("text/javascript; charset=utf-8", SCRIPT.into()),
            "/demo.css" => ("text/css; charset=utf-8", STYLE.into()),
            "/demo/regions.json" => ("application/json", regions.clone()),
            _ => return None,
        };
        let mut response = Response::new(Full::new(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        Some(response)
    }
}
