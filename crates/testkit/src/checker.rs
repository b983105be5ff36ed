//! The history checker: did the mesh lie? Pure: it judges what publishers and subscribers recorded.
//!
//! What must hold on a durable namespace, whatever was killed or cut meanwhile: every acknowledged
//! message was received or told as a gap, in order per subject, once, nothing came that nobody
//! published, and nothing that was not asked for.

use meridian_proto::Filter;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One message that a publisher sent. A number is used once on a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Publication {
    pub subject: String,
    /// The publisher's own count, which is in the payload.
    pub number: u64,
    /// Where the stream stored it; None if no acknowledgement came.
    pub sequence: Option<u64>,
    /// When it was first sent, in ms of the run's clock.
    pub sent_ms: u64,
}

/// What a subscriber saw, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Observation {
    Message {
        subject: String,
        number: u64,
        sequence: u64,
    },
    /// Told: sequences above `after` up to `upto` may be missing.
    Gap {
        after: u64,
        upto: u64,
    },
}

/// One subscriber's record over all its connections.
#[derive(Debug, Clone, Serialize)]
pub struct Log {
    pub name: String,
    /// What it subscribed to: an exact subject, or a wildcard.
    pub filter: String,
    /// Where its first subscription stood: it must see everything above.
    pub start: u64,
    pub observations: Vec<Observation>,
}

/// A lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Violation {
    /// Acknowledged, not received, and not told.
    SilentLoss { subscriber: String, sequence: u64 },
    /// Received twice.
    Duplicate { subscriber: String, sequence: u64 },
    /// Received behind a later message of the same subject. A message that was told as a gap first
    /// may still come: under a wildcard a client that resumes is sent what it was too slow for.
    Reordered { subscriber: String, subject: String, sequence: u64 },
    /// Received, and nobody published it, or not there.
    Phantom { subscriber: String, subject: String, number: u64, sequence: u64 },
    /// Received on a subject that its filter does not cover.
    Stray { subscriber: String, subject: String, sequence: u64 },
}

/// What an honest history held, for the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub published: usize,
    pub acknowledged: usize,
    pub delivered: usize,
    pub gaps: usize,
}

/// What was published, by what a subscriber's record is compared with.
struct Published<'a> {
    numbers: HashMap<(&'a str, u64), Option<u64>>,
    acknowledged: BTreeMap<&'a str, BTreeSet<u64>>,
}

/// Judges a history.
///
/// # Errors
/// Every [`Violation`], in the order of the logs.
pub fn check(publications: &[Publication], logs: &[&Log]) -> Result<Summary, Vec<Violation>> {
    let mut published = Published { numbers: HashMap::new(), acknowledged: BTreeMap::new() };
    let mut summary = Summary { published: publications.len(), ..Summary::default() };
    for Publication { subject, number, sequence, .. } in publications {
        published.numbers.insert((subject, *number), *sequence);
        if let Some(sequence) = sequence {
            published.acknowledged.entry(subject).or_default().insert(*sequence);
        }
    }
    summary.acknowledged = published.acknowledged.values().map(BTreeSet::len).sum();
    let mut violations = Vec::new();
    for log in logs {
        check_log(log, &published, &mut summary, &mut violations);
    }
    if violations.is_empty() { Ok(summary) } else { Err(violations) }
}

fn check_log(
    log: &Log,
    published: &Published<'_>,
    summary: &mut Summary,
    violations: &mut Vec<Violation>,
) {
    let filter = Filter::parse(&log.filter).expect("the edge took this filter");
    let (mut received, mut gaps) = (BTreeSet::new(), Vec::new());
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for observation in &log.observations {
        let (subject, number, sequence) = match observation {
            Observation::Gap { after, upto } => {
                gaps.push((*after, *upto));
                continue;
            }
            Observation::Message { subject, number, sequence } => (subject, *number, *sequence),
        };
        let subscriber = log.name.clone();
        let is_known = match published.numbers.get(&(subject.as_str(), number)) {
            // An acknowledgement may be lost while its message is stored.
            Some(stored) => stored.is_none_or(|stored| stored == sequence),
            None => false,
        };
        let of = subject.clone();
        if !is_known {
            violations.push(Violation::Phantom { subscriber, subject: of, number, sequence });
        } else if !filter.matches(subject) {
            violations.push(Violation::Stray { subscriber, subject: of, sequence });
        } else if !received.insert(sequence) {
            violations.push(Violation::Duplicate { subscriber, sequence });
        } else if last.get(subject.as_str()).is_some_and(|last| *last > sequence)
            && !is_told(&gaps, sequence)
        {
            violations.push(Violation::Reordered { subscriber, subject: of, sequence });
        }
        let tail = last.entry(subject).or_default();
        *tail = (*tail).max(sequence);
    }
    let owed = published.acknowledged.iter().filter(|(subject, _)| filter.matches(subject));
    for sequence in owed.flat_map(|(_, sequences)| sequences.range(log.start + 1..)) {
        if !received.contains(sequence) && !is_told(&gaps, *sequence) {
            let (subscriber, sequence) = (log.name.clone(), *sequence);
            violations.push(Violation::SilentLoss { subscriber, sequence });
        }
    }
    summary.delivered += received.len();
    summary.gaps += gaps.len();
}

/// Whether a sequence lies in a gap.
fn is_told(gaps: &[(u64, u64)], sequence: u64) -> bool {
    gaps.iter().any(|(after, upto)| sequence > *after && sequence <= *upto)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject_of(number: u64) -> &'static str {
        if number.is_multiple_of(2) { "n.even" } else { "n.odd" }
    }

    fn publications() -> Vec<Publication> {
        let of = |number: u64, sequence| {
            let subject = subject_of(number);
            Publication { subject: subject.into(), number, sequence, sent_ms: 0 }
        };
        vec![of(1, Some(1)), of(2, Some(2)), of(3, None), of(4, Some(4)), of(5, Some(5))]
    }

    fn message(number: u64) -> Observation {
        let subject = subject_of(number);
        Observation::Message { subject: subject.into(), number, sequence: number }
    }

    fn log(filter: &str, start: u64, observations: Vec<Observation>) -> Log {
        Log { name: "s".into(), filter: filter.into(), start, observations }
    }

    /// A subscriber of both subjects.
    fn judge(observations: Vec<Observation>) -> Result<Summary, Vec<Violation>> {
        check(&publications(), &[&log("n.*", 0, observations)])
    }

    fn all_but(missing: u64) -> Vec<Observation> {
        [1, 2, 4, 5].into_iter().filter(|number| *number != missing).map(message).collect()
    }

    #[test]
    fn an_honest_history_passes() {
        let summary = judge(all_but(0)).unwrap();
        assert_eq!((summary.acknowledged, summary.delivered), (4, 4));
        let with_unacknowledged = [all_but(0), vec![message(3)]].concat();
        let reordered = judge(with_unacknowledged).unwrap_err();
        assert!(matches!(reordered[..], [Violation::Reordered { sequence: 3, .. }]));
    }

    #[test]
    fn a_loss_is_found_unless_it_was_told() {
        let lost = Violation::SilentLoss { subscriber: "s".into(), sequence: 4 };
        assert_eq!(judge(all_but(4)), Err(vec![lost]));
        let told = [all_but(4), vec![Observation::Gap { after: 3, upto: 4 }]].concat();
        assert_eq!(judge(told).unwrap().gaps, 1);
        let beside = [all_but(4), vec![Observation::Gap { after: 4, upto: 9 }]].concat();
        assert!(judge(beside).is_err(), "the gap begins behind it");
    }

    #[test]
    fn what_was_told_as_a_gap_may_come_late_and_nothing_else() {
        let late = vec![message(4), message(1), message(5), message(2)];
        let reordered =
            Violation::Reordered { subscriber: "s".into(), subject: "n.even".into(), sequence: 2 };
        assert_eq!(judge(late.clone()), Err(vec![reordered]));
        let told = [vec![Observation::Gap { after: 1, upto: 2 }], late].concat();
        assert!(judge(told).is_ok());
    }

    #[test]
    fn repeats_and_inventions_are_found() {
        let twice = [all_but(0), vec![message(5)]].concat();
        assert!(matches!(
            judge(twice).unwrap_err()[..],
            [Violation::Duplicate { sequence: 5, .. }]
        ));
        let invented = [all_but(0), vec![message(7)]].concat();
        assert!(matches!(judge(invented).unwrap_err()[..], [Violation::Phantom { number: 7, .. }]));
        let moved = Observation::Message { subject: "n.odd".into(), number: 5, sequence: 6 };
        let moved = [all_but(5), vec![moved]].concat();
        let violations = judge(moved).unwrap_err();
        assert!(matches!(violations[0], Violation::Phantom { sequence: 6, .. }), "{violations:?}");
    }

    #[test]
    fn what_was_before_the_start_is_not_owed() {
        assert!(check(&publications(), &[&log("n.*", 4, vec![message(5)])]).is_ok());
    }

    #[test]
    fn only_what_the_filter_covers_is_owed_and_nothing_else_may_come() {
        let odd = vec![message(1), message(5)];
        assert!(check(&publications(), &[&log("n.odd", 0, odd.clone())]).is_ok());
        let with_even = [odd, vec![message(4)]].concat();
        let strays = check(&publications(), &[&log("n.odd", 0, with_even)]).unwrap_err();
        assert!(matches!(strays[..], [Violation::Stray { sequence: 4, .. }]), "{strays:?}");
    }
}
