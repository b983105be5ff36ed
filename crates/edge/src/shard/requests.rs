//! Answers to clients' requests, and requests that nobody answered.

use super::asker::Asker;
use super::{ConnectionKey, Shard};
use meridian_core::requests::{Purpose, Repeat, Waiting};
use meridian_nats::Message;
use meridian_proto::command::Ack;
use meridian_proto::item::{Failure, Item, PublishReply, Reply};
use meridian_proto::{ErrorCode, Payload};
use serde::Deserialize;
use std::io::IoSlice;
use std::rc::Rc;

/// What a stream answers to a publish.
#[derive(Debug, Default, Deserialize)]
struct StreamAck {
    stream: Option<String>,
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    error: Option<StreamError>,
}

#[derive(Debug, Deserialize)]
struct StreamError {
    description: Option<String>,
}

impl Shard {
    /// Hands an answer to the client that waits for it.
    pub(super) fn answer_request(self: &Rc<Self>, message: &Message<'_>) {
        let token = self.upstream.token(message.subject).unwrap_or_default();
        let token = match Asker::of(token) {
            Some((Asker::Store, ticket)) => return self.gets.take(ticket, message),
            Some((Asker::Forward, number)) => return self.forwards.take(number, message),
            Some((Asker::Client, token)) => token,
            None => return,
        };
        let Some(request) = self.requests.borrow_mut().answer(token) else { return };
        let is_unserved = message.headers.status() == Some(503);
        let namespace = match request.purpose {
            Purpose::Stored(_) => return self.answer_stored(&request, message, is_unserved),
            Purpose::Answer(namespace) => self.policy.namespaces.at(namespace),
        };
        if is_unserved {
            let failure = Failure::new(ErrorCode::NoResponders, "nobody serves this subject");
            return self.fail(request.member, request.command, failure);
        }
        self.tracer.answered(request.member, request.command);
        let Some(connection) = self.connection(request.member) else { return };
        let content_type = message.headers.get("Content-Type");
        let payload = Payload::classify(content_type, message.payload);
        let mut headers = Vec::new();
        for (name, value) in message.headers.iter() {
            let text = (std::str::from_utf8(name), std::str::from_utf8(value));
            let (Ok(name), Ok(value)) = text else { continue };
            if namespace.is_some_and(|namespace| namespace.allows_header(name)) {
                headers.push((name.to_ascii_lowercase(), value));
            }
        }
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut bytes = Vec::new();
        connection.wire.request_reply(&mut bytes, request.command, payload, &headers);
        connection.write(self, &[IoSlice::new(&bytes)]);
    }

    /// Answers a publish with what the stream says of it (NATS ADR-22, publish acknowledgement).
    fn answer_stored(
        self: &Rc<Self>,
        request: &Waiting<ConnectionKey>,
        message: &Message<'_>,
        is_unserved: bool,
    ) {
        if is_unserved {
            let msg = "no stream takes this subject now: its home region may be down";
            let failure = Failure::new(ErrorCode::StreamUnavailable, msg);
            return self.fail(request.member, request.command, failure);
        }
        let ack: StreamAck = serde_json::from_slice(message.payload).unwrap_or_default();
        let (Some(stream), Some(sequence)) = (ack.stream, ack.seq) else {
            let why = ack.error.and_then(|error| error.description).unwrap_or_default();
            let msg = format!("the stream refuses the message: {why}");
            let failure = Failure::new(ErrorCode::StreamUnavailable, msg);
            return self.fail(request.member, request.command, failure);
        };
        self.tracer.answered(request.member, request.command);
        let Some(connection) = self.connection(request.member) else { return };
        let reply = PublishReply {
            ack: Ack::Stream,
            stream: Some(stream),
            q: Some(sequence),
            dup: Some(ack.duplicate),
        };
        connection.send(self, &Item::Reply(request.command, Reply::Publish(reply)));
    }

    /// Fails every request whose time is over.
    pub(super) fn expire_requests(self: &Rc<Self>) {
        let expired = self.requests.borrow_mut().expire(self.now_ms());
        for request in expired {
            let failure = match request.purpose {
                Purpose::Answer(_) => Failure::new(ErrorCode::UpstreamTimeout, "no answer in time"),
                Purpose::Stored(repeat) => {
                    ack_unknown(repeat, "no acknowledgement of the stream in time")
                }
            };
            self.fail(request.member, request.command, failure);
        }
    }
}

/// The acknowledgement of a publish is lost: with a message id it may simply be sent again.
pub(super) fn ack_unknown(repeat: Repeat, why: &str) -> Failure {
    let failure = Failure::new(ErrorCode::AckUnknown, why);
    match repeat {
        Repeat::Once => Failure { retry: true, ..failure },
        Repeat::Twice => failure.hint("with a mid it could be sent again and be stored once"),
    }
}
