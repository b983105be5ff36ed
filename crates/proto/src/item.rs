//! Items: what an edge tells a client. Replies carry the command's `id`; everything else is
//! pushed. The structs know no codec; `json` reads and writes their JSON spelling.

mod history;

pub use history::{HistoryGap, HistoryMessage, HistoryReply};

use crate::codes::ErrorCode;
use crate::command::Headers;
use crate::payload::{Content, Raw};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One item.
#[derive(Debug, Clone)]
pub enum Item {
    /// The empty object: the edge is alive.
    Heartbeat,
    /// The command with this id succeeded.
    Reply(u32, Reply),
    /// A command failed. Without an id, one that had none.
    Error(Option<u32>, Failure),
    /// A message for a subscription.
    Message(Message),
    /// Messages may be missing at this place.
    Gap(Gap),
    /// The replay of a subscription has ended: what follows is live.
    Live(Mark),
    /// Everything up to a position was delivered: resume after it.
    Position(Mark),
    /// The edge ended a subscription.
    Unsubscribed(Unsubscribed),
    /// The edge will close soon; go elsewhere.
    GoAway(GoAway),
    /// What does not work in the mesh.
    Mesh(Mesh),
    /// A token ends soon: refresh it.
    Expire(Expire),
    /// A push that this version does not know: to be skipped.
    Unknown(String),
}

/// What a successful command answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// To `connect`.
    Connect(ConnectReply),
    /// To `subscribe`.
    Subscribe(SubscribeReply),
    /// To `unsubscribe`: nothing but the id.
    Unsubscribe,
    /// To `publish`.
    Publish(PublishReply),
    /// To `request`.
    Request(RequestReply),
    /// To `history`.
    History(HistoryReply),
    /// To `refresh`.
    Refresh(RefreshReply),
}

/// Who serves the client, and how much it may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectReply {
    /// The connection's id, unique in the mesh.
    pub cid: String,
    /// The edge's id.
    pub node: String,
    /// The edge's region.
    pub region: String,
    /// The edge's version.
    pub ver: String,
    /// Heartbeat interval in s.
    pub ping: u32,
    /// Who the token says that the client is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When the edge will close the connection with 3002, in s of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// The connection's limits.
    pub limits: Limits,
    /// Other edges, in the order to try them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alt: Vec<String>,
    /// The optional pushes that will be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feat: Vec<String>,
}

/// What one connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes in one client message.
    pub frame: usize,
    /// Filters held at once.
    pub subs: usize,
    /// Commands in one frame.
    pub cmds: usize,
}

/// A subscription stands: every later message on the filter arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribeReply {
    /// Subscription id, dead after the connection ends.
    pub i: u32,
    /// Whether the filter has positions to resume from.
    pub recoverable: bool,
    /// The stream's epoch, of a recoverable filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// Where the subscription stands: messages above this sequence follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<u64>,
    /// How many messages the replay will bring, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Answers `recover`: whether everything missed was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// Why nothing was recovered: `ephemeral`, `epoch`, `expired` or `limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How far a publish got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReply {
    /// `edge`: the region's NATS server took it. `stream`: it is stored.
    pub ack: crate::command::Ack,
    /// The stream that stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its sequence there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<u64>,
    /// Whether a message with the same `mid` was stored before, which this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dup: Option<bool>,
}

/// A responder's answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RequestReply {
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
    /// Headers that the namespace allows.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub h: Headers,
}

/// The new token holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshReply {
    /// When the connection, or the subscription, will end, in s of Unix time.
    pub expires: u64,
}

/// Why a command failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// See [`ErrorCode`]. A number that this version does not know reads as `Internal`: `retry`
    /// says what to do all the same.
    #[serde(deserialize_with = "known_code")]
    pub code: ErrorCode,
    /// What happened, for people.
    pub msg: String,
    /// Whether the same command may succeed later.
    pub retry: bool,
    /// How long to wait before that, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// What to change, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A message as a client reads it. The edge writes it by `json::message` instead.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Subscription id.
    pub i: u32,
    /// The subject that it was published on.
    pub s: String,
    /// Its sequence in the stream, of a durable message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<u64>,
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
    /// The headers asked for.
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    pub h: Headers,
    /// `traceparent`, if asked for and sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tp: Option<String>,
    /// 1 for a message that was replayed, not live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<u8>,
}

/// A position of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Subscription id.
    pub i: u32,
    /// Sequence in the stream.
    pub q: u64,
}

/// A place where messages may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Subscription id.
    pub i: u32,
    /// The last sequence before the gap, of a durable filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The last sequence within the gap, of a durable filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upto: Option<u64>,
    /// The epoch of `upto` and of every later position, where it has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// `nats`: the edge had lost its NATS server. `expired`: the region's copy does not have them.
    /// `limit`: more than one resume may bring, or perhaps dropped by a limit a subject. `epoch`:
    /// the stream has begun anew. `slow` and `conflated`: this client read too slowly, and the
    /// oldest messages were dropped, or newer ones have replaced them.
    pub why: String,
}

/// A token ends soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expire {
    /// In so many s, the allowed difference of clocks included.
    #[serde(rename = "in")]
    pub in_s: u64,
    /// The subscription whose token it is. Without it, the connection's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i: Option<u32>,
}

/// The edge ended a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribed {
    /// Subscription id.
    pub i: u32,
    /// 2500 to 2999.
    pub code: u16,
    /// For people.
    pub reason: String,
}

/// The edge will close this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoAway {
    /// `drain`, `rebalance` or `region_down`.
    pub why: String,
    /// Where to go, in order. Empty: the same address, which leads to another edge.
    #[serde(default)]
    pub server: Vec<String>,
    /// Leave after a uniformly chosen delay in this range, in ms.
    pub after_ms: [u64; 2],
    /// The edge closes after this many ms at the latest.
    pub deadline_ms: u64,
}

/// What does not work in the mesh, as this edge sees it; empty when everything does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mesh {
    /// Regions that the edge no longer hears, sorted.
    #[serde(default)]
    pub degraded: Vec<String>,
    /// Durable namespaces whose copy in the edge's region is behind home, or may be, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
    /// Durable namespaces whose home is lost: nothing can be stored, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readonly: Vec<String>,
}

fn known_code<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ErrorCode, D::Error> {
    let number = u16::deserialize(deserializer)?;
    Ok(ErrorCode::try_from(number).unwrap_or(ErrorCode::Internal))
}

impl Failure {
    /// A failure with the code's own retry rule.
    #[must_use]
    pub fn new(code: ErrorCode, msg: impl Into<String>) -> Self {
        let retry = code.is_retryable();
        Self { code, msg: msg.into(), retry, after_ms: None, hint: None }
    }

    /// Adds what to change.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Mesh {
    /// Whether everything works.
    #[must_use]
    pub fn is_well(&self) -> bool {
        *self == Self::default()
    }
}

impl Message {
    /// The payload's spelling.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        Content { d: self.d.as_deref(), t: self.t.as_deref(), b: self.b.as_ref() }
    }
}

impl RequestReply {
    /// The payload's spelling.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        Content { d: self.d.as_deref(), t: self.t.as_deref(), b: self.b.as_ref() }
    }
}
