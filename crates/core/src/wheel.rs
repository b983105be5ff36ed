//! The clock of an edge's heartbeats and deadlines: one bucket a second, no timer a connection.

/// Seconds that the wheel reaches ahead: more than the longest heartbeat interval and deadline.
const BUCKETS: usize = 512;

/// Owned by the shard. `K` names what is due; entries of things that are gone are recognised by
/// the caller, so nothing is ever removed early.
#[derive(Debug)]
pub struct Wheel<K> {
    buckets: Box<[Vec<K>]>,
    /// The last second that was handed out.
    now_s: u64,
}

impl<K> Wheel<K> {
    /// An empty wheel that stands at `now_s`.
    #[must_use]
    pub fn new(now_s: u64) -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), now_s }
    }

    /// Makes `key` due after `delay_s` seconds, at least 1 and at most 511.
    pub fn schedule(&mut self, key: K, delay_s: u64) {
        let delay_s = delay_s.clamp(1, BUCKETS as u64 - 1);
        let bucket = (self.now_s + delay_s) as usize % BUCKETS;
        self.buckets[bucket].push(key);
    }

    /// Everything that is due up to `now_s`, oldest first. Call it once a second.
    pub fn due(&mut self, now_s: u64) -> Vec<K> {
        let mut due = Vec::new();
        // After a pause longer than the wheel (a suspended machine) each bucket is due once.
        let first = (self.now_s + 1).max(now_s.saturating_sub(BUCKETS as u64 - 1));
        for second in first..=now_s {
            due.append(&mut self.buckets[second as usize % BUCKETS]);
        }
        self.now_s = self.now_s.max(now_s);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_due_once_and_on_time() {
        let mut wheel = Wheel::new(1000);
        wheel.schedule('a', 25);
        wheel.schedule('b', 1);
        wheel.schedule('c', 511);
        assert_eq!(wheel.due(1000), []);
        assert_eq!(wheel.due(1001), ['b']);
        assert_eq!(wheel.due(1024), []);
        assert_eq!(wheel.due(1025), ['a']);
        assert_eq!(wheel.due(1025), []);
        assert_eq!(wheel.due(1511), ['c']);
    }

    #[test]
    fn a_long_pause_loses_nothing() {
        let mut wheel = Wheel::new(0);
        for delay in [1, 100, 400] {
            wheel.schedule(delay, delay);
        }
        let mut due = wheel.due(1_000_000);
        due.sort_unstable();
        assert_eq!(due, [1, 100, 400]);
        wheel.schedule(7, 2);
        assert_eq!(wheel.due(1_000_002), [7]);
    }

    #[test]
    fn out_of_range_delays_are_pulled_in() {
        let mut wheel = Wheel::new(0);
        wheel.schedule('a', 0);
        wheel.schedule('b', 10_000);
        assert_eq!(wheel.due(1), ['a']);
        assert_eq!(wheel.due(511), ['b']);
    }
}
