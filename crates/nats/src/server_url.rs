//! One server's address with its credentials, as configuration writes it.
//!
//! Used by the edge's configuration, by [`dial`](crate::dial()) and by the control connection. Not
//! a general URL: only what a NATS client needs.

use std::fmt;
use std::str::FromStr;

use crate::defaults;
use crate::error::Error;
use crate::tls::Tls;

/// One server address: `nats://user:password@host:port`, `nats://token@host:port` or
/// `nats://host:port`, or the same with `tls://`, which refuses a server without TLS. User,
/// password and token are percent-decoded; the port defaults to 4222.
/// `Display` and `Debug` never show a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    host: String,
    port: u16,
    credentials: Credentials,
    /// Whether a server without TLS is refused.
    demands_tls: bool,
    /// What TLS is done with, once the configuration has told.
    tls: Option<Tls>,
}

/// How a client names itself to a server.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The server asks for nothing, or maps such clients to its `no_auth_user`.
    None,
    /// A user of the server's configuration.
    UserPassword {
        /// The user's name.
        user: String,
        /// The password, in clear.
        password: String,
    },
    /// A single shared token.
    Token(String),
}

impl ServerUrl {
    /// Host name or address, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to authenticate with.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether the address is `tls://`.
    pub fn demands_tls(&self) -> bool {
        self.demands_tls
    }

    /// The same address with what TLS to it is done with.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// What TLS is done with; also to a `nats://` server that asks for it.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The address without any credentials, as `nats://host:port`.
    pub(crate) fn without_credentials(&self) -> String {
        let Self { host, port, .. } = self;
        let scheme = self.scheme();
        if host.contains(':') {
            format!("{scheme}[{host}]:{port}")
        } else {
            format!("{scheme}{host}:{port}")
        }
    }

    fn scheme(&self) -> &'static str {
        if self.demands_tls { "tls://" } else { "nats://" }
    }
}

impl FromStr for ServerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (scheme, rest) =
            text.split_once("://").ok_or(Error::Address("the scheme is missing"))?;
        let demands_tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return Err(Error::Address("the scheme is neither nats nor tls")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(Error::Address("a path, query or fragment has no meaning"));
        }
        let (user_info, authority) = match rest.rsplit_once('@') {
            Some((user_info, authority)) => (Some(user_info), authority),
            None => (None, rest),
        };
        let (host, port) = host_and_port(authority)?;
        let credentials = credentials(user_info)?;
        Ok(Self { host: host.to_owned(), port, credentials, demands_tls, tls: None })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.without_credentials();
        let scheme = self.scheme();
        let Some(authority) = address.strip_prefix(scheme) else {
            return formatter.write_str(&address);
        };
        match &self.credentials {
            Credentials::None => write!(formatter, "{scheme}{authority}"),
            Credentials::UserPassword { user, .. } => {
                write!(formatter, "{scheme}{}:***@{authority}", user.escape_debug())
            }
            Credentials::Token(_) => write!(formatter, "{scheme}***@{authority}"),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::UserPassword { .. } => "UserPassword(***)",
            Self::Token(_) => "Token(***)",
        })
    }
}

fn host_and_port(authority: &str) -> Result<(&str, u16), Error> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed
                .split_once(']')
                .ok_or(Error::Address("the bracket of the IPv6 address is not closed"))?;
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err(Error::Address("only a port may follow the IPv6 address"));
            }
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Error::Address("the host is missing or holds a space"));
    }
    let port = match port {
        None => defaults::PORT,
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(Error::Address("the port is not a number from 1 to 65535")),
        },
    };
    Ok((host, port))
}

fn credentials(user_info: Option<&str>) -> Result<Credentials, Error> {
    match user_info.map(|text| text.split_once(':').ok_or(text)) {
        None | Some(Err("")) => Ok(Credentials::None),
        Some(Err(token)) => Ok(Credentials::Token(percent_decoded(token)?)),
        Some(Ok((user, password))) => Ok(Credentials::UserPassword {
            user: percent_decoded(user)?,
            password: percent_decoded(password)?,
        }),
    }
}

fn percent_decoded(text: &str) -> Result<String, Error> {
    const INVALID: Error = Error::Address("user or password is not percent-encoded UTF-8");
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(INVALID);
        };
        decoded.push(u8::try_from(high * 16 + low).map_err(|_| INVALID)?);
    }
    String::from_utf8(decoded).map_err(|_| INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ServerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn parts_are_taken_apart_and_credentials_are_percent_decoded() {
        let url = parsed("nats://edge:p%40ss%3Aw%2Frd%C3%A9@nats.eu:4333");
        assert_eq!((url.host(), url.port()), ("nats.eu", 4333));
        let Credentials::UserPassword { user, password } = url.credentials() else {
            panic!("user and password expected")
        };
        assert_eq!((user.as_str(), password.as_str()), ("edge", "p@ss:w/rdé"));
    }

    #[test]
    fn port_and_credentials_are_optional() {
        assert_eq!(parsed("nats://host").port(), 4222);
        assert!(matches!(parsed("nats://host/").credentials(), Credentials::None));
        assert!(matches!(parsed("nats://s3cret@host").credentials(), Credentials::Token(_)));
    }

    #[test]
    fn ipv6_addresses_lose_and_regain_their_brackets() {
        let url = parsed("nats://[::1]:5000");
        assert_eq!((url.host(), url.port()), ("::1", 5000));
        assert_eq!(url.to_string(), "nats://[::1]:5000");
    }

    #[test]
    fn tls_is_told_from_plain_and_shown() {
        let url = parsed("tls://nats.eu:4333");
        assert!(url.demands_tls() && !parsed("nats://nats.eu").demands_tls());
        assert_eq!(url.to_string(), "tls://nats.eu:4333");
    }

    #[test]
    fn secrets_are_never_shown() {
        for text in
            ["nats://edge:s3cret@host:1", "tls://edge:s3cret@host:1", "nats://s3cret@host:1"]
        {
            let url = parsed(text);
            let shown = format!("{url} {url:?} {:?}", url.credentials());
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_without_repeating_it() {
        for text in [
            "host:4222",
            "tls://u:s3cret@host:0",
            "wss://u:s3cret@host",
            "http://u:s3cret@host",
            "nats://u:s3cret@",
            "nats://u:s3cret@host:0",
            "nats://u:s3cret@host:70000",
            "nats://u:s3cret@host:x",
            "nats://u:s3cret@ho st",
            "nats://u:s3cret@host/path",
            "nats://u:s3cret%4@host",
            "nats://u:s3cret%zz@host",
            "nats://u:s3cret%ff@host",
            "nats://u:s3cret@[::1",
            "nats://u:s3cret@[::1]4222",
        ] {
            let error = text.parse::<ServerUrl>().expect_err(text);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
