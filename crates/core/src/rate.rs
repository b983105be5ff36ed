//! Budgets by time in 8 bytes, because every connection keeps some: tokens for what is counted, and
//! a level for what is weighed.

/// Owned by one session. Times are ms of the edge's clock, cut to 32 bits (they wrap after 49
/// days, which costs one connection one refill).
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    tokens_milli: u32,
    refilled_at_ms: u32,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens, at most 4 million.
    #[must_use]
    pub fn full(burst: u32, now_ms: u64) -> Self {
        Self { tokens_milli: burst.saturating_mul(1000), refilled_at_ms: now_ms as u32 }
    }

    /// Takes one token, or says in how many ms there will be one.
    ///
    /// # Errors
    /// The time to wait in ms, when the bucket is empty.
    pub fn take(&mut self, per_second: u32, burst: u32, now_ms: u64) -> Result<(), u64> {
        let now_ms = now_ms as u32;
        let elapsed_ms = now_ms.wrapping_sub(self.refilled_at_ms);
        self.refilled_at_ms = now_ms;
        let refill = u64::from(elapsed_ms) * u64::from(per_second);
        let filled = u64::from(self.tokens_milli).saturating_add(refill);
        self.tokens_milli = filled.min(u64::from(burst) * 1000).min(u64::from(u32::MAX)) as u32;
        if self.tokens_milli >= 1000 {
            self.tokens_milli -= 1000;
            return Ok(());
        }
        let missing = u64::from(1000 - self.tokens_milli);
        Err(missing.div_ceil(u64::from(per_second.max(1))))
    }
}

/// Owned by one session: bytes a second, of which some may come at once. Counts what is spent, so
/// that it begins at nothing and may hold more than a bucket of tokens.
#[derive(Debug, Clone, Copy)]
pub struct ByteLevel {
    spent: u32,
    drained_at_ms: u32,
}

impl ByteLevel {
    /// Nothing spent.
    #[must_use]
    pub fn empty(now_ms: u64) -> Self {
        Self { spent: 0, drained_at_ms: now_ms as u32 }
    }

    /// Spends so many bytes, or says in how many ms that can be. What is larger than the burst
    /// passes when nothing is spent, so that no message is refused for ever.
    ///
    /// # Errors
    /// The time to wait in ms.
    pub fn spend(
        &mut self,
        bytes: usize,
        per_second: u32,
        burst: u32,
        now_ms: u64,
    ) -> Result<(), u64> {
        let elapsed_ms = (now_ms as u32).wrapping_sub(self.drained_at_ms);
        let drained = u64::from(elapsed_ms) * u64::from(per_second) / 1_000;
        if drained > 0 {
            self.spent = self.spent.saturating_sub(u32::try_from(drained).unwrap_or(u32::MAX));
            self.drained_at_ms = now_ms as u32;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let sum = self.spent.saturating_add(bytes);
        if sum <= burst || self.spent == 0 {
            self.spent = sum;
            return Ok(());
        }
        let over = u64::from(sum - burst).min(u64::from(self.spent));
        Err((over * 1_000).div_ceil(u64::from(per_second.max(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let mut bucket = TokenBucket::full(3, 0);
        let mut take = |now_ms| bucket.take(10, 3, now_ms);
        assert_eq!([take(0), take(0), take(0)], [Ok(()); 3]);
        assert_eq!(take(0), Err(100));
        assert_eq!(take(40), Err(60));
        assert_eq!(take(100), Ok(()));
        assert_eq!(take(100), Err(100));
        assert_eq!([take(10_000), take(10_000), take(10_000)], [Ok(()); 3]);
        assert_eq!(take(10_000), Err(100), "no more than the burst is saved up");
    }

    #[test]
    fn the_clock_may_wrap() {
        let near_wrap = u64::from(u32::MAX);
        let mut bucket = TokenBucket::full(1, near_wrap);
        assert_eq!(bucket.take(10, 1, near_wrap), Ok(()));
        assert_eq!(bucket.take(10, 1, near_wrap + 100), Ok(()));
    }

    #[test]
    fn bytes_come_at_once_up_to_the_burst_and_then_at_the_rate() {
        let mut level = ByteLevel::empty(0);
        let mut spend = |bytes, now_ms| level.spend(bytes, 1_000, 3_000, now_ms);
        assert_eq!([spend(2_000, 0), spend(1_000, 0)], [Ok(()); 2], "at the burst");
        assert_eq!(spend(1, 0), Err(1), "one past it");
        assert_eq!(spend(500, 0), Err(500));
        assert_eq!(spend(500, 500), Ok(()));
        assert_eq!(spend(4_000, 500), Err(3_000));
        assert_eq!(spend(4_000, 3_500), Ok(()), "a large one passes when nothing is spent");
        assert_eq!(spend(1, 3_500), Err(1_001));
    }

    #[test]
    fn a_slow_rate_is_kept_however_often_it_is_asked() {
        let mut level = ByteLevel::empty(0);
        assert_eq!(level.spend(10, 1, 10, 0), Ok(()));
        for now_ms in 1..1_000 {
            assert!(level.spend(1, 1, 10, now_ms).is_err());
        }
        assert_eq!(level.spend(1, 1, 10, 1_000), Ok(()));
    }
}
