//! Tests against a real nats-server on a loopback port that the system chooses.
//!
//! What needs no server is tested beside the code. These tests never wait for a fixed time: they
//! wait for a condition, with a deadline that only a failure reaches.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod control;
mod data;
mod server;
mod tls;
