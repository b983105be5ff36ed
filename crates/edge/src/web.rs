//! A small HTTP client: one request a connection, for what the control plane asks of others (key
//! sets, a webhook). Bounded in time and bytes; no redirects, no cookies, no proxy.
//!
//! Not for: anything on a message path.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Largest answer in bytes: a JWK set of 16 keys with certificates stays under it.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebAddress {
    uri: Uri,
    host: String,
    port: u16,
    is_tls: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct WebAnswer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl WebAddress {
    /// Reads an address: `https://…`, or `http://…` on this machine.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "no address: https://host/path")?;
        let host = uri.host().ok_or("no host in it: https://host/path")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("neither https:// nor http://"),
        };
        let address = host.parse::<std::net::IpAddr>();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if !is_tls && !is_here {
            return Err("without TLS anybody on the way could answer: use https://");
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("user and password in an address are shown in logs: leave them out");
        }
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { uri, host, port, is_tls })
    }

    /// Reads what stands there.
    ///
    /// # Errors
    /// What failed, for people.
    pub(crate) async fn get(&self, patience: Duration) -> Result<WebAnswer, String> {
        self.ask(Method::GET, Bytes::new(), patience).await
    }

    /// Sends JSON and reads the answer.
    ///
    /// # Errors
    /// What failed, for people.
    pub(crate) async fn post(&self, json: Bytes, patience: Duration) -> Result<WebAnswer, String> {
        self.ask(Method::POST, json, patience).await
    }

    async fn ask(
        &self,
        method: Method,
        body: Bytes,
        patience: Duration,
    ) -> Result<WebAnswer, String> {
        let asked = timeout(patience, async {
            let socket = TcpStream::connect((self.host.as_str(), self.port)).await;
            let socket = socket.map_err(|error| error.to_string())?;
            if !self.is_tls {
                return self.converse(socket, method, body).await;
            }
            let name =
                ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
            let tls = TlsConnector::from(client_config()?).connect(name, socket).await;
            self.converse(tls.map_err(|error| error.to_string())?, method, body).await
        });
        match asked.await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer in {} ms", patience.as_millis())),
        }
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        body: Bytes,
    ) -> Result<WebAnswer, String> {
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(WebAnswer { status, body })
        };
        let answered = answered.await;
        driver.abort();
        answered
    }
}

/// Trusts whom the system trusts; `SSL_CERT_FILE` names others, as for other programs.
fn client_config() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("the system trusts no certificates: install them (ca-certificates)".into());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_on_this_machine() {
        for good in ["https://id.example.com/jwks", "http://127.0.0.1:8/x", "http://[::1]/x"] {
            assert!(WebAddress::parse(good).is_ok(), "{good}");
        }
        assert_eq!(WebAddress::parse("https://a/x").unwrap().port, 443);
        for wrong in [
            "",
            "id.example.com",
            "http://id.example.com/",
            "ftp://a/",
            "https://u:p@a/",
            "http://127.0.0.1.example.com/",
        ] {
            assert!(WebAddress::parse(wrong).is_err(), "{wrong}");
        }
    }
}
