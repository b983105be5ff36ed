//! Finds where the last so many messages below a sequence begin, in a store that only reads forward
//! and counts what is behind a place.
//!
//! Not for reading: the caller asks the store how many messages of the filter lie between a place
//! and the upper end, and this says which place to ask about next. Called by the edge for pages
//! backward, and for subscriptions that start with the last messages.

/// The slack of a window that is read and cut: reading a little too much is cheaper than asking
/// once more.
const SLACK: u64 = 2;

/// The search begins with the window that is right where every message is one of the filter, and
/// while it finds too few it widens by at most so much.
const WIDEN_MAX: u64 = 16;

/// Owned by one read backward. Places are sequences: a window holds what is above its place and
/// not above the upper end.
#[derive(Debug)]
pub struct Backward {
    upper: u64,
    /// Nothing is stored at or below this.
    floor: u64,
    wanted: u64,
    /// A window may hold so many times what is wanted.
    slack: u64,
    /// The narrowest place found with enough behind it, and how many those are.
    enough: Option<(u64, u64)>,
    /// The widest place found with too few behind it.
    too_few: (u64, u64),
    probes: u32,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Count the messages above this place and not above the upper end, and `note` that.
    Probe(u64),
    /// Read the messages above this place, so many as were counted: the last ones, and unless the
    /// place is the floor at least as many as wanted.
    Window {
        /// The place.
        above: u64,
        /// How many messages were counted behind it.
        count: u64,
    },
}

impl Backward {
    /// A search for the last `wanted` messages (at least 1) up to `upper`, of those above `floor`.
    #[must_use]
    pub fn new(upper: u64, floor: u64, wanted: u64) -> Self {
        let (wanted, slack) = (wanted.max(1), SLACK);
        Self { upper, floor, wanted, slack, enough: None, too_few: (upper, 0), probes: 0 }
    }

    /// The same, and the window begins right before the first of them: its place is the highest
    /// that has as many behind it.
    #[must_use]
    pub fn exact(upper: u64, floor: u64, wanted: u64) -> Self {
        Self { slack: 1, ..Self::new(upper, floor, wanted) }
    }

    /// What to do next. Each probe narrows the search, so that it ends after at most about twice
    /// as many as a sequence has bits.
    #[must_use]
    pub fn step(&self) -> Step {
        let (few, found) = self.too_few;
        if few <= self.floor {
            return Step::Window { above: few, count: found };
        }
        match self.enough {
            // Wider and wider, by what was found so far.
            None => {
                let width = self.upper - few;
                let next = match (width, found) {
                    (0, _) => self.wanted,
                    (_, 0) => width.saturating_mul(WIDEN_MAX),
                    _ => scale(width, self.goal(), found)
                        .clamp(width.saturating_mul(2), width.saturating_mul(WIDEN_MAX)),
                };
                Step::Probe(self.upper.saturating_sub(next).max(self.floor))
            }
            Some((enough, count)) if count < self.wanted * self.slack || few - enough <= 1 => {
                Step::Window { above: enough, count }
            }
            // By proportion, and each second time by halves: where messages lie unevenly,
            // proportion alone creeps.
            Some((enough, count)) => {
                let between = few - enough;
                let share = match self.probes % 2 {
                    0 => between / 2,
                    _ => scale(between, self.goal() - found, count - found),
                };
                Step::Probe(few - share.clamp(1, between - 1))
            }
        }
    }

    /// Notes how many messages lie above a place and not above the upper end.
    pub fn note(&mut self, place: u64, count: u64) {
        self.probes += 1;
        if count >= self.wanted {
            self.enough = Some((place, count));
        } else {
            self.too_few = (place, count);
        }
    }

    /// The number aimed at, between what is wanted and what is accepted.
    fn goal(&self) -> u64 {
        self.wanted + self.wanted * (self.slack - 1) / 2
    }
}

/// `whole * part / of`, without overflow. `of` is not 0.
fn scale(whole: u64, part: u64, of: u64) -> u64 {
    let scaled = u128::from(whole) * u128::from(part) / u128::from(of);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Searches a store that holds these sequences. Returns the window's place and the probes.
    fn search(stored: &[u64], upper: u64, floor: u64, wanted: u64) -> (Step, u32) {
        run(Backward::new(upper, floor, wanted), stored)
    }

    fn run(mut search: Backward, stored: &[u64]) -> (Step, u32) {
        let Backward { upper, floor, .. } = search;
        loop {
            match search.step() {
                Step::Probe(place) => {
                    assert!(place >= floor && place < upper, "{place}");
                    let inside = |sequence: &&u64| **sequence > place && **sequence <= upper;
                    search.note(place, stored.iter().filter(inside).count() as u64);
                }
                end => return (end, search.probes),
            }
        }
    }

    #[test]
    fn where_all_messages_match_one_probe_is_enough() {
        let all: Vec<u64> = (1..=10_000).collect();
        let window = |above, count| Step::Window { above, count };
        assert_eq!(search(&all, 10_000, 0, 100), (window(9_900, 100), 1));
        assert_eq!(search(&all, 500, 0, 100), (window(400, 100), 1));
        assert_eq!(search(&all, 50, 0, 100), (window(0, 50), 1));
        assert_eq!(search(&all, 50, 20, 100), (window(20, 30), 1));
        assert_eq!(search(&all, 0, 0, 100), (window(0, 0), 0));
    }

    #[test]
    fn where_messages_lie_evenly_few_probes_are_enough() {
        let sparse: Vec<u64> = (1..=1_000_000).step_by(1_000).collect();
        let (step, probes) = search(&sparse, 1_000_000, 0, 100);
        let Step::Window { above, .. } = step else { panic!("{step:?}") };
        assert!((800_000..=900_000).contains(&above), "{above}");
        assert!(probes <= 6, "{probes}");
    }

    #[test]
    fn one_message_is_found_however_far_away() {
        for lone in [1, 77, (1 << 52) + 5] {
            let (step, probes) = search(&[lone], (1 << 53) - 1, 0, 1);
            assert!(matches!(step, Step::Window { above, count: 1 } if above < lone), "{step:?}");
            assert!(probes < 128, "{probes}");
        }
    }

    proptest! {
        /// The window has enough, and not much more unless a single place cannot be divided.
        #[test]
        fn a_window_has_what_is_wanted_and_everything_less(
            stored in prop::collection::btree_set(1_u64..5_000, 0..300),
            upper in 0_u64..6_000,
            floor in 0_u64..100,
            wanted in 1_u64..60,
        ) {
            let stored: Vec<u64> = stored.into_iter().filter(|one| *one > floor).collect();
            let floor = floor.min(upper);
            let below: Vec<u64> = stored.iter().copied().filter(|one| *one <= upper).collect();
            let (step, probes) = search(&stored, upper, floor, wanted);
            prop_assert!(probes <= 130, "{}", probes);
            let Step::Window { above, count } = step else { panic!("the search has ended") };
            prop_assert_eq!(below.iter().filter(|one| **one > above).count() as u64, count);
            prop_assert!(count < wanted * SLACK, "{}", count);
            prop_assert!(count >= wanted || count == below.len() as u64, "{}", count);
        }

        #[test]
        fn an_exact_window_begins_right_before_the_first_that_is_wanted(
            stored in prop::collection::btree_set(1_u64..5_000, 0..300),
            upper in 0_u64..6_000,
            wanted in 1_u64..60,
        ) {
            let stored: Vec<u64> = stored.into_iter().collect();
            let below: Vec<u64> = stored.iter().copied().filter(|one| *one <= upper).collect();
            let first = below.len().checked_sub(wanted as usize).map(|index| below[index]);
            let (step, probes) = run(Backward::exact(upper, 0, wanted), &stored);
            prop_assert!(probes <= 130, "{}", probes);
            let Step::Window { above, .. } = step else { panic!("the search has ended") };
            prop_assert_eq!(above, first.map_or(0, |first| first - 1));
        }
    }
}
