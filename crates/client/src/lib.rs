//! Meridian: client.
