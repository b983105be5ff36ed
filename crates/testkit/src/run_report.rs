//! What a chaos run did and what came of it, as a table for people and as JSON. Pure.

use crate::checker::{Publication, Violation};
use crate::follower::Record;
use crate::nemesis::Struck;
use crate::run::Outcome;
use meridian_proto::Filter;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A run's figures.
#[derive(Debug, Serialize)]
pub struct RunReport {
    pub seed: u64,
    pub seconds: u64,
    pub subscribers: usize,
    pub published: usize,
    pub acknowledged: usize,
    pub unacknowledged: usize,
    pub delivered: usize,
    pub replayed: usize,
    pub resumes: usize,
    pub slow_closes: usize,
    pub gaps_told: usize,
    pub silent_losses: usize,
    pub duplicates: usize,
    pub reordered: usize,
    /// Phantoms and strays.
    pub invented: usize,
    /// Subscribers that never saw the last message.
    pub stuck: usize,
    /// From the last publish until every subscriber had seen everything.
    pub caught_up_ms: u64,
    pub faults: BTreeMap<&'static str, FaultReport>,
}

/// One kind of fault.
#[derive(Debug, Serialize)]
pub struct FaultReport {
    pub count: usize,
    /// From its end to a subscriber's first message that was published after it.
    pub recovery_ms: Option<Spread>,
}

/// How a quantity is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    pub samples: usize,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl Spread {
    /// Of any samples; `None` without.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let max = *samples.last()?;
        // The smallest value that so many percent of the samples do not exceed.
        let at = |percent: usize| samples[(samples.len() * percent).div_ceil(100).max(1) - 1];
        Some(Self { samples: samples.len(), p50: at(50), p99: at(99), max })
    }
}

impl RunReport {
    /// Counts a run. Seed and length are the caller's to fill in.
    pub fn of(outcome: &Outcome, struck: &[Struck]) -> Self {
        let Outcome { publications, records, violations, caught_up } = outcome;
        let count = |is: fn(&Violation) -> bool| violations.iter().filter(|one| is(one)).count();
        let sum = |of: fn(&Record) -> usize| records.iter().map(of).sum();
        let acknowledged = publications.iter().filter(|one| one.sequence.is_some()).count();
        let delivered: usize = sum(|record| record.arrivals.len());
        let observed: usize = sum(|record| record.log.observations.len());
        Self {
            seed: 0,
            seconds: 0,
            subscribers: records.len(),
            published: publications.len(),
            acknowledged,
            unacknowledged: publications.len() - acknowledged,
            delivered,
            replayed: sum(|record| record.replayed),
            resumes: sum(|record| record.resumes.len().saturating_sub(1)),
            slow_closes: sum(|record| record.slow_closes),
            gaps_told: observed - delivered,
            silent_losses: count(|one| matches!(one, Violation::SilentLoss { .. })),
            duplicates: count(|one| matches!(one, Violation::Duplicate { .. })),
            reordered: count(|one| matches!(one, Violation::Reordered { .. })),
            invented: count(|one| {
                matches!(one, Violation::Phantom { .. } | Violation::Stray { .. })
            }),
            stuck: records.iter().filter(|record| !record.is_complete).count(),
            caught_up_ms: caught_up.as_millis() as u64,
            faults: faults(publications, records, struck),
        }
    }

    /// For people.
    pub fn to_table(&self) -> String {
        let mut text = String::new();
        let figures = [
            ("faults injected", self.faults.values().map(|fault| fault.count).sum()),
            ("subscribers", self.subscribers),
            ("published", self.published),
            ("acknowledged", self.acknowledged),
            ("not acknowledged", self.unacknowledged),
            ("delivered", self.delivered),
            ("replayed", self.replayed),
            ("resumes", self.resumes),
            ("slow closes", self.slow_closes),
            ("gaps told", self.gaps_told),
            ("silent losses", self.silent_losses),
            ("duplicates", self.duplicates),
            ("reordered", self.reordered),
            ("invented", self.invented),
            ("stuck", self.stuck),
        ];
        for (name, figure) in figures {
            writeln!(text, "{name:<26} {figure:>9}").expect("writing to a string cannot fail");
        }
        let head = ["recovery, ms", "count", "p50", "p99", "max"];
        writeln!(
            text,
            "{:<26} {:>9} {:>7} {:>7} {:>7}",
            head[0], head[1], head[2], head[3], head[4]
        )
        .expect("writing to a string cannot fail");
        for (name, fault) in &self.faults {
            let cell = |of: fn(&Spread) -> u64| {
                fault
                    .recovery_ms
                    .as_ref()
                    .map_or_else(|| "–".into(), |spread| of(spread).to_string())
            };
            let (p50, p99, max) = (cell(|one| one.p50), cell(|one| one.p99), cell(|one| one.max));
            writeln!(text, "{name:<26} {:>9} {p50:>7} {p99:>7} {max:>7}", fault.count)
                .expect("writing to a string cannot fail");
        }
        writeln!(text, "caught up after {} ms", self.caught_up_ms)
            .expect("writing to a string cannot fail");
        text
    }
}

fn faults(
    publications: &[Publication],
    records: &[Record],
    struck: &[Struck],
) -> BTreeMap<&'static str, FaultReport> {
    let mut fresh: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for record in records {
        let filter = record.log.filter.as_str();
        fresh.entry(filter).or_insert_with(|| sent_on(filter, publications));
    }
    let mut samples: BTreeMap<&'static str, (usize, Vec<u64>)> = BTreeMap::new();
    for one in struck {
        let (count, times) = samples.entry(one.fault.name()).or_default();
        *count += 1;
        let recoveries = records.iter().filter_map(|record| {
            let sent = &fresh[record.log.filter.as_str()];
            recovery_ms(one.ended_ms, sent, &record.arrivals)
        });
        times.extend(recoveries);
    }
    let report = |(count, times)| FaultReport { count, recovery_ms: Spread::of(times) };
    samples.into_iter().map(|(name, sampled)| (name, report(sampled))).collect()
}

/// When each acknowledged message of a filter was sent, and the lowest sequence of those that were
/// sent then or later; in order of time.
fn sent_on(filter: &str, publications: &[Publication]) -> Vec<(u64, u64)> {
    let filter = Filter::parse(filter).expect("the edge took this filter");
    let covered = publications.iter().filter(|one| filter.matches(&one.subject));
    let mut sent: Vec<(u64, u64)> =
        covered.filter_map(|one| Some((one.sent_ms, one.sequence?))).collect();
    sent.sort_unstable();
    let mut lowest = u64::MAX;
    for (_, sequence) in sent.iter_mut().rev() {
        lowest = lowest.min(*sequence);
        *sequence = lowest;
    }
    sent
}

/// From a moment to a subscriber's first message that was sent after it.
fn recovery_ms(ended_ms: u64, sent: &[(u64, u64)], arrivals: &[(u64, u64)]) -> Option<u64> {
    let (_, lowest) = sent.get(sent.partition_point(|(sent_ms, _)| *sent_ms < ended_ms))?;
    let after = &arrivals[arrivals.partition_point(|(at_ms, _)| *at_ms < ended_ms)..];
    let first = after.iter().find(|(_, sequence)| sequence >= lowest)?;
    Some(first.0 - ended_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_that_were_seen() {
        let spread = Spread::of((1..=200).rev().collect()).unwrap();
        assert_eq!(spread, Spread { samples: 200, p50: 100, p99: 198, max: 200 });
        assert_eq!(Spread::of(vec![7]).unwrap().p50, 7);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn what_was_sent_before_a_fault_ended_is_no_recovery() {
        let publication = |sequence, sent_ms| Publication {
            subject: "a.b".into(),
            number: sequence,
            sequence: Some(sequence),
            sent_ms,
        };
        let sent = sent_on("a.*", &[publication(1, 10), publication(3, 110), publication(2, 120)]);
        assert_eq!(sent, [(10, 1), (110, 2), (120, 2)]);
        // Message 1 was on its way when the fault ended at 100.
        assert_eq!(recovery_ms(100, &sent, &[(105, 1), (170, 3), (180, 2)]), Some(70));
        assert_eq!(recovery_ms(130, &sent, &[(170, 3)]), None, "nothing was sent after it");
    }
}
