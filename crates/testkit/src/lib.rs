//! Meridian: testkit.
