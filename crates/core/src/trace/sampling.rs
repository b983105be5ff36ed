//! Head-based sampling: whether a message that enters the mesh here is traced.
//!
//! A parent's decision is respected, with one exception: what a client calls sampled costs every
//! server on the way something, so clients together have a budget. Not for messages of services:
//! whoever publishes over NATS has decided already.

use crate::rate::TokenBucket;
use meridian_proto::trace::TraceContext;

/// What sampling may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplerLimits {
    /// Which share of the messages without a parent is sampled, 0 to 1.
    pub ratio: f64,
    /// Messages a second that clients can have sampled by calling them so; twice as many at once.
    pub client_per_second: u32,
    /// Spans a second of what went wrong or was slow; twice as many at once.
    pub always_per_second: u32,
}

/// What becomes of a message at the head of its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Sampled, below the client's span.
    Child(TraceContext),
    /// Sampled, and the first span of its trace is made here.
    Root,
    /// Not sampled. What the message says of its trace, if anything.
    Unsampled(Option<TraceContext>),
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client like others.
    Plain,
    /// A client whose token says that it is to be followed.
    Followed,
}

/// Owned by the shard.
#[derive(Debug)]
pub struct Sampler {
    limits: SamplerLimits,
    threshold: u64,
    client: TokenBucket,
    always: TokenBucket,
}

impl Sampler {
    /// A sampler whose budgets are full.
    #[must_use]
    pub fn new(limits: SamplerLimits, now_ms: u64) -> Self {
        let full = |per_second: u32| TokenBucket::full(per_second.saturating_mul(2), now_ms);
        Self {
            // Saturates: a ratio of 1 takes all but one chance in 2^64.
            threshold: (limits.ratio * 2.0_f64.powi(64)) as u64,
            client: full(limits.client_per_second),
            always: full(limits.always_per_second),
            limits,
        }
    }

    /// Decides for a client's message. `chance` is evenly distributed over all numbers.
    pub fn head(
        &mut self,
        parent: Option<TraceContext>,
        sender: Sender,
        chance: u64,
        now_ms: u64,
    ) -> Head {
        match (parent, sender) {
            (Some(parent), Sender::Followed) => Head::Child(parent.sampled()),
            (None, Sender::Followed) => Head::Root,
            (Some(parent), Sender::Plain) if !parent.is_sampled() => Head::Unsampled(Some(parent)),
            (Some(parent), Sender::Plain) if self.affords_client(now_ms) => Head::Child(parent),
            (Some(parent), Sender::Plain) => Head::Unsampled(Some(parent.unsampled())),
            (None, Sender::Plain) if chance < self.threshold => Head::Root,
            (None, Sender::Plain) => Head::Unsampled(None),
        }
    }

    /// Whether the clients' budget has room for one more span, which is then taken.
    pub fn affords_client(&mut self, now_ms: u64) -> bool {
        let per_second = self.limits.client_per_second;
        self.client.take(per_second, per_second.saturating_mul(2), now_ms).is_ok()
    }

    /// Whether one more span of what went wrong or was slow may be made, which is then taken.
    pub fn affords_always(&mut self, now_ms: u64) -> bool {
        let per_second = self.limits.always_per_second;
        self.always.take(per_second, per_second.saturating_mul(2), now_ms).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SamplerLimits =
        SamplerLimits { ratio: 0.001, client_per_second: 5, always_per_second: 1 };

    fn context(flags: &str) -> TraceContext {
        TraceContext::parse(&format!("00-{}-{}-{flags}", "1".repeat(32), "2".repeat(16))).unwrap()
    }

    #[test]
    fn a_parents_decision_is_respected_both_ways() {
        let mut sampler = Sampler::new(LIMITS, 0);
        let (yes, no) = (context("01"), context("00"));
        assert_eq!(sampler.head(Some(yes), Sender::Plain, u64::MAX, 0), Head::Child(yes));
        assert_eq!(sampler.head(Some(no), Sender::Plain, 0, 0), Head::Unsampled(Some(no)));
    }

    #[test]
    fn without_a_parent_chance_decides_by_the_ratio() {
        let mut sampler = Sampler::new(LIMITS, 0);
        let step = u64::MAX / 100_000;
        let sampled = (0..100_000u64).filter(|turn| {
            sampler.head(None, Sender::Plain, turn * step + step / 2, 0) == Head::Root
        });
        assert_eq!(sampled.count(), 100);
        let mut never = Sampler::new(SamplerLimits { ratio: 0.0, ..LIMITS }, 0);
        assert_eq!(never.head(None, Sender::Plain, 0, 0), Head::Unsampled(None));
        let mut always = Sampler::new(SamplerLimits { ratio: 1.0, ..LIMITS }, 0);
        assert_eq!(always.head(None, Sender::Plain, u64::MAX - 1, 0), Head::Root);
    }

    #[test]
    fn clients_cannot_force_more_than_their_budget_and_the_flag_is_cleared_beyond_it() {
        let mut sampler = Sampler::new(LIMITS, 0);
        let forced = context("01");
        for _ in 0..10 {
            assert_eq!(sampler.head(Some(forced), Sender::Plain, 0, 0), Head::Child(forced));
        }
        let over = sampler.head(Some(forced), Sender::Plain, 0, 0);
        assert_eq!(over, Head::Unsampled(Some(forced.unsampled())));
        assert_eq!(sampler.head(Some(forced), Sender::Plain, 0, 200), Head::Child(forced));
    }

    #[test]
    fn a_followed_client_is_always_sampled() {
        let mut sampler =
            Sampler::new(SamplerLimits { client_per_second: 0, ratio: 0.0, ..LIMITS }, 0);
        let no = context("00");
        assert_eq!(sampler.head(None, Sender::Followed, u64::MAX, 0), Head::Root);
        let head = sampler.head(Some(no), Sender::Followed, u64::MAX, 0);
        assert_eq!(head, Head::Child(no.sampled()));
    }

    #[test]
    fn errors_and_slow_deliveries_have_a_budget_of_their_own() {
        let mut sampler = Sampler::new(LIMITS, 0);
        assert_eq!([(); 3].map(|()| sampler.affords_always(0)), [true, true, false]);
        assert!(sampler.affords_always(1_000));
    }
}
