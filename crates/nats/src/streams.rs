//! Durable namespaces' streams: which ones there must be, and how they come to be.
//!
//! A durable namespace has a stream in its home region and a mirror of it in every other region.
//! Each copy republishes what it has stored to `_mrd.reg.<region>.…`, where the edges of that
//! region listen. [`plan`] compares what there must be with what there is, and is pure; [`Streams`]
//! reads and changes. Called by `meridian streams`, by `meridian dev`, and by the edges' watch over
//! their region's copy ([`Streams::copy_status`]).
//!
//! Not here: messages. Nothing in this module is on a message path, and no consumer is created.

mod api;
mod apply;
mod copy_config;
mod epoch;
mod error;
mod existing;
mod namespace;
mod plan;
mod promote;
mod promotion;
mod purge;
mod status;
mod stored;

pub use api::Streams;
pub use apply::{Applied, Confirm};
pub use copy_config::{CopyConfig, FieldChange};
pub use error::Error;
pub use existing::ExistingStream;
pub use namespace::{
    DurableNamespace, copy_name, home_stream_name, live_subject_prefix, mirror_stream_name,
};
pub use plan::{Action, Plan, Step, plan};
pub use promote::Promoted;
pub use promotion::{OldHome, Promotion, Survey, promotion};
pub use purge::{PurgeReport, PurgedCopy};
pub use status::CopyStatus;
pub use stored::StoredMessage;
