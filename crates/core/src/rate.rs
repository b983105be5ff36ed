//! A token bucket in 8 bytes, because every connection keeps one.

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
}
