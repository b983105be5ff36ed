//! `subscribe`: may this client have this filter, and what shall its frames hold?

use super::outbound::header_forbidden;
use super::start::start;
use super::{Effect, Moment, Refusal, Session, too_long};
use crate::interest::{Interest, Wishes};
use crate::limit::Limit;
use crate::namespace::Namespace;
use crate::permission::{FilterGrant, Verb};
use meridian_proto::command::Subscribe;
use meridian_proto::item::Failure;
use meridian_proto::limits::HEADERS_MAX;
use meridian_proto::{ErrorCode, Filter};

impl Session {
    pub(super) fn on_subscribe<K: Copy + Eq>(
        &self,
        id: Option<u32>,
        body: Subscribe,
        offered: Option<Result<Box<FilterGrant>, Failure>>,
        interest: &Interest<K>,
        moment: &Moment<'_>,
    ) -> Result<Effect, Refusal> {
        if id.is_none() {
            return Err(Failure::new(ErrorCode::BadRequest, "subscribe without an id").into());
        }
        let (filter, namespace) = declared(&body.f, moment)?;
        let grant = self.allow_subscribe(&filter, offered, moment)?;
        let filter = self.scope.filter(&filter).map_err(too_long)?;
        let headers = wanted_headers(&body.hdr, namespace)?;
        // The edge knows the connection's wire and adds it.
        let wishes = Wishes { headers, trace: body.trace, ..Wishes::default() };
        let start = start(&body, namespace, moment)?;
        if self.subscriptions.len() >= moment.policy.limits.filters_max {
            let msg = format!("{} filters held", self.subscriptions.len());
            let failure = Failure::new(ErrorCode::Limit, msg);
            let failure = failure.hint("unsubscribe one, or use a wildcard");
            return Err(Refusal::over(Limit::Filters, failure));
        }
        let groups = interest.groups_of(&filter);
        if groups.iter().any(|group| self.subscriptions.contains(&(group + 1))) {
            let msg = format!("already subscribed: {}", body.f);
            return Err(Failure::new(ErrorCode::AlreadySubscribed, msg).into());
        }
        Ok(Effect::Subscribe { id, filter, wishes, start, grant })
    }

    /// Whether the connection's token allows a filter, or else one that is offered for it alone,
    /// which is then what the subscription stands by.
    fn allow_subscribe(
        &self,
        filter: &Filter,
        offered: Option<Result<Box<FilterGrant>, Failure>>,
        moment: &Moment<'_>,
    ) -> Result<Option<Box<FilterGrant>>, Failure> {
        let by_connection = self.allow_filter(Verb::Sub, filter, moment);
        let (Err(refused), Some(offered), Some(rights)) = (&by_connection, offered, &self.rights)
        else {
            return by_connection.map(|()| None);
        };
        if refused.code != ErrorCode::Forbidden {
            return by_connection.map(|()| None);
        }
        let offered = offered?;
        rights.allow_by(&offered, filter)?;
        Ok(Some(offered))
    }
}

/// A filter as it was sent, with the namespace that declares all of it.
pub(super) fn declared<'a>(
    text: &str,
    moment: &Moment<'a>,
) -> Result<(Filter, &'a Namespace), Failure> {
    let filter = Filter::parse(text)
        .map_err(|error| Failure::new(ErrorCode::InvalidSubject, format!("filter: {error}")))?;
    let Some(namespace) = moment.policy.namespaces.of_filter(&filter) else {
        let msg = format!("no namespace declares {filter}");
        let failure = Failure::new(ErrorCode::UnknownSubjectSpace, msg);
        return Err(failure.hint("a filter must lie within one declared pattern"));
    };
    Ok((filter, namespace))
}

/// The header names that a client asked for, if the namespace allows them: lower case, sorted,
/// without repeats.
pub(super) fn wanted_headers(
    hdr: &[String],
    namespace: &Namespace,
) -> Result<Vec<String>, Failure> {
    if hdr.len() > HEADERS_MAX {
        let msg = format!("more than {HEADERS_MAX} headers asked for");
        return Err(Failure::new(ErrorCode::Limit, msg));
    }
    if let Some(refused) = hdr.iter().find(|name| !namespace.allows_header(name)) {
        return Err(header_forbidden(refused, namespace));
    }
    let mut headers: Vec<String> = hdr.iter().map(|name| name.to_ascii_lowercase()).collect();
    headers.sort_unstable();
    headers.dedup();
    Ok(headers)
}
