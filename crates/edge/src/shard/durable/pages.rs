//! Pages of the region's copy: the questions that replay, repair and history ask of the store.

use super::DurableFilter;
use crate::shard::Shard;
use crate::shard::store::{GetFailure, Page};
use meridian_core::durable::Stored;
use serde_json::json;
use std::rc::Rc;

/// Messages of one page.
pub(super) const PAGE_MESSAGES: u32 = 256;

/// Most steps of the search for the last messages: one for each bit of a sequence.
const SEARCH_STEPS_MAX: u32 = 64;

/// Messages of a page and behind it.
pub(super) fn count(page: &Page) -> u64 {
    page.messages.len() as u64 + page.pending
}

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
    /// fewer. The store counts what is behind a message, so this is a search by halves.
    pub(super) async fn before_last(
        self: &Rc<Self>,
        copy: &str,
        filter: &str,
        wanted: u64,
        highest: u64,
    ) -> Result<u64, GetFailure> {
        let (mut enough, mut too_few) = (0, highest);
        for _ in 0..SEARCH_STEPS_MAX {
            if too_few - enough <= 1 {
                break;
            }
            let middle = enough + (too_few - enough) / 2;
            let page = self.page_after(copy, filter, middle, 1).await?;
            if count(&page) >= wanted { enough = middle } else { too_few = middle }
        }
        Ok(enough)
    }
}
