//! The position rule: what a durable filter has delivered, what it may deliver next, and what it
//! has proven complete.
//!
//! Every stored message says which sequence came before it on its subject, so a hole on a subject
//! shows at the subject's next message. A hole at the end of a subject shows only by asking the
//! store for each subject's last message: the audit of tails.

mod backward;
mod ring;
mod tails;

pub use backward::{Backward, Step};
pub use ring::{Ring, Stored};
pub use tails::{Tails, Verdict};
