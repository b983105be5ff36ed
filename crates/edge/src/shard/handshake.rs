//! From HTTP to a WebSocket (RFC 6455 section 4.2), and the few plain pages beside it.

use super::Shard;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use meridian_proto::{Wire, json, pb};
use sha1::{Digest, Sha1};
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tracing::debug;

/// Where the WebSocket is.
const PATH: &str = "/v1/ws";

/// RFC 6455 section 1.3.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Most request headers: browsers send about 20.
const HEADERS_MAX: usize = 64;

/// A socket after its upgrade.
pub(crate) struct Upgraded {
    pub(crate) stream: TcpStream,
    /// What the client's offer of subprotocols came to. A client cannot read the status of a
    /// refused upgrade, so one with only others is upgraded first and then told by a close code.
    pub(crate) subprotocol: Subprotocol,
    /// What the client sent behind its request.
    pub(crate) ahead: Bytes,
}

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

/// Serves one HTTP request. `Some` if it was an upgrade.
pub(crate) async fn run(shard: &Rc<Shard>, stream: TcpStream) -> Option<Upgraded> {
    let upgrade = Rc::new(RefCell::new(None));
    let service = {
        let (shard, upgrade) = (Rc::clone(shard), Rc::clone(&upgrade));
        service_fn(move |mut request: Request<Incoming>| {
            let response = answer(&shard, &request);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let subprotocol = subprotocol(request.headers());
                *upgrade.borrow_mut() = Some((hyper::upgrade::on(&mut request), subprotocol));
            }
            std::future::ready(Ok::<_, Infallible>(response))
        })
    };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(shard.limits.header_read_ms))
        .max_buf_size(shard.limits.header_bytes_max)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(shard = shard.index, %error, "handshake failed");
        return None;
    }
    let (upgrade, subprotocol) = upgrade.borrow_mut().take()?;
    let parts = upgrade.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    Some(Upgraded { stream: parts.io.into_inner(), subprotocol, ahead: parts.read_buf })
}

fn answer(shard: &Shard, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() == PATH {
        return upgrade(request).unwrap_or_else(refusal);
    }
    let mut response = if request.method() == Method::GET {
        let page = shard.page.answer(request.uri().path());
        let nothing = "nothing here; the WebSocket is at /v1/ws\n";
        page.unwrap_or_else(|| plain(StatusCode::NOT_FOUND, nothing))
    } else {
        plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n")
    };
    // One request a socket: the handshake's deadline bounds it.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

type Refusal = (StatusCode, &'static str);

fn refusal((status, text): Refusal) -> Response<Full<Bytes>> {
    let mut response = plain(status, text);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

fn upgrade(request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
    if request.method() != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "a WebSocket begins with GET\n"));
    }
    if request.version() < Version::HTTP_11 {
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
    let mut response = Response::new(Full::default());
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

fn subprotocol(headers: &HeaderMap) -> Subprotocol {
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

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
