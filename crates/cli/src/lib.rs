//! Meridian: cli.
