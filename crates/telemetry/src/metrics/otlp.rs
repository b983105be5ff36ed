//! A snapshot as OTLP, over gRPC or HTTP.
//!
//! Without the SDK's meters: they keep numbers behind locks of their own, and what shards have
//! counted already cannot be handed to them. The messages are the same.

mod message;

use super::snapshot::Snapshot;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
pub use message::Resource;
use message::request;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client as service;
use prost::Message;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::Channel;

/// How long one export may take. It is shorter than any sensible interval, and nothing waits for it
/// but the next one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the protobuf over HTTP goes (OTLP 1.x, "OTLP/HTTP Request").
const HTTP_PATH: &str = "/v1/metrics";

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`.
    authority: String,
    protocol: Protocol,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    /// The receiver cannot be reached.
    #[error("cannot reach the receiver: {0}")]
    Unreachable(String),
    /// The receiver does not want it.
    #[error("the receiver refuses: {0}")]
    Refused(String),
}

/// Owned by the task that exports.
#[derive(Debug)]
pub struct Exporter {
    endpoint: Endpoint,
    resource: Resource,
    started: SystemTime,
    /// Made at the first export; tonic connects it again by itself.
    channel: Option<service::MetricsServiceClient<Channel>>,
}

impl Endpoint {
    /// Reads `http://host:port`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, &'static str> {
        let what = "is no endpoint: http://host:port, of a collector beside the edge";
        let authority = url.strip_prefix("http://").ok_or(what)?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or(what)?;
        let is_good = !host.is_empty()
            && !host.contains(['/', '@', ' ', '?', '#'])
            && port.parse::<u16>().is_ok_and(|port| port > 0);
        if is_good { Ok(Self { authority: authority.into(), protocol }) } else { Err(what) }
    }
}

impl Exporter {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, resource: Resource) -> Self {
        Self { endpoint, resource, started: SystemTime::now(), channel: None }
    }

    /// Sends a snapshot. Nothing of it is kept, whatever comes of it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn export(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        let request = request(snapshot, &self.resource, self.started, SystemTime::now());
        let sent = match self.endpoint.protocol {
            Protocol::Grpc => {
                let client = self.client()?;
                timeout(PATIENCE, async {
                    client.export(request).await.map(drop).map_err(|status| match status.code() {
                        tonic::Code::Unavailable => Error::Unreachable(status.message().into()),
                        _ => Error::Refused(status.to_string()),
                    })
                })
                .await
            }
            Protocol::Http => {
                let body = Bytes::from(request.encode_to_vec());
                timeout(PATIENCE, post(&self.endpoint.authority, body)).await
            }
        };
        sent.unwrap_or(Err(Error::Late))
    }

    fn client(&mut self) -> Result<&mut service::MetricsServiceClient<Channel>, Error> {
        if self.channel.is_none() {
            let url = format!("http://{}", self.endpoint.authority);
            let endpoint = tonic::transport::Endpoint::from_shared(url)
                .map_err(|error| Error::Unreachable(error.to_string()))?;
            let channel = endpoint.connect_timeout(PATIENCE).connect_lazy();
            self.channel = Some(service::MetricsServiceClient::new(channel));
        }
        self.channel.as_mut().ok_or(Error::Late)
    }
}

/// One request on a connection of its own: an export is rare.
async fn post(authority: &str, body: Bytes) -> Result<(), Error> {
    let unreachable = |error: &dyn std::fmt::Display| Error::Unreachable(error.to_string());
    let stream = TcpStream::connect(authority).await.map_err(|error| unreachable(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| unreachable(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(HTTP_PATH)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::<Bytes>::from(body))
        .map_err(|error| unreachable(&error))?;
    // Moves the bytes, and ends with the sender at the latest.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(Error::Refused(status.to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_address() {
        for good in ["http://127.0.0.1:4317", "http://collector:4318/", "http://[::1]:4317"] {
            assert!(Endpoint::parse(good, Protocol::Grpc).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "127.0.0.1:4317",
            "https://collector:4317",
            "http://collector",
            "http://:4317",
            "http://a:0",
            "http://a:b",
            "http://a/b:1",
            "http://user@a:1",
        ] {
            assert!(Endpoint::parse(wrong, Protocol::Http).is_err(), "{wrong}");
        }
    }
}
