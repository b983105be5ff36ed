//! What everybody in a run shares: its clock, who has begun, and the orders that followers obey.
//! Owned by the test; publishers and followers hold it too, until they end.

use crate::checker::Publication;
use crate::eventually;
use meridian_proto::Filter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A run's clock and orders.
#[derive(Debug)]
pub struct Stage {
    zero: Instant,
    orders: watch::Sender<Orders>,
    subscribed: AtomicUsize,
    published: AtomicUsize,
}

/// What followers and publishers are to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// How often everybody was told to leave for another edge.
    pub(crate) scattered: usize,
    /// How often some were told to read nothing for a while, and for how long the last time.
    pub(crate) naps: usize,
    pub(crate) nap: Duration,
    /// Publishers stop.
    pub(crate) is_over: bool,
    /// The last acknowledged sequence of each filter: who has seen it may end.
    pub(crate) goals: Option<Arc<BTreeMap<String, u64>>>,
}

impl Orders {
    /// A filter on which nothing was acknowledged has its goal behind it.
    pub(crate) fn goal_of(&self, filter: &str) -> Option<u64> {
        Some(self.goals.as_ref()?.get(filter).copied().unwrap_or_default())
    }
}

impl Default for Stage {
    fn default() -> Self {
        let orders = watch::Sender::new(Orders::default());
        Self {
            zero: Instant::now(),
            orders,
            subscribed: AtomicUsize::new(0),
            published: AtomicUsize::new(0),
        }
    }
}

impl Stage {
    /// Since the run began, in ms.
    pub fn now_ms(&self) -> u64 {
        self.zero.elapsed().as_millis() as u64
    }

    /// Waits until so many followers have subscribed for the first time.
    pub(crate) async fn subscribed(&self, followers: usize) {
        eventually("every follower has subscribed", async || {
            self.subscribed.load(Ordering::Relaxed) >= followers
        })
        .await;
    }

    /// Waits until so many more messages were acknowledged.
    pub async fn publishes(&self, more: usize) {
        let published = || self.published.load(Ordering::Relaxed);
        let wanted = published() + more;
        eventually("publishers go on", async || published() >= wanted).await;
    }

    /// Every follower leaves its edge at once, for another.
    pub fn scatter(&self) {
        self.orders.send_modify(|orders| orders.scattered += 1);
    }

    /// Some followers stop reading.
    pub fn nap(&self, nap: Duration) {
        self.orders.send_modify(|orders| {
            orders.naps += 1;
            orders.nap = nap;
        });
    }

    /// Publishers end.
    pub(crate) fn stop_publishing(&self) {
        self.orders.send_modify(|orders| orders.is_over = true);
    }

    /// Followers of these filters end when they have seen the last message of theirs that was
    /// acknowledged.
    pub(crate) fn finish(&self, publications: &[Publication], filters: &BTreeSet<String>) {
        let mut goals = BTreeMap::new();
        for text in filters {
            let filter = Filter::parse(text).unwrap();
            let covered = publications.iter().filter(|one| filter.matches(&one.subject));
            goals.insert(text.clone(), covered.filter_map(|one| one.sequence).max().unwrap_or(0));
        }
        self.orders.send_modify(|orders| orders.goals = Some(Arc::new(goals)));
    }

    pub(crate) fn note_subscribed(&self) {
        self.subscribed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }
}
