//! From HTTP to a WebSocket: is a request a good upgrade (RFC 6455 section 4.2), and what is the
//! answer. `http` calls it.

use super::http::{Answer, plain};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use meridian_proto::{Wire, json, pb};
use sha1::{Digest, Sha1};

/// Where the WebSocket is.
pub(super) const PATH: &str = "/v1/ws";

/// RFC 6455 section 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client's offer of subprotocols came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subprotocol {
    /// None was offered: JSON, and no answer about it.
    Unasked,
    /// The first in the client's order of preference that is served.
    Agreed(Wire),
    /// Only others were offered.
    Unserved,
}

/// The subprotocols that are served, and what they put on a connection.
const SERVED: [(&str, Wire); 2] =
    [(json::SUBPROTOCOL, Wire::JsonText), (pb::SUBPROTOCOL, Wire::PbBinary)];

impl Subprotocol {
    /// How items are put on the connection. Who is only told that nothing is served gets a close
    /// frame, which is the same on each.
    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::Agreed(wire) => wire,
            Self::Unasked | Self::Unserved => Wire::JsonText,
        }
    }

    /// The name to answer with.
    fn name(self) -> Option<&'static str> {
        let Self::Agreed(agreed) = self else { return None };
        SERVED.into_iter().find(|(_, wire)| *wire == agreed).map(|(name, _)| name)
    }
}

type Refusal = (StatusCode, &'static str);

/// The answer to what is no good upgrade.
pub(super) fn refusal((status, text): Refusal) -> Answer {
    let mut response = plain(status, text);
    let headers = response.headers_mut();
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

/// The answer to an upgrade, or why it is none.
pub(super) fn upgrade(request: &Request<Incoming>) -> Result<Answer, Refusal> {
    if request.method() != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "a WebSocket begins with GET\n"));
    }
    if request.version() != Version::HTTP_11 {
        return Err((StatusCode::HTTP_VERSION_NOT_SUPPORTED, "a WebSocket needs HTTP/1.1\n"));
    }
    let headers = request.headers();
    let names = |name, token| has_token(headers, name, token);
    if !names(header::CONNECTION, "upgrade") || !names(header::UPGRADE, "websocket") {
        return Err((StatusCode::UPGRADE_REQUIRED, "this is a WebSocket endpoint\n"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is served\n"));
    }
    // RFC 6455 sections 11.3.1 and 11.3.5: neither may appear twice.
    let is_repeated = |name| headers.get_all(name).iter().count() > 1;
    if is_repeated(header::SEC_WEBSOCKET_VERSION) || is_repeated(header::SEC_WEBSOCKET_KEY) {
        return Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Version or -Key appears twice\n"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16));
    let Some(key) = key else {
        return Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes of base64\n"));
    };
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize());
    let accept = HeaderValue::from_str(&accept).expect("base64 is a header value");
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(name) = subprotocol(headers).name() {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    Ok(response)
}

/// What a client's offer comes to.
pub(super) fn subprotocol(headers: &HeaderMap) -> Subprotocol {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Subprotocol::Unasked;
    }
    let mut offered = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL);
    let served = offered
        .find_map(|offer| SERVED.into_iter().find(|(name, _)| offer.eq_ignore_ascii_case(name)));
    served.map_or(Subprotocol::Unserved, |(_, wire)| Subprotocol::Agreed(wire))
}

/// Whether a comma-separated header holds a token, ignoring case.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|part| part.eq_ignore_ascii_case(token))
}

/// The tokens of a comma-separated header, in order.
fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}
