//! The Rust client of a Meridian edge: publishes, requests and subscribes over one WebSocket, as
//! a browser does (`proto/PROTOCOL.md`). Called by the command line, by tests, and by services
//! that want to consume what browsers consume.
//!
//! Not for: TLS (`wss://` is refused, put a proxy between), and not for reconnecting. When the
//! connection ends, every subscription ends with it and [`Client::closed`] says why. Resuming on
//! another edge needs positions, and those come with durable namespaces.
//!
//! ```no_run
//! # async fn example() -> Result<(), meridian_client::Error> {
//! use meridian_client::{Client, Event, Options, PayloadBuf, PublishOptions, SubscribeOptions};
//!
//! let client = Client::connect("ws://127.0.0.1:7410/v1/ws", Options::default()).await?;
//! let mut subscription = client.subscribe("demo.>", SubscribeOptions::default()).await?;
//! client.publish("demo.hello", PayloadBuf::text("hi"), PublishOptions::default()).await?;
//! while let Some(event) = subscription.next().await {
//!     if let Event::Message(message) = event {
//!         println!("{}: {:?}", message.s, message.content().to_bytes());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A connection is two tasks. The reader owns the subscriptions and stops reading when one of
//! them is full; the writer owns the socket's other half and a bounded queue of commands. Nothing
//! is shared between them but the table of replies that are waited for.

mod address;
mod client;
mod codec;
mod connection;
mod defaults;
mod error;
mod frames;
mod handshake;
mod notice;
mod options;
mod payload;
mod pending;
mod reader;
mod resume;
mod subscription;
mod writer;

pub use client::Client;
pub use codec::Codec;
pub use error::{Closed, Error};
pub use notice::{Notice, Notices};
pub use options::{HistoryOptions, Options, Place, PublishOptions, SubscribeOptions};
pub use payload::PayloadBuf;
pub use resume::ResumePoint;
pub use subscription::{Event, Subscription};
