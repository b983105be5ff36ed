//! Holes of a mirror: what home had dropped before the mirror could copy it. The mirror goes on
//! behind it, and republishes what follows with a chain that shows nothing. So who looks at the
//! copies has to find out, by what home and the mirror say of themselves.
//!
//! Called by the edge's control task with what it saw; nothing is asked here. A namespace that
//! keeps so many messages a subject has holes everywhere, so there only home's word counts.

/// Messages above `after` and up to `upto` that a copy never had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// The last sequence before them.
    pub after: u64,
    /// The last one among them.
    pub upto: u64,
}

/// What a look at a mirror saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The mirror's oldest message, or the next one if it holds none.
    pub first_seq: u64,
    /// Its newest.
    pub last_seq: u64,
    /// Home's oldest, if home was asked.
    pub home_first_seq: Option<u64>,
    /// Whether a mirror that begins, at the next look, behind where it ended now has skipped what
    /// is between: it is behind home, or it drops nothing but its oldest.
    pub is_suspect: bool,
    /// The last messages between its oldest and its newest that it has not.
    pub newest_hole: Option<Hole>,
}

/// Owned by the edge's control task, one a mirror.
#[derive(Debug, Default)]
pub struct HoleWatch {
    epoch: String,
    /// The mirror's newest message at the last look, if it was suspect then.
    ended_at: Option<u64>,
    hole: Option<Hole>,
}

impl HoleWatch {
    /// Takes in one look. The highest hole that is known, of this epoch.
    pub fn note(&mut self, epoch: &str, sight: &Sight) -> Option<Hole> {
        if self.epoch != epoch {
            *self = Self { epoch: epoch.to_owned(), ..Self::default() };
        }
        let Sight { first_seq, last_seq, .. } = *sight;
        // A mirror that has nothing yet is about to get what there is: nobody was told anything.
        let after = Some(last_seq).filter(|last_seq| *last_seq > 0);
        // It will go on where home begins, whenever it hears of home again.
        let ahead = after.zip(sight.home_first_seq);
        // It went on since the last look, and has already dropped what was before.
        let since = self.ended_at.map(|last_seq| (last_seq, first_seq));
        let jumps = [ahead, since].into_iter().flatten();
        let holes = jumps.map(|(after, first)| Hole { after, upto: first.saturating_sub(1) });
        for hole in holes.chain(sight.newest_hole) {
            self.add(hole);
        }
        self.ended_at = after.filter(|_| sight.is_suspect);
        self.hole
    }

    /// The highest hole that is known, where a look brought nothing.
    #[must_use]
    pub fn known(&self) -> Option<Hole> {
        self.hole
    }

    fn add(&mut self, hole: Hole) {
        let known = self.hole.map_or(0, |known| known.upto);
        if hole.upto <= hole.after || hole.upto <= known {
            return;
        }
        // One that grows stays one.
        let grows = self.hole.filter(|known| known.upto >= hole.after);
        let after = grows.map_or(hole.after, |known| known.after.min(hole.after));
        self.hole = Some(Hole { after, ..hole });
    }
}

/// The last run of sequences in an ascending list, as a hole.
#[must_use]
pub fn newest_run(missing: &[u64]) -> Option<Hole> {
    let upto = *missing.last()?;
    let mut first = upto;
    for sequence in missing.iter().rev().skip(1) {
        if sequence + 1 != first {
            break;
        }
        first = *sequence;
    }
    Some(Hole { after: first - 1, upto })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Sight = Sight {
        first_seq: 1,
        last_seq: 10,
        home_first_seq: None,
        is_suspect: false,
        newest_hole: None,
    };

    fn hole(after: u64, upto: u64) -> Option<Hole> {
        Some(Hole { after, upto })
    }

    #[test]
    fn what_home_dropped_while_the_mirror_was_cut_off_is_a_hole_before_it_goes_on() {
        let mut watch = HoleWatch::default();
        assert_eq!(watch.note("E", &WELL), None);
        let cut = Sight { home_first_seq: Some(11), is_suspect: true, ..WELL };
        assert_eq!(watch.note("E", &cut), None, "home still has all of it");
        let dropped = Sight { home_first_seq: Some(21), ..cut };
        assert_eq!(watch.note("E", &dropped), hole(10, 20));
        let more = Sight { home_first_seq: Some(31), ..cut };
        assert_eq!(watch.note("E", &more), hole(10, 30));
        assert_eq!(watch.note("E", &Sight { last_seq: 90, ..WELL }), hole(10, 30));
        assert_eq!(watch.note("F", &WELL), None, "positions of a new epoch are of after that");
    }

    #[test]
    fn a_mirror_that_jumped_between_two_looks_shows_it_by_where_it_begins() {
        let mut watch = HoleWatch::default();
        watch.note("E", &Sight { is_suspect: true, ..WELL });
        let jumped = Sight { first_seq: 31, last_seq: 80, ..WELL };
        assert_eq!(watch.note("E", &jumped), hole(10, 30));
        let moved = Sight { first_seq: 95, last_seq: 99, ..WELL };
        assert_eq!(watch.note("E", &moved), hole(10, 30), "that was its own limits");
    }

    #[test]
    fn an_edge_that_starts_later_learns_it_from_the_mirror_itself() {
        let mut watch = HoleWatch::default();
        let sight = Sight { newest_hole: newest_run(&[3, 4, 7, 8, 9]), ..WELL };
        assert_eq!(watch.note("E", &sight), hole(6, 9));
        assert_eq!((newest_run(&[]), newest_run(&[5])), (None, hole(4, 5)));
    }

    #[test]
    fn a_mirror_that_is_made_anew_has_no_hole() {
        let mut watch = HoleWatch::default();
        let empty = Sight { first_seq: 0, last_seq: 0, home_first_seq: Some(500), ..WELL };
        assert_eq!(watch.note("E", &Sight { is_suspect: true, ..empty }), None);
        assert_eq!(watch.note("E", &Sight { first_seq: 500, last_seq: 600, ..WELL }), None);
    }
}
