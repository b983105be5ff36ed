//! All numbers of a process at one moment, on their way to an exporter.

use super::cells::Published;
use super::instruments::{ALL, OFFSETS, SHARD};
use super::layout::{Bounds, Instrument, Kind, Names, Owner, Unit};
use std::sync::Arc;

/// What a process has published, and how its rows are called.
#[derive(Debug, Clone)]
pub struct Source {
    /// One a shard.
    pub shards: Vec<Arc<Published>>,
    /// The control plane's.
    pub control: Arc<Published>,
    /// The labels that the configuration gives.
    pub names: Arc<Names>,
}

/// The numbers of one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// In the order of the list.
    pub families: Vec<Family>,
}

/// One instrument with its series.
#[derive(Debug, Clone)]
pub struct Family {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The name in OTLP.
    pub otlp_name: String,
    /// A sentence.
    pub help: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// One a combination of label values.
    pub series: Vec<Series>,
}

/// One combination of label values.
#[derive(Debug, Clone)]
pub struct Series {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// Its numbers.
    pub value: Value,
}

/// Numbers in the units of the slots, see [`Unit::scale`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(u64),
    /// Of a histogram.
    Spread {
        /// Upper bounds; the last bucket has none.
        bounds: Bounds,
        /// Values in each bucket, not added up.
        buckets: Vec<u64>,
        /// Sum of the values.
        sum: u64,
    },
}

impl Source {
    /// Reads everything that is published.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let families = ALL.iter().zip(OFFSETS).map(|(instrument, first)| {
            let series = match instrument.owner {
                Owner::Control => self.rows(instrument, first, &[&self.control], None),
                Owner::Shards => {
                    let shards: Vec<&Published> = self.shards.iter().map(Arc::as_ref).collect();
                    self.rows(instrument, first, &shards, None)
                }
                Owner::EachShard => {
                    let shards = self.shards.iter().enumerate();
                    shards
                        .flat_map(|(index, one)| {
                            self.rows(instrument, first, &[one.as_ref()], Some(index))
                        })
                        .collect()
                }
            };
            Family::new(instrument, series)
        });
        Snapshot { families: families.collect() }
    }

    fn rows(
        &self,
        instrument: &Instrument,
        first: usize,
        from: &[&Published],
        shard: Option<usize>,
    ) -> Vec<Series> {
        let mut rows = Vec::new();
        for row in 0..instrument.rows {
            let Some(values) = (instrument.values)(row, &self.names) else { continue };
            let mut labels: Vec<(&'static str, String)> =
                instrument.labels.iter().copied().zip(values).collect();
            labels.extend(shard.map(|shard| (SHARD, shard.to_string())));
            let start = first + row * instrument.width();
            if let Some(value) = value(instrument, start, from) {
                rows.push(Series { labels, value });
            }
        }
        rows
    }
}

/// The sum over all that published. `None` for a gauge that is not known.
fn value(instrument: &Instrument, start: usize, from: &[&Published]) -> Option<Value> {
    let sum = |slot| from.iter().map(|one| one.slot(slot)).fold(0, u64::wrapping_add);
    match instrument.kind {
        Kind::Counter => Some(Value::Number(sum(start))),
        Kind::Gauge => {
            let mut known =
                from.iter().map(|one| one.slot(start)).filter(|value| *value != u64::MAX);
            let first = known.next()?;
            Some(Value::Number(known.fold(first, u64::wrapping_add)))
        }
        Kind::Histogram(bounds) => {
            let buckets = (start..=start + bounds.len()).map(sum).collect();
            Some(Value::Spread { bounds, buckets, sum: sum(start + bounds.len() + 1) })
        }
    }
}

impl Family {
    fn new(instrument: &Instrument, series: Vec<Series>) -> Self {
        Self {
            name: instrument.name,
            otlp_name: instrument.otlp_name(),
            help: instrument.help,
            unit: instrument.unit,
            kind: instrument.kind,
            series,
        }
    }
}
