//! Where an edge listens, read from a URL. Resolves nothing.

use crate::error::Error;
use hyper::Uri;

/// The edge's path for WebSockets, used when the URL names none.
const PATH_DEFAULT: &str = "/v1/ws";

/// The port of `ws://` (RFC 6455 section 3).
const PORT_DEFAULT: u16 = 80;

/// A checked `ws://` address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Name or address, without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as the `Host` header spells them.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
}

impl Address {
    /// Reads `ws://host[:port][/path]`. Without a path it is the protocol's own.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let refuse = |why| Error::Address { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|_| refuse("not a URL"))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss" | "https") => return Err(Error::Tls(url.to_owned())),
            Some(_) => return Err(refuse("its scheme is not ws")),
            None => return Err(refuse("it has no scheme")),
        }
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("user names have no place in it: pass a token"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        let path = match uri.path_and_query().map(hyper::http::uri::PathAndQuery::as_str) {
            None | Some("" | "/") => PATH_DEFAULT,
            Some(path) => path,
        };
        Ok(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(PORT_DEFAULT),
            authority: authority.as_str().to_owned(),
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_host_gets_the_protocols_path() {
        for (url, host, port, path) in [
            ("ws://127.0.0.1:7410", "127.0.0.1", 7410, "/v1/ws"),
            ("ws://edge.example/", "edge.example", 80, "/v1/ws"),
            ("ws://[::1]:7410/v1/ws?x=1", "::1", 7410, "/v1/ws?x=1"),
            ("ws://edge/other", "edge", 80, "/other"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{url}");
            assert_eq!(address.path, path, "{url}");
        }
    }

    #[test]
    fn what_is_no_plain_edge_address_is_refused() {
        assert!(matches!(Address::parse("wss://edge"), Err(Error::Tls(_))));
        for url in ["", "edge:7410", "http://edge", "ws://", "ws://user:secret@edge", "/v1/ws"] {
            assert!(matches!(Address::parse(url), Err(Error::Address { .. })), "{url}");
        }
    }
}
