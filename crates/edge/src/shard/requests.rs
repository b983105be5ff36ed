//! Answers to clients' requests, and requests that nobody answered.

use super::Shard;
use meridian_nats::Message;
use meridian_proto::item::Failure;
use meridian_proto::{ErrorCode, Payload, frame, json};
use std::io::IoSlice;
use std::rc::Rc;

impl Shard {
    /// Hands an answer to the client that waits for it.
    pub(super) fn answer_request(self: &Rc<Self>, message: &Message<'_>) {
        let token = self.upstream.token(message.subject).unwrap_or_default();
        let Some(request) = self.requests.borrow_mut().answer(token) else { return };
        if message.headers.status() == Some(503) {
            let failure = Failure::new(ErrorCode::NoResponders, "nobody serves this subject");
            return self.fail(request.member, request.command, failure);
        }
        let Some(connection) = self.connection(request.member) else { return };
        let content_type = message.headers.get("Content-Type");
        let payload = Payload::classify(content_type, message.payload);
        let namespace = self.policy.namespaces.at(request.namespace);
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
        frame::text(&mut bytes, |out| {
            json::request_reply(out, request.command, payload, &headers);
        });
        connection.write(self, &[IoSlice::new(&bytes)]);
    }

    /// Fails every request whose time is over.
    pub(super) fn expire_requests(self: &Rc<Self>) {
        let expired = self.requests.borrow_mut().expire(self.now_ms());
        for request in expired {
            let failure = Failure::new(ErrorCode::UpstreamTimeout, "no answer in time");
            self.fail(request.member, request.command, failure);
        }
    }
}
