//! `POST /v1/cmd`: commands for a stream that stands, wherever it stands.

use super::answer::{Answer, empty, failure};
use super::{HttpSocket, request_body};
use crate::shard::Shard;
use crate::shard::forward::ForwardFailure;
use crate::shard::sessions::{Delivery, SessionId};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use meridian_proto::ErrorCode;
use meridian_proto::item::Failure;
use serde::Deserialize;
use std::rc::Rc;

/// Most bytes of the first line: an id, a number, and room.
const ENVELOPE_BYTES_MAX: usize = 256;

/// After so many ms a client that was refused for the moment may try again.
const RETRY_MS: u64 = 500;

/// The first line of a request: whose commands follow, and in which order they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) session: SessionId,
    /// From 1, one more for each request of the session.
    pub(crate) number: u64,
}

/// The line's spelling.
#[derive(Deserialize)]
struct EnvelopeLine<'a> {
    session: &'a str,
    seq: u64,
}

impl Envelope {
    /// Reads a request: the envelope, and the lines behind it.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(crate) fn parse(request: &[u8]) -> Result<(Self, &str), &'static str> {
        let text = std::str::from_utf8(request).map_err(|_| "the body is not UTF-8")?;
        let (line, commands) = text.split_once('\n').unwrap_or((text, ""));
        if line.len() > ENVELOPE_BYTES_MAX {
            return Err("the first line is too long");
        }
        let line: EnvelopeLine<'_> = serde_json::from_str(line)
            .map_err(|_| "the first line is not {\"session\":\"…\",\"seq\":1}")?;
        if line.seq == 0 {
            return Err("seq counts from 1");
        }
        Ok((Self { session: line.session.parse()?, number: line.seq }, commands))
    }
}

/// Answers the request.
pub(super) async fn answer(
    shard: &Rc<Shard>,
    socket: &Rc<HttpSocket>,
    request: Request<Incoming>,
) -> Answer {
    let bytes_max = shard.limits.guard.message_bytes_max as usize + ENVELOPE_BYTES_MAX;
    let body = match request_body(socket, request.into_body(), bytes_max).await {
        Ok(body) => body,
        Err((status, refused)) => return failure(status, refused),
    };
    shard.meters.client_bytes_in(body.len());
    let (envelope, commands) = match Envelope::parse(&body) {
        Ok(parsed) => parsed,
        Err(what) => {
            let refused = Failure::new(ErrorCode::BadRequest, what);
            return failure(StatusCode::BAD_REQUEST, refused);
        }
    };
    let delivered = if shard.owns(&envelope.session) {
        Ok(shard.deliver_commands(envelope.session.secret, envelope.number, commands))
    } else {
        shard.forward(&envelope.session, &body).await
    };
    match delivered {
        Ok(delivery) => delivered_answer(delivery),
        Err(why) => undelivered_answer(why),
    }
}

fn delivered_answer(delivery: Delivery) -> Answer {
    match delivery {
        Delivery::Taken => empty(StatusCode::NO_CONTENT),
        Delivery::Kept => empty(StatusCode::ACCEPTED),
        Delivery::TooFarAhead => {
            let msg = "too many requests wait for one that is missing";
            let refused = later(ErrorCode::TooManyRequests, msg).hint("send the missing one first");
            failure(StatusCode::CONFLICT, refused)
        }
        Delivery::Gone => {
            let gone = Failure::new(ErrorCode::Unauthorized, "there is no such stream");
            failure(StatusCode::NOT_FOUND, gone.hint("open a new one with POST /v1/stream"))
        }
    }
}

fn undelivered_answer(why: ForwardFailure) -> Answer {
    let (status, code, msg) = match why {
        ForwardFailure::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::TooManyRequests,
            "too many commands are on their way to other edges",
        ),
        ForwardFailure::Unreachable => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::RegionUnreachable,
            "this edge has lost its NATS servers",
        ),
        ForwardFailure::NoOwner => (
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::NoResponders,
            "the edge that holds the stream is not there",
        ),
        ForwardFailure::Late => (
            StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::UpstreamTimeout,
            "the edge that holds the stream did not answer in time",
        ),
        ForwardFailure::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::PayloadTooLarge,
            "more bytes than the NATS servers take",
        ),
    };
    if why == ForwardFailure::TooLarge {
        return failure(status, Failure::new(code, msg));
    }
    let hint = "send it again with the same seq; if that goes on, open a new stream";
    failure(status, later(code, msg).hint(hint))
}

fn later(code: ErrorCode, msg: &str) -> Failure {
    Failure { retry: true, after_ms: Some(RETRY_MS), ..Failure::new(code, msg) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_one_line_before_the_commands() {
        let id = format!("eu-1.0.{}", "5".repeat(32));
        let request = format!("{{\"session\":\"{id}\",\"seq\":7}}\n{{\"id\":1}}\n{{}}\n");
        let (envelope, commands) = Envelope::parse(request.as_bytes()).unwrap();
        assert_eq!((envelope.session.to_string(), envelope.number), (id.clone(), 7));
        assert_eq!(commands, "{\"id\":1}\n{}\n");
        for wrong in [
            String::new(),
            "{}".into(),
            format!("{{\"session\":\"{id}\"}}"),
            format!("{{\"session\":\"{id}\",\"seq\":0}}"),
            format!("{{\"session\":\"{id}\",\"seq\":-1}}"),
            format!("{{\"session\":\"{id}x\",\"seq\":1}}"),
            format!("{{\"session\":\"{id}\",\"seq\":1{}}}", " ".repeat(256)),
        ] {
            assert!(Envelope::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Envelope::parse(b"\xff").is_err());
    }
}
