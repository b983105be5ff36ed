//! Where a subscription on a durable filter stands, and what it has already shown beyond that.
//!
//! On an exact filter each message moves the position. On a wildcard filter a message may arrive
//! before one that belongs ahead of it on another subject, so only the edge's own marks move it;
//! what was shown beyond the mark is remembered, and not shown again after a resume.

use meridian_proto::command::Position;
use meridian_proto::item::{Gap, Message, SubscribeReply};
use std::collections::BTreeSet;

/// Most sequences remembered beyond the position. The edge marks every few seconds; a stream that
/// is faster shows some messages twice after a resume, and loses none.
const SEEN_MAX: usize = 100_000;

/// From where a new subscription, at any edge of any region, goes on without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePoint {
    pub(crate) position: Position,
    pub(crate) seen: BTreeSet<u64>,
}

/// Owned by its subscription.
#[derive(Debug)]
pub(crate) struct Tracker {
    point: ResumePoint,
    is_wildcard: bool,
    /// Whether a resume may begin. Not while a snapshot comes: it says where it ends at once; nor
    /// in an epoch whose name is not known.
    is_whole: bool,
}

/// How a subscription's first messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// In order of the stream.
    InOrder,
    /// As the last of each subject, which stand before their own position.
    Snapshot,
}

impl ResumePoint {
    /// Everything up to this position was shown.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }
}

impl Tracker {
    /// A tracker for a recoverable subscription, going on from an earlier one if there was one.
    pub(crate) fn new(
        filter: &str,
        reply: &SubscribeReply,
        earlier: Option<ResumePoint>,
        beginning: Beginning,
    ) -> Option<Self> {
        let epoch = reply.e.clone().filter(|_| reply.recoverable)?;
        let position = Position { e: epoch, q: reply.q.unwrap_or_default() };
        let is_wildcard = filter.split('.').any(|token| token == "*" || token == ">");
        let seen = match earlier {
            Some(earlier) if reply.recovered == Some(true) => earlier.seen,
            _ => BTreeSet::new(),
        };
        let is_whole = beginning == Beginning::InOrder;
        Some(Self { point: ResumePoint { position, seen }, is_wildcard, is_whole })
    }

    /// Whether a message is to be shown: not if an earlier subscription has shown it.
    pub(crate) fn show(&mut self, message: &Message) -> bool {
        let Some(sequence) = message.q else { return true };
        if !self.is_wildcard {
            self.point.position.q = self.point.position.q.max(sequence);
            return true;
        }
        if self.point.seen.len() >= SEEN_MAX {
            self.point.seen.pop_first();
        }
        self.point.seen.insert(sequence)
    }

    /// Everything up to here was shown.
    pub(crate) fn mark(&mut self, sequence: u64) {
        if sequence > self.point.position.q {
            self.point.position.q = sequence;
            self.point.seen = self.point.seen.split_off(&(sequence + 1));
        }
    }

    /// Messages are missing here. Under a wildcard, those that were only dropped on their way to
    /// this client do not move the position: others below them may still come. Where the stream has
    /// begun anew the gap says what the sequences belong to from there on; an edge that does not
    /// leaves nothing to resume from.
    pub(crate) fn gap(&mut self, gap: &Gap) {
        let upto = gap.upto.unwrap_or_default();
        let is_gone = matches!(gap.why.as_str(), "expired" | "epoch" | "limit");
        match &gap.e {
            Some(epoch) if *epoch != self.point.position.e => {
                let position = Position { e: epoch.clone(), q: upto };
                self.point = ResumePoint { position, seen: BTreeSet::new() };
            }
            None if gap.why == "epoch" && gap.upto.is_none() => self.is_whole = false,
            _ if is_gone || !self.is_wildcard => self.mark(upto),
            _ => {}
        }
    }

    /// The replay has ended: a snapshot too is whole now.
    pub(crate) fn live(&mut self, sequence: u64) {
        self.is_whole = true;
        self.mark(sequence);
    }

    pub(crate) fn point(&self) -> Option<ResumePoint> {
        self.is_whole.then(|| self.point.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(recovered: Option<bool>, q: u64) -> SubscribeReply {
        let (e, q) = (Some("E".into()), Some(q));
        SubscribeReply { i: 1, recoverable: true, e, q, n: None, recovered, why: None }
    }

    fn message(sequence: u64) -> Message {
        let line = format!(r#"{{"i":1,"s":"a.b","q":{sequence}}}"#);
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn an_exact_filter_stands_at_its_last_message() {
        let mut tracker = Tracker::new("a.b", &reply(None, 5), None, Beginning::InOrder).unwrap();
        assert!(tracker.show(&message(9)));
        assert_eq!(tracker.point().unwrap().position().q, 9);
    }

    #[test]
    fn a_wildcard_filter_stands_at_its_last_mark_and_shows_nothing_twice() {
        let mut tracker = Tracker::new("a.*", &reply(None, 5), None, Beginning::InOrder).unwrap();
        for sequence in [7, 9, 8] {
            assert!(tracker.show(&message(sequence)));
        }
        assert_eq!(tracker.point().unwrap().position().q, 5);
        tracker.mark(7);
        let earlier = tracker.point().unwrap();
        assert_eq!(earlier.position().q, 7);
        let reply = reply(Some(true), 7);
        let mut resumed = Tracker::new("a.*", &reply, Some(earlier), Beginning::InOrder).unwrap();
        assert!(!resumed.show(&message(8)));
        assert!(!resumed.show(&message(9)));
        assert!(resumed.show(&message(10)));
    }

    #[test]
    fn a_gap_moves_an_exact_filter_and_a_wildcard_only_if_the_stream_has_lost_the_messages() {
        let position_after = |filter: &str, why: &str| {
            let mut tracker =
                Tracker::new(filter, &reply(None, 5), None, Beginning::InOrder).unwrap();
            let (after, upto) = (Some(6), Some(9));
            tracker.gap(&Gap { i: 1, after, upto, e: None, why: why.into() });
            tracker.point().unwrap().position().q
        };
        assert_eq!(position_after("a.b", "slow"), 9);
        assert_eq!(position_after("a.b", "conflated"), 9);
        assert_eq!(position_after("a.*", "expired"), 9);
        for why in ["slow", "conflated", "something_later"] {
            assert_eq!(position_after("a.*", why), 5, "6 may still come");
        }
    }

    #[test]
    fn after_a_change_of_epoch_it_stands_where_the_gap_says_or_nowhere() {
        for filter in ["a.b", "a.*"] {
            let mut tracker =
                Tracker::new(filter, &reply(None, 50), None, Beginning::InOrder).unwrap();
            assert!(tracker.show(&message(60)));
            let (upto, e, why) = (Some(3), Some("F".to_owned()), "epoch".to_owned());
            tracker.gap(&Gap { i: 1, after: None, upto, e, why: why.clone() });
            let anew =
                ResumePoint { position: Position { e: "F".into(), q: 3 }, seen: BTreeSet::new() };
            assert_eq!(tracker.point(), Some(anew));
            assert!(tracker.show(&message(4)), "a sequence of the new epoch");
            tracker.gap(&Gap { i: 1, why, ..Gap::default() });
            assert_eq!(tracker.point(), None, "an edge that does not name the epoch");
        }
    }

    #[test]
    fn an_ephemeral_filter_stands_nowhere() {
        let ephemeral = SubscribeReply { recoverable: false, e: None, ..reply(None, 0) };
        assert!(Tracker::new("a", &ephemeral, None, Beginning::InOrder).is_none());
    }

    #[test]
    fn a_snapshot_cannot_be_resumed_before_it_is_whole() {
        let mut tracker = Tracker::new("a.*", &reply(None, 9), None, Beginning::Snapshot).unwrap();
        assert!(tracker.show(&message(3)));
        assert_eq!(tracker.point(), None, "9 is behind what is still to come");
        tracker.live(9);
        assert_eq!(tracker.point().unwrap().position().q, 9);
    }
}
