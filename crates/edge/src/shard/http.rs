//! HTTP on the public listener: HTTP/1.1 and HTTP/2 on the same port, with TLS or without, and
//! which path leads where.
//!
//! Called by `accept` for every socket. What comes back is a WebSocket, or nothing: everything else
//! is served in here to its end.

mod answer;
mod body;
mod cmd;
mod origin;
mod presented;
mod query;
mod socket;
mod sse;
mod stream;
mod transport;

pub(crate) use answer::{Answer, plain};
pub(crate) use cmd::Envelope;
pub(crate) use origin::Origins;
pub(crate) use presented::Ways;
pub(crate) use socket::{HttpSocket, Streaming};
pub(crate) use transport::Transport;

use super::Shard;
use super::handshake::{self, Subprotocol};
use crate::parties::{NoSeat, Seat};
use answer::{AnswerBody, failure};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use meridian_core::{Limit, Pressure};
use meridian_proto::ErrorCode;
use meridian_proto::item::Failure;
use meridian_proto::limits::MESSAGE_ASSEMBLY_MS_MAX;
use meridian_telemetry::metrics::labels::Handshake;
use socket::IsStream;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;
use tracing::debug;
use transport::{Http, Opened};

/// Where the transports beside the WebSocket are.
const STREAM: &str = "/v1/stream";
const CMD: &str = "/v1/cmd";
const SSE: &str = "/v1/sse";

/// When a client that finds the edge full should come back, in s.
const AFTER_FULL_S: u64 = 5;

/// Most request headers: browsers send about 20.
const HEADERS_MAX: usize = 64;

/// Streams of one HTTP/2 socket at once: what browsers are used to, and all that a socket may cost
/// is so many times what a stream may.
const HTTP2_STREAMS_MAX: u32 = 100;

/// Bytes of one request body that may come before they are read, and of a socket's in all. Bodies
/// are commands, which are small.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_SOCKET_WINDOW: u32 = 256 * 1024;

/// Bytes of one response that HTTP/2 holds beside the connection's outbox.
const HTTP2_SEND_BYTES_MAX: usize = 16 * 1024;

/// Streams that a client may open and reset before the edge has looked at them. Beyond it the
/// socket ends: this is the attack CVE-2023-44487.
const HTTP2_RESETS_MAX: usize = 20;

/// How often an HTTP/2 socket is asked whether it lives, and how long it may take to answer.
const HTTP2_PING: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A socket after its upgrade to a WebSocket.
pub(crate) struct Upgraded {
    pub(crate) transport: Transport,
    /// Whether the client offers a subprotocol that is served. A client cannot read the status of
    /// a refused upgrade, so others are upgraded first and then told by a close code.
    pub(crate) subprotocol: Subprotocol,
    /// A page that may not, which is told the same way.
    pub(crate) is_foreign: bool,
    /// A token that the request carries.
    pub(crate) token: Option<String>,
    /// What the client sent behind its request.
    pub(crate) ahead: Bytes,
}

/// Serves a socket's requests. `Some` if one was an upgrade.
pub(crate) async fn serve(
    shard: &Rc<Shard>,
    socket: &Rc<HttpSocket>,
    transport: Transport,
) -> Option<Upgraded> {
    let limits = &shard.limits;
    let patience = Duration::from_millis(limits.header_read_ms.min(limits.handshake_ms));
    let Ok(opened) = timeout(patience, transport::open(transport)).await else {
        shard.meters.handshake(Handshake::Slow);
        shard.counters.add_limit(Limit::HandshakeTime);
        return None;
    };
    let opened = opened?;
    match opened.http {
        Http::One => serve_one(shard, socket, opened).await,
        Http::Two => {
            serve_two(shard, socket, opened).await;
            None
        }
    }
}

/// HTTP/1.1, which may become a WebSocket.
async fn serve_one(shard: &Rc<Shard>, socket: &Rc<HttpSocket>, opened: Opened) -> Option<Upgraded> {
    let upgrade = Rc::new(RefCell::new(None));
    let service = {
        let (shard, socket, upgrade) = (Rc::clone(shard), Rc::clone(socket), Rc::clone(&upgrade));
        service_fn(move |mut request: Request<Incoming>| {
            let (shard, socket, upgrade) =
                (Rc::clone(&shard), Rc::clone(&socket), Rc::clone(&upgrade));
            async move {
                if request.uri().path() == handshake::PATH
                    && let Ok(response) = handshake::upgrade(&request)
                {
                    if let Err(refused) = socket.seat_upgrade(request.headers()) {
                        return Ok(shard.refuse_seat(refused));
                    }
                    let subprotocol = handshake::subprotocol(request.headers());
                    let verdict = shard.origins.judge(&request);
                    let is_foreign = verdict == origin::Verdict::Refused;
                    let token = shard.ways.token(&request, &verdict).filter(|_| !is_foreign);
                    let on = hyper::upgrade::on(&mut request);
                    *upgrade.borrow_mut() = Some((on, subprotocol, is_foreign, token));
                    return Ok(response);
                }
                Ok::<_, Infallible>(answer(&shard, &socket, request).await)
            }
        })
    };
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // Counts from the end of the last request, and so bounds an idle socket too.
        .header_read_timeout(Duration::from_millis(shard.limits.header_read_ms))
        .max_buf_size(shard.limits.header_bytes_max)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(opened.stream), service)
        .with_upgrades();
    let mut serving = Box::pin(serving);
    socket.run(serving.as_mut(), |serving| serving.graceful_shutdown()).await;
    drop(serving);
    let (upgrade, subprotocol, is_foreign, token) = upgrade.borrow_mut().take()?;
    let parts = upgrade.await.ok()?.downcast::<TokioIo<transport::Stream>>().ok()?;
    let (transport, read) = parts.io.into_inner().into_parts();
    // hyper has read everything that was read before it.
    debug_assert!(read.is_empty(), "the beginning was taken first");
    Some(Upgraded { transport, subprotocol, is_foreign, token, ahead: parts.read_buf })
}

/// HTTP/2: many requests at once.
async fn serve_two(shard: &Rc<Shard>, socket: &Rc<HttpSocket>, opened: Opened) {
    let service = {
        let (shard, socket) = (Rc::clone(shard), Rc::clone(socket));
        service_fn(move |request: Request<Incoming>| {
            let (shard, socket) = (Rc::clone(&shard), Rc::clone(&socket));
            async move { Ok::<_, Infallible>(answer(&shard, &socket, request).await) }
        })
    };
    let serving = hyper::server::conn::http2::Builder::new(LocalTasks)
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_SOCKET_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BYTES_MAX)
        .max_header_list_size(shard.limits.header_bytes_max as u32)
        .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .serve_connection(TokioIo::new(opened.stream), service);
    let mut serving = Box::pin(serving);
    socket.run(serving.as_mut(), |serving| serving.graceful_shutdown()).await;
}

/// Runs what HTTP/2 needs run on the shard's own thread.
#[derive(Debug, Clone, Copy)]
struct LocalTasks;

impl<F> hyper::rt::Executor<F> for LocalTasks
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Answers one request that is no upgrade.
async fn answer(shard: &Rc<Shard>, socket: &Rc<HttpSocket>, request: Request<Incoming>) -> Answer {
    let version = request.version();
    debug!(shard = shard.index, method = %request.method(), path = request.uri().path(), "request");
    let busy = socket.begin();
    let mut answer = route(shard, socket, request).await;
    drop(busy);
    let is_refusal = answer.status().is_client_error() || answer.status().is_server_error();
    if is_refusal && version < Version::HTTP_2 {
        // Whoever sends what is not served gets no second try on this socket.
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn route(shard: &Rc<Shard>, socket: &Rc<HttpSocket>, request: Request<Incoming>) -> Answer {
    let method = match request.uri().path() {
        // A good upgrade does not come here.
        handshake::PATH => {
            shard.meters.handshake(Handshake::Refused);
            return handshake::upgrade(&request).unwrap_or_else(handshake::refusal);
        }
        STREAM | CMD => Method::POST,
        SSE => Method::GET,
        _ => return page(shard, &request),
    };
    let verdict = shard.origins.judge(&request);
    if verdict == origin::Verdict::Refused {
        shard.meters.handshake(Handshake::Origin);
        return origin::refusal();
    }
    let token = shard.ways.token(&request, &verdict);
    let mut answer = if request.method() == Method::OPTIONS {
        origin::preflight(if method == Method::GET { "GET" } else { "POST" })
    } else if *request.method() == method {
        match request.uri().path() {
            STREAM => stream::answer(shard, socket, request, token).await,
            CMD => cmd::answer(shard, socket, request).await,
            _ => sse::answer(shard, socket, &request, token).await,
        }
    } else {
        plain(StatusCode::METHOD_NOT_ALLOWED, "another method is served here\n")
    };
    verdict.mark(&mut answer, shard.ways.has_cookie());
    answer
}

/// Reads a request's body, of at most so many bytes.
///
/// # Errors
/// The answer to a body that is too large, too slow or broken.
async fn request_body(
    socket: &HttpSocket,
    body: Incoming,
    bytes_max: usize,
) -> Result<Bytes, (StatusCode, Failure)> {
    let patience = Duration::from_millis(MESSAGE_ASSEMBLY_MS_MAX);
    let collected = timeout(patience, async {
        let _turn = socket.bodies.acquire().await;
        Limited::new(body, bytes_max).collect().await
    });
    let collected = collected.await;
    let refuse = |status, code, what| Err((status, Failure::new(code, what)));
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let what = "the body is larger than limits.frame";
            refuse(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge, what)
        }
        Ok(Err(_)) => refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, "the body is broken"),
        Err(_) => {
            let what = "the body took too long";
            refuse(StatusCode::REQUEST_TIMEOUT, ErrorCode::BadRequest, what)
        }
    }
}

/// A response that goes on.
fn streamed(content_type: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Answer::new(body);
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // nginx would gather what must leave at once.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

impl Shard {
    /// Room for a stream, as its place among those of its client's address, or the answer to it.
    fn admit_stream(
        &self,
        socket: &HttpSocket,
        headers: &HeaderMap,
    ) -> Result<Option<Seat>, Box<Answer>> {
        let held = self.connections.borrow().len() + self.handshakes.get();
        // A socket that counts as a handshake becomes the connection.
        let held = held - usize::from(!socket.has_streams());
        let limit = if self.is_ending.get() || held >= self.limits.connections_max {
            Limit::Connections
        } else if self.memory.get().pressure() >= Pressure::Refuse {
            Limit::Memory
        } else {
            let seat = socket.seat_request(headers, IsStream::Yes);
            return seat.map_err(|refused| Box::new(self.refuse_seat(refused)));
        };
        self.meters.handshake(Handshake::Full);
        self.counters.add_limit(limit);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Err(Box::new(later(status, "this edge is full, or ends", AFTER_FULL_S)))
    }

    /// The answer to a client whose address has its share.
    fn refuse_seat(&self, NoSeat { limit, after_s }: NoSeat) -> Answer {
        self.counters.add_limit(limit);
        let msg = "too many connections of your address";
        let mut answer = later(StatusCode::TOO_MANY_REQUESTS, msg, after_s.max(1));
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        answer
    }
}

/// A refusal for now.
fn later(status: StatusCode, msg: &str, after_s: u64) -> Answer {
    let refused = Failure::new(ErrorCode::TooManyRequests, msg);
    let mut answer = failure(status, Failure { after_ms: Some(after_s * 1_000), ..refused });
    answer.headers_mut().insert(header::RETRY_AFTER, after_s.into());
    answer
}

/// A file, or that there is none.
fn page(shard: &Shard, request: &Request<Incoming>) -> Answer {
    let is_head = request.method() == Method::HEAD;
    if request.method() != Method::GET && !is_head {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
    }
    let Some(mut file) = shard.page.answer(request.uri().path(), request.headers()) else {
        return plain(StatusCode::NOT_FOUND, "nothing here; the WebSocket is at /v1/ws\n");
    };
    if is_head {
        let length = std::mem::take(file.body_mut()).len();
        file.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    file.map(Into::into)
}
