//! The control plane's watch over the region's copies of durable namespaces: their epochs, whether
//! they are up to date, whether home takes writes, and whether JetStream has a meta leader.
//!
//! Only asks, and hands what it saw to `meridian_core::copies`, which decides. Shards get what
//! concerns them by `Orders`, the admin listener gets everything by [`CopiesReport`].

use crate::shard::Orders;
use futures_util::StreamExt;
use futures_util::future::join_all;
use meridian_core::copies::{CopyState, CopyWatch, LEADERLESS_MS, Lasting, Look, Probe};
use meridian_core::holes::{Hole, HoleWatch, Sight, newest_run};
use meridian_nats::streams::{
    CopyStatus, DurableNamespace, Error, Streams, copy_name, home_stream_name,
};
use meridian_nats::{Control, subjects};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

/// How often the copies are looked at while all is well. A copy's own region answers, so it costs
/// no other one.
const LOOK: Duration = Duration::from_secs(2);

/// How often while something is wrong or not known yet: somebody waits.
const LOOK_SOON: Duration = Duration::from_millis(500);

/// How long one question may take, in ms. Healthy servers answer in some milliseconds, across
/// oceans in some hundred.
const PATIENCE_MS: u64 = 1_000;

/// How often the meta leader is asked for: it is one for the whole mesh, and all edges ask it.
const META_LOOK: Duration = Duration::from_secs(5);

/// Most holes that a mirror is asked to name: the answer has a number for each. A mirror with more
/// was purged by subject; what it skipped is then known to edges that saw it happen, and no others.
const HOLES_MAX: u64 = 50_000;

/// What operators see. Written by the watch, read by the admin listener.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct CopiesReport {
    /// Whether JetStream has a meta leader; `None` if that is not known.
    pub(crate) meta_leader: Option<bool>,
    /// One a durable namespace.
    pub(crate) namespaces: Vec<CopyReport>,
}

/// A durable namespace's copy in this region.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CopyReport {
    pub(crate) namespace: String,
    copy: String,
    epoch: Option<String>,
    last_seq: Option<u64>,
    pub(crate) lag: Option<u64>,
    /// Since the mirror heard of home.
    pub(crate) active_ms: Option<u64>,
    /// Why it is not up to date, and for how long.
    pub(crate) stale: Option<&'static str>,
    stale_for_ms: Option<u64>,
    pub(crate) readonly: bool,
    readonly_for_ms: Option<u64>,
    /// The last sequence that this mirror skipped, because home had dropped it before.
    skipped_upto: Option<u64>,
}

/// Owned by the control task.
pub(crate) struct Watching<'a> {
    control: &'a Control,
    streams: Streams,
    copies: Vec<Copy>,
    holes: Vec<HoleWatch>,
    watch: CopyWatch,
    leaderless: Lasting<()>,
    meta_leader: Option<bool>,
    meta_due: Instant,
    started: Instant,
    orders: &'a watch::Sender<Orders>,
    report: &'a watch::Sender<CopiesReport>,
}

/// One namespace, and where it is looked for.
struct Copy {
    namespace: String,
    stream: String,
    /// The home stream as configured. What the copy itself says comes first: a mirror may have been
    /// promoted since.
    home: String,
    /// Whether it drops only its oldest messages, so that nothing else leaves a hole.
    is_whole: bool,
}

/// What one look brought.
struct Seen {
    status: Option<CopyStatus>,
    look: Look,
    probe: Probe,
    sight: Option<Sight>,
}

impl<'a> Watching<'a> {
    pub(crate) fn new(
        control: &'a Control,
        namespaces: &[DurableNamespace],
        region: &str,
        orders: &'a watch::Sender<Orders>,
        report: &'a watch::Sender<CopiesReport>,
    ) -> Self {
        let copy = |namespace: &DurableNamespace| Copy {
            namespace: namespace.name.clone(),
            stream: copy_name(namespace, region),
            home: home_stream_name(namespace),
            is_whole: namespace.max_messages_per_subject <= 0,
        };
        Self {
            control,
            streams: Streams::new(control).with_patience_ms(PATIENCE_MS),
            copies: namespaces.iter().map(copy).collect(),
            holes: namespaces.iter().map(|_| HoleWatch::default()).collect(),
            watch: CopyWatch::default(),
            leaderless: Lasting::default(),
            meta_leader: None,
            meta_due: Instant::now(),
            started: Instant::now(),
            orders,
            report,
        }
    }

    /// Looks again and again. Never ends.
    pub(crate) async fn run(mut self) {
        if self.copies.is_empty() {
            return std::future::pending().await;
        }
        let mut purges = self.control.subscribe(subjects::PURGES).await.ok();
        loop {
            // Without a connection nothing is known, and what was told stays.
            if self.control.is_connected() {
                self.look().await;
            }
            let is_well = self.knows_all_epochs() && !self.watch.is_uneasy();
            let pause = sleep(if is_well { LOOK } else { LOOK_SOON });
            let Some(stream) = &mut purges else {
                pause.await;
                purges = self.control.subscribe(subjects::PURGES).await.ok();
                continue;
            };
            tokio::select! {
                biased;
                // Somebody wants to see nothing of it any more. Cancel-safe.
                purge = stream.next() => match purge {
                    Some((subject, upto)) => self.take_purge(&subject, &upto),
                    None => purges = None,
                },
                // Cancel-safe.
                () = pause => {}
            }
        }
    }

    /// A purge has begun, or is over: shards forget what they keep, and the epoch is looked at.
    fn take_purge(&self, subject: &str, upto: &[u8]) {
        let upto = std::str::from_utf8(upto).ok().and_then(|text| text.parse::<u64>().ok());
        let stream = subjects::purged_stream(subject);
        let is_ours = |stream: &&str| self.copies.iter().any(|copy| copy.stream == *stream);
        let Some((stream, upto)) = stream.filter(is_ours).zip(upto) else { return };
        info!(stream, upto, "a purge is told");
        self.orders.send_if_modified(|orders| {
            let known = orders.purged.entry(stream.to_owned()).or_default();
            let is_new = *known < upto;
            *known = upto.max(*known);
            is_new
        });
    }

    fn knows_all_epochs(&self) -> bool {
        let epochs = &self.orders.borrow().epochs;
        self.copies.iter().all(|copy| epochs.contains_key(&copy.stream))
    }

    async fn look(&mut self) {
        let seen = join_all(self.copies.iter().map(|copy| copy.look(&self.streams))).await;
        if !self.control.is_connected() {
            return;
        }
        let now_ms = self.started.elapsed().as_millis() as u64;
        let mut reports = Vec::new();
        let holes = &mut self.holes;
        let found: Vec<_> =
            holes.iter_mut().zip(&seen).map(|(watch, seen)| seen.note(watch)).collect();
        for ((copy, seen), hole) in self.copies.iter().zip(seen).zip(found) {
            let Seen { status, look, probe, .. } = seen;
            self.take_epoch(copy, status.as_ref(), hole);
            let before = self.watch.state(&copy.namespace);
            self.watch.note(&copy.namespace, look, probe, now_ms);
            let state = self.watch.state(&copy.namespace);
            copy.log(before, state);
            let skipped_upto = hole.map(|hole| hole.upto);
            reports.push(CopyReport { skipped_upto, ..copy.report(status, state, now_ms) });
        }
        self.look_for_meta_leader(now_ms).await;
        self.tell(reports);
    }

    /// A copy that cannot be asked keeps the epoch it had: its stream goes on.
    fn take_epoch(&self, copy: &Copy, status: Option<&CopyStatus>, hole: Option<Hole>) {
        let Some(epoch) = status.and_then(|status| status.epoch.clone()) else { return };
        let stream = &copy.stream;
        if self.orders.borrow().holes.get(stream) != hole.as_ref() {
            if let Some(Hole { after, upto }) = hole {
                warn!(stream, after, upto, "the mirror has skipped what home had dropped");
            }
            self.orders.send_modify(|orders| match hole {
                Some(hole) => drop(orders.holes.insert(stream.clone(), hole)),
                None => drop(orders.holes.remove(stream)),
            });
        }
        if self.orders.borrow().epochs.get(stream) != Some(&epoch) {
            info!(stream, epoch, "the region's copy is there");
            self.orders.send_modify(|orders| {
                orders.epochs.insert(stream.clone(), epoch);
            });
        }
    }

    async fn look_for_meta_leader(&mut self, now_ms: u64) {
        if Instant::now() < self.meta_due {
            return;
        }
        let has_leader = self.streams.has_meta_leader().await.ok();
        let was_told = self.leaderless.told().is_some();
        let is_leaderless = has_leader == Some(false);
        self.leaderless.note(is_leaderless.then_some(()), LEADERLESS_MS, 0, now_ms);
        let is_told = self.leaderless.told().is_some();
        if is_told && !was_told {
            warn!("JetStream has no meta leader: no stream can be made, changed or promoted");
        } else if was_told && !is_told {
            info!("JetStream has a meta leader again");
        }
        self.meta_leader = has_leader;
        let is_well = has_leader == Some(true);
        self.meta_due = Instant::now() + if is_well { META_LOOK } else { LOOK };
    }

    fn tell(&self, namespaces: Vec<CopyReport>) {
        let names = |is_so: fn(&CopyReport) -> bool| {
            let mut names: Vec<String> = namespaces
                .iter()
                .filter(|report| is_so(report))
                .map(|report| report.namespace.clone())
                .collect();
            names.sort();
            names
        };
        let (stale, readonly) = (names(|r| r.stale.is_some()), names(|r| r.readonly));
        self.orders.send_if_modified(|orders| {
            let is_new = orders.mesh.stale != stale || orders.mesh.readonly != readonly;
            (orders.mesh.stale, orders.mesh.readonly) = (stale, readonly);
            is_new
        });
        let meta_leader = self.meta_leader;
        self.report.send_replace(CopiesReport { meta_leader, namespaces });
    }
}

impl Copy {
    /// Looks at the copy, and asks home where the copy does not hear of it.
    async fn look(&self, streams: &Streams) -> Seen {
        let (status, look) = match streams.copy_status(&self.stream).await {
            Ok(status) => {
                let look = look_of(&status);
                (Some(status), look)
            }
            Err(Error::Missing { .. }) => (None, Look::Missing),
            Err(error) => {
                debug!(copy = self.stream, %error, "the region's copy does not answer");
                (None, Look::Silent)
            }
        };
        let newest_hole = self.newest_hole(streams, status.as_ref()).await;
        let sight = |home: Option<&CopyStatus>| {
            let status = status.as_ref().filter(|status| status.mirror_of.is_some())?;
            Some(Sight {
                first_seq: status.first_seq,
                last_seq: status.last_seq,
                home_first_seq: home.map(|home| home.first_seq),
                is_suspect: self.is_whole || look.needs_probe() || status.mirror_lag != Some(0),
                newest_hole,
            })
        };
        if !look.needs_probe() {
            let sight = sight(None);
            return Seen { status, look, probe: Probe::NotAsked, sight };
        }
        let origin = status.as_ref().and_then(|status| status.mirror_of.as_ref());
        let home = origin.unwrap_or(&self.home);
        let home = match *home == self.stream {
            true => None,
            false => streams.copy_status(home).await.ok().filter(|home| home.takes_writes),
        };
        let probe = if home.is_some() { Probe::Answered } else { Probe::Silent };
        let sight = sight(home.as_ref());
        Seen { status, look, probe, sight }
    }

    /// The last messages that a mirror has skipped, where nothing else leaves a hole.
    async fn newest_hole(&self, streams: &Streams, status: Option<&CopyStatus>) -> Option<Hole> {
        let status = status.filter(|status| status.mirror_of.is_some() && self.is_whole)?;
        if !(1..=HOLES_MAX).contains(&status.num_deleted) {
            return None;
        }
        newest_run(&streams.missing_sequences(&self.stream).await.ok()?)
    }

    fn log(&self, before: CopyState, now: CopyState) {
        let (namespace, copy) = (&self.namespace, &self.stream);
        match (before.stale.map(|stale| stale.what), now.stale.map(|stale| stale.what)) {
            (before, Some(why)) if before != Some(why) => {
                warn!(namespace, copy, why = why.label(), "the region's copy is stale");
            }
            (Some(_), None) => info!(namespace, copy, "the region's copy is up to date again"),
            _ => {}
        }
        match (before.readonly, now.readonly) {
            (None, Some(_)) => warn!(namespace, "home does not answer: nothing can be stored"),
            (Some(_), None) => info!(namespace, "home answers again"),
            _ => {}
        }
    }

    fn report(&self, status: Option<CopyStatus>, state: CopyState, now_ms: u64) -> CopyReport {
        let for_ms = |since_ms: u64| now_ms.saturating_sub(since_ms);
        CopyReport {
            namespace: self.namespace.clone(),
            copy: self.stream.clone(),
            epoch: status.as_ref().and_then(|status| status.epoch.clone()),
            last_seq: status.as_ref().map(|status| status.last_seq),
            lag: status.as_ref().and_then(|status| status.mirror_lag),
            active_ms: status.as_ref().and_then(|status| status.mirror_active_ms),
            stale: state.stale.map(|stale| stale.what.label()),
            stale_for_ms: state.stale.map(|stale| for_ms(stale.since_ms)),
            readonly: state.readonly.is_some(),
            readonly_for_ms: state.readonly.map(|readonly| for_ms(readonly.since_ms)),
            skipped_upto: None,
        }
    }
}

impl Seen {
    /// The highest hole of the copy that is known, with this look.
    fn note(&self, watch: &mut HoleWatch) -> Option<Hole> {
        let epoch = self.status.as_ref().and_then(|status| status.epoch.as_deref());
        match (epoch, &self.sight) {
            (Some(epoch), Some(sight)) => watch.note(epoch, sight),
            _ => watch.known(),
        }
    }
}

fn look_of(status: &CopyStatus) -> Look {
    match status.mirror_lag {
        Some(lag) => {
            Look::Mirror { lag, last_seq: status.last_seq, heard_ms: status.mirror_active_ms }
        }
        None if status.takes_writes => Look::Home,
        None => Look::Retired,
    }
}
