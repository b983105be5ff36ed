//! JetStream's API as requests and answers in JSON, with patience for a cluster that has just
//! started.
//!
//! By hand, not by async-nats's types, for two reasons: an update replaces a stream's whole
//! configuration, so fields that a client library does not know must survive; and an answer that
//! says "not now" has to be told from one that says no.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::error::Error;
use super::existing::ExistingStream;
use crate::control::Control;

/// One request. The server itself gives up gathering a list after about 4 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Until a failure is reported. A meta leader is elected about five seconds after a start, and
/// again after the loss of one; slow machines need longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Until an answer is believed that may also come from a server that has just started: no
/// responders, no peers, a stream that does not answer.
const PATIENCE_FOR_NO: Duration = Duration::from_secs(10);

/// Between two attempts that were answered at once.
const PAUSE: Duration = Duration::from_millis(250);

/// Pages of a list; a page holds 256 streams.
const PAGES_MAX: usize = 256;

/// Reads and changes streams over a control connection. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Streams {
    control: Control,
    patience: Duration,
}

/// JetStream's error codes that are told apart, from nats-server's `errors.json`.
pub(super) mod code {
    pub(in crate::streams) const NO_PEERS: u64 = 10_005;
    pub(in crate::streams) const SUBJECTS_OVERLAP: u64 = 10_065;
    pub(super) const NOT_ACTIVE: u64 = 10_006;
    pub(super) const NOT_ASSIGNED: u64 = 10_007;
    pub(super) const NOT_AVAILABLE: u64 = 10_008;
    pub(super) const NOT_LEADER: u64 = 10_009;
    pub(super) const NOT_ENABLED_FOR_ACCOUNT: u64 = 10_039;
    pub(super) const STREAM_NOT_FOUND: u64 = 10_059;
    pub(super) const NOT_ENABLED: u64 = 10_076;
}

/// What JetStream says no with.
#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// How one attempt ended, other than well.
enum Failure {
    Refusal(Refusal),
    NoResponders,
    TimedOut,
    Broken(String),
}

impl Streams {
    /// Uses this connection; nothing is sent yet.
    pub fn new(control: &Control) -> Self {
        Self { control: control.clone(), patience: PATIENCE }
    }

    /// Gives up after this many ms where an answer is a matter of time, instead of after 30,000.
    /// For callers that ask again by themselves.
    #[must_use]
    pub fn with_patience_ms(self, patience_ms: u64) -> Self {
        Self { patience: Duration::from_millis(patience_ms), ..self }
    }

    /// For the modules that speak another part of the protocol.
    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    /// How long an answer may take.
    pub(super) fn patience(&self) -> Duration {
        ATTEMPT_TIMEOUT.min(self.patience)
    }

    /// All streams of the account, ours or not.
    ///
    /// # Errors
    /// [`Error::Unanswered`] also when only some streams do not answer: taking them for missing
    /// would be a plan to create them. [`Error::NoJetStream`], [`Error::NoMetaLeader`].
    pub async fn existing(&self) -> Result<Vec<ExistingStream>, Error> {
        let patience = PATIENCE_FOR_NO.min(self.patience);
        let give_up_at = Instant::now() + patience;
        loop {
            let (streams, silent) = self.list().await?;
            if silent.is_empty() {
                return Ok(streams);
            }
            if Instant::now() >= give_up_at {
                let what = format!("questions about {}", silent.join(", "));
                return Err(unanswered(&what, patience));
            }
            debug!(?silent, "streams do not answer yet");
            sleep(PAUSE).await;
        }
    }

    /// All streams that answer, and the names of those that do not.
    pub(super) async fn list(&self) -> Result<(Vec<ExistingStream>, Vec<String>), Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            total: usize,
            #[serde(default)]
            streams: Option<Vec<ExistingStream>>,
            #[serde(default)]
            missing: Option<Vec<String>>,
        }
        let (mut streams, mut silent) = (Vec::new(), Vec::new());
        for _ in 0..PAGES_MAX {
            let offset = streams.len() + silent.len();
            let page: Page = self.call_for("STREAM.LIST", &json!({"offset": offset})).await?;
            let (found, missing) =
                (page.streams.unwrap_or_default(), page.missing.unwrap_or_default());
            let is_last = found.is_empty() && missing.is_empty();
            streams.extend(found);
            silent.extend(missing);
            if is_last || streams.len() + silent.len() >= page.total {
                break;
            }
        }
        Ok((streams, silent))
    }

    /// One stream.
    pub(super) async fn info(&self, stream: &str) -> Result<ExistingStream, Error> {
        self.call_for(&format!("STREAM.INFO.{stream}"), &json!({})).await
    }

    /// Tells whoever listens. It is on its way before anything that is asked later.
    pub(super) async fn publish(
        &self,
        subject: &str,
        text: String,
    ) -> Result<(), crate::error::Error> {
        self.control.publish(subject, text).await?;
        let written = self.control.client().flush().await;
        written.map_err(|error| crate::error::Error::Control(error.to_string()))
    }

    /// Asks, and reads the answer.
    pub(super) async fn call_for<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        body: &Value,
    ) -> Result<T, Error> {
        let answer = self.call(what, body).await?;
        serde_json::from_value(answer).map_err(|error| Error::Refused {
            what: what.to_owned(),
            message: format!("an answer that cannot be read: {error}"),
            code: 0,
        })
    }

    /// Asks, again and again while the cluster says "not now". Everything that is asked here may
    /// be asked twice.
    pub(super) async fn call(&self, what: &str, body: &Value) -> Result<Value, Error> {
        let started_at = Instant::now();
        loop {
            let failure = if self.control.is_connected() {
                match self.attempt(what, body).await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                }
            } else {
                Failure::Broken("not connected".to_owned())
            };
            let patience = failure.patience().min(self.patience);
            if started_at.elapsed() >= patience {
                return Err(failure.explain(what, patience));
            }
            debug!(what, "asking JetStream again");
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, what: &str, body: &Value) -> Result<Value, Failure> {
        let request = Request::new()
            .payload(body.to_string().into())
            .timeout(Some(ATTEMPT_TIMEOUT.min(self.patience)));
        let answered = self.control.client().send_request(format!("$JS.API.{what}"), request).await;
        let message = answered.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::NoResponders,
            RequestErrorKind::TimedOut => Failure::TimedOut,
            _ => Failure::Broken(error.to_string()),
        })?;
        let mut answer: Value = serde_json::from_slice(&message.payload)
            .map_err(|error| Failure::Broken(format!("an answer that is no JSON: {error}")))?;
        match answer.get_mut("error").map(Value::take) {
            None => Ok(answer),
            Some(refusal) => Err(match serde_json::from_value(refusal) {
                Ok(refusal) => Failure::Refusal(refusal),
                Err(error) => Failure::Broken(format!("an error that cannot be read: {error}")),
            }),
        }
    }
}

impl Failure {
    /// How long this may be a matter of time.
    fn patience(&self) -> Duration {
        match self {
            Self::TimedOut | Self::Broken(_) => PATIENCE,
            Self::NoResponders => PATIENCE_FOR_NO,
            Self::Refusal(refusal) => match refusal.err_code {
                code::NOT_ACTIVE | code::NOT_ASSIGNED | code::NOT_AVAILABLE | code::NOT_LEADER => {
                    PATIENCE
                }
                code::NO_PEERS => PATIENCE_FOR_NO,
                _ => Duration::ZERO,
            },
        }
    }

    fn explain(self, what: &str, waited: Duration) -> Error {
        let refusal = match self {
            Self::NoResponders => return Error::NoJetStream,
            Self::TimedOut => return unanswered(what, waited),
            Self::Broken(message) => return crate::Error::Control(message).into(),
            Self::Refusal(refusal) => refusal,
        };
        match refusal.err_code {
            code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT => Error::NoJetStream,
            code::NOT_ACTIVE | code::NOT_ASSIGNED | code::NOT_AVAILABLE | code::NOT_LEADER => {
                Error::NoMetaLeader { waited_ms: millis(waited) }
            }
            code::STREAM_NOT_FOUND => {
                let stream = what.rsplit('.').next().unwrap_or_default().to_owned();
                Error::Missing { stream }
            }
            code => Error::Refused { what: what.to_owned(), message: refusal.description, code },
        }
    }
}

/// No answer in time.
fn unanswered(what: &str, waited: Duration) -> Error {
    Error::Unanswered { what: what.to_owned(), waited_ms: millis(waited) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(err_code: u64) -> Failure {
        Failure::Refusal(Refusal { err_code, description: "words".into() })
    }

    #[test]
    fn only_what_time_may_heal_is_asked_again() {
        assert_eq!(refusal(code::NOT_AVAILABLE).patience(), PATIENCE);
        assert_eq!(Failure::TimedOut.patience(), PATIENCE);
        assert_eq!(Failure::NoResponders.patience(), PATIENCE_FOR_NO);
        assert_eq!(refusal(code::NO_PEERS).patience(), PATIENCE_FOR_NO);
        for code in [code::SUBJECTS_OVERLAP, code::STREAM_NOT_FOUND, code::NOT_ENABLED, 10_058] {
            assert_eq!(refusal(code).patience(), Duration::ZERO, "{code}");
        }
    }

    #[test]
    fn refusals_are_told_apart_by_what_to_do_next() {
        let explain = |failure: Failure| failure.explain("STREAM.INFO.X_1", PATIENCE);
        assert!(matches!(explain(refusal(code::NOT_ENABLED)), Error::NoJetStream));
        assert!(matches!(explain(Failure::NoResponders), Error::NoJetStream));
        let error = explain(refusal(code::NOT_AVAILABLE));
        assert!(matches!(error, Error::NoMetaLeader { waited_ms: 30_000 }));
        let error = explain(refusal(code::STREAM_NOT_FOUND));
        assert!(matches!(error, Error::Missing { stream } if stream == "X_1"));
        let error = explain(refusal(10_052)).to_string();
        assert_eq!(error, "JetStream refused STREAM.INFO.X_1: words (error 10052)");
    }
}
