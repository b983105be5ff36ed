//! Pages of the region's copy: the questions that replay, repair and history ask of the store.

use super::DurableFilter;
use crate::shard::Shard;
use crate::shard::store::{GetFailure, Page};
use meridian_core::durable::{Backward, Step, Stored};
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Messages of one page.
pub(super) const PAGE_MESSAGES: u32 = 256;

/// How long a search backward may take: after that a slow copy is as good as down, and the client
/// has given up.
pub(super) const SEARCH_MAX: Duration = Duration::from_secs(10);

impl Shard {
    /// A page of messages above a sequence.
    pub(super) async fn page_after(
        self: &Rc<Self>,
        copy: &str,
        filter: &str,
        after: u64,
        messages_max: u32,
    ) -> Result<Page, GetFailure> {
        let from = after + 1;
        let request = json!({"seq": from, "next_by_subj": filter, "batch": messages_max});
        self.get(copy, &request).await
    }

    /// The newest message of a copy.
    pub(super) async fn newest_of(
        self: &Rc<Self>,
        copy: &str,
    ) -> Result<Option<Stored>, GetFailure> {
        let page = self.get(copy, &json!({"last_by_subj": ">"})).await?;
        Ok(page.messages.into_iter().next())
    }

    /// The last message of each subject of a filter, and of `other`'s subject. The answer says up
    /// to where it holds, unless it is empty: that is what `other` is for.
    pub(super) async fn tails_of(
        self: &Rc<Self>,
        durable: &DurableFilter,
        other: Option<&Stored>,
    ) -> Result<Page, GetFailure> {
        let mut filters = vec![durable.filter.as_str().to_owned()];
        // Filters that overlap would bring a message twice.
        let other = other.filter(|other| !durable.is_of(other));
        filters.extend(other.map(|other| String::from_utf8_lossy(&other.subject).into_owned()));
        self.get(&durable.copy, &json!({"multi_last": filters})).await
    }

    /// The sequence of the last stored message of a filter, 0 if there is none.
    pub(super) async fn last_of(
        self: &Rc<Self>,
        copy: &str,
        filter: &str,
    ) -> Result<u64, GetFailure> {
        let page = self.get(copy, &json!({"last_by_subj": filter})).await?;
        Ok(page.messages.last().map_or(0, |stored| stored.sequence))
    }

    /// The highest sequence with at least `wanted` messages of a filter above it, 0 if there are
    /// fewer.
    pub(super) async fn before_last(
        self: &Rc<Self>,
        copy: &str,
        filter: &str,
        wanted: u64,
        highest: u64,
    ) -> Result<u64, GetFailure> {
        let mut search = Backward::exact(highest, 0, wanted);
        let until = Instant::now() + SEARCH_MAX;
        let (above, _) = self.search(copy, filter, &mut search, 0, until).await?;
        Ok(above)
    }

    /// Searches a filter's messages backward, but for the `beyond` newest: the window's place, and
    /// how many messages were counted behind it.
    pub(super) async fn search(
        self: &Rc<Self>,
        copy: &str,
        filter: &str,
        search: &mut Backward,
        beyond: u64,
        until: Instant,
    ) -> Result<(u64, u64), GetFailure> {
        loop {
            match search.step() {
                Step::Probe(_) if Instant::now() > until => return Err(GetFailure::Unreachable),
                Step::Probe(place) => {
                    // What comes meanwhile counts too: then the window has a few less.
                    let count = self.count_above(copy, filter, place).await?;
                    search.note(place, count.saturating_sub(beyond));
                }
                Step::Window { above, count } => return Ok((above, count)),
            }
        }
    }

    /// How many messages of a filter are above a place, as the store counts them.
    pub(super) async fn count_above(
        self: &Rc<Self>,
        copy: &str,
        filter: &str,
        place: u64,
    ) -> Result<u64, GetFailure> {
        let page = self.page_after(copy, filter, place, 1).await?;
        Ok(page.messages.len() as u64 + page.pending)
    }
}
