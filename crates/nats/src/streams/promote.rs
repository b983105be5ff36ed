//! Performs a promotion.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::api::Streams;
use super::apply::{Applied, Confirm};
use super::error::Error;
use super::promotion::{OldHome, Promotion, Retirement, Survey, taken_over};

/// How long the old home may take to acknowledge its retirement. If its servers are down nobody
/// answers, and the change holds all the same (measured): the meta leader has written it down, and
/// the servers obey when they are back.
const RETIRE_PATIENCE_MS: u64 = 2_000;

/// Until the meta leader must have written a change down.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

const PAUSE: Duration = Duration::from_millis(100);

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promoted {
    /// The home stream.
    pub stream: String,
    /// Its region.
    pub region: String,
    /// The epoch of all copies that were reached.
    pub epoch: String,
    /// What the other copies needed.
    pub others: Applied,
    /// Copies that were not reached.
    pub left: Vec<String>,
}

impl Streams {
    /// All streams of the account, and who takes what is published on `pattern`. Unlike
    /// [`Streams::existing`] it goes on without those that do not answer.
    ///
    /// # Errors
    /// Those of [`Streams::existing`], except for silent streams.
    pub async fn survey(&self, pattern: &str) -> Result<Survey, Error> {
        let (existing, silent) = self.list().await?;
        let capturing = self.capturing(pattern).await?;
        Ok(Survey { existing, silent, capturing })
    }

    /// Takes the steps of a promotion in their order: retire the old home, catch up, take over, the
    /// others. Ends at the first that fails; a new [`promotion`](super::promotion()) goes on from
    /// there.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`] before anything is changed, without [`Confirm::Yes`].
    /// [`Error::NotCaughtUp`] when the mirror did not copy what an answering home still had; then
    /// home takes writes as before. And those of [`Streams::apply`].
    pub async fn promote(
        &self,
        promotion: &Promotion,
        confirm: Confirm,
    ) -> Result<Promoted, Error> {
        if confirm == Confirm::No && !promotion.is_empty() {
            let mut streams = vec![format!("what {} has not copied", promotion.stream)];
            streams.extend(promotion.rest.destroyed().into_iter().map(str::to_owned));
            return Err(Error::NotConfirmed { streams: streams.join(", ") });
        }
        self.hand_over(promotion).await?;
        let others = self.apply(&promotion.rest, Confirm::Yes).await?;
        let Promotion { stream, region, epoch, left, .. } = promotion.clone();
        Ok(Promoted { stream, region, epoch, others, left })
    }

    async fn hand_over(&self, promotion: &Promotion) -> Result<(), Error> {
        let Some(takeover) = &promotion.takeover else { return Ok(()) };
        let before = match (&promotion.retirement, &promotion.old_home) {
            (Some(retirement), OldHome::Answers { .. }) => {
                let before = self.info(&retirement.stream).await?.config;
                self.replace(&retirement.stream, &retirement.config).await?;
                Some(before)
            }
            (Some(retirement), _) => {
                self.retire_silent(promotion, retirement).await?;
                None
            }
            (None, _) => None,
        };
        if let OldHome::Answers { stream } = &promotion.old_home
            && let Err(error) = self.copy_the_rest(&promotion.stream, stream).await
        {
            if let Some(before) = before {
                self.replace(stream, &before).await?;
            }
            return Err(error);
        }
        let home = |existing: &Value| taken_over(existing, &takeover.config);
        self.update(&promotion.stream, home).await?;
        let Promotion { namespace, region, stream, epoch, .. } = promotion;
        info!(namespace, region, stream, epoch, "promoted");
        Ok(())
    }

    /// Writes it into the meta leader's book.
    async fn retire_silent(
        &self,
        promotion: &Promotion,
        retirement: &Retirement,
    ) -> Result<(), Error> {
        let hasty = self.clone().with_patience_ms(RETIRE_PATIENCE_MS);
        match hasty.replace(&retirement.stream, &retirement.config).await {
            Ok(()) | Err(Error::Unanswered { .. }) => {}
            Err(error) => return Err(error),
        }
        let give_up_at = Instant::now() + SETTLE_TIMEOUT;
        while self.capturing(&promotion.pattern).await?.contains(&retirement.stream) {
            if Instant::now() >= give_up_at {
                let what = format!("STREAM.UPDATE.{}", retirement.stream);
                let waited_ms = SETTLE_TIMEOUT.as_millis() as u64;
                return Err(Error::Unanswered { what, waited_ms });
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits until a mirror has all that its home, which takes nothing any more, holds.
    async fn copy_the_rest(&self, mirror: &str, home: &str) -> Result<(), Error> {
        loop {
            let before = self.info(home).await?.state.last_seq;
            self.catch_up(mirror, home).await?;
            // Home may still have been storing what came before.
            if self.info(home).await?.state.last_seq == before {
                return Ok(());
            }
        }
    }

    async fn replace(&self, stream: &str, config: &Value) -> Result<(), Error> {
        self.call(&format!("STREAM.UPDATE.{stream}"), config).await?;
        Ok(())
    }

    /// The streams that take what is published on a pattern, as the meta leader knows them.
    async fn capturing(&self, pattern: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default)]
            streams: Option<Vec<String>>,
        }
        let names: Names = self.call_for("STREAM.NAMES", &json!({"subject": pattern})).await?;
        Ok(names.streams.unwrap_or_default())
    }
}
