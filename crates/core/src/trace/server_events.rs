//! One trace event of nats-server (NATS ADR-41): what one server did with one message. Read, not
//! yet interpreted; `hops` makes spans of it.

use super::time::unix_ns;
use meridian_proto::trace::TraceContext;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Kinds of connections (nats-server `client.go`): a client, a server of the same cluster, a
/// gateway, a leaf node. Others are of the server itself.
const ROUTER: u8 = 1;
const GATEWAY: u8 = 2;
const LEAF: u8 = 4;

/// Most steps of one event that are looked at; a message to many clients has one a client.
const STEPS_MAX: usize = 1_024;

/// What one server did with one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent {
    /// The server's name.
    pub server: String,
    /// Its cluster: the region.
    pub cluster: String,
    /// What the message says of its trace.
    pub context: TraceContext,
    /// Its `tracestate`.
    pub tracestate: Option<String>,
    /// The hop that it came by; empty where it was published.
    pub hop: String,
    /// The subject that it came on.
    pub subject: String,
    /// Its size in bytes, headers included.
    pub message_bytes: u64,
    /// When it came, in ns since 1970.
    pub arrived_ns: u64,
    /// Who it came from: a client's or a server's name.
    pub from: String,
    /// What kind of connection it came by.
    pub link: Option<Link>,
    /// Where it went on to other servers.
    pub departures: Vec<Departure>,
    /// To how many clients it went from here.
    pub clients: u64,
    /// What a stream did with it.
    pub stored: Option<Stored>,
    /// The last thing that happened, in ns since 1970.
    pub ended_ns: u64,
    /// What went wrong first.
    pub error: Option<String>,
}

/// A connection between servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Within a cluster.
    Route,
    /// Between regions.
    Gateway,
    /// To a leaf node.
    Leaf,
}

/// A message that goes on to another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// The other server's name.
    pub to: String,
    /// The hop's number.
    pub hop: String,
    /// When, in ns since 1970.
    pub at_ns: u64,
}

/// A message that a stream took, or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The stream.
    pub stream: String,
    /// When, in ns since 1970.
    pub at_ns: u64,
    /// Why it was refused.
    pub error: Option<String>,
}

/// Why an event is none.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not the JSON of one.
    #[error("not a trace event: {0}")]
    Json(#[from] serde_json::Error),
    /// Its message has no trace context, or none that is sampled.
    #[error("a trace event without a sampled traceparent")]
    NoContext,
    /// It does not say how the message came.
    #[error("a trace event without an ingress")]
    NoIngress,
}

impl ServerEvent {
    /// Reads an event.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn parse(json: &[u8]) -> Result<Self, EventError> {
        let RawEvent { server, request, events } = serde_json::from_slice(json)?;
        let context = request.header("traceparent").and_then(TraceContext::parse);
        let context = context.filter(TraceContext::is_sampled).ok_or(EventError::NoContext)?;
        let (ingress, steps) = events.split_first().ok_or(EventError::NoIngress)?;
        let arrived_ns = unix_ns(ingress.ts.as_bytes()).filter(|_| ingress.what == "in");
        let arrived_ns = arrived_ns.ok_or(EventError::NoIngress)?;
        let mut event = Self {
            cluster: server.cluster.unwrap_or_else(|| server.name.clone()),
            server: server.name,
            context,
            tracestate: request.header("tracestate").map(str::to_owned),
            hop: request.header("Nats-Trace-Hop").unwrap_or_default().to_owned(),
            subject: ingress.subj.clone(),
            message_bytes: request.msgsize,
            arrived_ns,
            from: ingress.name.clone(),
            link: ingress.link(),
            departures: Vec::new(),
            clients: 0,
            stored: None,
            ended_ns: arrived_ns,
            error: ingress.error.clone(),
        };
        steps.iter().take(STEPS_MAX).for_each(|step| event.add(step));
        Ok(event)
    }

    fn add(&mut self, step: &Step) {
        let at_ns = unix_ns(step.ts.as_bytes()).unwrap_or(self.arrived_ns);
        self.ended_ns = self.ended_ns.max(at_ns);
        if self.error.is_none() {
            self.error.clone_from(&step.error);
        }
        match (step.what.as_str(), step.link()) {
            ("eg", Some(_)) => {
                let (to, hop) = (step.name.clone(), step.hop.clone());
                self.departures.push(Departure { to, hop, at_ns });
            }
            ("eg", None) => self.clients += 1,
            ("js", _) => {
                let (stream, error) = (step.stream.clone(), step.error.clone());
                self.stored = Some(Stored { stream, at_ns, error });
            }
            // Mappings, imports and exports happen within the server's own span.
            _ => {}
        }
    }
}

#[derive(Deserialize)]
struct RawEvent {
    server: RawServer,
    request: RawRequest,
    #[serde(default)]
    events: Vec<Step>,
}

#[derive(Deserialize)]
struct RawServer {
    name: String,
    cluster: Option<String>,
}

#[derive(Deserialize)]
struct RawRequest {
    #[serde(default)]
    header: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    msgsize: u64,
}

impl RawRequest {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.header.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.and_then(|(_, values)| values.first()).map(String::as_str)
    }
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "type")]
    what: String,
    ts: String,
    #[serde(default)]
    kind: u8,
    #[serde(default)]
    name: String,
    #[serde(default)]
    subj: String,
    #[serde(default)]
    hop: String,
    #[serde(default)]
    stream: String,
    error: Option<String>,
}

impl Step {
    fn link(&self) -> Option<Link> {
        match self.kind {
            ROUTER => Some(Link::Route),
            GATEWAY => Some(Link::Gateway),
            LEAF => Some(Link::Leaf),
            _ => None,
        }
    }
}
