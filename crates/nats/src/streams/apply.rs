//! Performs a plan.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::api::{Streams, code};
use super::copy_config::{CLUSTER_FIELD, CopyConfig, EPOCH_FIELD, get};
use super::error::Error;
use super::plan::{Action, Plan};

/// Until a mirror must have copied what home has, before it is left to an operator's next run.
/// After its server was away a mirror hears of home again only after 40 s (measured).
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(100);

/// Whether a person has agreed to the loss of stored messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// They have.
    Yes,
    /// They have not been asked, or have not answered.
    No,
}

/// What was done, by the names of the streams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Made.
    pub created: Vec<String>,
    /// Changed in place.
    pub updated: Vec<String>,
    /// Deleted and made again.
    pub recreated: Vec<String>,
    /// Deleted.
    pub deleted: Vec<String>,
}

impl Streams {
    /// Takes the steps of a plan in their order. Ends at the first one that fails; running it all
    /// again with a new plan goes on from there.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`] before anything is changed, when a step deletes messages and
    /// `confirm` is not [`Confirm::Yes`]. [`Error::NoPeers`], [`Error::Overlap`], and those of
    /// [`Streams::existing`].
    pub async fn apply(&self, plan: &Plan, confirm: Confirm) -> Result<Applied, Error> {
        let destroyed = plan.destroyed();
        if confirm == Confirm::No && !destroyed.is_empty() {
            return Err(Error::NotConfirmed { streams: destroyed.join(", ") });
        }
        let mut applied = Applied::default();
        // Two home streams must go before either comes: one may take the other's subjects.
        for step in &plan.steps {
            if let Action::Recreate { .. } = &step.action {
                self.delete(&step.stream).await?;
            }
        }
        for step in &plan.steps {
            let done = match &step.action {
                Action::Nothing => continue,
                Action::Create { config } => {
                    self.create(config).await?;
                    &mut applied.created
                }
                Action::Update { config, changes } => {
                    if changes.iter().any(|change| change.field == EPOCH_FIELD)
                        && let Some(origin) = config.origin()
                    {
                        self.catch_up(&config.stream, origin).await?;
                    }
                    self.update_to(config).await?;
                    &mut applied.updated
                }
                Action::Recreate { config, .. } => {
                    self.create(config).await?;
                    &mut applied.recreated
                }
                Action::Delete { .. } => {
                    self.delete(&step.stream).await?;
                    &mut applied.deleted
                }
            };
            info!(stream = step.stream, region = step.region, "stream changed");
            done.push(step.stream.clone());
        }
        Ok(applied)
    }

    /// Makes a stream. A mirror tells nobody of what it copies until it has what home has now.
    async fn create(&self, config: &CopyConfig) -> Result<(), Error> {
        let what = format!("STREAM.CREATE.{}", config.stream);
        let first = if config.origin().is_some() { &config.quiet() } else { config };
        let created = self.call(&what, &first.over(None)).await;
        created.map_err(|error| explain(error, config))?;
        // It exists for the meta leader; wait until it exists for those who use it.
        self.info(&config.stream).await?;
        let Some(origin) = config.origin() else { return Ok(()) };
        self.catch_up(&config.stream, origin).await?;
        self.update_to(config).await
    }

    async fn update_to(&self, config: &CopyConfig) -> Result<(), Error> {
        let updated = self.update(&config.stream, |existing| config.over(Some(existing))).await;
        updated.map_err(|error| explain(error, config))
    }

    /// Waits until a mirror has what its origin has at this moment.
    pub(super) async fn catch_up(&self, mirror: &str, origin: &str) -> Result<(), Error> {
        let give_up_at = Instant::now() + CATCH_UP_TIMEOUT;
        let last_seq = self.info(origin).await?.state.last_seq;
        loop {
            let copied = self.info(mirror).await?.state.last_seq;
            if copied >= last_seq {
                return Ok(());
            }
            debug!(mirror, origin, copied, last_seq, "copying");
            if Instant::now() >= give_up_at {
                let (missing, waited_ms) = (last_seq - copied, CATCH_UP_TIMEOUT.as_millis() as u64);
                return Err(Error::NotCaughtUp { stream: mirror.to_owned(), missing, waited_ms });
            }
            sleep(PAUSE).await;
        }
    }

    /// Reads a stream's configuration, changes it, and sends it back whole.
    pub(super) async fn update(
        &self,
        stream: &str,
        change: impl FnOnce(&Value) -> Value,
    ) -> Result<(), Error> {
        let existing = self.info(stream).await?;
        let what = format!("STREAM.UPDATE.{stream}");
        self.call(&what, &change(&existing.config)).await?;
        Ok(())
    }

    async fn delete(&self, stream: &str) -> Result<(), Error> {
        match self.call(&format!("STREAM.DELETE.{stream}"), &json!({})).await {
            // An earlier attempt, or somebody else, has done it.
            Ok(_) | Err(Error::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Gives the server's refusal the names that it leaves out.
fn explain(error: Error, config: &CopyConfig) -> Error {
    let Error::Refused { code, message, .. } = &error else { return error };
    let wanted = config.over(None);
    match *code {
        code::NO_PEERS => Error::NoPeers {
            stream: config.stream.clone(),
            cluster: config.get(CLUSTER_FIELD).as_str().unwrap_or_default().to_owned(),
            replicas: wanted["num_replicas"].as_u64().map_or(1, |count| count as usize),
            message: message.clone(),
        },
        code::SUBJECTS_OVERLAP => Error::Overlap {
            stream: format!("other than {}", config.stream),
            pattern: get(&wanted, "republish/src").as_str().unwrap_or_default().to_owned(),
        },
        _ => error,
    }
}
