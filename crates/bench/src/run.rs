//! One run from the first socket to the report: open, settle, warm up, measure, drain, count.
//!
//! Not concerned with options or with servers; `scenario` calls it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::dialect::Dialect;
use crate::floor::FloorControl;
use crate::payload::now_ns;
use crate::plan::{PublishPlan, Published};
use crate::process::ProcessSample;
use crate::progress::{POLL, Progress};
use crate::publisher::Publisher;
use crate::receivers::{Receivers, Tally};
use crate::report::{Cost, Latency, Memory, Report, Traffic};
use crate::scenario::Processes;

/// All sockets of a run; ten thousand take seconds.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// When nothing has come for so long, what is missing counts as lost.
const DRAIN_QUIET: Duration = Duration::from_secs(3);

/// Memory is read once it has kept still: this many looks in a row, a second apart.
const SETTLED_LOOKS: usize = 4;
/// Looks that differ by less than this share of the whole count as still.
const SETTLED_SHARE: f64 = 0.005;
/// A server whose memory never keeps still is read after so many looks anyway.
const SETTLE_LOOKS_MAX: usize = 20;

/// What makes the messages; runs on a thread of its own.
pub(crate) enum Source {
    Nats(Publisher),
    Floor(FloorControl),
}

/// How a publishing thread ends: the source comes back, because a floor closes its sockets with it.
type Done = (Source, Result<Published, Error>);

impl Source {
    /// Publishes the plan on a new thread.
    fn start(mut self, plan: PublishPlan) -> Result<oneshot::Receiver<Done>, Error> {
        let (done, published) = oneshot::channel();
        std::thread::Builder::new()
            .name("bench-publish".into())
            .spawn(move || {
                let result = match &mut self {
                    Self::Nats(publisher) => publisher.run(&plan),
                    Self::Floor(control) => control.run(&plan),
                };
                // Nobody waits any more when the run has failed elsewhere.
                let _unwanted = done.send((self, result));
            })
            .map_err(|e| Error::Generator(e.to_string()))?;
        Ok(published)
    }
}

/// One look at every process of a run, and at the deliveries so far.
struct Look {
    at: Instant,
    received: u64,
    server: Option<ProcessSample>,
    nats_beside: Option<ProcessSample>,
    generator: ProcessSample,
}

/// What the phases of a run share. Owned by `run_load` or `run_idle`.
pub(crate) struct Run {
    pub(crate) scenario: &'static str,
    pub(crate) processes: Processes,
    pub(crate) threads: usize,
    pub(crate) progress: Progress,
}

impl Run {
    pub(crate) async fn idle<D: Dialect>(
        self,
        target: &str,
        dialect: &D,
        plan: &PublishPlan,
    ) -> Result<Report, Error> {
        let before = self.look(0)?;
        let receivers = self.open(dialect, plan).await?;
        let after = self.settle().await?;
        let tally = receivers.finish()?;
        if tally.closed > 0 {
            let why = format!("the server closed {} sockets while they were idle", tally.closed);
            return Err(Error::Refused { address: dialect.endpoint().authority.clone(), why });
        }
        let mut report = self.report(target, plan.sockets);
        report.memory = memory(before.server, after.server, plan.sockets);
        report.nats_beside_memory = memory(before.nats_beside, after.nats_beside, plan.sockets);
        Ok(report)
    }

    pub(crate) async fn load<D: Dialect>(
        self,
        target: &str,
        dialect: &D,
        source: Source,
        plan: PublishPlan,
        warm_up: Duration,
    ) -> Result<Report, Error> {
        let idle = self.look(0)?;
        let receivers = self.open(dialect, &plan).await?;
        let opened = self.look(0)?;
        let counters = &receivers.counters;

        self.progress.phase("measuring", plan.deliveries(plan.messages));
        let mut published = source.start(plan.clone())?;
        sleep(warm_up).await;
        counters.measure_from_ns.store(now_ns(), Relaxed);
        let before = self.look(counters.received.load(Relaxed))?;
        let (source, published) = loop {
            match tokio::time::timeout(POLL, &mut published).await {
                Ok(Ok(done)) => break done,
                Ok(Err(_)) => return Err(Error::Generator("the publisher panicked".into())),
                Err(_) => self.progress.at(counters.received.load(Relaxed)),
            }
        };
        let published = published?;
        let expected = plan.deliveries(published.messages);
        self.drain(&receivers, expected).await;
        let after = self.look(counters.received.load(Relaxed))?;
        let tally = receivers.finish()?;
        drop(source);

        let mut report = self.report(target, plan.sockets);
        let deliveries = after.received - before.received;
        let wall_s = (after.at - before.at).as_secs_f64();
        let cost = |before: Option<ProcessSample>, after: Option<ProcessSample>| {
            Cost::between(&before?, &after?, deliveries, wall_s)
        };
        report.server = cost(before.server, after.server);
        report.nats_beside = cost(before.nats_beside, after.nats_beside);
        report.generator = cost(Some(before.generator), Some(after.generator));
        report.memory = memory(idle.server, opened.server, plan.sockets);
        report.nats_beside_memory = memory(idle.nats_beside, opened.nats_beside, plan.sockets);
        report.traffic = Some(traffic(&plan, &published, &tally, deliveries, wall_s));
        Ok(report)
    }

    /// Opens a socket for each subject of the plan and waits until all are subscribed.
    async fn open<D: Dialect>(&self, dialect: &D, plan: &PublishPlan) -> Result<Receivers, Error> {
        self.progress.phase("connecting", plan.sockets as u64);
        let mut receivers = Receivers::start(dialect, plan.socket_subjects(), self.threads)?;
        let deadline = Instant::now() + OPEN_TIMEOUT;
        while !receivers.all_open()? {
            if Instant::now() > deadline {
                let seconds = OPEN_TIMEOUT.as_secs();
                return Err(Error::TimedOut { what: "opening all sockets", seconds });
            }
            self.progress.at(receivers.counters.open.load(Relaxed));
            sleep(POLL).await;
        }
        Ok(receivers)
    }

    /// Waits until everything has come, or nothing more comes.
    async fn drain(&self, receivers: &Receivers, expected: u64) {
        let counters = &receivers.counters;
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            let received = counters.received.load(Relaxed);
            if received >= expected || changed.elapsed() > DRAIN_QUIET {
                return;
            }
            if received != last {
                (last, changed) = (received, Instant::now());
            }
            self.progress.at(received);
            sleep(POLL).await;
        }
    }

    /// Looks once a second until the server's memory keeps still.
    async fn settle(&self) -> Result<Look, Error> {
        self.progress.phase("settling", SETTLE_LOOKS_MAX as u64);
        let mut sizes_kb: Vec<u64> = Vec::new();
        loop {
            sleep(Duration::from_secs(1)).await;
            let look = self.look(0)?;
            sizes_kb.push(look.server.map_or(0, |sample| sample.rss_kb));
            self.progress.at(sizes_kb.len() as u64);
            if has_settled(&sizes_kb) || sizes_kb.len() >= SETTLE_LOOKS_MAX {
                return Ok(look);
            }
        }
    }

    fn look(&self, received: u64) -> Result<Look, Error> {
        let Processes { server, nats_beside } = self.processes;
        Ok(Look {
            at: Instant::now(),
            received,
            server: server.map(ProcessSample::take).transpose()?,
            nats_beside: nats_beside.map(ProcessSample::take).transpose()?,
            generator: ProcessSample::take(std::process::id())?,
        })
    }

    fn report(&self, target: &str, sockets: usize) -> Report {
        Report {
            scenario: self.scenario.to_owned(),
            target: target.to_owned(),
            sockets,
            traffic: None,
            server: None,
            nats_beside: None,
            generator: None,
            memory: None,
            nats_beside_memory: None,
        }
    }
}

fn memory(
    before: Option<ProcessSample>,
    after: Option<ProcessSample>,
    sockets: usize,
) -> Option<Memory> {
    Some(Memory::between(&before?, &after?, sockets))
}

fn traffic(
    plan: &PublishPlan,
    published: &Published,
    tally: &Tally,
    deliveries: u64,
    measured_s: f64,
) -> Traffic {
    let expected = plan.deliveries(published.messages);
    Traffic {
        rate_per_s: plan.rate_per_s,
        publish_rate_per_s: published.rate_per_s(),
        payload_bytes: plan.payload_bytes,
        measured_s,
        deliveries,
        deliveries_per_s: deliveries as f64 / measured_s,
        expected,
        lost: tally.lost(expected),
        duplicated: tally.duplicated,
        late: tally.late,
        gaps_told: tally.gaps,
        sockets_closed: tally.closed,
        latency_us: Latency::of(tally),
    }
}

fn has_settled(sizes_kb: &[u64]) -> bool {
    let Some(last) = sizes_kb.last_chunk::<SETTLED_LOOKS>() else { return false };
    let (least, most) = last
        .iter()
        .fold((u64::MAX, 0), |(least, most), &size_kb| (least.min(size_kb), most.max(size_kb)));
    (most - least) as f64 <= most as f64 * SETTLED_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_settled_after_enough_looks_that_agree() {
        assert!(!has_settled(&[1_000, 1_000, 1_000]));
        assert!(has_settled(&[500, 1_000, 1_002, 1_001, 1_000]));
        assert!(!has_settled(&[1_000, 1_000, 1_000, 1_010]));
    }
}
