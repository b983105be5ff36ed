//! What is asked and shown of each message: the options that `sub` and `history` share.

use crate::message_format::Format;
use crate::terminal::Paint;

#[derive(Debug, clap::Args)]
pub(crate) struct Shown {
    /// One JSON object a message.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Only the payload's bytes, and a line end.
    #[arg(long)]
    raw: bool,
    /// Headers to receive, of those that the namespace allows.
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    pub(crate) headers: Vec<String>,
    /// Receive the trace context of sampled messages.
    #[arg(long)]
    pub(crate) trace: bool,
}

impl Shown {
    pub(crate) fn format(&self) -> Format {
        match (self.json, self.raw) {
            (true, _) => Format::Json,
            (_, true) => Format::Raw,
            _ => Format::Human(Paint::of_stdout()),
        }
    }
}
