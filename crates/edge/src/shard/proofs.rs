//! What the NATS connection's life means to clients: proofs bring replies, a loss brings failures
//! and later gaps, and a refusal reaches whoever asked.

use super::Shard;
use super::connection::item_frame;
use super::requests::ack_unknown;
use super::upstream::unreachable;
use meridian_core::interest::Resumed;
use meridian_core::requests::Purpose;
use meridian_proto::ErrorCode;
use meridian_proto::item::{Failure, Gap, Item};
use std::io::IoSlice;
use std::rc::Rc;
use tracing::{debug, warn};

impl Shard {
    /// The server has processed everything before a ping.
    pub(super) fn proven(self: &Rc<Self>) {
        let ping = self.upstream.answered();
        let proof = self.interest.borrow_mut().proven(ping);
        for resumed in &proof.resumed {
            self.tell_gap(resumed);
        }
        for proven in &proof.proven {
            self.answer_subscribe(proven);
        }
        for sid in proof.standing {
            self.durable_stands(sid);
        }
        for ack in self.upstream.due_acks(ping) {
            self.answer_publish(&ack);
        }
    }

    /// Tells a group that messages may be missing, at the place where they flow again. Members
    /// whose subscribe reply is still to come have missed nothing.
    fn tell_gap(self: &Rc<Self>, resumed: &Resumed) {
        let item = Item::Gap(Gap { i: resumed.group, why: "nats".into(), ..Gap::default() });
        let interest = self.interest.borrow();
        let group = interest.group(resumed.group - 1);
        let bytes = item_frame(group.wire(), &item, None);
        self.meters.gaps("nats", resumed.members);
        for member in group.members().iter().take(resumed.members) {
            if let Some(connection) = self.connection_at(*member) {
                connection.fence();
                connection.write(self, &[IoSlice::new(&bytes)]);
            }
        }
    }

    /// The connection is gone: what waited on it is answered, subscriptions stay.
    pub(super) fn interrupted(self: &Rc<Self>) {
        let unproven = self.upstream.forget();
        self.set_connected(false);
        self.interest.borrow_mut().interrupt();
        self.durables.interrupt();
        self.gets.interrupt();
        self.forwards.interrupt();
        for ack in unproven {
            let msg = "the NATS connection broke before the acknowledgement";
            self.fail(ack.member, ack.command, Failure::new(ErrorCode::AckUnknown, msg));
        }
        let requests = self.requests.borrow_mut().interrupt();
        for request in requests {
            let failure = match request.purpose {
                Purpose::Answer(_) => unreachable(),
                Purpose::Stored(repeat) => {
                    ack_unknown(repeat, "the NATS connection broke before the acknowledgement")
                }
            };
            self.fail(request.member, request.command, failure);
        }
    }

    /// `-ERR`: a permission that this edge's NATS user lacks, or the end of the connection.
    pub(super) fn nats_error(self: &Rc<Self>, text: &str) {
        warn!(shard = self.index, error = text, "NATS server reports an error");
        let quoted = text.split('"').nth(1).unwrap_or_default();
        if text.contains("Permissions Violation for Subscription") {
            let Some(filter) = self.filter_of_upstream(quoted) else { return };
            let refused = self.interest.borrow_mut().refuse(&filter);
            refused.iter().for_each(|refused| self.refuse_subscribe(refused, &filter));
            self.prune_durables();
        } else if text.contains("Permissions Violation for Publish") {
            if let Some(ack) = self.upstream.refused_ack(quoted) {
                let msg = format!("the NATS servers refuse {} to this edge", ack.subject);
                self.fail(ack.member, ack.command, Failure::new(ErrorCode::Forbidden, msg));
            }
        } else {
            debug!(shard = self.index, "the server will close the connection");
        }
    }
}
