//! `history`: a page of what a durable namespace has stored, apart from any subscription.

use super::on_subscribe::{declared, wanted_headers};
use super::start::SEQUENCE_MAX;
use super::{Effect, Moment, Session, too_long};
use crate::interest::Wishes;
use crate::namespace::{Class, Replication, Retention};
use crate::permission::Verb;
use meridian_proto::command::{History, Position};
use meridian_proto::item::Failure;
use meridian_proto::limits::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX};
use meridian_proto::{ErrorCode, Filter};

/// A page of history that a client may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The command to answer.
    pub id: u32,
    /// Whose messages.
    pub filter: Filter,
    /// Bytes of the filter, and of each subject, that are the tenant's prefix.
    pub scope_bytes: usize,
    /// Where the page lies.
    pub place: HistoryPlace,
    /// Most messages, 1 to 500.
    pub limit: u64,
    /// What each message shall hold.
    pub wishes: Wishes,
    /// What the namespace's stream drops.
    pub retention: Retention,
    /// Who answers for it.
    pub replication: Replication,
}

/// Where a page of history lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryPlace {
    /// The newest messages of all.
    Newest,
    /// The oldest messages above a position.
    After(Position),
    /// The newest messages below a position.
    Before(Position),
}

impl HistoryPlace {
    /// The position that the page was asked for by.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        match self {
            Self::Newest => None,
            Self::After(position) | Self::Before(position) => Some(position),
        }
    }
}

impl Session {
    pub(super) fn on_history(
        &self,
        id: Option<u32>,
        body: History,
        moment: &Moment<'_>,
    ) -> Result<Effect, Failure> {
        let Some(id) = id else {
            return Err(Failure::new(ErrorCode::BadRequest, "history without an id"));
        };
        let (filter, namespace) = declared(&body.f, moment)?;
        self.allow_filter(Verb::Hist, &filter, moment)?;
        if namespace.class == Class::Ephemeral {
            let msg = format!("{filter} is ephemeral: nothing of it is stored");
            return Err(Failure::new(ErrorCode::NotAvailable, msg));
        }
        let headers = wanted_headers(&body.hdr, namespace)?;
        let wishes = Wishes { headers, trace: body.trace, ..Wishes::default() };
        let limit = body.limit.unwrap_or(HISTORY_LIMIT_DEFAULT);
        if !(1..=HISTORY_LIMIT_MAX).contains(&limit) {
            let msg = format!("limit is outside 1 to {HISTORY_LIMIT_MAX}");
            return Err(Failure::new(ErrorCode::Limit, msg));
        }
        let place = match (body.after, body.before) {
            (Some(_), Some(_)) => {
                return Err(Failure::new(ErrorCode::BadRequest, "both after and before: send one"));
            }
            (Some(position), None) => HistoryPlace::After(position),
            (None, Some(position)) => HistoryPlace::Before(position),
            (None, None) => HistoryPlace::Newest,
        };
        if place.position().is_some_and(|position| position.q > SEQUENCE_MAX) {
            return Err(Failure::new(ErrorCode::BadRequest, "q is over 2^53 - 1"));
        }
        if moment.payload_bytes_max.is_none() {
            let msg = "this edge has lost its NATS servers";
            return Err(Failure::new(ErrorCode::RegionUnreachable, msg));
        }
        let filter = self.scope.filter(&filter).map_err(too_long)?;
        let scope_bytes = self.scope.bytes();
        let (retention, replication) = (namespace.retention, namespace.replication);
        Ok(Effect::History(HistoryPage {
            id,
            filter,
            scope_bytes,
            place,
            limit,
            wishes,
            retention,
            replication,
        }))
    }
}
