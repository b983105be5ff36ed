//! Which pages of other origins may use the HTTP transports, and the headers that tell browsers
//! (Fetch standard, CORS protocol). Cookies are let in only where tokens are looked for in them.

use super::answer::{Answer, empty, plain};
use crate::config::{AuthMode, Config};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};

/// How long a browser may remember a preflight, in s: two hours, which is all that Chromium does.
const PREFLIGHT_S: &str = "7200";

/// The headers that our requests need.
const REQUEST_HEADERS: &str = "authorization, content-type, last-event-id, traceparent";

/// Who may. Owned by the shard, immutable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    listed: Vec<String>,
    /// Whether every page on this machine may.
    loopback: bool,
}

/// What an `Origin` header came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is none, or it is the edge's own: nothing to add.
    Own,
    /// Another origin that may: the browser is told so.
    Allowed(HeaderValue),
    /// It may not.
    Refused,
}

impl Origins {
    pub(crate) fn new(config: &Config) -> Self {
        let loopback = config.auth.mode == AuthMode::Dev;
        Self { listed: config.listen.origins.clone(), loopback }
    }

    /// Judges a request.
    pub(super) fn judge<B>(&self, request: &Request<B>) -> Verdict {
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        self.judge_origin(request.headers(), authority.or(host))
    }

    fn judge_origin(&self, headers: &HeaderMap, host: Option<&str>) -> Verdict {
        let Some(value) = headers.get(header::ORIGIN) else { return Verdict::Own };
        let Ok(origin) = value.to_str() else { return Verdict::Refused };
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        // The scheme cannot be compared: a proxy may have ended TLS.
        if authority.is_some() && authority == host {
            return Verdict::Own;
        }
        let is_listed = self.listed.iter().any(|listed| listed == "*" || listed == origin);
        let is_loopback = self.loopback && authority.is_some_and(is_loopback);
        if is_listed || is_loopback { Verdict::Allowed(value.clone()) } else { Verdict::Refused }
    }
}

/// Whether a host, with its port if it has one, is this machine.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || host == "localhost" || host.ends_with(".localhost")
}

impl Verdict {
    /// Adds to an answer what the browser needs to hand it to the page.
    pub(super) fn mark(self, answer: &mut Answer, has_cookie: bool) {
        if let Self::Allowed(origin) = self {
            let headers = answer.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if has_cookie {
                let name = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
                headers.insert(name, HeaderValue::from_static("true"));
            }
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }
}

/// The answer to a page that may not.
pub(super) fn refusal() -> Answer {
    plain(StatusCode::FORBIDDEN, "this origin is not allowed: see listen.origins\n")
}

/// The answer to a browser that asks before it sends.
pub(super) fn preflight(method: &'static str) -> Answer {
    let mut answer = empty(StatusCode::NO_CONTENT);
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, method),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S),
        (header::ALLOW, method),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(origins: &Origins, origin: &str, host: &str) -> Verdict {
        let request = Request::builder().header("origin", origin).header("host", host);
        origins.judge(&request.body(()).unwrap())
    }

    fn strict() -> Origins {
        Origins { listed: vec!["https://app.example.com".into()], loopback: false }
    }

    #[test]
    fn the_edges_own_pages_and_clients_that_are_no_browsers_need_nothing() {
        assert_eq!(strict().judge(&Request::new(())), Verdict::Own);
        assert_eq!(judge(&strict(), "https://edge:7410", "edge:7410"), Verdict::Own);
        let http2 = Request::builder().uri("https://edge/v1/sse").header("origin", "https://edge");
        assert_eq!(strict().judge(&http2.body(()).unwrap()), Verdict::Own);
    }

    #[test]
    fn other_pages_may_when_they_are_listed() {
        let allowed = |origin: &str| Verdict::Allowed(HeaderValue::from_str(origin).unwrap());
        let app = "https://app.example.com";
        assert_eq!(judge(&strict(), app, "edge"), allowed(app));
        for other in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evil.example",
            "http://localhost:3000",
            "null",
            "",
        ] {
            assert_eq!(judge(&strict(), other, "edge"), Verdict::Refused, "{other}");
        }
        let all = Origins { listed: vec!["*".into()], loopback: false };
        assert_eq!(judge(&all, "https://any.example", "edge"), allowed("https://any.example"));
    }

    #[test]
    fn pages_on_this_machine_may_in_dev_mode() {
        let dev = Origins { listed: Vec::new(), loopback: true };
        for page in [
            "http://localhost:3000",
            "http://localhost",
            "http://app.localhost:1",
            "http://127.0.0.1:80",
            "http://[::1]:3000",
        ] {
            assert_ne!(judge(&dev, page, "edge"), Verdict::Refused, "{page}");
        }
        for page in ["http://localhost.evil.example", "http://127.0.0.1.evil.example", "null"] {
            assert_eq!(judge(&dev, page, "edge"), Verdict::Refused, "{page}");
        }
    }
}
