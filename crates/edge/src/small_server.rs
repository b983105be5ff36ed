//! A small HTTP/1 server: one short request a connection, so many at once, each within its time.
//! For operators and development. Clients do not come here: they have the shards.
//!
//! Called by the admin listener, and by `meridian dev` for the orders of its demo page.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Pause after a failed accept, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a small server spends on its callers.
#[derive(Debug, Clone, Copy)]
pub struct SmallServer {
    /// Requests served at once. Others wait to be accepted.
    pub requests_max: usize,
    /// A request that takes longer is cut.
    pub request_timeout: Duration,
}

impl SmallServer {
    /// Serves until it is dropped. `answer` makes what a request's answer comes from.
    pub async fn run<A, F>(self, listener: TcpListener, answer: A)
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let permits = Arc::new(Semaphore::new(self.requests_max));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    let address = listener.local_addr().ok();
                    warn!(?address, %error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(self.request_timeout)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // A caller that goes away early is nobody's problem.
                drop(timeout(self.request_timeout, served).await);
                drop(permit);
            });
        }
    }
}
