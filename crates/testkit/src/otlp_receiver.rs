//! A receiver of OTLP traces: protobuf over gRPC (HTTP/2) or over HTTP/1.1, real sockets, and what
//! it was sent. It can be killed.

use bytes::{Buf, Bytes};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otlp {
    Grpc,
    Http,
}

/// A span as it was received.
#[derive(Debug, Clone)]
pub struct StoredSpan {
    pub trace_id: String,
    pub span_id: String,
    /// Empty at a root.
    pub parent: String,
    pub name: String,
    pub start_ns: u64,
    pub end_ns: u64,
    pub is_error: bool,
    pub tracestate: String,
    pub attributes: BTreeMap<String, String>,
    /// Who sent it.
    pub resource: BTreeMap<String, String>,
}

impl StoredSpan {
    pub fn duration_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// Owned by its test; the sockets end with it, or when it is killed.
pub struct OtlpReceiver {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<StoredSpan>>>,
    serving: JoinSet<()>,
}

impl OtlpReceiver {
    pub async fn start(otlp: Otlp) -> Self {
        Self::start_at(otlp, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens at the address of one that was killed.
    pub async fn start_at(otlp: Otlp, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(otlp, listener, Arc::clone(&spans)));
        Self { address, spans, serving }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything received so far.
    pub fn spans(&self) -> Vec<StoredSpan> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of a trace.
    pub fn trace(&self, trace_id: &str) -> Vec<StoredSpan> {
        self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect()
    }

    /// Ends every socket, the listener's among them.
    pub async fn kill(mut self) {
        self.serving.shutdown().await;
    }
}

async fn serve(otlp: Otlp, listener: TcpListener, spans: Arc<Mutex<Vec<StoredSpan>>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (io, spans) = (TokioIo::new(stream), Arc::clone(&spans));
        let answer = service_fn(move |request| answer(otlp, Arc::clone(&spans), request));
        connections.spawn(async move {
            // How a connection ends is the exporter's business.
            match otlp {
                Otlp::Grpc => {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(io, answer).await;
                }
                Otlp::Http => {
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(io, answer).await;
                }
            }
        });
    }
}

type Body = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn answer(
    otlp: Otlp,
    spans: Arc<Mutex<Vec<StoredSpan>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body().collect().await?.to_bytes();
    let (expected, content_type) = match otlp {
        Otlp::Grpc => {
            // A message of gRPC: one byte says whether it is compressed, four how long it is.
            assert_eq!(body.get_u8(), 0, "not compressed");
            assert_eq!(body.get_u32() as usize, body.len(), "one message");
            let service = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
            (service, "application/grpc")
        }
        Otlp::Http => ("/v1/traces", "application/x-protobuf"),
    };
    assert_eq!(path, expected);
    let export = ExportTraceServiceRequest::decode(body).unwrap();
    spans.lock().unwrap().extend(stored(export));
    // The answer is an empty message.
    let frames = match otlp {
        Otlp::Grpc => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            vec![Ok(Frame::data(Bytes::from_static(&[0; 5]))), Ok(Frame::trailers(trailers))]
        }
        Otlp::Http => Vec::new(),
    };
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert("content-type", content_type.parse().unwrap());
    Ok(response)
}

fn stored(export: ExportTraceServiceRequest) -> Vec<StoredSpan> {
    let mut all = Vec::new();
    for of_resource in export.resource_spans {
        let resource = texts(&of_resource.resource.unwrap_or_default().attributes);
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        all.extend(spans.map(|span| one(span, resource.clone())));
    }
    all
}

fn one(span: Span, resource: BTreeMap<String, String>) -> StoredSpan {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    StoredSpan {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        is_error: span.status.is_some_and(|status| status.code == 2),
        tracestate: span.trace_state,
        attributes: texts(&span.attributes),
        name: span.name,
        resource,
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &any_value::Value| match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter().filter_map(|pair| {
        let value = pair.value.as_ref()?.value.as_ref()?;
        Some((pair.key.clone(), text(value)))
    });
    pairs.collect()
}
