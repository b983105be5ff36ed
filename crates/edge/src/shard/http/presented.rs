//! Tokens that a request carries beside the protocol's `connect`: in a header, a subprotocol, a
//! cookie, or the address.
//!
//! Not for: whether a token is good. A cookie is sent by the browser whoever's page asks, so it
//! counts only where the page is known to be one that may.

use super::origin::Verdict;
use super::query;
use crate::config::AuthSection;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Request;
use hyper::header::{self, HeaderMap};

/// What an offered subprotocol begins with that is a token. It is never answered with.
pub(crate) const SUBPROTOCOL: &str = "meridian.auth.";

/// The name in the address.
const QUERY: &str = "token";

/// Which of the ways are open. Owned by the shard, immutable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    /// The cookie's name, if one is looked at.
    cookie: Option<String>,
    query: bool,
}

impl Ways {
    pub(crate) fn new(auth: &AuthSection) -> Self {
        let cookie = (!auth.cookie.is_empty()).then(|| auth.cookie.clone());
        Self { cookie, query: auth.query }
    }

    /// Whether cookies count, so that browsers must be told that they may send them.
    pub(super) fn has_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    /// The token of a request, by the first way that has one. `verdict` is what its origin came to.
    pub(super) fn token<B>(&self, request: &Request<B>, verdict: &Verdict) -> Option<String> {
        let headers = request.headers();
        subprotocol(headers)
            .or_else(|| bearer(headers))
            .or_else(|| self.cookie(headers, verdict))
            .or_else(|| self.query(request))
    }

    fn cookie(&self, headers: &HeaderMap, verdict: &Verdict) -> Option<String> {
        let name = self.cookie.as_deref()?;
        let is_of_a_page = match verdict {
            Verdict::Allowed(_) => true,
            // A page of the edge's own address says so by its origin or, where browsers leave that
            // out, by `Sec-Fetch-Site`, which no page can set.
            Verdict::Own => {
                headers.contains_key(header::ORIGIN)
                    || headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
            }
            Verdict::Refused => false,
        };
        if !is_of_a_page {
            return None;
        }
        let values = headers.get_all(header::COOKIE).into_iter();
        let mut pairs = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        // A name that stands twice was set by somebody who could not replace the first.
        let (_, token) = pairs.by_ref().find(|(other, _)| *other == name)?;
        let is_alone = pairs.all(|(other, _)| other != name);
        is_alone.then(|| token.trim_matches('"').to_owned())
    }

    fn query<B>(&self, request: &Request<B>) -> Option<String> {
        let query = request.uri().query().filter(|_| self.query)?;
        query::values(query, QUERY)?.pop()
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn subprotocol(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offered = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|offer| offer.trim().strip_prefix(SUBPROTOCOL));
    let bytes = URL_SAFE_NO_PAD.decode(offered.next()?.trim_end_matches('=')).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn all_ways() -> Ways {
        Ways { cookie: Some("mrd".into()), query: true }
    }

    fn request(uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn found(ways: &Ways, request: &Request<()>, verdict: &Verdict) -> Option<String> {
        ways.token(request, verdict)
    }

    fn allowed() -> Verdict {
        Verdict::Allowed(HeaderValue::from_static("https://app.example.com"))
    }

    #[test]
    fn a_subprotocol_and_a_header_are_always_looked_at() {
        let none = Ways::default();
        let offer = format!("meridian.v1.json, meridian.auth.{}", URL_SAFE_NO_PAD.encode("a.b.c"));
        let socket = request("/v1/ws", &[("sec-websocket-protocol", &offer)]);
        assert_eq!(found(&none, &socket, &Verdict::Own).as_deref(), Some("a.b.c"));
        let header = request("/v1/sse", &[("authorization", "bearer a.b.c")]);
        assert_eq!(found(&none, &header, &Verdict::Own).as_deref(), Some("a.b.c"));
        for wrong in ["meridian.auth.", "meridian.auth.=", "meridian.auth.!!", "meridian.v1.json"] {
            let socket = request("/v1/ws", &[("sec-websocket-protocol", wrong)]);
            assert!(found(&none, &socket, &Verdict::Own).is_none_or(|token| token.is_empty()));
        }
        let basic = request("/v1/sse", &[("authorization", "Basic YTpi")]);
        assert_eq!(found(&none, &basic, &Verdict::Own), None);
    }

    #[test]
    fn the_address_and_the_cookie_are_looked_at_only_where_that_is_switched_on() {
        let address = request("/v1/sse?f=a&token=a.b.c", &[]);
        assert_eq!(found(&Ways::default(), &address, &Verdict::Own), None);
        assert_eq!(found(&all_ways(), &address, &Verdict::Own).as_deref(), Some("a.b.c"));
        let cookie = request("/v1/ws", &[("cookie", "x=1; mrd=a.b.c; y=2")]);
        assert_eq!(found(&Ways::default(), &cookie, &allowed()), None);
        assert_eq!(found(&all_ways(), &cookie, &allowed()).as_deref(), Some("a.b.c"));
    }

    #[test]
    fn a_cookie_counts_for_pages_that_may_and_for_nobody_else() {
        let plain = request("/v1/ws", &[("cookie", "mrd=a.b.c")]);
        assert_eq!(found(&all_ways(), &plain, &Verdict::Refused), None);
        assert_eq!(found(&all_ways(), &plain, &Verdict::Own), None, "no page says whose it is");
        let own = request("/v1/ws", &[("cookie", "mrd=a.b.c"), ("origin", "https://edge")]);
        assert!(found(&all_ways(), &own, &Verdict::Own).is_some());
        let event_source =
            request("/v1/sse", &[("cookie", "mrd=a.b.c"), ("sec-fetch-site", "same-origin")]);
        assert!(found(&all_ways(), &event_source, &Verdict::Own).is_some());
        let other = request("/v1/sse", &[("cookie", "mrd=a.b.c"), ("sec-fetch-site", "same-site")]);
        assert_eq!(found(&all_ways(), &other, &Verdict::Own), None);
        let twice = request("/v1/ws", &[("cookie", "mrd=a.b.c; mrd=d.e.f")]);
        assert_eq!(found(&all_ways(), &twice, &allowed()), None, "one of them was planted");
    }
}
