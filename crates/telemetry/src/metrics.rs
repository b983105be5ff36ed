//! Metrics: what is measured, where a thread keeps it, and how it leaves the process.
//!
//! [`instruments`] is the one list. Whoever measures owns [`Cells`] (a shard) or writes
//! [`Published`] numbers (the control plane); a [`Snapshot`] of all of them becomes Prometheus text
//! ([`prometheus::text`]) or OTLP ([`otlp::Exporter`]), so the two cannot differ.
//!
//! Not for: deciding when something is counted. The edge does that where it happens.

mod cells;
pub mod instruments;
pub mod labels;
mod layout;

pub mod otlp;
pub mod prometheus;
pub mod server;
mod snapshot;

pub use cells::{Cells, Published, Slots};
pub use layout::{Bounds, Counter, Gauge, Histogram, Instrument, Kind, Names, Owner, Unit};
pub use snapshot::{Family, Series, Snapshot, Source, Value};
