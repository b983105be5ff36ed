//! `publish`: a client's message into NATS, from where it comes back to every subscriber.

use super::outbound::Draft;
use super::{Effect, Moment, acknowledgement};
use crate::namespace::Permission;
use meridian_proto::command::Publish;
use meridian_proto::item::Failure;

pub(super) fn on_publish(
    id: Option<u32>,
    body: Publish,
    moment: &Moment<'_>,
) -> Result<Effect, Failure> {
    let draft = Draft {
        subject: &body.s,
        content: body.content(),
        headers: &body.h,
        traceparent: body.tp.as_deref(),
        message_id: body.mid.as_deref(),
    };
    let message = draft.check(moment, |namespace| namespace.publish == Permission::Granted)?;
    let id = acknowledgement(id, body.ack)?;
    Ok(Effect::Publish { id, message })
}
