//! The only crate that knows NATS.
//!
//! Two ways to the same servers, for two needs:
//!
//! - The **data connection** ([`dial`], [`Reader`], [`Writer`]): our own thin client protocol
//!   connection, one for each shard, on the message path. It is pulled, not called back: the shard
//!   fills a buffer with one read and takes the operations out of it, borrowed, with no allocation,
//!   channel or task wake-up for a message.
//! - The **control connection** ([`Control`]): async-nats, for what is rare (heartbeats between
//!   regions now, JetStream and the service API later). It never carries what a browser receives.
//!
//! On the control connection stands the administration of durable namespaces' [`streams`].
//!
//! Around them stand the reconnect policy as plain values ([`ServerPool`], [`Backoff`]) and the
//! names of the mesh's internal subjects ([`subjects`]).
//!
//! Not here: what a subject means, who may use it, and when to subscribe. The edge's shards decide
//! that; this crate only refuses bytes that would break the connection they all share.

mod backoff;
mod command;
mod control;
pub mod defaults;
mod dial;
mod error;
mod headers;
mod operation;
mod options;
mod parse;
mod questions;
mod read_buffer;
mod reader;
mod server_info;
mod server_pool;
mod server_url;
mod stream;
pub mod streams;
pub mod subjects;
mod tls;
mod wire_text;
mod writer;

pub use backoff::Backoff;
pub use control::{Control, ControlEvents, ControlOptions};
pub use dial::dial;
pub use error::Error;
pub use headers::Headers;
pub use operation::{Message, Op};
pub use options::ConnectOptions;
pub use questions::{Question, Questions};
pub use reader::Reader;
pub use server_info::ServerInfo;
pub use server_pool::ServerPool;
pub use server_url::{Credentials, ServerUrl};
pub use tls::{Tls, TlsFiles};
pub use writer::{Flush, Writer};
