//! Publishers of numbered messages that know what was acknowledged: through an edge as browsers
//! publish, or with plain NATS as services do.

use crate::checker::Publication;
use crate::stage::{Orders, Stage};
use meridian_client::{Client, Error, Options, PayloadBuf, PublishOptions};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Before an unacknowledged message is sent again.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// A stream that answers later is as good as down, and a message id makes the repeat harmless.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// Owned by the task that runs it. It sends on its subjects in turn, one message after the other,
/// so that the order on a subject is the order of the numbers.
pub struct Publisher {
    pub name: String,
    /// Nobody else's.
    pub subjects: Vec<String>,
    /// From one message to the next, if acknowledgements are quicker.
    pub pace: Duration,
    /// Beside the number, in bytes.
    pub padding_bytes: usize,
    pub door: Door,
    pub patience: Patience,
}

/// How messages come into the mesh.
pub enum Door {
    /// Through the first of these edges that takes them.
    Edges(Vec<String>),
    /// With plain NATS, from this client.
    Nats(async_nats::Client),
}

/// What happens to a message that is not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It is sent again under the same message id until it is, or the run is over.
    Stubborn,
    /// It is left: stored or not.
    Hasty,
}

/// The payload.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) n: u64,
    p: String,
}

/// A stream's acknowledgement; without a sequence it is a refusal.
#[derive(Deserialize)]
struct Acknowledgement {
    seq: Option<u64>,
}

impl Publisher {
    /// Publishes until the run is over; what was sent.
    pub async fn run(mut self, stage: Arc<Stage>) -> Vec<Publication> {
        let orders = stage.orders();
        let mut publications = Vec::new();
        let mut pace = interval(self.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut session = None;
        for number in 0_u64.. {
            pace.tick().await;
            if orders.borrow().is_over {
                break;
            }
            let subject = self.subjects[number as usize % self.subjects.len()].clone();
            let sent_ms = stage.now_ms();
            let sequence = self.publish(&mut session, &orders, &subject, number).await;
            if sequence.is_some() {
                stage.note_published();
            }
            publications.push(Publication { subject, number, sequence, sent_ms });
        }
        publications
    }

    async fn publish(
        &mut self,
        session: &mut Option<Client>,
        orders: &watch::Receiver<Orders>,
        subject: &str,
        number: u64,
    ) -> Option<u64> {
        let payload = Numbered { n: number, p: "x".repeat(self.padding_bytes) };
        let payload = serde_json::to_string(&payload).unwrap();
        let mid = format!("{}-{number}", self.name);
        loop {
            let sequence = match &mut self.door {
                Door::Edges(urls) => {
                    let sequence = through_edge(session, &urls[0], subject, &payload, &mid).await;
                    if session.is_none() {
                        urls.rotate_left(1);
                    }
                    sequence
                }
                Door::Nats(nats) => with_nats(nats, subject, &payload, &mid).await,
            };
            let is_last = self.patience == Patience::Hasty || orders.borrow().is_over;
            if sequence.is_some() || is_last {
                return sequence;
            }
            sleep(RETRY_WAIT).await;
        }
    }
}

/// The session is gone afterwards if its edge is.
async fn through_edge(
    session: &mut Option<Client>,
    url: &str,
    subject: &str,
    payload: &str,
    mid: &str,
) -> Option<u64> {
    let client = match session.take() {
        Some(client) => client,
        None => {
            let options = Options {
                connect_timeout: ACKNOWLEDGEMENT_TIMEOUT,
                reply_timeout: ACKNOWLEDGEMENT_TIMEOUT,
                ..Options::default()
            };
            Client::connect(url, options).await.ok()?
        }
    };
    let options = PublishOptions { mid: Some(mid.to_owned()), ..PublishOptions::default() };
    let payload = PayloadBuf::sniff(payload.into());
    match client.publish(subject, payload, options).await {
        Ok(reply) => {
            *session = Some(client);
            reply.and_then(|reply| reply.q)
        }
        Err(Error::Refused(_)) => {
            *session = Some(client);
            None
        }
        Err(_) => None,
    }
}

async fn with_nats(
    nats: &async_nats::Client,
    subject: &str,
    payload: &str,
    mid: &str,
) -> Option<u64> {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", mid);
    let payload = payload.to_owned().into();
    let asked = nats.request_with_headers(subject.to_owned(), headers, payload);
    let answer = tokio::time::timeout(ACKNOWLEDGEMENT_TIMEOUT, asked).await.ok()?.ok()?;
    serde_json::from_slice::<Acknowledgement>(&answer.payload).ok()?.seq
}

/// The number in a message.
pub(crate) fn number_of(payload: &str) -> u64 {
    serde_json::from_str::<Numbered>(payload).expect("publishers number their messages").n
}
