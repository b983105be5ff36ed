//! A subscriber that follows one filter over any number of connections, edges and regions, always
//! resuming where it stood, and records what it was shown and told.

use crate::checker::{Log, Observation};
use crate::publisher::number_of;
use crate::stage::{Orders, Stage};
use fastrand::Rng;
use meridian_client::{
    Client, Event, Notice, Notices, Options, ResumePoint, SubscribeOptions, Subscription,
};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// An edge that is paused takes connections and says nothing.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two attempts that failed.
const RETRY_WAIT_MS: Range<u64> = 100..300;

/// A wildcard filter's audits are 2 s apart: a repair has had its chance after this long.
pub(crate) const LAST_AUDIT: Duration = Duration::from_secs(5);

/// Few, so that a follower that does not read is soon felt by the edge.
const EVENTS_MAX: usize = 16;

/// One in so many followers obeys an order to stop reading.
const NAPPERS: usize = 3;

/// Owned by the task that runs it.
pub struct Follower {
    pub name: String,
    pub filter: String,
    /// Where it may connect; the first is its home.
    pub urls: Vec<String>,
    pub habit: Habit,
    pub rng: Rng,
}

/// How a follower moves about.
#[derive(Debug, Clone)]
pub struct Habit {
    /// How long it stays at an edge, in ms; `None`: until the connection is lost.
    pub stay_ms: Option<Range<u64>>,
    /// How long it is offline after it has left of its own will, in ms.
    pub offline_ms: u64,
    pub next: Next,
}

/// Where a follower connects after its connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At any of its edges.
    Any,
    /// At the one behind the last in the list.
    InOrder,
    /// Where it was.
    Same,
}

/// What a follower brings home.
#[derive(Debug)]
pub struct Record {
    pub log: Log,
    /// When each message came, in ms of the run's clock, and its sequence.
    pub arrivals: Vec<(u64, u64)>,
    /// The highest sequence that came.
    pub highest: u64,
    pub resumes: Vec<Resume>,
    /// Messages that came as a replay.
    pub replayed: usize,
    /// How often an edge named another to go to.
    pub sent: usize,
    /// Connections that the edge closed because it read too slowly.
    pub slow_closes: usize,
    /// Whether it saw the last message of its filter before it was told to give up.
    pub is_complete: bool,
}

/// One return.
#[derive(Debug, Clone, Copy)]
pub struct Resume {
    /// When it began to connect, in ms of the run's clock.
    pub began_ms: u64,
    /// When it was live again.
    pub live_ms: u64,
}

/// How a visit at an edge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was sent away, or had stayed long enough.
    Left,
    /// The edge named another edge to go to, which is now the first.
    Sent,
    /// The edge was not to be reached, or the connection broke.
    Lost,
    /// Everything was seen.
    Complete,
}

impl Follower {
    /// Follows until the stage's goal is seen, or `give_up` comes. Panics where the mesh breaks the
    /// protocol.
    pub async fn run(mut self, stage: Arc<Stage>, mut give_up: watch::Receiver<bool>) -> Record {
        let log = Log {
            name: self.name.clone(),
            filter: self.filter.clone(),
            start: u64::MAX,
            observations: Vec::new(),
        };
        let mut record = Record {
            log,
            arrivals: Vec::new(),
            highest: 0,
            resumes: Vec::new(),
            replayed: 0,
            sent: 0,
            slow_closes: 0,
            is_complete: false,
        };
        tokio::select! { biased;
            // The test's deadline: what was recorded so far is judged all the same.
            _ = give_up.wait_for(|is_late| *is_late) => {}
            () = self.follow(&stage, &mut record) => record.is_complete = true,
        }
        record
    }

    async fn follow(&mut self, stage: &Stage, record: &mut Record) {
        let mut orders = stage.orders();
        let mut resume = None;
        loop {
            let end = self.visit(stage, &mut orders, record, &mut resume).await;
            match end {
                End::Complete => return,
                End::Sent => continue,
                End::Left => sleep(Duration::from_millis(self.habit.offline_ms)).await,
                End::Lost => sleep(Duration::from_millis(self.rng.u64(RETRY_WAIT_MS))).await,
            }
            if record.log.start == u64::MAX {
                // An edge that has just started may not know the stream yet: that is no reason to
                // leave home.
                continue;
            }
            match self.habit.next {
                Next::Any => {
                    let home = self.rng.usize(..self.urls.len());
                    self.urls.swap(0, home);
                }
                Next::InOrder => self.urls.rotate_left(1),
                Next::Same => {}
            }
        }
    }

    /// One connection, from its beginning to its end.
    async fn visit(
        &mut self,
        stage: &Stage,
        orders: &mut watch::Receiver<Orders>,
        record: &mut Record,
        resume: &mut Option<ResumePoint>,
    ) -> End {
        let mut began_ms = Some(stage.now_ms());
        let options = Options {
            connect_timeout: CALL_TIMEOUT,
            reply_timeout: CALL_TIMEOUT,
            ..Options::default()
        };
        let Ok(client) = Client::connect(&self.urls[0], options).await else { return End::Lost };
        let options = SubscribeOptions {
            resume: resume.clone(),
            events_max: EVENTS_MAX,
            ..SubscribeOptions::default()
        };
        let subscribed = client.subscribe(&self.filter, options).await;
        let Ok(mut subscription) = subscribed else { return End::Lost };
        let reply = subscription.reply();
        if record.log.start == u64::MAX {
            record.log.start = reply.q.expect("a durable filter has a position");
            stage.note_subscribed();
        }
        if reply.recovered != Some(true) {
            // Without a replay it is live at once.
            let live_ms = stage.now_ms();
            record.resumes.extend(began_ms.take().map(|began_ms| Resume { began_ms, live_ms }));
        }
        let mut notices = client.notices();
        let end = tokio::select! { biased;
            // Whoever is sent elsewhere goes there, with the position that it has by then.
            url = sent_elsewhere(&mut notices) => {
                self.urls[0] = url;
                record.sent += 1;
                End::Sent
            }
            end = self.read(stage, orders, record, &mut subscription, &mut began_ms) => end,
        };
        *resume = subscription.resume_point().or(resume.take());
        if end == End::Lost && client.closed().await.code == 3003 {
            record.slow_closes += 1;
        }
        // Dropped, not closed: as a browser that loses its network.
        end
    }

    async fn read(
        &mut self,
        stage: &Stage,
        orders: &mut watch::Receiver<Orders>,
        record: &mut Record,
        subscription: &mut Subscription,
        began_ms: &mut Option<u64>,
    ) -> End {
        let mut known = orders.borrow_and_update().clone();
        let stay = self.habit.stay_ms.clone();
        let mut leave_at = stay.map(|ms| Instant::now() + Duration::from_millis(self.rng.u64(ms)));
        let mut goal = known.goal_of(&self.filter);
        let mut is_complete = false;
        loop {
            if let Some(goal) = goal
                && !is_complete
            {
                is_complete = record.highest >= goal;
                // Whoever has not seen everything stays, so that an edge that hangs is found.
                leave_at = is_complete.then(|| Instant::now() + LAST_AUDIT);
            }
            tokio::select! { biased;
                // Orders are few, and must not wait behind a flood.
                _ = orders.changed() => {
                    let new = orders.borrow_and_update().clone();
                    if new.scattered > known.scattered {
                        return End::Left;
                    }
                    if new.naps > known.naps && self.rng.usize(..NAPPERS) == 0 {
                        sleep(new.nap).await;
                    }
                    goal = new.goal_of(&self.filter);
                    known = new;
                }
                event = subscription.next() => match event {
                    Some(event) => self.note(stage, record, event, began_ms),
                    None => return End::Lost,
                },
                () = until(leave_at) => {
                    return if is_complete { End::Complete } else { End::Left };
                }
            }
        }
    }

    fn note(&self, stage: &Stage, record: &mut Record, event: Event, began_ms: &mut Option<u64>) {
        let now_ms = stage.now_ms();
        match event {
            Event::Message(message) => {
                let sequence = message.q.expect("a durable message has a sequence");
                let number = number_of(message.d.expect("publishers send JSON").get());
                record.arrivals.push((now_ms, sequence));
                record.highest = record.highest.max(sequence);
                record.replayed += usize::from(message.r == Some(1));
                let subject = message.s;
                record.log.observations.push(Observation::Message { subject, number, sequence });
            }
            Event::Gap(gap) => {
                // Without bounds nothing is excused: only what is told exactly counts as told.
                let (after, upto) = (gap.after.unwrap_or_default(), gap.upto.unwrap_or_default());
                record.log.observations.push(Observation::Gap { after, upto });
            }
            Event::Live(_) => {
                let live = |began_ms| Resume { began_ms, live_ms: now_ms };
                record.resumes.extend(began_ms.take().map(live));
            }
            Event::Position(_) => {}
            Event::Unsubscribed(end) => panic!("{}: {end:?}", self.name),
        }
    }
}

/// Waits until the edge names another edge to go to, or for ever.
async fn sent_elsewhere(notices: &mut Notices) -> String {
    while let Some(notice) = notices.next().await {
        if let Notice::GoAway(goaway) = notice
            && let Some(url) = goaway.server.into_iter().next()
        {
            return url;
        }
    }
    std::future::pending().await
}

/// Waits for a moment, or for ever.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
