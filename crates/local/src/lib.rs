//! Meridian: local.
