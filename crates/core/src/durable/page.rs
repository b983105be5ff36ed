//! What a region's copy has answered, and what an answer cannot prove to be there.

use super::Stored;

/// A batch of stored messages, in order of sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Stored>,
    /// Matching messages behind these, as the store counted them.
    pub pending: u64,
    /// The last sequence that whoever answered had stored, of an audit that was not limited.
    pub upto: Option<u64>,
}

/// Messages above `after` and up to `upto` may be missing: to be told as a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The last sequence before them.
    pub after: u64,
    /// The last sequence among them.
    pub upto: u64,
    /// What has become of them.
    pub why: Why,
}

/// Why messages are missing, as the protocol says it (PROTOCOL.md, gap).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The region's copy does not have them.
    Expired,
    /// They are too many, or a limit a subject may have dropped some between others.
    Limit,
    /// Their sequences belong to another epoch.
    Epoch,
}

impl Page {
    /// Messages of the page and behind it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.messages.len() as u64 + self.pending
    }

    /// The sequence of its last message.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.messages.last().map(|stored| stored.sequence)
    }
}

impl Why {
    /// The protocol's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Limit => "limit",
            Self::Epoch => "epoch",
        }
    }
}
