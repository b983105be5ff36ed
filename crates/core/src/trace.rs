//! Tracing: which messages are sampled (`sampling`), what nats-server's own trace events mean as
//! spans (`server_events`, `hops`), and the times and ids that this needs. Not for recording and
//! export: the edge records, and `meridian-telemetry` exports.

mod hops;
mod ids;
mod sampling;
mod server_events;
mod time;

pub use hops::Hops;
pub use ids::{Place, derived_id, server_span_id};
pub use sampling::{Head, Sampler, SamplerLimits, Sender};
pub use server_events::{EventError, ServerEvent};
pub use time::unix_ns;
