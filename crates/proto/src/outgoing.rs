//! A message on its way out, borrowed from whoever holds its bytes: what the hot path of each
//! codec writes. Not for what a client reads: that is `item::Message`.

use crate::payload::Payload;

/// A message as the edge has it, borrowed from the NATS read buffer.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Subscription id.
    pub i: u32,
    /// The NATS subject. Publishers inside the mesh may use any bytes but white space; what is not
    /// UTF-8 is shown with replacement characters.
    pub subject: &'a [u8],
    /// Whether the subscriber needs the subject.
    pub naming: Naming,
    /// Sequence in the stream, of a durable message.
    pub sequence: Option<u64>,
    /// The epoch of the sequence, where both together are a position that a client may resume
    /// after: on durable filters without wildcards.
    pub epoch: Option<&'a str>,
    /// Whether it is live or from the store.
    pub origin: Origin,
    /// The payload with its kind.
    pub payload: Payload<'a>,
    /// Header names and values to pass on, in order of appearance.
    pub headers: &'a [(&'a str, &'a str)],
    /// `traceparent` to pass on.
    pub traceparent: Option<&'a str>,
}

impl<'a> Outgoing<'a> {
    /// A live ephemeral message without headers.
    #[must_use]
    pub fn plain(i: u32, subject: &'a [u8], payload: Payload<'a>) -> Self {
        Self {
            i,
            subject,
            naming: Naming::Needed,
            sequence: None,
            epoch: None,
            origin: Origin::Live,
            payload,
            headers: &[],
            traceparent: None,
        }
    }
}

/// Whether a message has to name its subject. JSON always does, for people who read along; the
/// binary codec does it where it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// The filter has a wildcard.
    Needed,
    /// The filter has none: it is the subject.
    ByFilter,
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// As it was published.
    Live,
    /// Out of the store, for one client; spelled `"r":1`.
    Replay,
}
