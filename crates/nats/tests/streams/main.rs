//! Durable namespaces' streams on a real three-region supercluster.
//!
//! What a plan comes to is tested beside the code. These tests never wait for a fixed time: they
//! wait for a condition, with a deadline that only a failure reaches.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod applying;
mod mesh;
mod purging;
mod refusals;
mod region_down;
