//! `meridian nats-exporter`: shows nats-servers to Prometheus. No exporter exists in the registries
//! that a mesh may be built from, and dashboards need gateways and JetStream.
//!
//! Asks the servers when it is asked; keeps nothing.

mod families;

use crate::exit::{Error, Exit};
use crate::signals::Signals;
use crate::terminal::talk;
use bytes::Bytes;
use families::Seen;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use meridian_edge::SmallServer;
use meridian_local::http_get;
use meridian_telemetry::metrics::prometheus;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Prometheus, and a person now and then.
const SERVER: SmallServer =
    SmallServer { requests_max: 16, request_timeout: Duration::from_secs(10) };

/// Show nats-servers to Prometheus, at /metrics.
///
/// Reads /varz, /gatewayz and /jsz of each server's monitor, which nobody else should reach. Run
/// one beside the servers of a region.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A server's monitor; several times for several servers.
    #[arg(long = "server", value_name = "HOST:PORT", default_value = "127.0.0.1:8222")]
    servers: Vec<String>,
    /// Where Prometheus comes to.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8223")]
    listen: SocketAddr,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    for server in &arguments.servers {
        let port = server.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() || server.contains('/') {
            return Err(Error::Usage(format!("--server {server}: is HOST:PORT of a monitor")));
        }
    }
    let listener = TcpListener::bind(arguments.listen).await.map_err(Error::Runtime)?;
    let address = listener.local_addr().map_err(Error::Runtime)?;
    talk(&format!("nats-servers at http://{address}/metrics"));
    let servers = Arc::new(arguments.servers);
    let serving = SERVER.run(listener, move |request| {
        let (servers, path) = (Arc::clone(&servers), request.uri().path().to_owned());
        async move { answer(&path, &servers).await }
    });
    tokio::select! { biased;
        // Ends the process, which keeps nothing.
        () = signals.recv() => {}
        () = serving => {}
    }
    Ok(Exit::Ok)
}

async fn answer(path: &str, servers: &[String]) -> Response<Full<Bytes>> {
    if path != "/metrics" {
        let mut response = Response::new(Full::from("here is /metrics\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let mut asked = JoinSet::new();
    for server in servers.iter().cloned() {
        asked.spawn(look(server));
    }
    let mut seen = asked.join_all().await;
    seen.sort_by(|one, other| one.address.cmp(&other.address));
    let mut response = Response::new(Full::from(prometheus::text(&families::snapshot(&seen))));
    let content_type = HeaderValue::from_static(prometheus::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Asks one server. What does not answer is not there.
async fn look(address: String) -> Seen {
    let ask = async |path| {
        let response = http_get(address.as_str(), path).await.ok()?;
        let body: Option<Value> = serde_json::from_slice(&response.body).ok();
        body.filter(|_| response.status == 200)
    };
    let varz = ask("/varz").await;
    if varz.is_none() {
        return Seen { address, ..Seen::default() };
    }
    let (gatewayz, jsz) = (ask("/gatewayz").await, ask("/jsz").await);
    Seen { address, varz, gatewayz, jsz }
}
