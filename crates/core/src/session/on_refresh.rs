//! `refresh`: a newer token, in place. The edge reads it, since only it has the keys.

use super::{Effect, Session};
use meridian_proto::ErrorCode;
use meridian_proto::command::Refresh;
use meridian_proto::item::Failure;
use meridian_proto::limits::TOKEN_BYTES_MAX;

impl Session {
    pub(super) fn on_refresh(&self, id: Option<u32>, body: Refresh) -> Result<Effect, Failure> {
        let Some(id) = id else {
            return Err(Failure::new(ErrorCode::BadRequest, "refresh without an id"));
        };
        if body.token.len() > TOKEN_BYTES_MAX {
            let msg = format!("token over {TOKEN_BYTES_MAX} bytes");
            return Err(Failure::new(ErrorCode::BadRequest, msg));
        }
        if self.rights.is_none() {
            return Err(Failure::new(ErrorCode::NotAvailable, "this edge asks for no tokens"));
        }
        if body.i.is_some_and(|subscription| !self.holds(subscription)) {
            return Err(Failure::new(ErrorCode::BadRequest, "no such subscription"));
        }
        Ok(Effect::Refresh { id, token: body.token, subscription: body.i })
    }
}
