//! `receipt`: a client says that a traced message has arrived. Whether it is believed, the edge
//! decides, which knows what it has shown.

use super::Effect;
use meridian_proto::ErrorCode;
use meridian_proto::command::Receipt;
use meridian_proto::item::Failure;
use meridian_proto::trace::TraceContext;

pub(super) fn on_receipt(id: Option<u32>, body: &Receipt) -> Result<Effect, Failure> {
    if id.is_some() {
        return Err(Failure::new(ErrorCode::BadRequest, "a receipt is not answered: no id"));
    }
    let context = TraceContext::parse(&body.tp).ok_or_else(|| {
        let msg = "tp is not a traceparent (W3C Trace Context, version 00)";
        Failure::new(ErrorCode::BadRequest, msg)
    })?;
    Ok(match context.is_sampled() {
        true => Effect::Receipt { context, at_us: body.at, took_us: body.took },
        false => Effect::Nothing,
    })
}
