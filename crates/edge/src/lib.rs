//! The edge: sockets, shards, HTTP, drain and configuration, as a library.
//!
//! Entry points: [`Config::load`], [`Edge::start`], [`Edge::run_until`]. Decisions live in
//! `meridian-core`; this crate performs them. Called by the command line and the test kit.

mod admin;
pub mod auth;
pub mod config;
mod control;
mod copies;
mod edge;
mod error;
mod metrics;
mod moving;
mod page;
mod parties;
mod process;
pub mod revocations;
mod shard;
mod small_server;
mod spans;
mod tls;
mod watched;
mod web;

pub use config::{Config, ConfigErrors};
pub use edge::Edge;
pub use error::Error;
pub use moving::{Answered, Order};
pub use small_server::SmallServer;
