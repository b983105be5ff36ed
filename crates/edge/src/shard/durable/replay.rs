//! One client's replay, performed: pages of the copy as its socket takes them, then in one step the
//! rest of the ring and live. What comes next is decided in `meridian_core::durable::Replay`.

use super::pages::PAGE_MESSAGES;
use super::{DurableFilter, Joiner, epoch_gap, gap, incoming};
use crate::shard::Shard;
use crate::shard::connection::Connection;
use crate::shard::fanout::{Incoming, encode};
use crate::shard::store::GetFailure;
use crate::shard::tracer::{Outcome, Received, sampled_context};
use meridian_core::durable::{Missed, Next, Opening, Replay, Snapshot, Span, Stored};
use meridian_proto::Origin;
use meridian_proto::item::{Item, Mark};
use serde_json::json;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep};

/// A joiner's outbox may be filled to this part of its bound before more of a page is sent, and
/// a slow client has to empty it to that part; the rest is for what is live.
const OUTBOX_PART_LOW: usize = 4;
const OUTBOX_PART_SLOW: usize = 8;

/// How often a replay looks whether it may go on: at first, and when it waits for long, as for a
/// mirror that is behind.
const POLL: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_secs(1);

/// When a filter does not come to where the client is, it is audited: the client may be ahead by
/// messages of others.
const AUDIT_AFTER: Duration = Duration::from_millis(20);

/// How long a client may take for one page. Then it gives up its place among the replays. What is
/// left of the page waits in memory, or, if too much does already, is let go and read again when
/// the client has taken half of what waits. A slow client gets no patience before it has taken a
/// page in time.
const PAGE_PATIENCE: Duration = Duration::from_millis(250);
const SLOW_POLL_MAX: Duration = Duration::from_millis(20);

/// Bytes of pages that wait for slow clients in one shard.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages of the smallest page that is read for a slow client.
const PAGE_MESSAGES_MIN: u32 = 8;

/// Owned by the task of one joining client.
struct Pace<'a> {
    /// A place among the replays, while the copy is read for the client or a page is on its way.
    permit: Option<SemaphorePermit<'a>>,
    /// Messages of the next page: as many as the client took of the last one in time.
    page_messages: u32,
    /// How long the client may take for it.
    patience: Duration,
    /// How long to wait before the next look.
    wait: Duration,
}

/// How far a client was told to have come, and in which epoch.
struct Progress {
    told: u64,
    epoch_number: u32,
}

/// What became of a page.
enum Sent {
    /// The client has taken it, or nothing of it is due any more.
    All,
    /// It has taken so many of its messages, at least one.
    Part(usize),
    /// It has gone.
    Gone,
}

/// What is left of a slow client's page, counted while it waits.
struct Kept {
    shard: Rc<Shard>,
    bytes: usize,
}

impl Kept {
    /// None if too much waits already.
    fn new(shard: &Rc<Shard>, messages: &[Stored]) -> Option<Self> {
        let bytes = messages.iter().map(Stored::bytes).sum();
        let all = shard.kept_bytes.get() + bytes;
        if all > KEPT_BYTES_MAX {
            return None;
        }
        shard.kept_bytes.set(all);
        Some(Self { shard: Rc::clone(shard), bytes })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.shard.kept_bytes.set(self.shard.kept_bytes.get() - self.bytes);
    }
}

impl Pace<'_> {
    /// The client was slow: it took so many messages in time.
    fn slow_down(&mut self, took: usize) {
        (self.permit, self.patience) = (None, Duration::ZERO);
        let took = u32::try_from(took).unwrap_or(PAGE_MESSAGES);
        self.page_messages = took.clamp(PAGE_MESSAGES_MIN, PAGE_MESSAGES);
    }

    fn speed_up(&mut self) {
        self.patience = PAGE_PATIENCE;
        self.page_messages = (self.page_messages * 2).min(PAGE_MESSAGES);
    }
}

impl Shard {
    /// Sends what was missed, page by page, until the ring has the rest; then the client is live.
    pub(super) async fn replay<'a>(
        self: &'a Rc<Self>,
        durable: &Rc<DurableFilter>,
        joiner: &Joiner,
        opening: Opening,
        permit: SemaphorePermit<'a>,
    ) {
        let Opening { after, first, replay, snapshot, .. } = opening;
        let Some(mut replay) = replay else { return };
        let mut progress = Progress { told: after, epoch_number: durable.epoch_number.get() };
        let mut pace = Pace {
            permit: Some(permit),
            page_messages: PAGE_MESSAGES,
            patience: PAGE_PATIENCE,
            wait: POLL,
        };
        let goes_on = match snapshot {
            Some(snapshot) => self.send_snapshot(durable, joiner, &mut pace, first, snapshot).await,
            None => self.send_page(durable, joiner, &mut pace, &mut replay, first).await,
        };
        if goes_on.is_none() {
            return;
        }
        while let Some(connection) = self.joiner_connection(joiner) {
            let next = self.next_or_hand_over(durable, joiner, &connection, &mut replay);
            if !matches!(next, Next::HandOver { .. } | Next::Over) {
                self.tell_progress(durable, joiner, &connection, &replay, &mut progress);
            }
            drop(connection);
            let went_on = match next {
                Next::HandOver { .. } => return,
                Next::Over => return self.begin_anew(durable, joiner).await,
                Next::Read(after) => {
                    self.read_on(durable, joiner, &mut pace, &mut replay, after).await
                }
                // Most often what is missing is on its way to the filter.
                Next::Verify(_) if pace.wait < AUDIT_AFTER => Some(false),
                Next::Verify(after) => {
                    pace.permit = None;
                    let reaches = self.last_of(&durable.copy, ">").await;
                    if reaches.is_ok_and(|last| last >= after) {
                        let (shard, durable) = (Rc::clone(self), Rc::clone(durable));
                        tokio::task::spawn_local(async move { shard.audit(&durable).await });
                    }
                    Some(false)
                }
                Next::Repair => {
                    durable.open();
                    self.run_worker(durable);
                    Some(false)
                }
                Next::Wait => Some(false),
            };
            match went_on {
                None => return,
                Some(true) => pace.wait = POLL,
                Some(false) => {
                    // The mirror is behind the position or down, or the filter settles: others may
                    // replay meanwhile. A position that is never reached costs little.
                    pace.permit = None;
                    sleep(pace.wait).await;
                    pace.wait = (pace.wait * 2).min(POLL_MAX);
                }
            }
        }
    }

    /// Tells a client under a wildcard where it may go on if it is cut off now. On an exact filter
    /// each message says so.
    fn tell_progress(
        self: &Rc<Self>,
        durable: &DurableFilter,
        joiner: &Joiner,
        connection: &Rc<Connection>,
        replay: &Replay,
        progress: &mut Progress,
    ) {
        let q = replay.position();
        let is_same = durable.epoch_number.get() == progress.epoch_number;
        if durable.span == Span::Wildcard && is_same && q > progress.told {
            progress.told = q;
            let mark = Mark { i: joiner.group, q };
            connection.send_in(self, &Item::Position(mark), &durable.epoch.borrow());
        }
    }

    /// What comes next. If it is the end, it is performed in the same step, so that nothing can
    /// come between the ring, `live` and the client's admission.
    fn next_or_hand_over(
        self: &Rc<Self>,
        durable: &DurableFilter,
        joiner: &Joiner,
        connection: &Rc<Connection>,
        replay: &mut Replay,
    ) -> Next {
        // What stands in the batch belongs to those who are in already.
        self.flush();
        let state = durable.state.borrow();
        let next = replay.next(&durable.standing(&state));
        let Next::HandOver { after, missed } = next else { return next };
        // The ring reaches as far back as it said a line above.
        let Some(rest) = state.ring.since(after) else { return Next::Wait };
        let frames: Vec<_> =
            rest.map(|stored| self.replayed(durable, joiner.group, stored)).collect();
        self.tell_missed(connection, durable, joiner, missed);
        let bytes = frames.iter().map(|frame| frame.bytes.len()).sum();
        if frames.len() > 1 && !fits_at_once(connection, bytes, self.limits.outbox_bytes_max) {
            // More than this client's outbox takes in one step. By pages it gets closer.
            return Next::Read(after);
        }
        for frame in frames {
            self.send_replayed(connection, frame);
            joiner.note_replayed();
        }
        let mark = Mark { i: joiner.group, q: state.tails.verified().max(after) };
        connection.send_in(self, &Item::Live(mark), &durable.epoch.borrow());
        drop(state);
        self.admit(joiner);
        next
    }

    /// Reads and sends a page. None if the client has gone, false if there was nothing to send.
    async fn read_on<'a>(
        self: &'a Rc<Self>,
        durable: &DurableFilter,
        joiner: &Joiner,
        pace: &mut Pace<'a>,
        replay: &mut Replay,
        after: u64,
    ) -> Option<bool> {
        // One page, and then others have their turn; and none that has no room anyway.
        pace.permit = None;
        if pace.patience.is_zero() {
            self.has_room(joiner).await?;
        }
        pace.permit = Some(self.replays.acquire().await.ok()?);
        let epoch_number = durable.epoch_number.get();
        let read = async {
            let (copy, filter) = (durable.copy.as_str(), durable.filter.as_str());
            let page = self.page_after(copy, filter, after, pace.page_messages).await?;
            // Asked after the page was read: what it did not drop by now was there then.
            Ok::<_, GetFailure>((page, self.whole_from(copy, durable.replication).await?))
        };
        let Ok((page, whole_from)) = read.await else { return Some(false) };
        if durable.epoch_number.get() != epoch_number {
            return Some(true);
        }
        let connection = self.joiner_connection(joiner)?;
        let missed = {
            let state = durable.state.borrow();
            replay.page(&page, whole_from, &durable.standing(&state))
        };
        self.tell_missed(&connection, durable, joiner, missed);
        drop(connection);
        if page.messages.is_empty() {
            return Some(missed.is_some());
        }
        self.send_page(durable, joiner, pace, replay, page.messages).await?;
        Some(true)
    }

    /// Sends a page; what the client does not take in time is read again. None if it has gone.
    async fn send_page(
        self: &Rc<Self>,
        durable: &DurableFilter,
        joiner: &Joiner,
        pace: &mut Pace<'_>,
        replay: &mut Replay,
        messages: Vec<Stored>,
    ) -> Option<()> {
        match self.send(durable, joiner, pace, &messages).await {
            Sent::Gone => return None,
            Sent::All => {}
            Sent::Part(count) => {
                let (sent, rest) = messages.split_at(count);
                replay.rewind(sent.last().map_or(0, |stored| stored.sequence), rest);
                drop(messages);
                self.has_room(joiner).await?;
            }
        }
        Some(())
    }

    /// Sends the last message of each subject as of a sequence, of which the first page is read.
    async fn send_snapshot<'a>(
        self: &'a Rc<Self>,
        durable: &DurableFilter,
        joiner: &Joiner,
        pace: &mut Pace<'a>,
        mut messages: Vec<Stored>,
        snapshot: Snapshot,
    ) -> Option<()> {
        let Snapshot { upto, mut left } = snapshot;
        let epoch_number = durable.epoch_number.get();
        let mut next = 0;
        while left > 0 {
            let sent = match self.send(durable, joiner, pace, &messages).await {
                Sent::Gone => return None,
                Sent::All => messages.len(),
                Sent::Part(count) => count,
            };
            next = messages.get(sent.wrapping_sub(1)).map_or(next, |stored| stored.sequence + 1);
            left = left.saturating_sub(sent as u64);
            if sent < messages.len() {
                messages.clear();
                self.has_room(joiner).await?;
            }
            if left == 0 {
                break;
            }
            if pace.permit.is_none() {
                pace.permit = Some(self.replays.acquire().await.ok()?);
            }
            let request = json!({
                "multi_last": [durable.filter.as_str()], "up_to_seq": upto, "seq": next,
                "batch": pace.page_messages
            });
            let read = self.get(&durable.copy, &request).await;
            if durable.epoch_number.get() != epoch_number {
                return Some(());
            }
            match read {
                // What was the last of its subject then has been dropped by now.
                Ok(page) if page.messages.is_empty() => break,
                Ok(page) => messages = page.messages,
                Err(_) => {
                    messages.clear();
                    pace.permit = None;
                    self.joiner_connection(joiner)?;
                    sleep(POLL_MAX).await;
                }
            }
        }
        Some(())
    }

    /// Sends messages, at least one, until the client takes no more for now.
    async fn send(
        self: &Rc<Self>,
        durable: &DurableFilter,
        joiner: &Joiner,
        pace: &mut Pace<'_>,
        messages: &[Stored],
    ) -> Sent {
        let (until, epoch_number) = (Instant::now() + pace.patience, durable.epoch_number.get());
        let (mut kept, mut wait) = (None, POLL);
        let bytes_max = self.limits.outbox_bytes_max;
        for (index, stored) in messages.iter().enumerate() {
            // Looked for each time: the client may leave while it is waited for.
            let Some(connection) = self.joiner_connection(joiner) else { return Sent::Gone };
            if durable.epoch_number.get() != epoch_number {
                return Sent::All;
            }
            let frame = self.replayed(durable, joiner.group, stored);
            while connection.is_open() && !fits(&connection, frame.bytes.len(), bytes_max) {
                // A message that is large for the bound. Others may read meanwhile.
                pace.permit = None;
                sleep(wait).await;
                wait = (wait * 2).min(SLOW_POLL_MAX);
            }
            wait = POLL;
            self.send_replayed(&connection, frame);
            joiner.note_replayed();
            while connection.is_open() && connection.waiting_bytes() > bytes_max / OUTBOX_PART_LOW {
                let rest = &messages[index + 1..];
                if rest.is_empty() {
                    break;
                }
                if kept.is_none() && Instant::now() >= until {
                    pace.slow_down(index + 1);
                    kept = Kept::new(self, rest);
                    if kept.is_none() {
                        return Sent::Part(index + 1);
                    }
                }
                sleep(wait).await;
                wait = if kept.is_some() { (wait * 2).min(SLOW_POLL_MAX) } else { POLL };
            }
            wait = POLL;
        }
        if kept.is_none() {
            pace.speed_up();
        }
        Sent::All
    }

    /// Waits until a slow client has room for more. None if it has gone.
    async fn has_room(self: &Rc<Self>, joiner: &Joiner) -> Option<()> {
        let (mut wait, bytes) = (POLL, self.limits.outbox_bytes_max / OUTBOX_PART_SLOW);
        while self.joiner_connection(joiner)?.waiting_bytes() > bytes {
            sleep(wait).await;
            wait = (wait * 2).min(SLOW_POLL_MAX);
        }
        Some(())
    }

    /// The stream has begun anew during a replay: the client is told, and is live when the filter
    /// is again.
    async fn begin_anew(self: &Rc<Self>, durable: &DurableFilter, joiner: &Joiner) {
        let mut wait = POLL;
        while let Some(connection) = self.joiner_connection(joiner) {
            if durable.is_live() {
                self.flush();
                let (i, q) = (joiner.group, durable.state.borrow().tails.highest());
                let epoch = durable.epoch.borrow();
                connection.send_in(self, &epoch_gap(i, None, q, &epoch), &epoch);
                connection.send_in(self, &Item::Live(Mark { i, q }), &epoch);
                return self.admit(joiner);
            }
            drop(connection);
            sleep(wait).await;
            wait = (wait * 2).min(POLL_MAX);
        }
    }

    fn tell_missed(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        durable: &DurableFilter,
        joiner: &Joiner,
        missed: Option<Missed>,
    ) {
        if let Some(missed) = missed {
            connection.send_in(self, &gap(joiner.group, missed), &durable.epoch.borrow());
        }
    }

    /// A stored message as a member of a group is sent it.
    fn replayed(self: &Rc<Self>, durable: &DurableFilter, group: u32, stored: &Stored) -> Replayed {
        let epoch = durable.epoch.borrow();
        let message = incoming(stored, durable.position_epoch(&epoch), Origin::Replay);
        let received = self.replay_span(&message);
        let trace = match &received {
            Some(received) => Some(received.context),
            None => sampled_context(message.headers),
        };
        let message = Incoming { trace, ..message };
        let mut bytes = Vec::new();
        let interest = self.interest.borrow();
        let members = interest.group(group - 1);
        encode(&mut bytes, group, &message, message.classified(), members);
        Replayed { bytes, received }
    }

    fn send_replayed(self: &Rc<Self>, connection: &Rc<Connection>, frame: Replayed) {
        connection.write(self, &[IoSlice::new(&frame.bytes)]);
        if let Some(received) = frame.received {
            let blocked = usize::from(connection.waiting_bytes() > 0);
            let outcome = Outcome { clients: 1, bytes: frame.bytes.len(), blocked, slowest_ns: 0 };
            self.tracer.delivered(received, outcome);
        }
    }

    /// A replay is for one client, so its spans come out of the clients' budget.
    fn replay_span(&self, message: &Incoming<'_>) -> Option<Received> {
        sampled_context(message.headers).filter(|_| self.tracer.is_on())?;
        self.tracer.affords_client().then(|| self.tracer.received(message)).flatten()
    }
}

/// A stored message as one client is sent it, and its span if it is traced.
struct Replayed {
    bytes: Vec<u8>,
    received: Option<Received>,
}

/// Whether the end of a replay fits an outbox with room to spare for `live` and what follows it.
fn fits_at_once(connection: &Connection, bytes: usize, bytes_max: usize) -> bool {
    connection.waiting_bytes() + bytes <= bytes_max - bytes_max / OUTBOX_PART_LOW
}

/// Whether so many bytes fit an outbox behind those that wait. Behind nothing everything does: a
/// single message may be larger than the bound (`meridian_core::Outbox`).
fn fits(connection: &Connection, bytes: usize, bytes_max: usize) -> bool {
    let waiting = connection.waiting_bytes();
    waiting == 0 || waiting + bytes <= bytes_max
}
