//! The position rule: what a durable filter has delivered, what it may deliver next, and what it
//! has proven complete.
//!
//! Every stored message says which sequence came before it on its subject, so a hole on a subject
//! shows at the subject's next message. A hole at the end of a subject shows only by asking the
//! store for each subject's last message: the audit of tails.

mod audit;
mod backward;
#[cfg(test)]
mod model;
mod page;
mod reading;
mod replay;
mod ring;
mod tails;
#[cfg(test)]
mod tests;

pub use audit::{Audit, Verified};
pub use backward::{Backward, Step};
pub use page::{Missed, Page, Why};
pub use reading::{Reading, Span};
pub use replay::{Next, Opening, Replay, Snapshot, Standing, Start};
pub use ring::{Ring, Stored};
pub use tails::{Tails, Verdict};
