//! How many connections a party has, an address, a user or a tenant, and how fast it opens them.
//!
//! Pure: whoever owns it keeps it behind a lock, because the connections of one party are spread
//! over all shards. Asked when a connection begins and when it ends, never for a message.

use crate::rate::TokenBucket;
use std::collections::HashMap;
use std::hash::Hash;

/// A party without connections is remembered so long, in ms: its rate holds across its connections.
const REMEMBERED_MS: u64 = 10_000;

/// So many parties are looked through for forgotten ones at the earliest.
const PRUNE_AT_LEAST: usize = 1_024;

/// How many times its rate a party may open at once.
const BURST_S: u32 = 5;

/// What a party may have; 0 means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Connections at once.
    pub connections_max: u32,
    /// Connections begun a second; five seconds' worth at once.
    pub per_second: u32,
}

/// Why a party gets no further connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// It has as many as it may.
    Full,
    /// It opens them too fast; so many ms until the next.
    Fast(u64),
}

/// Owned by the edge, for all of its shards.
#[derive(Debug)]
pub struct Census<P> {
    parties: HashMap<P, Party>,
    prune_at: usize,
}

#[derive(Debug)]
struct Party {
    connections: u32,
    bucket: TokenBucket,
    seen_ms: u64,
}

impl<P> Default for Census<P> {
    fn default() -> Self {
        Self { parties: HashMap::new(), prune_at: PRUNE_AT_LEAST }
    }
}

impl<P: Hash + Eq> Census<P> {
    /// Takes a connection in, which must [`leave`](Self::leave) later.
    ///
    /// # Errors
    /// Why not; then there is nothing to leave.
    pub fn enter(&mut self, party: P, share: Share, now_ms: u64) -> Result<(), Turned> {
        self.prune(now_ms);
        let burst = share.per_second.saturating_mul(BURST_S);
        let party = self.parties.entry(party).or_insert_with(|| Party {
            connections: 0,
            bucket: TokenBucket::full(burst, now_ms),
            seen_ms: now_ms,
        });
        party.seen_ms = now_ms;
        if share.connections_max > 0 && party.connections >= share.connections_max {
            return Err(Turned::Full);
        }
        if share.per_second > 0 {
            party.bucket.take(share.per_second, burst, now_ms).map_err(Turned::Fast)?;
        }
        party.connections += 1;
        Ok(())
    }

    /// A connection has ended.
    pub fn leave(&mut self, party: &P) {
        if let Some(party) = self.parties.get_mut(party) {
            party.connections = party.connections.saturating_sub(1);
        }
    }

    /// Parties that are known, those that may be forgotten included.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.parties.len()
    }

    /// Forgets who has none and has been quiet. Looks through all only when they have doubled since
    /// the last time, so that an entry costs the same however many there are.
    fn prune(&mut self, now_ms: u64) {
        if self.parties.len() < self.prune_at {
            return;
        }
        self.parties.retain(|_, party| {
            party.connections > 0 || now_ms.saturating_sub(party.seen_ms) < REMEMBERED_MS
        });
        self.prune_at = (2 * self.parties.len()).max(PRUNE_AT_LEAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_has_its_share_and_no_more_and_others_have_theirs() {
        let mut census = Census::default();
        let share = Share { connections_max: 2, per_second: 0 };
        assert_eq!(census.enter("a", share, 0), Ok(()));
        assert_eq!(census.enter("a", share, 0), Ok(()));
        assert_eq!(census.enter("a", share, 0), Err(Turned::Full));
        assert_eq!(census.enter("b", share, 0), Ok(()));
        census.leave(&"a");
        assert_eq!(census.enter("a", share, 0), Ok(()), "one has left");
        assert_eq!(census.enter("a", share, 0), Err(Turned::Full), "a refusal takes no place");
    }

    #[test]
    fn a_party_opens_its_burst_and_then_at_its_rate() {
        let mut census = Census::default();
        let share = Share { connections_max: 0, per_second: 2 };
        for _ in 0..10 {
            assert_eq!(census.enter("a", share, 0), Ok(()));
            census.leave(&"a");
        }
        assert_eq!(census.enter("a", share, 0), Err(Turned::Fast(500)), "leaving gives no token");
        assert_eq!(census.enter("a", share, 500), Ok(()));
        assert_eq!(census.enter("b", share, 0), Ok(()));
    }

    #[test]
    fn whoever_has_left_is_forgotten_after_a_while_and_not_before() {
        let mut census = Census::default();
        let share = Share::default();
        for party in 0..PRUNE_AT_LEAST {
            census.enter(party, share, 0).unwrap();
            if party > 0 {
                census.leave(&party);
            }
        }
        census.enter(PRUNE_AT_LEAST, share, REMEMBERED_MS - 1).unwrap();
        assert_eq!(census.parties(), PRUNE_AT_LEAST + 1);
        for party in 0..2 * PRUNE_AT_LEAST {
            census.enter(10_000 + party, share, REMEMBERED_MS).unwrap();
        }
        assert_eq!(census.parties(), 2 + 2 * PRUNE_AT_LEAST, "who has a connection stays");
    }
}
