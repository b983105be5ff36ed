//! What must happen: the session machine, the interest table, the outbox, the clockwork of
//! heartbeats and the watches over regions and copies. Time is passed in and effects are returned.
//!
//! Not for: sockets, NATS, clocks, tokio. `meridian-edge` performs what this crate decides, so
//! that every decision is tested without a port or a sleep.

pub mod address;
pub mod census;
pub mod copies;
pub mod durable;
pub mod flights;
pub mod holes;
pub mod interest;
pub mod limit;
pub mod memory;
pub mod namespace;
pub mod outbox;
pub mod permission;
pub mod policy;
pub mod proxy_header;
pub mod publish_time;
pub mod rate;
pub mod regions;
pub mod reorder;
pub mod requests;
pub mod revocation;
pub mod session;
pub mod spread;
pub mod tenant;
pub mod trace;
pub mod utilization;
pub mod wheel;

pub use census::Census;
pub use interest::Interest;
pub use limit::Limit;
pub use memory::{Memory, Pressure};
pub use namespace::{Class, Namespace, Namespaces, SlowClient};
pub use outbox::Outbox;
pub use policy::{Policy, SessionLimits};
pub use reorder::Reorder;
pub use session::{Effect, Session};
