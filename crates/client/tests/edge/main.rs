//! The client against the other end of a WebSocket at byte level.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

mod calls;
mod connecting;
mod ending;
mod fake_edge;
mod subscriptions;
