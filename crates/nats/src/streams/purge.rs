//! Erases stored messages in every region.
//!
//! A purge of a home stream is not passed on to its mirrors (measured), so each copy is purged by
//! itself, up to the same message. Afterwards positions could lie: a client that resumes could not
//! be told what it missed. So the epoch always changes, and clients with a position of the old one
//! are told that they start anew.
//!
//! Edges keep a filter's last messages in memory. Before anything is erased each is told up to
//! where (`subjects::purged`), and shows nothing of that any more but what its copy shows; and told
//! again when the epoch has changed, so that it looks at once. An edge that does not hear it,
//! because it has lost its servers, looks every 2 s.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::api::Streams;
use super::apply::Confirm;
use super::copy_config::{EPOCH_FIELD, set};
use super::epoch;
use super::error::Error;
use super::existing::overlap;
use super::namespace::{DurableNamespace, copy_name, home_stream_name};
use crate::subjects;
use crate::wire_text::{Wildcards, check_subject};

/// Until a mirror must have heard of its home. After its server was away that takes longer (40 s
/// measured, and the server doubles its pauses up to 2 min): then the purge has to be run again.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(15);

const PAUSE: Duration = Duration::from_millis(100);

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurgeReport {
    /// The new epoch of all copies.
    pub epoch: String,
    /// Home first.
    pub copies: Vec<PurgedCopy>,
}

/// What was erased in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurgedCopy {
    /// The copy's name.
    pub stream: String,
    /// Where it is.
    pub region: String,
    /// How many messages were erased.
    pub messages: u64,
    /// Why it may still hold some, or the old epoch: run the purge again. `None` if all is well.
    pub failure: Option<String>,
}

impl PurgeReport {
    /// Whether every copy is purged and has the new epoch.
    pub fn is_complete(&self) -> bool {
        self.copies.iter().all(|copy| copy.failure.is_none())
    }
}

impl Streams {
    /// Erases what is stored now, on home and every mirror, and gives all copies a new epoch. With
    /// `filter`, only messages whose subjects it matches. Messages published meanwhile stay.
    /// `now_s` is Unix time. One region's failure does not keep others from being purged.
    ///
    /// # Errors
    /// [`Error::NotConfirmed`] without [`Confirm::Yes`], [`Error::Invalid`] for a filter that
    /// matches nothing of the namespace; and when the home stream could not be purged, after which
    /// nothing else was tried.
    pub async fn purge(
        &self,
        namespace: &DurableNamespace,
        regions: &[String],
        filter: Option<&str>,
        now_s: u64,
        confirm: Confirm,
    ) -> Result<PurgeReport, Error> {
        namespace.check(regions)?;
        check_filter(namespace, filter)?;
        let home_stream = home_stream_name(namespace);
        if confirm == Confirm::No {
            return Err(Error::NotConfirmed { streams: format!("{home_stream} and its mirrors") });
        }
        let home = self.info(&home_stream).await?;
        let epoch = epoch::next(&home_stream, home.epoch(), now_s);
        let last_seq = home.state.last_seq;
        let mirrors: Vec<_> = regions.iter().filter(|region| **region != namespace.home).collect();
        self.tell_edges(namespace, &home_stream, &mirrors, last_seq).await;
        let messages = self.purge_until(&home_stream, filter, last_seq).await?;
        let mut copies = vec![PurgedCopy {
            stream: home_stream.clone(),
            region: namespace.home.clone(),
            messages,
            failure: None,
        }];
        for region in &mirrors {
            let stream = copy_name(namespace, region);
            let (messages, failure) = self.purge_mirror(&stream, filter, last_seq).await;
            copies.push(PurgedCopy { stream, region: (*region).clone(), messages, failure });
        }
        // Home first: if this ends here, `apply` brings the mirrors to home's epoch.
        for copy in &mut copies {
            if let Err(error) = self.set_epoch(&copy.stream, &epoch).await {
                warn!(stream = copy.stream, %error, "epoch was not changed");
                copy.failure.get_or_insert(error.to_string());
            }
        }
        self.tell_edges(namespace, &home_stream, &mirrors, last_seq).await;
        info!(namespace = namespace.name, epoch, "purged");
        Ok(PurgeReport { epoch, copies })
    }

    /// Tells the edges of every region. What cannot be told they see when they look.
    async fn tell_edges(
        &self,
        namespace: &DurableNamespace,
        home_stream: &str,
        mirrors: &[&String],
        last_seq: u64,
    ) {
        let names = mirrors.iter().map(|region| copy_name(namespace, region));
        for stream in std::iter::once(home_stream.to_owned()).chain(names) {
            let told = self.publish(&subjects::purged(&stream), last_seq.to_string()).await;
            if let Err(error) = told {
                warn!(stream, %error, "edges were not told of the purge");
            }
        }
    }

    /// Purges a mirror, and again until nothing that home had can arrive any more.
    async fn purge_mirror(
        &self,
        stream: &str,
        filter: Option<&str>,
        last_seq: u64,
    ) -> (u64, Option<String>) {
        let give_up_at = Instant::now() + CATCH_UP_TIMEOUT;
        let mut purged = 0;
        loop {
            let round = async {
                // The order matters: what is purged below includes all that was there here.
                let mirror = self.info(stream).await?;
                // A purge past its last message would leave a mirror without the ones between.
                let until = last_seq.min(mirror.state.last_seq);
                let count = self.purge_until(stream, filter, until).await?;
                let is_caught_up = mirror.mirror.is_some_and(|m| m.lag == 0 && m.active >= 0);
                Ok::<_, Error>((count, is_caught_up))
            };
            match round.await {
                Ok((count, is_caught_up)) => {
                    purged += count;
                    if is_caught_up && count == 0 {
                        return (purged, None);
                    }
                }
                Err(error) => return (purged, Some(error.to_string())),
            }
            if Instant::now() >= give_up_at {
                let waited_ms = CATCH_UP_TIMEOUT.as_millis();
                let lags =
                    format!("it has not caught up with home after {waited_ms} ms: purge again");
                return (purged, Some(lags));
            }
            sleep(PAUSE).await;
        }
    }

    /// Erases up to and including this sequence. Returns how many messages there were.
    async fn purge_until(
        &self,
        stream: &str,
        filter: Option<&str>,
        last_seq: u64,
    ) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Purged {
            purged: u64,
        }
        if last_seq == 0 {
            return Ok(0);
        }
        // The server purges what is before `seq`.
        let mut body = json!({"seq": last_seq + 1});
        if let Some(filter) = filter {
            body["filter"] = json!(filter);
        }
        let answer: Purged = self.call_for(&format!("STREAM.PURGE.{stream}"), &body).await?;
        Ok(answer.purged)
    }

    async fn set_epoch(&self, stream: &str, epoch: &str) -> Result<(), Error> {
        let with_epoch = |existing: &Value| {
            let mut config = existing.clone();
            set(&mut config, EPOCH_FIELD, json!(epoch));
            config
        };
        self.update(stream, with_epoch).await
    }
}

fn check_filter(namespace: &DurableNamespace, filter: Option<&str>) -> Result<(), Error> {
    let Some(filter) = filter else { return Ok(()) };
    let is_sound = check_subject("filter", filter, Wildcards::Allowed).is_ok();
    if is_sound && overlap(filter, &namespace.pattern) {
        return Ok(());
    }
    let pattern = &namespace.pattern;
    let what = format!("the filter {filter:?} matches nothing of {pattern}");
    Err(Error::Invalid { namespace: namespace.name.clone(), what })
}
