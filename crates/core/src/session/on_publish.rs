//! `publish`: a client's message into NATS, from where it comes back to every subscriber.

use super::outbound::{Draft, Outbound};
use super::{Effect, Moment, PublishProof, Refusal, Session, too_long};
use crate::namespace::{Class, Permission};
use crate::permission::Verb;
use meridian_proto::ErrorCode;
use meridian_proto::command::{Ack, Publish};
use meridian_proto::item::Failure;

impl Session {
    pub(super) fn on_publish(
        &mut self,
        id: Option<u32>,
        body: Publish,
        moment: &Moment<'_>,
    ) -> Result<Effect, Refusal> {
        let draft = Draft {
            subject: &body.s,
            content: body.content(),
            headers: &body.h,
            traceparent: body.tp.as_deref(),
            message_id: body.mid.as_deref(),
        };
        let message = draft.check(moment, |namespace| namespace.publish == Permission::Granted)?;
        self.allow_subject(Verb::Pub, &message.subject, moment)?;
        let class = moment.policy.namespaces.of_subject(&message.subject).map(|found| found.class);
        let subject = self.scope.subject(message.subject).map_err(too_long)?;
        let message = Outbound { subject, ..message };
        let is_durable = class == Some(Class::Durable);
        let (id, proof) = match body.ack {
            Some(Ack::Stream) if !is_durable => {
                let failure =
                    Failure::new(ErrorCode::NotAvailable, "no stream covers this subject");
                return Err(failure.hint("ask for ack \"edge\"").into());
            }
            Some(Ack::None) => (None, PublishProof::Server),
            Some(Ack::Edge) => (id, PublishProof::Server),
            Some(Ack::Stream) => (id, PublishProof::Stored),
            None if is_durable => (id, PublishProof::Stored),
            None => (id, PublishProof::Server),
        };
        self.spend_publish(message.payload.len(), moment)?;
        Ok(Effect::Publish { id, message, proof })
    }
}
