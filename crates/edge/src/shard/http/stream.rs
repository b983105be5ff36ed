//! `POST /v1/stream`: the protocol over a streamed response. The body holds the first commands;
//! further ones come by `POST /v1/cmd`.

use super::answer::{Answer, AnswerBody, failure};
use super::body::StreamBody;
use super::{HttpSocket, request_body, streamed};
use crate::shard::Shard;
use crate::shard::commands;
use crate::shard::pump::Pump;
use crate::shard::sessions::SessionId;
use crate::shard::sink::Sink;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use meridian_proto::command::{Body, Command};
use meridian_proto::item::Failure;
use meridian_proto::{ErrorCode, Wire, json};
use meridian_telemetry::metrics::labels::Handshake;
use std::io::IoSlice;
use std::rc::Rc;
use tracing::error;

/// Answers the request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    socket: &Rc<HttpSocket>,
    request: Request<Incoming>,
    token: Option<String>,
) -> Answer {
    let (head, body) = request.into_parts();
    let credentials = Credentials { token, traceparent: traceparent(&head.headers) };
    let bytes_max = shard.limits.guard.message_bytes_max as usize;
    let body = match request_body(socket, body, bytes_max).await {
        Ok(body) => body,
        Err((status, refused)) => return failure(status, refused),
    };
    let Ok(text) = std::str::from_utf8(&body) else {
        let refused = Failure::new(ErrorCode::BadRequest, "the body is not UTF-8");
        return failure(StatusCode::BAD_REQUEST, refused);
    };
    let seat = match shard.admit_stream(socket, &head.headers) {
        Ok(seat) => seat,
        Err(refusal) => return *refusal,
    };
    let Some(secret) = secret() else {
        let failed = Failure::new(ErrorCode::Internal, "no random numbers");
        return failure(StatusCode::INTERNAL_SERVER_ERROR, failed);
    };
    let pump = Box::new(Pump::new(socket.stream(), Some(secret)));
    let connection = shard.insert(Sink::Pumped(pump), Wire::JsonLine);
    shard.meters.handshake(Handshake::Accepted);
    shard.meters.client_bytes_in(body.len());
    // From here on the connection ends with the body, whatever happens.
    let body = AnswerBody::Stream(StreamBody::new(shard, &connection));
    connection.sit(seat);
    shard.sessions.insert(secret, connection.key);
    shard.schedule_connect(&connection, (shard.limits.handshake_ms / 1_000).max(1));
    let id = SessionId { node: shard.policy.node.clone(), shard: shard.index, secret };
    let line = format!("{{\"session\":{{\"id\":\"{id}\"}}}}\n");
    connection.write(shard, &[IoSlice::new(line.as_bytes())]);
    let decoded = json::commands(text);
    let decoded = decoded.map(|command| command.map(|command| credentials.complete(command)));
    commands::perform(shard, &connection, decoded);
    streamed("application/x-ndjson", body)
}

/// What a request's headers say for `connect`, where the command says nothing itself.
#[derive(Debug, Default)]
struct Credentials {
    token: Option<String>,
    traceparent: Option<String>,
}

impl Credentials {
    fn complete(&self, mut command: Command) -> Command {
        if let Body::Connect(body) = &mut command.body {
            body.token = body.token.take().or_else(|| self.token.clone());
            body.tp = body.tp.take().or_else(|| self.traceparent.clone());
        }
        command
    }
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent")?.to_str().ok().map(String::from)
}

/// 128 bits that nobody can guess.
fn secret() -> Option<u128> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Some(u128::from_be_bytes(bytes)),
        Err(error) => {
            error!(%error, "the system gives no random numbers");
            None
        }
    }
}
