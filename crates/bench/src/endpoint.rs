//! One address as a user writes it: `ws://host:port/path`, `nats://user:password@host:port`, or
//! `host:port`.
//!
//! Not a URL parser: no escapes, no query, no TLS, because benchmarks here talk to loopback.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::Error;

/// Where a server listens, and who we say we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// User name, where the URL has one.
    pub user: Option<String>,
    /// Password, where the URL has one.
    pub password: Option<String>,
    /// `host:port`, as it goes into a `Host` header and into error messages.
    pub authority: String,
    /// The resolved address.
    pub address: SocketAddr,
    /// The path, `/` when there is none.
    pub path: String,
}

/// What a NATS connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NatsRole {
    /// It publishes.
    Publisher,
    /// It receives.
    Receiver,
}

impl Endpoint {
    /// Reads `[scheme://][user[:password]@]host:port[/path]` and resolves the host.
    ///
    /// # Errors [`Error::Url`] when the scheme means TLS, when the port is missing, or when the
    /// host does not resolve.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let refuse = |why| Error::Url { url: url.to_owned(), why };
        let rest = match url.split_once("://") {
            Some(("ws" | "nats" | "tcp" | "http", rest)) => rest,
            Some(_) => return Err(refuse("use ws://, nats:// or tcp:// (no TLS in a benchmark)")),
            None => url,
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        let (user, password, authority) = match authority.rsplit_once('@') {
            None => (None, None, authority),
            Some((login, authority)) => match login.split_once(':') {
                Some((user, password)) => (Some(user), Some(password), authority),
                None => (Some(login), None, authority),
            },
        };
        let address = authority
            .to_socket_addrs()
            .map_err(|_| refuse("expected host:port that resolves"))?
            .next()
            .ok_or_else(|| refuse("the host has no address"))?;
        Ok(Self {
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            authority: authority.to_owned(),
            address,
            path: path.to_owned(),
        })
    }

    /// The NATS `CONNECT` line with this endpoint's login. A receiver wants no headers: the server
    /// takes them off for it.
    pub(crate) fn nats_connect(&self, role: NatsRole) -> String {
        let mut options = serde_json::json!({
            "verbose": false, "pedantic": false, "lang": "rust", "name": "meridian-bench",
            "version": env!("CARGO_PKG_VERSION"), "protocol": 1,
            "headers": role == NatsRole::Publisher,
        });
        if let Some(user) = &self.user {
            options["user"] = user.as_str().into();
            options["pass"] = self.password.as_deref().unwrap_or_default().into();
        }
        format!("CONNECT {options}\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_host_and_path_are_told_apart() {
        let endpoint = Endpoint::parse("ws://app:se@cret@127.0.0.1:9000/v1/ws").unwrap();
        assert_eq!(endpoint.user.as_deref(), Some("app"));
        assert_eq!(endpoint.password.as_deref(), Some("se@cret"));
        assert_eq!(endpoint.authority, "127.0.0.1:9000");
        assert_eq!(endpoint.path, "/v1/ws");
        assert_eq!(Endpoint::parse("127.0.0.1:1").unwrap().path, "/");
    }

    #[test]
    fn tls_and_missing_ports_are_refused() {
        assert!(Endpoint::parse("wss://127.0.0.1:1/").is_err());
        assert!(Endpoint::parse("ws://127.0.0.1/").is_err());
    }
}
