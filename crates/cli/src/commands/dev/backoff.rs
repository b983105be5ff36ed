//! How long to wait before a process that died is started again.

use std::time::Duration;
use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

/// A process that lived this long is healthy again, and its next death the first of a new series.
const STEADY: Duration = Duration::from_secs(30);

/// Doubles from 0.5 s to 10 s while a process keeps dying. Owned by the process's keeper.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    started: Instant,
}

impl Backoff {
    /// For a process that has just started.
    pub(super) fn new() -> Self {
        Self { next: SHORTEST, started: Instant::now() }
    }

    /// The process runs again.
    pub(super) fn on_start(&mut self) {
        self.started = Instant::now();
    }

    /// The process died: how long to wait.
    pub(super) fn on_death(&mut self) -> Duration {
        if self.started.elapsed() >= STEADY {
            self.next = SHORTEST;
        }
        let wait = self.next;
        self.next = (self.next * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_to_a_limit_and_start_over_after_a_steady_run() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..7).map(|_| backoff.on_death().as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        backoff.on_start();
        tokio::time::advance(STEADY - Duration::from_millis(1)).await;
        assert_eq!(backoff.on_death(), LONGEST);
        backoff.on_start();
        tokio::time::advance(STEADY).await;
        assert_eq!(backoff.on_death(), SHORTEST);
    }
}
