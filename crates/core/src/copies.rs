//! The watch over a region's copies of durable namespaces: is a copy behind its home, and does
//! home take writes?
//!
//! A mirror's lag alone lies: after a restart of its server it says 0 for some 40 s, and has not
//! heard of home at all. So what counts first is when it last heard of home, which happens each
//! second even if nothing is published (measured). Called by the edge's control task with what it
//! saw; nothing is asked here.

use std::collections::BTreeMap;

/// A mirror that has not heard of home for this long does not: three of home's signs are missing.
const HEARD_MS_MAX: u64 = 3_000;

/// A mirror may be behind by this many messages at the moment of a look: under load some are
/// always on their way.
const LAG_MAX: u64 = 256;

/// How long a copy must look stale before that is told: a mirror that is made anew hears of home
/// within 2 s, and messages that are late by so much trouble nobody.
const STALE_MS: u64 = 3_000;

/// How long home must be silent before that is told. One slow answer alarms nobody, and whoever
/// publishes meanwhile waits in vain.
const LOST_MS: u64 = 1_000;

/// How long there must be no meta leader before that is told.
pub const LEADERLESS_MS: u64 = 1_000;

/// How long a copy must be well again before that is told: a mirror that catches up comes and goes.
const WELL_MS: u64 = 2_000;

/// What a look at the region's copy of a namespace saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// No answer.
    Silent,
    /// There is no such stream.
    Missing,
    /// It takes no writes and mirrors nothing: another region was made home.
    Retired,
    /// It is the home stream.
    Home,
    /// It mirrors home.
    Mirror {
        /// Messages that home has more, as far as the mirror knows.
        lag: u64,
        /// Its newest message.
        last_seq: u64,
        /// ms since it heard of home; `None` if it never did since its server started.
        heard_ms: Option<u64>,
    },
}

/// What asking the home stream itself brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It answered.
    Answered,
    /// It did not.
    Silent,
    /// It was not asked, because the copy hears of it, or is it.
    NotAsked,
}

/// Why a copy is not up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The copy does not answer.
    Silent,
    /// The copy is not there.
    Missing,
    /// The copy was the home stream once and is no more.
    Retired,
    /// The mirror does not hear of home.
    Unheard,
    /// The mirror is behind by many messages, or does not get on.
    Behind,
}

/// Something that is wrong, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since<T> {
    /// What.
    pub what: T,
    /// ms of the caller's clock.
    pub since_ms: u64,
}

/// What is told of one namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyState {
    /// This region's copy is behind, or may be.
    pub stale: Option<Since<Why>>,
    /// Home takes no writes, as far as this region can know.
    pub readonly: Option<Since<()>>,
}

/// Owned by the edge's control task.
#[derive(Debug, Default)]
pub struct CopyWatch {
    namespaces: BTreeMap<String, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    stale: Lasting<Why>,
    readonly: Lasting<()>,
    /// The mirror's newest message at the last look.
    last_seq: Option<u64>,
    /// Whether a copy was ever seen. Before that no client can subscribe, nobody knows whether
    /// there is a home, and the servers answer for themselves.
    is_seen: bool,
}

/// A trouble that counts once it lasts, and is over once it stays away.
#[derive(Debug)]
pub struct Lasting<T> {
    suspected_at_ms: Option<u64>,
    well_at_ms: Option<u64>,
    told: Option<Since<T>>,
}

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Self { suspected_at_ms: None, well_at_ms: None, told: None }
    }
}

impl Look {
    /// Whether the home stream has to be asked, to know whether it takes writes. It costs a request
    /// to another region, so it is not asked while the copy hears of it.
    #[must_use]
    pub fn needs_probe(self) -> bool {
        match self {
            Self::Home => false,
            Self::Mirror { heard_ms, .. } => !is_recent(heard_ms),
            Self::Silent | Self::Missing | Self::Retired => true,
        }
    }
}

impl CopyWatch {
    /// Takes in one look.
    pub fn note(&mut self, namespace: &str, look: Look, probe: Probe, now_ms: u64) {
        let watched = self.namespaces.entry(namespace.to_owned()).or_default();
        watched.is_seen |= !matches!(look, Look::Silent | Look::Missing);
        let why = why_stale(look, watched.last_seq).filter(|_| watched.is_seen);
        watched.stale.note(why, STALE_MS, WELL_MS, now_ms);
        watched.last_seq = match look {
            Look::Mirror { last_seq, .. } => Some(last_seq),
            _ => None,
        };
        let is_lost = watched.is_seen && look.needs_probe() && probe == Probe::Silent;
        // Over at the first answer: no publish is refused that could work.
        watched.readonly.note(is_lost.then_some(()), LOST_MS, 0, now_ms);
    }

    /// What is told of a namespace.
    #[must_use]
    pub fn state(&self, namespace: &str) -> CopyState {
        let watched = self.namespaces.get(namespace);
        watched.map_or_else(CopyState::default, |watched| CopyState {
            stale: watched.stale.told,
            readonly: watched.readonly.told,
        })
    }

    /// Whether a look is due soon: something is wrong, or may be, or is just over.
    #[must_use]
    pub fn is_uneasy(&self) -> bool {
        self.namespaces
            .values()
            .any(|watched| watched.stale.is_uneasy() || watched.readonly.is_uneasy())
    }
}

impl<T: Copy> Lasting<T> {
    /// Takes in what is wrong now, if anything. It is told once it lasts `wrong_ms`, and over after
    /// `well_ms` without.
    pub fn note(&mut self, wrong: Option<T>, wrong_ms: u64, well_ms: u64, now_ms: u64) {
        let Some(what) = wrong else {
            self.suspected_at_ms = None;
            let well_at_ms = *self.well_at_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(well_at_ms) >= well_ms {
                self.told = None;
            }
            return;
        };
        self.well_at_ms = None;
        let since_ms = *self.suspected_at_ms.get_or_insert(now_ms);
        match &mut self.told {
            Some(told) => told.what = what,
            None if now_ms.saturating_sub(since_ms) >= wrong_ms => {
                self.told = Some(Since { what, since_ms });
            }
            None => {}
        }
    }

    /// What is wrong, if it lasts.
    #[must_use]
    pub fn told(&self) -> Option<Since<T>> {
        self.told
    }

    fn is_uneasy(&self) -> bool {
        self.told.is_some() || self.suspected_at_ms.is_some()
    }
}

fn why_stale(look: Look, last_seq_before: Option<u64>) -> Option<Why> {
    match look {
        Look::Home => None,
        Look::Silent => Some(Why::Silent),
        Look::Missing => Some(Why::Missing),
        Look::Retired => Some(Why::Retired),
        Look::Mirror { heard_ms, .. } if !is_recent(heard_ms) => Some(Why::Unheard),
        Look::Mirror { lag, last_seq, .. } => {
            let is_stuck = lag > 0 && last_seq_before == Some(last_seq);
            (lag > LAG_MAX || is_stuck).then_some(Why::Behind)
        }
    }
}

fn is_recent(heard_ms: Option<u64>) -> bool {
    heard_ms.is_some_and(|ms| ms <= HEARD_MS_MAX)
}

impl Why {
    /// For people and for `/stats`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Silent => "the copy does not answer",
            Self::Missing => "the copy is not there",
            Self::Retired => "another region was made home",
            Self::Unheard => "the mirror does not hear of home",
            Self::Behind => "the mirror is behind",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Look = Look::Mirror { lag: 0, last_seq: 7, heard_ms: Some(900) };

    fn mirror(lag: u64, last_seq: u64, heard_ms: Option<u64>) -> Look {
        Look::Mirror { lag, last_seq, heard_ms }
    }

    /// What is told after each look: one a second, behind a first one at which all was well.
    fn told(looks: &[(Look, Probe)]) -> Vec<(Option<Why>, bool)> {
        let mut watch = CopyWatch::default();
        watch.note("n", FRESH, Probe::NotAsked, 0);
        let each = looks.iter().enumerate().map(|(before, (look, probe))| {
            watch.note("n", *look, *probe, (before as u64 + 1) * 1_000);
            let state = watch.state("n");
            (state.stale.map(|stale| stale.what), state.readonly.is_some())
        });
        each.collect()
    }

    fn stale(looks: &[Look]) -> Vec<Option<Why>> {
        let looks: Vec<_> = looks.iter().map(|look| (*look, Probe::Answered)).collect();
        told(&looks).into_iter().map(|(why, _)| why).collect()
    }

    /// After so many looks without, the same thing is told.
    fn from_the(count: usize, looks: usize, why: Why) -> Vec<Option<Why>> {
        (1..=looks).map(|look| (look >= count).then_some(why)).collect()
    }

    #[test]
    fn a_restarted_mirror_is_stale_although_it_says_that_it_has_no_lag() {
        let restarted = mirror(0, 7, None);
        assert_eq!(stale(&[restarted; 5]), from_the(4, 5, Why::Unheard));
        let unheard = [3_000, 3_001, 4_001, 5_001, 6_001].map(|ms| mirror(0, 7, Some(ms)));
        assert_eq!(stale(&unheard), from_the(5, 5, Why::Unheard));
    }

    #[test]
    fn lag_counts_when_it_is_large_or_does_not_shrink() {
        let under_load = [mirror(9, 1, Some(1)), mirror(9, 2, Some(1)), mirror(256, 3, Some(1))];
        assert_eq!(stale(&under_load), [None, None, None]);
        let large = [8, 9, 10, 11].map(|last_seq| mirror(257, last_seq, Some(1)));
        assert_eq!(stale(&large), from_the(4, 4, Why::Behind));
        assert_eq!(stale(&[mirror(1, 9, Some(1)); 5]), from_the(5, 5, Why::Behind));
    }

    #[test]
    fn one_bad_look_is_not_told_and_one_good_look_ends_nothing() {
        let bad = Look::Silent;
        assert_eq!(stale(&[bad, bad, bad, FRESH, bad, bad, bad]), [None; 7]);
        let looks = [Look::Missing, bad, bad, bad, FRESH, bad, FRESH, FRESH, FRESH];
        let told = Some(Why::Silent);
        assert_eq!(stale(&looks), [None, None, None, told, told, told, told, told, None]);
        assert_eq!(stale(&[Look::Retired; 4]), from_the(4, 4, Why::Retired));
        assert_eq!(stale(&[Look::Home; 4]), [None; 4]);
    }

    #[test]
    fn home_is_lost_only_when_neither_the_mirror_nor_a_probe_hears_it() {
        let unheard = mirror(0, 7, Some(9_000));
        let lost = told(&[(unheard, Probe::Silent); 4]);
        assert_eq!((lost[0], lost[1]), ((None, false), (None, true)));
        assert_eq!(lost[3], (Some(Why::Unheard), true));
        // A mirror that is stuck for itself keeps nobody from publishing.
        assert_eq!(told(&[(unheard, Probe::Answered); 4])[3], (Some(Why::Unheard), false));
        // An edge that may not ask home believes the mirror.
        assert_eq!(told(&[(FRESH, Probe::Silent); 4])[3], (None, false));
        // The copy was home, and is silent.
        assert_eq!(told(&[(Look::Silent, Probe::Silent); 4])[3], (Some(Why::Silent), true));
    }

    #[test]
    fn of_a_copy_that_was_never_seen_nothing_is_told() {
        let mut watch = CopyWatch::default();
        for (look, now_ms) in [(Look::Missing, 0), (Look::Silent, 5_000), (Look::Missing, 9_000)] {
            watch.note("n", look, Probe::Silent, now_ms);
            assert_eq!(watch.state("n"), CopyState::default());
        }
    }

    #[test]
    fn writes_are_possible_again_at_the_first_answer() {
        let unheard = mirror(0, 7, None);
        let (lost, back) = ((unheard, Probe::Silent), (unheard, Probe::Answered));
        let told: Vec<bool> = told(&[lost, lost, back]).iter().map(|told| told.1).collect();
        assert_eq!(told, [false, true, false]);
    }

    #[test]
    fn since_tells_when_it_began_and_an_unknown_namespace_is_well() {
        let mut watch = CopyWatch::default();
        assert_eq!(watch.state("n"), CopyState::default());
        assert!(!watch.is_uneasy());
        for now_ms in [500, 1_000, 1_500, 3_500, 9_000] {
            watch.note("n", Look::Retired, Probe::Silent, now_ms);
            assert!(watch.is_uneasy());
        }
        let state = watch.state("n");
        assert_eq!(state.stale, Some(Since { what: Why::Retired, since_ms: 500 }));
        assert_eq!(state.readonly, Some(Since { what: (), since_ms: 500 }));
    }
}
