//! `GET /v1/sse?f=…`: receive-only, for `EventSource` and `curl -N`. The edge sends itself the
//! commands that the client cannot send.
//!
//! What can never succeed gets a status, after which `EventSource` stops. What may succeed later
//! gets an event stream that ends, after which `EventSource` comes back.

use super::answer::{Answer, AnswerBody, failure};
use super::body::StreamBody;
use super::{HttpSocket, query, streamed};
use crate::shard::Shard;
use crate::shard::commands;
use crate::shard::connection::Connection;
use crate::shard::pump::Pump;
use crate::shard::sink::Sink;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, StatusCode, header};
use meridian_core::Class;
use meridian_core::session::Credentials;
use meridian_proto::command::{Body, Command, Connect, Position, Subscribe};
use meridian_proto::item::Failure;
use meridian_proto::{CloseCode, ErrorCode, Filter, Wire};
use meridian_telemetry::metrics::labels::Handshake;
use std::io::IoSlice;
use std::ops::RangeInclusive;
use std::rc::Rc;

const CONTENT_TYPE: &str = "text/event-stream";

/// Where `EventSource` says how far it got.
const LAST_EVENT_ID: &str = "last-event-id";

/// How long `EventSource` waits before it comes back, in ms. Random, because all clients of an edge
/// that dies come back.
const RETRY_MS: RangeInclusive<u32> = 1_000..=4_000;

/// The id of the command that the edge makes for the first filter; the others follow.
const FIRST_SUBSCRIBE_ID: u32 = 2;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    filters: Vec<String>,
    /// Where the durable filter resumes.
    after: Option<Position>,
    /// Wanted heartbeat interval in s.
    ping: Option<u32>,
}

/// Answers the request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    socket: &Rc<HttpSocket>,
    request: &Request<Incoming>,
    token: Option<String>,
) -> Answer {
    let last = request.headers().get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
    let asked = match asked(request.uri().query().unwrap_or_default(), last) {
        Ok(asked) => asked,
        Err(what) => return refusal(Failure::new(ErrorCode::BadRequest, what)),
    };
    // Each filter is a command, and all come at once.
    let limits = &shard.policy.limits;
    let filters_max = limits.filters_max.min(limits.commands_burst as usize);
    if asked.filters.len() > filters_max {
        let msg = format!("more than {filters_max} filters");
        return refusal(Failure::new(ErrorCode::Limit, msg).hint("use a wildcard"));
    }
    let durables = asked.filters.iter().filter(|filter| shard.is_durable(filter)).count();
    if durables > 1 {
        let msg = "an event has one id, so only one filter may be durable";
        return refusal(Failure::new(ErrorCode::BadRequest, msg).hint("open one for each"));
    }
    let credentials = shard.decide(token.as_deref()).await;
    let Ok(seat) = shard.admit_stream(socket, request.headers()) else { return come_back() };
    let pump = Box::new(Pump::new(socket.stream(), None));
    let connection = shard.insert(Sink::Pumped(pump), Wire::Sse);
    shard.meters.handshake(Handshake::Accepted);
    // From here on the connection ends with the body, whatever happens.
    let body = StreamBody::new(shard, &connection);
    connection.sit(seat);
    connection.write(shard, &[IoSlice::new(&retry())]);
    match subscribe_all(shard, &connection, asked, credentials) {
        Ok(()) => streamed(CONTENT_TYPE, AnswerBody::Stream(body)),
        Err(failure) if failure.retry => come_back(),
        Err(failure) => refusal(failure),
    }
}

/// Reads the query and the header.
fn asked(query: &str, last_event_id: Option<&str>) -> Result<Asked, &'static str> {
    let values = |name| query::values(query, name).ok_or("the query is not well encoded");
    let filters = values("f")?;
    if filters.is_empty() {
        return Err("name at least one filter: /v1/sse?f=demo.%3E");
    }
    let given = values("after")?.pop();
    // A client that comes back knows better than the address that it began with.
    let id = last_event_id.filter(|id| !id.is_empty()).or(given.as_deref());
    let after = id.map(position).transpose()?;
    let ping = values("ping")?.pop().map(|ping| ping.parse()).transpose();
    Ok(Asked { filters, after, ping: ping.map_err(|_| "ping is a number of seconds")? })
}

/// An event's id. An epoch may hold colons, a sequence does not.
fn position(id: &str) -> Result<Position, &'static str> {
    let malformed = "the last event's id is not one of this edge's";
    let (epoch, sequence) = id.rsplit_once(':').ok_or(malformed)?;
    let is_number = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
    match sequence.parse() {
        Ok(q) if is_number && !epoch.is_empty() => Ok(Position { e: epoch.into(), q }),
        _ => Err(malformed),
    }
}

fn subscribe_all(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    asked: Asked,
    credentials: Credentials,
) -> Result<(), Failure> {
    let connect = Connect { ping: asked.ping, ..Connect::default() };
    let connect = Command { id: Some(1), body: Body::Connect(connect) };
    commands::greeted(shard, connection, connect, credentials)?;
    for (id, filter) in (FIRST_SUBSCRIBE_ID..).zip(asked.filters) {
        let recover = asked.after.clone().filter(|_| shard.is_durable(&filter));
        let body = Body::Subscribe(Subscribe { f: filter, recover, ..Subscribe::default() });
        commands::command_for(shard, connection, Command { id: Some(id), body })?;
    }
    Ok(())
}

/// What can never succeed, with a status that makes `EventSource` stop.
fn refusal(why: Failure) -> Answer {
    let status = match why.code {
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::UnknownSubjectSpace => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    failure(status, why)
}

/// There is no room now: an event stream that ends, so that `EventSource` comes back.
fn come_back() -> Answer {
    let mut events = retry();
    Wire::Sse.close(&mut events, CloseCode::Overloaded, CloseCode::Overloaded.reason());
    let mut answer = streamed(CONTENT_TYPE, Bytes::from(events).into());
    // For whoever reads heads and not events.
    let after_s = u64::from(RETRY_MS.end().div_ceil(1_000));
    answer.headers_mut().insert(header::RETRY_AFTER, after_s.into());
    answer
}

fn retry() -> Vec<u8> {
    format!("retry: {}\n\n", fastrand::u32(RETRY_MS)).into_bytes()
}

impl Shard {
    fn is_durable(&self, filter: &str) -> bool {
        let filter = Filter::parse(filter).ok();
        let namespace = filter.and_then(|filter| self.policy.namespaces.of_filter(&filter));
        namespace.is_some_and(|namespace| namespace.class == Class::Durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_wins_over_the_address_and_both_are_positions() {
        let after = |query, last| asked(query, last).map(|asked| asked.after);
        let at = |e: &str, q| Some(Position { e: e.into(), q });
        assert_eq!(after("f=a", None), Ok(None));
        assert_eq!(after("f=a&after=O%401:7", None), Ok(at("O@1", 7)));
        assert_eq!(after("f=a&after=O%401:7", Some("O@1:9")), Ok(at("O@1", 9)));
        assert_eq!(after("f=a&after=O%401:7", Some("")), Ok(at("O@1", 7)));
        assert_eq!(after("f=a", Some("x:y:3")), Ok(at("x:y", 3)));
        for wrong in ["O@1", "O@1:", ":7", "O@1:+7", "O@1:-7", "O@1:7x", "O@1:99999999999999999999"]
        {
            assert!(after("f=a", Some(wrong)).is_err(), "{wrong}");
        }
        assert!(asked("", None).is_err());
        assert!(asked("f=%zz", None).is_err());
    }
}
