//! What a caller may choose. Every default is usable.

use crate::codec::Codec;
use crate::defaults::{CONNECT_TIMEOUT, EVENTS_QUEUED_MAX, REPLY_TIMEOUT};
use crate::resume::ResumePoint;
use meridian_proto::command::{Ack, Headers, Position};
use std::time::Duration;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// What this client calls itself in the edge's logs.
    pub name: Option<String>,
    /// Access token. An edge in `dev` mode needs none.
    pub token: Option<String>,
    /// Optional pushes that are wanted: `gap`, `goaway`, `mesh`. Default: all three.
    pub feat: Vec<String>,
    /// Wanted heartbeat interval in s, 5 to 300. Without it the edge chooses.
    pub ping: Option<u32>,
    /// `traceparent` of the caller's connect span.
    pub tp: Option<String>,
    /// How the connection spells the protocol. Default: JSON.
    pub codec: Codec,
    /// Longest time from the first packet to the connect reply. Default 10 s.
    pub connect_timeout: Duration,
    /// Longest time from a command to its reply; a request adds its own. Default 10 s.
    pub reply_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            token: None,
            feat: ["gap", "goaway", "mesh"].map(str::to_owned).to_vec(),
            ping: None,
            tp: None,
            codec: Codec::default(),
            connect_timeout: CONNECT_TIMEOUT,
            reply_timeout: REPLY_TIMEOUT,
        }
    }
}

/// What to receive with each message of a subscription.
#[derive(Debug, Clone)]
pub struct SubscribeOptions {
    /// Header names to deliver, of those that the namespace allows.
    pub hdr: Vec<String>,
    /// Deliver `tp` on sampled messages.
    pub trace: bool,
    /// Go on where an earlier subscription on the same filter stood.
    pub resume: Option<ResumePoint>,
    /// Start from history, as the protocol spells it: `{"last":50}`, `{"time":"…"}` or
    /// `{"last_per_subject":true}`. Durable filters only.
    pub from: Option<serde_json::Value>,
    /// A token for this filter alone, where the connection's does not allow it.
    pub token: Option<String>,
    /// Events that may wait before the whole connection stops reading, at least 1. Default 1,024.
    pub events_max: usize,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        let (resume, from, token) = (None, None, None);
        let events_max = EVENTS_QUEUED_MAX;
        Self { hdr: Vec::new(), trace: false, resume, from, token, events_max }
    }
}

/// Which page of history to read, and what of each message.
#[derive(Debug, Clone, Default)]
pub struct HistoryOptions {
    /// Where the page lies.
    pub place: Place,
    /// Most messages, 1 to 500. Without it 100. A page of large messages holds fewer.
    pub limit: Option<u64>,
    /// Header names to deliver, of those that the namespace allows.
    pub hdr: Vec<String>,
    /// Deliver `tp` on sampled messages.
    pub trace: bool,
}

/// Where a page of history lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// The newest messages of all.
    #[default]
    Newest,
    /// The oldest messages above a position.
    After(Position),
    /// The newest messages below a position.
    Before(Position),
}

/// What goes with a publish besides its payload.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// Wanted acknowledgement. Without it the edge's own default; [`Ack::None`] waits for nothing.
    pub ack: Option<Ack>,
    /// Message id, at most 128 bytes: a repeated one is stored once, where it is stored.
    pub mid: Option<String>,
    /// Headers.
    pub headers: Headers,
    /// `traceparent` of the publishing span.
    pub tp: Option<String>,
}
