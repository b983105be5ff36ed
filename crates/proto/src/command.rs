//! Commands: what a client asks of an edge. The structs are the protocol's messages and know no
//! codec; `json` reads and writes their JSON spelling.

use crate::payload::{Content, Raw};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// One command. Replies carry its `id`; a command without one gets no reply, only errors.
#[derive(Debug, Clone)]
pub struct Command {
    /// From 1, unique among the commands of a connection that are not yet answered.
    pub id: Option<u32>,
    /// What is asked.
    pub body: Body,
}

/// What a command asks.
#[derive(Debug, Clone)]
pub enum Body {
    /// The empty object: proof of life, no reply.
    Heartbeat,
    /// First command of every connection.
    Connect(Connect),
    /// Start receiving a filter's messages.
    Subscribe(Subscribe),
    /// Stop receiving them.
    Unsubscribe(Unsubscribe),
    /// Publish one message.
    Publish(Publish),
    /// Publish one message and wait for one answer.
    Request(Request),
    /// Read a page of what is stored.
    History(History),
    /// Tell the edge that a traced message has arrived.
    Receipt(Receipt),
    /// Go on with a newer token.
    Refresh(Refresh),
    /// A command of the protocol that this edge does not serve.
    Unserved(&'static str),
}

/// Header values by name; several values of one name as an array.
pub type Headers = BTreeMap<String, HeaderValues>;

/// One header value, or several of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderValues {
    /// The usual case.
    One(String),
    /// In order of appearance.
    Many(Vec<String>),
}

impl HeaderValues {
    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

/// Identifies a client (`proto/PROTOCOL.md`, connect).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Access token. Not used in `dev` mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The client's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ver: Option<String>,
    /// Optional pushes that the client understands: `gap`, `goaway`, `mesh`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feat: Vec<String>,
    /// Wanted heartbeat interval in s, 5 to 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<u32>,
    /// `traceparent` of the client's connect span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tp: Option<String>,
}

/// Starts a subscription (`proto/PROTOCOL.md`, subscribe).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Subscribe {
    /// The filter.
    pub f: String,
    /// Resume after this position. On an ephemeral namespace nothing can be recovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<Position>,
    /// Start from history instead of now. On an ephemeral namespace there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<serde_json::Value>,
    /// Header names to deliver with each message, of those that the namespace allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hdr: Vec<String>,
    /// Deliver `tp` on sampled messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trace: bool,
    /// Subscription token: allows this filter where the connection's token does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A place in a stream: the stream's epoch and a sequence in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Epoch.
    pub e: String,
    /// Sequence, at most 2^53 - 1.
    pub q: u64,
}

/// Ends a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The subscription's id from the subscribe reply.
    pub i: u32,
}

/// Puts a newer token in the place of one that will expire (`proto/PROTOCOL.md`, refresh).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// The new token, at most 4,096 bytes.
    pub token: String,
    /// The subscription whose token it replaces. Without it, the connection's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i: Option<u32>,
}

/// What the client wants to know about its publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// Nothing.
    None,
    /// That the region's NATS server took it.
    Edge,
    /// That a stream stored it.
    Stream,
}

/// Publishes one message. At most one of `d`, `t` and `b`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Publish {
    /// The subject.
    pub s: String,
    /// Payload as JSON.
    #[serde(
        default,
        deserialize_with = "crate::payload::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub d: Option<Box<RawValue>>,
    /// Payload as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t: Option<String>,
    /// Payload as bytes, in JSON as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Raw>,
    /// Message id, at most 128 bytes: travels as `Nats-Msg-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Wanted acknowledgement. Without it: `edge` for a command with `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<Ack>,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub h: Headers,
    /// `traceparent` of the publishing span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tp: Option<String>,
}

/// Publishes one message and waits for one answer. At most one of `d`, `t` and `b`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Request {
    /// The responder's subject.
    pub s: String,
    /// Payload as JSON.
    #[serde(
        default,
        deserialize_with = "crate::payload::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub d: Option<Box<RawValue>>,
    /// Payload as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t: Option<String>,
    /// Payload as bytes, in JSON as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Raw>,
    /// How long to wait, in ms, 1 to 60,000. Without it 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub h: Headers,
    /// `traceparent` of the requesting span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tp: Option<String>,
}

/// Asks for a page of what a durable namespace has stored (`proto/PROTOCOL.md`, history). At most
/// one of `after` and `before`; with neither, the newest messages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct History {
    /// Whose messages.
    pub f: String,
    /// The oldest messages above this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// The newest messages below this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Position>,
    /// Most messages, 1 to 500. Without it 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Header names to deliver with each message, of those that the namespace allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hdr: Vec<String>,
    /// Deliver `tp` on sampled messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trace: bool,
}

/// Tells that a traced message has arrived (`proto/PROTOCOL.md`, receipt). Never answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The message's `tp`.
    pub tp: String,
    /// When it arrived, in µs since 1970 by the client's clock.
    pub at: u64,
    /// How long the client took for it, in µs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub took: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Publish {
    /// The payload's spelling.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        Content { d: self.d.as_deref(), t: self.t.as_deref(), b: self.b.as_ref() }
    }
}

impl Request {
    /// The payload's spelling.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        Content { d: self.d.as_deref(), t: self.t.as_deref(), b: self.b.as_ref() }
    }
}
