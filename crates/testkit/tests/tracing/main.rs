//! One message, one trace: what a real OTLP receiver has stored of messages through real
//! nats-servers and edges.

#![allow(clippy::unwrap_used)]

mod always;
mod budget;
mod export;
mod kinds;
mod tree;
