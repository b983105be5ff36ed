//! The watch over regions: which of them this edge no longer hears.
//!
//! Gateways are one hop and do not relay, and a cut link drops no connection and raises no error
//! anywhere. A heartbeat a second from each region is the only way to know.

use std::collections::BTreeMap;

/// Owned by the edge's control task.
#[derive(Debug)]
pub struct RegionWatch {
    regions: BTreeMap<String, Heard>,
    silence_ms_max: u64,
}

#[derive(Debug)]
struct Heard {
    at_ms: u64,
    degraded: bool,
}

impl RegionWatch {
    /// Expects `regions`, each of which has `silence_ms_max` from now to be heard.
    pub fn new(
        regions: impl IntoIterator<Item = String>,
        silence_ms_max: u64,
        now_ms: u64,
    ) -> Self {
        let heard = |region| (region, Heard { at_ms: now_ms, degraded: false });
        Self { regions: regions.into_iter().map(heard).collect(), silence_ms_max }
    }

    /// A heartbeat of `region` came. Regions that nobody expects are ignored, so that a stray
    /// publisher cannot grow the table.
    pub fn hear(&mut self, region: &str, now_ms: u64) {
        if let Some(heard) = self.regions.get_mut(region) {
            heard.at_ms = now_ms;
        }
    }

    /// The degraded regions, sorted, if they are others than at the last call.
    pub fn check(&mut self, now_ms: u64) -> Option<Vec<String>> {
        let mut changed = false;
        for heard in self.regions.values_mut() {
            let degraded = now_ms.saturating_sub(heard.at_ms) > self.silence_ms_max;
            changed |= degraded != heard.degraded;
            heard.degraded = degraded;
        }
        changed.then(|| {
            let degraded = self.regions.iter().filter(|(_, heard)| heard.degraded);
            degraded.map(|(region, _)| region.clone()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_region_is_told_once_and_again_when_it_is_back() {
        let mut watch = RegionWatch::new(["us".into(), "eu".into()], 2500, 0);
        watch.hear("eu", 2000);
        assert_eq!(watch.check(2500), None);
        assert_eq!(watch.check(2501), Some(vec!["us".into()]));
        assert_eq!(watch.check(2600), None);
        assert_eq!(watch.check(9000), Some(vec!["eu".into(), "us".into()]));
        watch.hear("us", 9000);
        watch.hear("eu", 9000);
        watch.hear("mars", 9000);
        assert_eq!(watch.check(9100), Some(vec![]));
        assert_eq!(watch.check(9200), None);
    }
}
