//! Clients' messages on their way to NATS: a publish and its proof, a request and its answer, and
//! what both say of themselves beside the payload. The session has allowed them (`commands`).

use super::connection::Connection;
use super::meters::unix_us;
use super::tracer::{OpenSpan, Sent};
use super::upstream::PendingAck;
use super::{ConnectionKey, Shard};
use meridian_core::requests::{Purpose, Waiting};
use meridian_core::session::Outbound;
use meridian_core::trace::Sender;
use meridian_core::{Class, publish_time};
use meridian_proto::ErrorCode;
use meridian_proto::item::{Failure, Item};
use std::rc::Rc;

/// Publishes, to be acknowledged by the ping behind it.
pub(super) fn publish(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    id: Option<u32>,
    mut message: Outbound,
) {
    let member = connection.key;
    stamp(shard, &mut message);
    let span = begin_span(shard, connection, &mut message, Sent::Publish);
    let published = shard.upstream.publish(&message, None);
    if published.is_ok() {
        shard.meters.sent(message.payload.len());
    }
    match (id, published, span) {
        (Some(command), Ok(ping), span) => {
            shard.tracer.keep(member, command, span);
            let subject = message.subject;
            shard.upstream.await_ack(ping, PendingAck { member, command, subject });
        }
        (None, Ok(_), span) => shard.tracer.end(span, None),
        (_, Err(failure), span) => {
            shard.tracer.end(span, Some(&failure));
            connection.send(shard, &Item::Error(id, failure));
        }
    }
}

/// Publishes with a reply subject, whose answer comes back to the client.
pub(super) fn request(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    request: Waiting<ConnectionKey>,
    mut message: Outbound,
    timeout_ms: u64,
) {
    let sent = match request.purpose {
        Purpose::Answer(_) => Sent::Request,
        Purpose::Stored(_) => Sent::Publish,
    };
    let span = begin_span(shard, connection, &mut message, sent);
    shard.tracer.keep(request.member, request.command, span);
    let deadline_ms = shard.now_ms() + timeout_ms;
    let token = shard.requests.borrow_mut().insert(request, deadline_ms);
    let sent = match &token {
        Some(token) => shard.upstream.publish(&message, Some(token)).map(|_| {
            shard.meters.sent(message.payload.len());
        }),
        None => Err(Failure::new(ErrorCode::TooManyRequests, "too many requests wait here")),
    };
    if let Err(failure) = sent {
        token.and_then(|token| shard.requests.borrow_mut().answer(&token));
        shard.fail(request.member, request.command, failure);
    }
}

/// A message says when and where it was published, where nothing else will: see `publish_time`.
fn stamp(shard: &Shard, message: &mut Outbound) {
    let namespace = shard.policy.namespaces.of_upstream_subject(&message.subject);
    if namespace.is_some_and(|namespace| namespace.class == Class::Ephemeral) {
        let sent = publish_time::stamp(&shard.policy.region, unix_us());
        message.headers.push((publish_time::HEADER.into(), sent));
    }
}

/// Decides what the message says of its trace.
fn begin_span(
    shard: &Shard,
    connection: &Connection,
    message: &mut Outbound,
    sent: Sent,
) -> Option<OpenSpan> {
    let session = connection.session.borrow();
    let sender = session.as_ref().map_or(Sender::Plain, |session| session.sender());
    shard.tracer.begin(message, sent, sender)
}
