//! Where the numbers of an instrument lie. Every instrument has a fixed range of slots, one `u64`
//! each, known at compile time: a measurement is an addition to a place, without a look-up, an
//! allocation or a lock.

use super::labels::Labels;
use std::marker::PhantomData;

/// What kind of number an instrument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// What is the case now. [`Gauge::UNKNOWN`] is not shown.
    Gauge,
    /// How often values fell below each bound. The bounds are in the units of the slots.
    Histogram(Bounds),
}

/// Upper bounds of a histogram's buckets, ascending; the last bucket has none.
pub type Bounds = &'static [u64];

/// What a slot counts, and what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things; the UCUM annotation says which: `{connection}`.
    Of(&'static str),
    /// Bytes.
    Bytes,
    /// Slots hold microseconds, shown are seconds.
    Seconds,
    /// Slots hold millionths, shown is a ratio, of which 1 is the whole.
    Ratio,
}

impl Unit {
    /// What a slot's number is multiplied with to be shown.
    #[must_use]
    pub fn scale(self) -> f64 {
        match self {
            Self::Of(_) | Self::Bytes => 1.0,
            Self::Seconds | Self::Ratio => 1e-6,
        }
    }

    /// The unit in UCUM, for OTLP.
    #[must_use]
    pub fn ucum(self) -> &'static str {
        match self {
            Self::Of(things) => things,
            Self::Bytes => "By",
            Self::Seconds => "s",
            Self::Ratio => "1",
        }
    }

    /// What a Prometheus name ends with, before `_total`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Of(_) => "",
            Self::Bytes => "_bytes",
            Self::Seconds => "_seconds",
            Self::Ratio => "_ratio",
        }
    }
}

/// Who writes an instrument's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Each shard its own; shown is the sum.
    Shards,
    /// Each shard its own; shown with the label `shard`.
    EachShard,
    /// The control plane.
    Control,
}

/// One instrument, as the exporters see it.
#[derive(Debug, Clone, Copy)]
pub struct Instrument {
    /// The name in Prometheus, with its unit and `_total`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// What is counted.
    pub unit: Unit,
    /// A sentence.
    pub help: &'static str,
    /// Who writes it.
    pub owner: Owner,
    /// Label names.
    pub labels: &'static [&'static str],
    /// Combinations of label values.
    pub rows: usize,
    /// The label values of a row; `None` if the process has no such row.
    pub values: fn(usize, &Names) -> Option<Vec<String>>,
}

impl Instrument {
    /// Slots of one row: a histogram has one a bucket, and the sum.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self.kind {
            Kind::Counter | Kind::Gauge => 1,
            Kind::Histogram(bounds) => bounds.len() + 2,
        }
    }

    /// The name in OTLP: by its conventions the unit is no part of it, and collectors that write
    /// Prometheus names make the same name of it again.
    #[must_use]
    pub fn otlp_name(&self) -> String {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        name.strip_suffix(self.unit.suffix()).unwrap_or(name).replace('_', ".")
    }
}

/// What only the running process knows of its labels: configured, so closed all the same.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Regions of the mesh, at most [`super::labels::Region::MAX`] are told apart.
    pub regions: Vec<String>,
    /// Durable namespaces, at most [`super::labels::Namespace::MAX`] are shown.
    pub namespaces: Vec<String>,
    /// Version, edge and region of `meridian_build_info`.
    pub build: [String; 3],
}

/// A number that only grows.
#[derive(Debug)]
pub struct Counter<L> {
    first: usize,
    labels: PhantomData<fn(L)>,
}

/// A number that is the case now.
#[derive(Debug)]
pub struct Gauge<L> {
    first: usize,
    labels: PhantomData<fn(L)>,
}

/// How values are spread.
#[derive(Debug)]
pub struct Histogram<L> {
    first: usize,
    bounds: Bounds,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Counter<L> {
    pub(super) const fn new(first: usize, _: Kind) -> Self {
        Self { first, labels: PhantomData }
    }

    pub(super) fn slot(&self, labels: L) -> usize {
        self.first + labels.row()
    }
}

impl<L: Labels> Gauge<L> {
    /// A value that is not known: no series is shown.
    pub const UNKNOWN: u64 = u64::MAX;

    pub(super) const fn new(first: usize, _: Kind) -> Self {
        Self { first, labels: PhantomData }
    }

    pub(super) fn slot(&self, labels: L) -> usize {
        self.first + labels.row()
    }
}

impl<L: Labels> Histogram<L> {
    pub(super) const fn new(first: usize, kind: Kind) -> Self {
        let Kind::Histogram(bounds) = kind else { panic!("a histogram has bounds") };
        Self { first, bounds, labels: PhantomData }
    }

    /// The slots of a value's bucket and of the sum.
    pub(super) fn slots(&self, labels: L, value: u64) -> (usize, usize) {
        let first = self.first + labels.row() * (self.bounds.len() + 2);
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        (first + bucket.unwrap_or(self.bounds.len()), first + self.bounds.len() + 1)
    }
}

/// Where each instrument of a list begins.
pub(super) const fn offsets<const N: usize>(all: &[Instrument; N]) -> [usize; N] {
    let mut offsets = [0; N];
    let (mut index, mut next) = (0, 0);
    while index < N {
        offsets[index] = next;
        next += all[index].rows * all[index].width();
        index += 1;
    }
    offsets
}
