//! Spans on their way out: a bounded queue, batches, OTLP over gRPC or HTTP (`export`), the form
//! that the SDK wants (`data`), and the one bridge from `tracing` (`bridge`).
//!
//! Not for deciding what is sampled, nor for making spans of messages: the edge does, with
//! `meridian_core::trace`.

pub mod bridge;
mod data;
mod export;

pub use export::{ExportError, Exporter, ExporterCounts, Origin, Protocol, Settings};
