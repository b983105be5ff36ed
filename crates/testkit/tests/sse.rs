//! `GET /v1/sse` with curl as anybody would use it: events with ids to resume after, what ends a
//! stream, and what is refused.

#![allow(clippy::unwrap_used)]

use meridian_testkit::{
    LineStream, NumberedPublisher, RoundRobin, RunningEdge, TestMesh, config_for, curl, eventually,
    with_orders, within,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One event.
#[derive(Debug, Default)]
struct Event {
    id: Option<String>,
    name: String,
    data: Value,
}

/// Reads events as `EventSource` does.
struct Events {
    lines: LineStream,
    /// The id of the last event that had one.
    last_id: String,
}

impl Events {
    fn open(address: SocketAddr, query: &str, options: &[&str]) -> Self {
        let url = format!("http://{address}/v1/sse?{query}");
        let lines = LineStream::start(&[options, &[&url]].concat());
        Self { lines, last_id: String::new() }
    }

    /// Comes back after the last event.
    fn resume(address: SocketAddr, query: &str, last_id: &str) -> Self {
        let header = format!("Last-Event-ID: {last_id}");
        let mut events = Self::open(address, query, &["-H", &header]);
        events.last_id = last_id.into();
        events
    }

    /// The next event; comments and `retry` are passed over. None at the end.
    async fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = self.lines.next().await?;
            match line.split_once(": ") {
                Some(("id", id)) => {
                    self.last_id = id.into();
                    event.id = Some(id.into());
                }
                Some(("event", name)) => event.name = name.into(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                Some(("retry", ms)) => assert!((1_000..=4_000).contains(&ms.parse().unwrap())),
                _ if line.is_empty() && event.data.is_null() => {}
                _ if line.is_empty() => return Some(event),
                _ => assert!(line.starts_with(':'), "{line}"),
            }
        }
    }

    /// The next event of a name; none before it may be a failure.
    async fn next_named(&mut self, name: &str) -> Event {
        within(&format!("the event {name:?}"), async {
            loop {
                let event = self.next().await.unwrap_or_else(|| panic!("the end, before {name}"));
                if event.name == name {
                    return event;
                }
                assert!(!["failure", "close"].contains(&event.name.as_str()), "{event:?}");
            }
        })
        .await
    }

    /// The next message: its number, and the event's id.
    async fn next_number(&mut self) -> (usize, Option<String>) {
        let event = self.next_named("").await;
        (event.data["m"]["d"].as_u64().unwrap() as usize, event.id)
    }
}

/// A second edge of the region, and a balancer before both.
async fn balanced(mesh: &TestMesh) -> (RunningEdge, RoundRobin) {
    let url = mesh.nats.region("eu").unwrap().nats_edge_url();
    let mut config = config_for("eu-2", "eu", &["eu".into()], &url);
    with_orders(&mut config);
    let second = RunningEdge::start(config).await;
    let balancer = RoundRobin::start(vec![mesh.edge("eu").public(), second.public()]).await;
    (second, balancer)
}

/// Opens a stream as soon as the edge knows the durable namespace's stream. Until then the stream
/// ends, and the client comes back.
async fn open_durable(address: SocketAddr, query: &str) -> Events {
    let mut open = None;
    eventually("the edge knows the stream", async || {
        let mut events = Events::open(address, query, &[]);
        while let Some(event) = events.next().await {
            match event.name.as_str() {
                "subscribe" => {
                    open = Some(events);
                    return true;
                }
                "failure" => assert_eq!(event.data["error"]["code"], 202),
                "close" => assert_eq!(event.data["close"]["code"], 3006),
                _ => {}
            }
        }
        false
    })
    .await;
    open.unwrap()
}

#[tokio::test]
async fn events_are_messages_and_everything_else_has_a_name() {
    let mut mesh = TestMesh::one_region(|_| {}).await;
    let nats = mesh.plain_nats("eu").await;
    let address = mesh.edge("eu").public();
    let query = "f=demo.a&f=demo.b.%3E&ping=5";
    let mut streams = Vec::new();
    for option in ["--http1.1", "--http2-prior-knowledge"] {
        let mut events = Events::open(address, query, &[option]);
        let connect = events.next().await.unwrap();
        assert_eq!((connect.name.as_str(), connect.id), ("connect", None));
        assert_eq!(connect.data["connect"]["ping"], 5);
        // The first filter is command 2, the second 3.
        let replies = [events.next_named("subscribe").await, events.next_named("subscribe").await];
        let ids: BTreeSet<u64> =
            replies.iter().map(|reply| reply.data["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, BTreeSet::from([2, 3]));
        streams.push(events);
    }
    nats.publish("demo.a", "{\"n\":\r\n1}".into()).await.unwrap();
    nats.publish("demo.b.c", "two\nlines".into()).await.unwrap();
    for events in &mut streams {
        let first = events.next().await.unwrap();
        assert_eq!((first.name.as_str(), first.id.as_deref()), ("", None), "nothing to resume");
        assert_eq!(first.data["m"]["d"]["n"], 1);
        assert_eq!(events.next().await.unwrap().data["m"]["t"], "two\nlines");
        assert_eq!(events.lines.next_that(|line| line.starts_with(':')).await, ":");
    }
    mesh.edge_mut("eu").drain();
    for events in &mut streams {
        assert_eq!(events.next_named("goaway").await.data["goaway"]["why"], "drain");
        let close = events.next().await.unwrap();
        assert_eq!((close.name.as_str(), &close.data["close"]["code"]), ("close", &3001.into()));
        assert!(events.next().await.is_none(), "nothing follows a close");
    }
    mesh.edge_mut("eu").ended().await;
}

#[tokio::test]
async fn an_exact_filter_resumes_by_last_event_id_at_any_edge() {
    let mesh = TestMesh::durable_one_region().await;
    let (_second, balancer) = balanced(&mesh).await;
    let address = balancer.address();
    let query = "f=orders.a.0&f=demo.x";
    // Both edges have to know the stream, and the balancer gives one stream to each.
    drop((open_durable(address, query).await, open_durable(address, query).await));
    let publisher = NumberedPublisher::start(mesh.plain_nats("eu").await, "orders.a", 1);
    let mut events = open_durable(address, query).await;
    let mut shown = Vec::new();
    for round in 1..=6 {
        while shown.len() < 100 * round {
            let (number, id) = events.next_number().await;
            assert_eq!(id.as_deref(), Some(events.last_id.as_str()), "each message is a position");
            shown.push(number);
        }
        let last_id = events.last_id.clone();
        events.lines.kill().await;
        publisher.publishes(50).await;
        events = Events::resume(address, query, &last_id);
    }
    let published = publisher.stop().await;
    while shown[0] + shown.len() < published {
        shown.push(events.next_number().await.0);
    }
    assert_eq!(shown, (shown[0]..published).collect::<Vec<usize>>());
    assert!(balancer.counts().iter().all(|count| *count >= 3), "{:?}", balancer.counts());
}

#[tokio::test]
async fn a_wildcard_resumes_after_its_mark_and_loses_nothing() {
    let mesh = TestMesh::durable_one_region().await;
    let (_second, balancer) = balanced(&mesh).await;
    let (address, query) = (balancer.address(), "f=orders.a.*");
    drop((open_durable(address, query).await, open_durable(address, query).await));
    let publisher = NumberedPublisher::start(mesh.plain_nats("eu").await, "orders.a", 5);
    let mut events = open_durable(address, query).await;
    let mut shown = BTreeSet::new();
    for _ in 0..3 {
        // A mark has come, and messages beyond it.
        let before = events.last_id.clone();
        let mut beyond = 0;
        while beyond < 50 {
            let event = events.next().await.unwrap();
            match event.name.as_str() {
                "" => {
                    assert_eq!(event.id, None, "a message under a wildcard is no position");
                    shown.insert(event.data["m"]["d"].as_u64().unwrap() as usize);
                    beyond += usize::from(events.last_id != before);
                }
                "pos" | "live" | "subscribe" => assert!(event.id.is_some(), "{event:?}"),
                _ => assert!(event.name == "connect", "{event:?}"),
            }
        }
        let last_id = events.last_id.clone();
        events.lines.kill().await;
        publisher.publishes(50).await;
        events = Events::resume(address, query, &last_id);
    }
    let published = publisher.stop().await;
    let first = *shown.first().unwrap();
    while shown.len() < published - first {
        shown.insert(events.next_number().await.0);
    }
    assert_eq!(shown, (first..published).collect::<BTreeSet<usize>>());
}

#[tokio::test]
async fn what_the_stream_no_longer_has_is_told_as_a_gap_to_resume_after() {
    let mesh = TestMesh::durable_one_region().await;
    let nats = mesh.plain_nats("eu").await;
    let address = mesh.edge("eu").public();
    let mut events = open_durable(address, "f=orders.a").await;
    let start = events.last_id.clone();
    for number in 0..5 {
        nats.publish("orders.a", number.to_string().into()).await.unwrap();
    }
    for _ in 0..5 {
        events.next_number().await;
    }
    events.lines.kill().await;
    mesh.drop_orders_below(&nats, 4).await;

    // The address may say where to begin; the header wins over it.
    let epoch = start.rsplit_once(':').unwrap().0.replace('@', "%40");
    let mut events = Events::open(address, &format!("f=orders.a&after={epoch}:0"), &[]);
    let reply = events.next_named("subscribe").await;
    assert_eq!(reply.data["subscribe"]["recovered"], false);
    let gap = events.next_named("gap").await;
    assert_eq!((&gap.data["gap"]["after"], &gap.data["gap"]["upto"]), (&0.into(), &5.into()));
    assert_eq!(gap.id.as_deref().map(|id| id.ends_with(":5")), Some(true), "{gap:?}");
    let last_id = events.last_id.clone();
    events.lines.kill().await;

    nats.publish("orders.a", "5".into()).await.unwrap();
    let query = format!("f=orders.a&after={epoch}:0");
    let mut events = Events::resume(address, &query, &last_id);
    assert_eq!(events.next_number().await.0, 5, "the gap is told once");

    let mut events = Events::resume(address, "f=orders.a", "OTHER@1:3");
    assert_eq!(events.next_named("gap").await.data["gap"]["why"], "epoch");
    nats.publish("orders.a", "6".into()).await.unwrap();
    assert_eq!(events.next_number().await.0, 6);
}

/// HTTP/2 HEADERS that end a request: GET, http, and a path.
fn get_frame(id: u8, path: &str) -> Vec<u8> {
    let length = path.len() as u8;
    let head = [0, 0, length + 4, 1, 5, 0, 0, 0, id, 0x82, 0x86, 0x04, length];
    [&head[..], path.as_bytes()].concat()
}

/// Reads until a text stands in what came.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    within(text, async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the end, before {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_edge_without_room_lets_the_browser_come_back() {
    let mesh = TestMesh::one_region(|config| config.limits.connections_max = 2).await;
    let mut stream = TcpStream::connect(mesh.edge("eu").public()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    // Streams of one socket count as connections.
    for id in [1, 3] {
        stream.write_all(&get_frame(id, "/v1/sse?f=demo.a")).await.unwrap();
        read_until(&mut stream, "\"subscribe\"").await;
    }
    stream.write_all(&get_frame(5, "/v1/sse?f=demo.a")).await.unwrap();
    read_until(&mut stream, "\"close\":{\"code\":3007").await;
    // And a reset makes room.
    stream.write_all(&[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]).await.unwrap();
    eventually("there is room", async || mesh.edge("eu").number("connections").await == 1).await;
    stream.write_all(&get_frame(7, "/v1/sse?f=demo.a")).await.unwrap();
    read_until(&mut stream, "\"subscribe\"").await;
}

#[tokio::test]
async fn what_can_never_succeed_gets_a_status_so_that_the_browser_stops() {
    let mesh = TestMesh::durable_one_region().await;
    let address = mesh.edge("eu").public();
    drop(open_durable(address, "f=orders.a").await);
    let many: String = (0..101).map(|number| format!("f=demo.{number}&")).collect();
    for (query, header, status) in [
        ("", "", 400),
        ("f=", "", 400),
        ("f=demo.%zz", "", 400),
        ("f=demo..a", "", 400),
        ("f=%3E", "", 400),
        ("f=none.a", "", 404),
        ("f=demo.a&f=demo.a", "", 400),
        ("f=orders.a&f=orders.b", "", 400),
        ("f=orders.a", "x", 400),
        ("f=orders.a&after=1", "", 400),
        ("f=demo.a&ping=soon", "", 400),
        (&many, "", 400),
    ] {
        let url = format!("http://{address}/v1/sse?{query}");
        let answer = curl(&["-H", &format!("Last-Event-ID: {header}"), &url]).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
        let error: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(error["error"]["retry"], false, "{query}: {error}");
    }
    eventually("nothing is left", async || {
        let edge = mesh.edge("eu");
        edge.number("connections").await == 0
    })
    .await;
}
