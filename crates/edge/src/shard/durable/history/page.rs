//! What stands in a page of history: its messages, its cursors, and what is missing in it.
//!
//! A page covers every message of the filter from `before` to `after`, both included. So these two
//! are where the next pages begin, and whatever the copy does not have of the range is a gap.

use super::window::{READ_BYTES_MAX, Window};
use crate::shard::Shard;
use crate::shard::fanout::wanted_headers;
use crate::shard::store::GetFailure;
use crate::shard::tracer::sampled_context;
use meridian_core::durable::Stored;
use meridian_core::namespace::{Replication, Retention};
use meridian_core::session::{HistoryPage, HistoryPlace};
use meridian_nats::Headers;
use meridian_proto::item::{Failure, HistoryGap, HistoryMessage, HistoryReply};
use meridian_proto::limits::HISTORY_PAGE_BYTES_MAX;
use meridian_proto::{ErrorCode, Payload};
use serde_json::json;
use std::rc::Rc;

/// A page before it is given its epoch.
struct Covered {
    messages: Vec<HistoryMessage>,
    after: u64,
    before: u64,
    more: bool,
    gaps: Vec<HistoryGap>,
}

impl Shard {
    /// Reads a page of history from the region's copy.
    pub(super) async fn read_history(
        self: &Rc<Self>,
        page: &HistoryPage,
    ) -> Result<HistoryReply, Failure> {
        let Some((copy, e)) = self.copy_of(&page.filter) else {
            let msg = "the stream of this filter is not there yet";
            return Err(Failure::new(ErrorCode::StreamUnavailable, msg));
        };
        if page.place.position().is_some_and(|position| position.e != e) {
            let msg = "the position is of another epoch: the stream has begun anew";
            let failure = Failure::new(ErrorCode::UnrecoverablePosition, msg);
            return Err(failure.hint("ask without a position"));
        }
        let covered = match &page.place {
            HistoryPlace::Newest => self.page_before(&copy, page, None).await,
            HistoryPlace::Before(position) => {
                self.page_before(&copy, page, Some(position.q.saturating_sub(1))).await
            }
            HistoryPlace::After(position) => self.page_behind(&copy, page, position.q).await,
        };
        let Covered { messages: m, after, before, more, gaps } = covered.map_err(failure_of)?;
        if self.copy_of(&page.filter).is_none_or(|(_, now)| now != e) {
            let msg = "the stream has begun anew meanwhile";
            return Err(Failure::new(ErrorCode::StreamUnavailable, msg));
        }
        let thinned = matches!(page.retention, Retention::PerSubject { .. });
        Ok(HistoryReply { m, e, after, before, more, thinned, gaps })
    }

    /// The oldest messages above a sequence.
    async fn page_behind(
        self: &Rc<Self>,
        copy: &str,
        page: &HistoryPage,
        after: u64,
    ) -> Result<Covered, GetFailure> {
        let request = json!({
            "seq": after + 1, "next_by_subj": page.filter.as_str(),
            "batch": page.limit, "max_bytes": READ_BYTES_MAX
        });
        let (mut read, mut end) = (self.get(copy, &request).await?, after);
        // Of several replicas the second answer may be older than the first, and prove nothing.
        if read.messages.is_empty() && page.replication == Replication::Single {
            // How far there is nothing: otherwise the position of whoever follows a quiet filter
            // would grow old and seem to have missed what was on other subjects. Asked first, so
            // that the page has all up to here.
            let last = self.last_of(copy, ">").await?;
            read = self.get(copy, &request).await?;
            end = after.max(last);
        }
        // Asked after the page was read: what is there now was there then.
        let whole = self.whole_from(copy, page.replication).await?;
        let mut messages = self.shaped(page, &read.messages);
        let kept = self.fitting(messages.iter());
        let more = read.pending > 0 || kept < messages.len();
        messages.truncate(kept);
        let end = match messages.last() {
            Some(last) => last.q,
            None => end.max(whole.saturating_sub(1)),
        };
        let gaps = gap(after, end.min(whole.saturating_sub(1)), "expired");
        let gaps = gaps.into_iter().collect();
        Ok(Covered { messages, after: end, before: after + 1, more, gaps })
    }

    /// The newest messages up to a sequence, or of all.
    async fn page_before(
        self: &Rc<Self>,
        copy: &str,
        page: &HistoryPage,
        wanted_upper: Option<u64>,
    ) -> Result<Covered, GetFailure> {
        let last = self.last_of(copy, ">").await?;
        let floor = self.whole_from(copy, page.replication).await?.saturating_sub(1);
        let end = last.max(floor);
        let upper = wanted_upper.unwrap_or(end).min(end);
        let floor = floor.min(upper);
        let Window { above, messages } = self.newest(copy, page, upper, floor).await?;
        let found = messages.len();
        let newest = found - found.min(usize::try_from(page.limit).unwrap_or(usize::MAX));
        let mut messages = self.shaped(page, &messages[newest..]);
        let kept = self.fitting(messages.iter().rev());
        messages.drain(..messages.len() - kept);
        let mut gaps = Vec::new();
        let (before, more) = match messages.first() {
            Some(first) if kept < found => (first.q, true),
            _ if above > floor => (above + 1, self.has_up_to(copy, page, above).await?),
            _ => {
                // The beginning. Asked again: what was dropped while it was read is gone too.
                let whole = self.whole_from(copy, page.replication).await?;
                gaps.extend(gap(0, upper.min(whole.saturating_sub(1)), "expired"));
                (1, false)
            }
        };
        gaps.extend(gap(end, wanted_upper.unwrap_or(end), "behind"));
        let after = messages.last().map_or(upper, |last| last.q);
        Ok(Covered { messages, after, before, more, gaps })
    }

    /// Whether the copy has a message of the filter up to a sequence.
    async fn has_up_to(
        self: &Rc<Self>,
        copy: &str,
        page: &HistoryPage,
        upper: u64,
    ) -> Result<bool, GetFailure> {
        let first = self.page_after(copy, page.filter.as_str(), 0, 1).await?;
        Ok(first.messages.first().is_some_and(|stored| stored.sequence <= upper))
    }

    /// Stored messages as a client gets them, with the headers that it asked for.
    fn shaped(&self, page: &HistoryPage, stored: &[Stored]) -> Vec<HistoryMessage> {
        let shape = |stored: &Stored| {
            let block = Headers::new(&stored.headers);
            let payload = Payload::classify(block.get("Content-Type"), &stored.payload);
            let headers = wanted_headers(block, &page.wishes);
            let trace = page.wishes.trace.then(|| sampled_context(block)).flatten();
            let traceparent = trace.map(|trace| trace.to_string());
            let traceparent = traceparent.as_deref();
            let subject = stored.subject.get(page.scope_bytes..).unwrap_or_default();
            let sequence = stored.sequence;
            HistoryMessage::new(subject, sequence, payload, &headers, traceparent, page.wishes.wire)
        };
        stored.iter().map(shape).collect()
    }

    /// How many of these fit a page: one at least, whatever its size.
    fn fitting<'a>(&self, messages: impl Iterator<Item = &'a HistoryMessage>) -> usize {
        let bytes_max = HISTORY_PAGE_BYTES_MAX.min(self.limits.outbox_bytes_max / 2);
        let mut bytes = 0;
        let fits = |(number, message): &(usize, &HistoryMessage)| {
            bytes += message.json_bytes();
            *number == 0 || bytes <= bytes_max
        };
        messages.enumerate().take_while(fits).count()
    }
}

/// A gap above `after` up to `upto`, if that is a range.
fn gap(after: u64, upto: u64, why: &str) -> Option<HistoryGap> {
    (upto > after).then(|| HistoryGap { after, upto, why: why.into() })
}

fn failure_of(failure: GetFailure) -> Failure {
    let msg = match failure {
        GetFailure::Unreachable => "the region's copy does not answer",
        GetFailure::TooManySubjects | GetFailure::Refused => "the region's copy refuses to answer",
    };
    Failure::new(ErrorCode::StreamUnavailable, msg)
}
