//! The load generator behind `meridian bench` and `make bench`.
//!
//! It opens many receiving sockets against one server, publishes stamped messages at a paced rate,
//! and reports what the server spent (CPU and memory from `/proc`), how late the messages came, and
//! how many were lost. It speaks to three kinds of server, so that they can be compared in one run:
//! a bare `send(2)` *floor*, nats-server's own WebSocket listener, and a Meridian edge.
//!
//! It is not a client library (that is `meridian-client`): it parses only what it must, so that it
//! is not the bottleneck on a small machine. Called by the CLI and by `meridian-bench-suite`.
//!
//! Map: [`scenario`] runs the whole thing; [`receivers`] holds the sockets and [`dialect`] tells
//! them how to speak; [`publisher`] and [`floor`] make the load; [`process`] samples servers;
//! [`report`] and [`comparison`] are what comes out.

pub mod comparison;
pub mod descriptors;
pub mod dialect;
mod endpoint;
mod error;
pub mod floor;
pub mod frame;
mod handshake;
mod pace;
pub mod payload;
mod plan;
pub mod process;
mod progress;
pub mod publisher;
pub mod receivers;
pub mod report;
mod run;
pub mod scenario;
pub mod sequence;
mod socket;

pub use endpoint::Endpoint;
pub use error::Error;
pub use plan::{PublishPlan, Published, Spread, Tracing};
pub use report::Report;
pub use scenario::{
    IdleOptions, LoadOptions, Processes, Target, run_fanout, run_idle, run_unicast,
    wait_until_subscribable,
};
