//! Meridian: nats.
