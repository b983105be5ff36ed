//! The newest messages up to a sequence, out of a store that reads forward only: counts of what
//! lies behind a place lead to the window that holds them (`meridian_core::durable::Backward`).

use crate::shard::Shard;
use crate::shard::durable::pages::SEARCH_MAX;
use crate::shard::store::GetFailure;
use meridian_core::durable::{Backward, Stored};
use meridian_core::session::HistoryPage;
use serde_json::json;
use std::rc::Rc;
use tokio::time::Instant;

/// Bytes after which the copy ends a batch. A window that has more is larger than a page can be,
/// and a narrower one is looked for.
pub(super) const READ_BYTES_MAX: usize = 512 * 1024;

/// What a window that was too large is divided by: it held too much already, and messages behind
/// those may be larger.
const NARROWING: u64 = 4;

/// Every message of a filter above a place, up to where it was asked for.
pub(super) struct Window {
    pub(super) above: u64,
    pub(super) messages: Vec<Stored>,
}

/// What reading a window brought.
enum Read {
    Whole(Vec<Stored>),
    /// So many messages of its beginning are as much as may be read.
    TooLarge(u64),
}

impl Shard {
    /// The newest messages up to `upper`: one more than the page may have, unless these are all or
    /// they are large.
    pub(super) async fn newest(
        self: &Rc<Self>,
        copy: &str,
        page: &HistoryPage,
        upper: u64,
        floor: u64,
    ) -> Result<Window, GetFailure> {
        let until = Instant::now() + SEARCH_MAX;
        let filter = page.filter.as_str();
        let mut wanted = page.limit + 1;
        let beyond = self.count_above(copy, filter, upper).await?;
        loop {
            let mut search = Backward::new(upper, floor, wanted);
            let (above, count) = self.search(copy, filter, &mut search, beyond, until).await?;
            let bytes_max = if wanted > 1 { READ_BYTES_MAX } else { usize::MAX };
            match self.read_window(copy, page, (above, upper), count, bytes_max).await? {
                Read::Whole(messages) => return Ok(Window { above, messages }),
                Read::TooLarge(read) => wanted = (read / NARROWING).clamp(1, wanted / 2),
            }
        }
    }

    /// Reads what is above the first place and not above the second.
    async fn read_window(
        self: &Rc<Self>,
        copy: &str,
        page: &HistoryPage,
        (above, upper): (u64, u64),
        count: u64,
        bytes_max: usize,
    ) -> Result<Read, GetFailure> {
        let (mut messages, mut bytes, mut after) = (Vec::new(), 0, above);
        while after < upper {
            // One more than was counted proves, by where it stands, that nothing is left out.
            let batch = (count + 1).saturating_sub(messages.len() as u64).max(1);
            let request = json!({
                "seq": after + 1, "next_by_subj": page.filter.as_str(),
                "batch": batch, "max_bytes": READ_BYTES_MAX
            });
            let read = self.get(copy, &request).await?;
            let is_end = read.pending == 0;
            let Some(last) = read.messages.last().map(|stored| stored.sequence) else { break };
            let inside = read.messages.into_iter().filter(|stored| stored.sequence <= upper);
            for stored in inside {
                bytes += stored.bytes();
                messages.push(stored);
            }
            if is_end || last >= upper {
                break;
            }
            if bytes > bytes_max {
                return Ok(Read::TooLarge(messages.len() as u64));
            }
            after = last;
        }
        Ok(Read::Whole(messages))
    }
}
