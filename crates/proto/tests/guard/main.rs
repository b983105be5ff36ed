//! Tests of the frame guard: each violation, each limit at its edge, and agreement with a naive
//! decoder on valid and on random streams. The WebSocket library behind it is not involved here.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach test helpers"
)]

mod frame;
mod limits;
mod properties;
mod reference;
mod violations;
