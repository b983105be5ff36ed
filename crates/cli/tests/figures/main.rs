//! The figures that are promised of durable namespaces, measured with real processes. In `make
//! test` they run small, and prove only that nothing is lost; `make figures` runs them in full, in
//! a release build, and tells kept from missed.

#![allow(clippy::unwrap_used, reason = "a failed step of a test's script is a failed test")]

mod deploy;
mod durability;
mod figure;
mod hostile;
mod load;
mod lossy_clients;
mod region_kill;
mod slow_readers;
mod storm;
