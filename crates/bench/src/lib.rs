//! Meridian: bench.
