//! What the processes of a development mesh are wished to do, and what there is of them: the two
//! things that their keepers and the control listener share.

use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::watch;

/// What a region's processes are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Run, and be started again after a crash.
    Run,
    /// Be killed, and stay so.
    Dead,
    /// End in good order, for good.
    End,
}

/// Every region's wish. Written by the control listener and by whoever stops the mesh.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    /// Regions that are to be dead.
    pub(super) dead: BTreeSet<String>,
    /// Everything is to end.
    pub(super) is_ending: bool,
}

impl Wishes {
    pub(super) fn of(&self, region: &str) -> Wish {
        match (self.is_ending, self.dead.contains(region)) {
            (true, _) => Wish::End,
            (false, true) => Wish::Dead,
            (false, false) => Wish::Run,
        }
    }
}

/// Hears wishes. Clones hear the same ones.
#[derive(Debug, Clone)]
pub(super) struct Hearing(watch::Receiver<Wishes>);

impl Hearing {
    /// Who wishes, and how to hear it.
    pub(super) fn channel() -> (watch::Sender<Wishes>, Self) {
        let (sender, receiver) = watch::channel(Wishes::default());
        (sender, Self(receiver))
    }

    pub(super) fn now(&mut self, region: &str) -> Wish {
        self.0.borrow_and_update().of(region)
    }

    /// Waits until something else than this is wished, and says what. Cancel-safe. Whoever could
    /// wish being gone counts as the end.
    pub(super) async fn other_than(&mut self, region: &str, wish: Wish) -> Wish {
        let other = self.0.wait_for(|wishes| wishes.of(region) != wish).await;
        other.map_or(Wish::End, |wishes| wishes.of(region))
    }

    /// Waits for the end. Cancel-safe.
    pub(super) async fn end(&mut self) {
        let _ = self.0.wait_for(|wishes| wishes.is_ending).await;
    }

    /// Waits until anything is wished that `now` has not seen. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// The process ids by process; None for one that does not run. Each keeper writes its own.
#[derive(Debug)]
pub(super) struct Census(watch::Sender<BTreeMap<String, Option<u32>>>);

impl Census {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }

    pub(super) fn note(&self, process: &str, pid: Option<u32>) {
        self.0.send_if_modified(|pids| pids.insert(process.to_owned(), pid) != Some(pid));
    }

    pub(super) fn pid(&self, process: &str) -> Option<u32> {
        self.0.borrow().get(process).copied().flatten()
    }

    /// Waits until none of these runs. Cancel-safe.
    pub(super) async fn all_gone(&self, processes: &[String]) {
        let mut pids = self.0.subscribe();
        let is_gone = |pids: &BTreeMap<String, Option<u32>>| {
            processes.iter().all(|process| pids.get(process).copied().flatten().is_none())
        };
        let _ = pids.wait_for(is_gone).await;
    }
}

/// The name of a region's nats-server in a census and in its own configuration.
pub(super) fn server_name(region: &str) -> String {
    format!("nats-server {region}-1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_region_is_dead_until_it_is_revived_and_the_end_wins() {
        let (wishes, mut hearing) = Hearing::channel();
        assert_eq!(hearing.now("eu"), Wish::Run);
        wishes.send_modify(|wishes| assert!(wishes.dead.insert("eu".into())));
        assert_eq!(hearing.other_than("eu", Wish::Run).await, Wish::Dead);
        assert_eq!(hearing.now("us"), Wish::Run);
        wishes.send_modify(|wishes| wishes.is_ending = true);
        assert_eq!(hearing.other_than("eu", Wish::Dead).await, Wish::End);
        drop(wishes);
        hearing.end().await;
    }

    #[tokio::test]
    async fn a_census_knows_when_the_last_of_some_processes_is_gone() {
        let census = Census::new();
        census.note("eu-1", Some(1));
        census.note("us-1", Some(2));
        let eu = ["eu-1".to_owned()];
        let (gone, ()) = tokio::join!(census.all_gone(&eu), async { census.note("eu-1", None) });
        assert_eq!((gone, census.pid("eu-1"), census.pid("us-1")), ((), None, Some(2)));
    }
}
