//! The admin listener: `/healthz` (the process lives), `/readyz` (clients may come), `/stats`, and
//! `/metrics` for Prometheus.
//! Unauthenticated and for operators only; by default on loopback.

use crate::copies::CopiesReport;
use crate::metrics::Metrics;
use crate::shard::{Orders, Report};
use crate::small_server::SmallServer;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use meridian_telemetry::metrics::prometheus;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::warn;

/// Probes and a few operators.
const SERVER: SmallServer =
    SmallServer { requests_max: 64, request_timeout: Duration::from_secs(5) };

/// What the listener looks at.
#[derive(Clone)]
pub(crate) struct Admin {
    reports: Vec<Arc<Report>>,
    orders: watch::Receiver<Orders>,
    copies: watch::Receiver<CopiesReport>,
    metrics: Metrics,
}

/// Serves until the edge ends.
pub(crate) async fn run(listener: std::net::TcpListener, admin: Admin) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "admin listener cannot start"),
    };
    let answer = move |request| std::future::ready(admin.answer(&request));
    SERVER.run(listener, answer).await;
}

impl Admin {
    pub(crate) fn new(
        reports: Vec<Arc<Report>>,
        orders: watch::Receiver<Orders>,
        copies: watch::Receiver<CopiesReport>,
        metrics: Metrics,
    ) -> Self {
        Self { reports, orders, copies, metrics }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/stats" => self.stats(),
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "here are /healthz, /readyz, /stats and /metrics\n"),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        if self.orders.borrow().drain.is_some() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        if self.orders.borrow().moving.is_some() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "clients are sent elsewhere\n");
        }
        if !self.reports.iter().all(|report| report.is_nats_connected()) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no connection to NATS\n");
        }
        text(StatusCode::OK, "ready\n")
    }

    fn stats(&self) -> Response<Full<Bytes>> {
        let numbers: crate::shard::Numbers =
            self.reports.iter().map(|report| report.numbers()).sum();
        let copies = self.copies.borrow().clone();
        let body = serde_json::json!({
            "nats_connected": self.reports.iter().all(|report| report.is_nats_connected()),
            "degraded": self.orders.borrow().mesh.degraded,
            "namespaces": copies.namespaces,
            "meta_leader": copies.meta_leader,
            "moving": self.orders.borrow().moving.is_some(),
            "draining": self.orders.borrow().drain.is_some(),
            "numbers": numbers,
        });
        let mut response = Response::new(Full::from(format!("{body}\n")));
        let content_type = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let body = prometheus::text(&self.metrics.snapshot());
        let mut response = Response::new(Full::from(body));
        let content_type = HeaderValue::from_static(prometheus::CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
