//! The budget of bytes that may wait for slow clients, all of a shard's together, and who gives way
//! when it runs out.
//!
//! Each client's own bound is the outbox's; this bounds their sum, so that many clients that are
//! each a little slow cannot take the process down.

/// From this share of the budget on, in percent, new work is refused.
const REFUSE_PERCENT: usize = 80;

/// From this share on the slowest clients are closed.
const SHED_PERCENT: usize = 95;

/// How urgent it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is room.
    #[default]
    None,
    /// New work is refused, and told to come back.
    Refuse,
    /// The slowest clients are closed.
    Shed,
}

/// Owned by the shard: its share of the edge's budget.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    bytes_max: usize,
    bytes: usize,
}

impl Memory {
    /// An empty budget.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0 }
    }

    /// Notes that a holder of `before` bytes now holds `after`.
    pub fn moved(&mut self, before: usize, after: usize) {
        self.bytes = (self.bytes + after).saturating_sub(before);
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that may be held beside those.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes)
    }

    /// How urgent it is.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let percent = |share: usize| (self.bytes_max / 100).saturating_mul(share);
        if self.bytes >= percent(SHED_PERCENT) {
            Pressure::Shed
        } else if self.bytes >= percent(REFUSE_PERCENT) {
            Pressure::Refuse
        } else {
            Pressure::None
        }
    }

    /// Who is closed, of those that hold so much: the slowest first, until new work would be taken
    /// again. Nobody, while there is no need to shed.
    #[must_use]
    pub fn slowest<K>(&self, mut holders: Vec<(K, usize)>) -> Vec<K> {
        if self.pressure() < Pressure::Shed {
            return Vec::new();
        }
        holders.sort_unstable_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let mut left = *self;
        let mut closed = Vec::new();
        for (holder, bytes) in holders {
            if left.pressure() == Pressure::None || bytes == 0 {
                break;
            }
            left.moved(bytes, 0);
            closed.push(holder);
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_at_eighty_and_at_ninety_five_percent_and_not_one_byte_before() {
        let at = |bytes| {
            let mut memory = Memory::new(1_000);
            memory.moved(0, bytes);
            memory.pressure()
        };
        assert_eq!((at(0), at(799)), (Pressure::None, Pressure::None));
        assert_eq!((at(800), at(949)), (Pressure::Refuse, Pressure::Refuse));
        assert_eq!((at(950), at(5_000)), (Pressure::Shed, Pressure::Shed));
    }

    #[test]
    fn what_is_held_follows_every_move() {
        let mut memory = Memory::new(1_000);
        memory.moved(0, 700);
        memory.moved(0, 200);
        memory.moved(700, 100);
        assert_eq!((memory.bytes(), memory.room()), (300, 700));
        memory.moved(200, 5_000);
        assert_eq!(memory.room(), 0);
    }

    #[test]
    fn the_slowest_are_closed_first_and_no_more_of_them_than_needed() {
        let mut memory = Memory::new(1_000);
        let holders = vec![("c", 100), ("a", 500), ("idle", 0), ("b", 350)];
        memory.moved(0, 950);
        assert_eq!(memory.slowest(holders.clone()), ["a"]);
        memory.moved(1, 0);
        assert!(memory.slowest(holders).is_empty(), "one byte below");
        let mut full = Memory::new(1_000);
        full.moved(0, 2_000);
        assert_eq!(full.slowest(vec![(1, 200), (2, 900), (3, 800), (4, 100)]), [2, 3]);
    }
}
