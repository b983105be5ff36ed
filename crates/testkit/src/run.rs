//! One run: followers and publishers from the first subscription to the verdict. What happens to
//! the mesh meanwhile is the test's business.

use crate::checker::{Log, Publication, Violation, check};
use crate::follower::{Follower, LAST_AUDIT, Record};
use crate::publisher::Publisher;
use crate::stage::Stage;
use crate::within;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Owned by its test. Dropping it leaves the tasks to the runtime's end.
pub struct Run {
    pub stage: Arc<Stage>,
    filters: BTreeSet<String>,
    following: Vec<JoinHandle<Record>>,
    publishing: Vec<JoinHandle<Vec<Publication>>>,
    give_up: watch::Sender<bool>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub publications: Vec<Publication>,
    pub records: Vec<Record>,
    pub violations: Vec<Violation>,
    /// From the last publish until every follower had seen everything; what each waits then, in
    /// case an audit finds more, is not counted.
    pub caught_up: Duration,
}

impl Run {
    /// Starts followers, waits until each has subscribed, and then starts publishers.
    pub async fn start(followers: Vec<Follower>, publishers: Vec<Publisher>) -> Self {
        let stage = Arc::new(Stage::default());
        let (give_up, is_late) = watch::channel(false);
        let filters = followers.iter().map(|follower| follower.filter.clone()).collect();
        let following: Vec<_> = followers
            .into_iter()
            .map(|follower| tokio::spawn(follower.run(Arc::clone(&stage), is_late.clone())))
            .collect();
        stage.subscribed(following.len()).await;
        let publishing = publishers
            .into_iter()
            .map(|publisher| tokio::spawn(publisher.run(Arc::clone(&stage))))
            .collect();
        Self { stage, filters, following, publishing, give_up }
    }

    /// Stops publishers, waits until every follower has seen the last acknowledged message of its
    /// filter, at most `limit`, and judges.
    pub async fn finish(self, limit: Duration) -> Outcome {
        self.stage.stop_publishing();
        let mut publications = Vec::new();
        for publishing in self.publishing {
            publications.extend(within("publishers end", publishing).await.unwrap());
        }
        self.stage.finish(&publications, &self.filters);
        let stopped = Instant::now();
        let mut records = Vec::new();
        for mut following in self.following {
            let ended = match timeout(limit.saturating_sub(stopped.elapsed()), &mut following).await
            {
                Ok(ended) => ended,
                // What it recorded so far is judged all the same.
                Err(_) => {
                    self.give_up.send_replace(true);
                    following.await
                }
            };
            records.push(ended.expect("a follower does not fail"));
        }
        let caught_up = stopped.elapsed().saturating_sub(LAST_AUDIT);
        let logs: Vec<&Log> = records.iter().map(|record| &record.log).collect();
        let violations = check(&publications, &logs).err().unwrap_or_default();
        Outcome { publications, records, violations, caught_up }
    }
}

impl Outcome {
    /// The names of followers that never saw the last message.
    pub fn stuck(&self) -> Vec<&str> {
        let stuck = self.records.iter().filter(|record| !record.is_complete);
        stuck.map(|record| record.log.name.as_str()).collect()
    }

    /// Whether every follower saw the last message and the checker found nothing.
    pub fn is_honest(&self) -> bool {
        self.violations.is_empty() && self.stuck().is_empty()
    }
}
