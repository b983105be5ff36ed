//! Meridian: telemetry.
