//! The listener by which the demo page kills and revives regions: on loopback, for the pages of
//! this mesh's own edges, with a token that they are told. `meridian edge` has nothing like it.

use super::wishes::{Census, Wishes, server_name};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use meridian_edge::SmallServer;
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A few open pages that ask every second. SIGKILL takes milliseconds, on a busy machine a second.
const SERVER: SmallServer =
    SmallServer { requests_max: 32, request_timeout: Duration::from_secs(10) };

/// 128 bits: nobody guesses it.
const TOKEN_BYTES: usize = 16;

/// How long a browser remembers that it may ask: as long as browsers do at most.
const PREFLIGHT_S: &str = "7200";

type Answer = Response<Full<Bytes>>;

/// One region, as the listener knows it.
#[derive(Debug, Clone)]
pub(super) struct ControlRegion {
    pub(super) name: String,
    /// Ids and public ports of its edges.
    pub(super) edges: Vec<(String, u16)>,
}

/// Serves orders. Shared by the listener's requests, immutable but for the wishes.
pub(super) struct Control {
    pub(super) token: String,
    pub(super) rtt_ms: u64,
    pub(super) regions: Vec<ControlRegion>,
    /// Everybody who keeps processes: edges and nats-servers hear the same.
    pub(super) wishes: Vec<watch::Sender<Wishes>>,
    pub(super) census: Arc<Census>,
}

/// The answer to everything.
#[derive(Serialize)]
struct State<'a> {
    rtt_ms: u64,
    regions: Vec<RegionState<'a>>,
}

#[derive(Serialize)]
struct RegionState<'a> {
    name: &'a str,
    /// Whether it was killed here, and not revived since.
    killed: bool,
    /// Process ids; null for what does not run.
    nats_pid: Option<u32>,
    edges: Vec<EdgeState<'a>>,
}

#[derive(Serialize)]
struct EdgeState<'a> {
    id: &'a str,
    pid: Option<u32>,
}

/// A token of its own for each start.
pub(super) fn new_token() -> String {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Listens on loopback.
///
/// # Errors
/// Those of the system.
pub(super) async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// Serves until it is dropped.
pub(super) async fn run(listener: TcpListener, control: Arc<Control>) {
    let answer = move |request: Request<Incoming>| {
        let control = Arc::clone(&control);
        async move { control.answer(&request).await }
    };
    SERVER.run(listener, answer).await;
}

impl Control {
    async fn answer<B>(&self, request: &Request<B>) -> Answer {
        // A browser tells the origin of a page with everything that this listener serves; what is
        // no browser has none, and needs the token all the same.
        let origin = request.headers().get(header::ORIGIN);
        if origin.is_some_and(|origin| !self.is_ours(origin)) {
            return empty(StatusCode::FORBIDDEN);
        }
        let mut answer = match *request.method() {
            Method::OPTIONS => preflight(),
            _ if !self.is_permitted(request.headers()) => empty(StatusCode::UNAUTHORIZED),
            _ => self.carry_out(request.method(), request.uri().path()).await,
        };
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
        }
        answer
    }

    async fn carry_out(&self, method: &Method, path: &str) -> Answer {
        if path == "/dev/state" && method == Method::GET {
            return self.state();
        }
        let order = path.strip_prefix("/dev/regions/").and_then(|rest| rest.split_once('/'));
        let Some((name, order)) = order else { return empty(StatusCode::NOT_FOUND) };
        let Some(region) = self.regions.iter().find(|region| region.name == name) else {
            return empty(StatusCode::NOT_FOUND);
        };
        if !matches!(order, "kill" | "revive") {
            return empty(StatusCode::NOT_FOUND);
        }
        if method != Method::POST {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        for wishes in &self.wishes {
            wishes.send_modify(|wishes| match order {
                "kill" => drop(wishes.dead.insert(name.to_owned())),
                _ => drop(wishes.dead.remove(name)),
            });
        }
        if order == "kill" {
            let edges = region.edges.iter().map(|(id, _)| id.clone());
            let processes: Vec<String> = edges.chain([server_name(name)]).collect();
            self.census.all_gone(&processes).await;
        }
        self.state()
    }

    fn state(&self) -> Answer {
        let wishes = self.wishes.first().map(|wishes| wishes.borrow().clone());
        let is_killed = |name: &str| wishes.iter().any(|wishes| wishes.dead.contains(name));
        let regions = self.regions.iter().map(|region| RegionState {
            name: &region.name,
            killed: is_killed(&region.name),
            nats_pid: self.census.pid(&server_name(&region.name)),
            edges: region
                .edges
                .iter()
                .map(|(id, _)| EdgeState { id, pid: self.census.pid(id) })
                .collect(),
        });
        let state = State { rtt_ms: self.rtt_ms, regions: regions.collect() };
        let body = serde_json::to_vec(&state).expect("names and numbers serialize");
        let mut answer = Response::new(Full::from(body));
        let content_type = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
        answer
    }

    /// Whether this is the origin of a page that one of our edges serves.
    fn is_ours(&self, origin: &HeaderValue) -> bool {
        let mut ports = self.regions.iter().flat_map(|region| &region.edges);
        ports.any(|(_, port)| {
            ["127.0.0.1", "localhost"].iter().any(|host| *origin == format!("http://{host}:{port}"))
        })
    }

    fn is_permitted(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let wanted = format!("Bearer {}", self.token);
        // As long for a good beginning as for a bad one.
        given.is_some_and(|given| {
            given.len() == wanted.len()
                && given.iter().zip(wanted.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
        })
    }
}

fn preflight() -> Answer {
    let mut answer = empty(StatusCode::NO_CONTENT);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> (Control, watch::Receiver<Wishes>) {
        let wishes = watch::Sender::new(Wishes::default());
        let heard = wishes.subscribe();
        let region = |name: &str, port| ControlRegion {
            name: name.into(),
            edges: vec![(format!("{name}-1"), port)],
        };
        let control = Control {
            token: "secret".into(),
            rtt_ms: 80,
            regions: vec![region("eu", 7410), region("us", 7510)],
            wishes: vec![wishes],
            census: Arc::new(Census::new()),
        };
        (control, heard)
    }

    async fn ask(
        control: &Control,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        control.answer(&request.body(()).unwrap()).await
    }

    const TOKEN: (&str, &str) = ("authorization", "Bearer secret");
    const OURS: (&str, &str) = ("origin", "http://localhost:7510");

    #[tokio::test]
    async fn orders_need_the_token_and_a_page_of_this_mesh() {
        let (control, heard) = control();
        let kill = ("POST", "/dev/regions/eu/kill");
        let theirs = ("origin", "http://localhost:7410.example.com");
        for (headers, status) in [
            (&[][..], 401),
            (&[OURS], 401),
            (&[OURS, ("authorization", "Bearer secreT")], 401),
            (&[OURS, ("authorization", "secret")], 401),
            (&[theirs, TOKEN], 403),
            (&[("origin", "null"), TOKEN], 403),
        ] {
            let answer = ask(&control, kill, headers).await;
            assert_eq!(answer.status(), status, "{headers:?}");
            assert!(answer.headers().get("access-control-allow-origin").is_none() || status == 401);
        }
        assert!(heard.borrow().dead.is_empty());
        assert_eq!(ask(&control, kill, &[OURS, TOKEN]).await.status(), 200);
        assert!(heard.borrow().dead.contains("eu"));
        assert_eq!(ask(&control, ("POST", "/dev/regions/eu/revive"), &[TOKEN]).await.status(), 200);
        assert!(heard.borrow().dead.is_empty());
    }

    #[tokio::test]
    async fn only_what_is_there_can_be_killed_and_only_by_post() {
        let (control, heard) = control();
        for (request, status) in [
            (("POST", "/dev/regions/ap/kill"), 404),
            (("POST", "/dev/regions/eu/drain"), 404),
            (("POST", "/dev/regions/eu"), 404),
            (("GET", "/dev/regions/eu/kill"), 405),
            (("GET", "/"), 404),
            (("GET", "/dev/state"), 200),
        ] {
            assert_eq!(ask(&control, request, &[TOKEN]).await.status(), status, "{request:?}");
        }
        assert!(heard.borrow().dead.is_empty());
    }

    #[tokio::test]
    async fn a_browser_may_ask_beforehand_from_our_pages_only() {
        let (control, _heard) = control();
        let ours = ask(&control, ("OPTIONS", "/dev/state"), &[OURS]).await;
        assert_eq!(
            (ours.status(), &ours.headers()["access-control-allow-origin"]),
            (StatusCode::NO_CONTENT, &HeaderValue::from_static(OURS.1))
        );
        let theirs = [("origin", "https://example.com")];
        assert_eq!(ask(&control, ("OPTIONS", "/dev/state"), &theirs).await.status(), 403);
    }

    #[test]
    fn tokens_differ_and_are_long() {
        assert_eq!(new_token().len(), 2 * TOKEN_BYTES);
        assert_ne!(new_token(), new_token());
    }
}
