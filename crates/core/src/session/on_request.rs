//! `request`: a client's question to a NATS responder in any region.

use super::outbound::{Draft, Outbound};
use super::{Effect, Moment, Refusal, Session, too_long};
use crate::namespace::Permission;
use crate::permission::Verb;
use meridian_proto::ErrorCode;
use meridian_proto::command::Request;
use meridian_proto::item::Failure;
use meridian_proto::limits::{REQUEST_TIMEOUT_MS_DEFAULT, REQUEST_TIMEOUT_MS_RANGE};

impl Session {
    pub(super) fn on_request(
        &mut self,
        id: Option<u32>,
        body: Request,
        moment: &Moment<'_>,
    ) -> Result<Effect, Refusal> {
        let Some(id) = id else {
            return Err(Failure::new(ErrorCode::BadRequest, "request without an id").into());
        };
        let draft = Draft {
            subject: &body.s,
            content: body.content(),
            headers: &body.h,
            traceparent: body.tp.as_deref(),
            message_id: None,
        };
        let message = draft.check(moment, |namespace| namespace.request == Permission::Granted)?;
        self.allow_subject(Verb::Req, &message.subject, moment)?;
        self.spend_publish(message.payload.len(), moment)?;
        let (least, most) = REQUEST_TIMEOUT_MS_RANGE;
        let timeout_ms = body.timeout.unwrap_or(REQUEST_TIMEOUT_MS_DEFAULT).clamp(least, most);
        let namespace = moment.policy.namespaces.index_of(&message.subject);
        let subject = self.scope.subject(message.subject).map_err(too_long)?;
        let message = Outbound { subject, ..message };
        Ok(Effect::Request { id, message, timeout_ms, namespace })
    }
}
