//! Where numbers are kept: plain cells of one thread, and what it publishes of them for others.

use super::instruments::SLOTS;
use super::labels::Labels;
use super::layout::{Counter, Gauge, Histogram};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A place that measurements go to.
pub trait Slots {
    #[doc(hidden)]
    fn add_slot(&self, slot: usize, by: u64);
    #[doc(hidden)]
    fn set_slot(&self, slot: usize, value: u64);

    /// Counts.
    fn add<L: Labels>(&self, counter: &Counter<L>, labels: L, by: u64) {
        self.add_slot(counter.slot(labels), by);
    }

    /// Takes over a number that somebody else counts and that only grows.
    fn keep<L: Labels>(&self, counter: &Counter<L>, labels: L, total: u64) {
        self.set_slot(counter.slot(labels), total);
    }

    /// Says what is the case now.
    fn set<L: Labels>(&self, gauge: &Gauge<L>, labels: L, value: u64) {
        self.set_slot(gauge.slot(labels), value);
    }

    /// Takes a value into a histogram.
    fn observe<L: Labels>(&self, histogram: &Histogram<L>, labels: L, value: u64) {
        let (bucket, sum) = histogram.slots(labels, value);
        self.add_slot(bucket, 1);
        self.add_slot(sum, value);
    }
}

/// Owned by one thread. A measurement is an addition to memory that nobody else looks at.
#[derive(Debug)]
pub struct Cells(Box<[Cell<u64>]>);

/// Written by one thread, read by the exporters. Nobody waits for anybody: a reader may see a
/// bucket of this second and a sum of the last.
#[derive(Debug)]
pub struct Published(Box<[AtomicU64]>);

impl Default for Cells {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| Cell::new(0)).collect())
    }
}

impl Default for Published {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Slots for Cells {
    fn add_slot(&self, slot: usize, by: u64) {
        self.0[slot].set(self.0[slot].get().wrapping_add(by));
    }

    fn set_slot(&self, slot: usize, value: u64) {
        self.0[slot].set(value);
    }
}

impl Slots for Published {
    fn add_slot(&self, slot: usize, by: u64) {
        self.0[slot].fetch_add(by, Ordering::Relaxed);
    }

    fn set_slot(&self, slot: usize, value: u64) {
        self.0[slot].store(value, Ordering::Relaxed);
    }
}

impl Published {
    /// Copies a thread's numbers for the readers. A few hundred stores, so once a second.
    pub fn publish(&self, cells: &Cells) {
        for (published, cell) in self.0.iter().zip(&cells.0) {
            published.store(cell.get(), Ordering::Relaxed);
        }
    }

    /// A counter's number.
    pub fn count<L: Labels>(&self, counter: &Counter<L>, labels: L) -> u64 {
        self.slot(counter.slot(labels))
    }

    /// A gauge's number.
    pub fn value<L: Labels>(&self, gauge: &Gauge<L>, labels: L) -> u64 {
        self.slot(gauge.slot(labels))
    }

    pub(super) fn slot(&self, slot: usize) -> u64 {
        self.0[slot].load(Ordering::Relaxed)
    }
}
