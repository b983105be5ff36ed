//! Meridian: core.
