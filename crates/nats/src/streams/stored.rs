//! What a copy has stored, in order: for the control plane, where a few messages are read now and
//! then. Not for what clients read; shards ask for that over connections of their own.

use super::api::Streams;
use super::error::Error;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;

/// Messages of one answer.
const BATCH: u64 = 500;

/// One stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its payload. It shares memory with its neighbours: copy what is kept.
    pub payload: Bytes,
}

impl Streams {
    /// The messages of a copy above a sequence, in order, and at most some hundred: ask again
    /// behind the last one until there is none. Asks once and without patience for a start.
    ///
    /// # Errors
    /// [`Error::Missing`] if nobody answers for the copy, [`Error::Unanswered`] if it does not end
    /// in time, [`Error::Refused`], and a failed connection.
    pub async fn stored_after(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Vec<StoredMessage>, Error> {
        let failed = |error: String| Error::from(crate::Error::Control(error));
        let client = self.control().client();
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(inbox.clone()).await;
        let mut answers = subscribed.map_err(|error| failed(error.to_string()))?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let request = json!({"seq": sequence + 1, "next_by_subj": ">", "batch": BATCH});
        let asked = client.publish_with_reply(subject, inbox, request.to_string().into()).await;
        asked.map_err(|error| failed(error.to_string()))?;
        let mut stored = Vec::new();
        loop {
            let Ok(Some(answer)) = timeout(self.patience(), answers.next()).await else {
                let waited_ms = u64::try_from(self.patience().as_millis()).unwrap_or(u64::MAX);
                return Err(Error::Unanswered { what: format!("reads of {stream}"), waited_ms });
            };
            match answer.status.map(|status| status.as_u16()) {
                None | Some(200) => {}
                // The end of a batch, and that there is nothing.
                Some(204 | 404) => return Ok(stored),
                Some(503) => return Err(Error::Missing { stream: stream.to_owned() }),
                Some(code) => {
                    let message = answer.description.map(|text| text.to_string());
                    let (what, message) = (format!("DIRECT.GET.{stream}"), message);
                    let (message, code) = (message.unwrap_or_default(), code.into());
                    return Err(Error::Refused { what, message, code });
                }
            }
            let header = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Sequence"));
            let sequence = header.and_then(|value| value.as_str().parse().ok());
            let sequence = sequence.ok_or_else(|| failed("an answer without sequence".into()))?;
            stored.push(StoredMessage { sequence, payload: answer.payload });
        }
    }
}
