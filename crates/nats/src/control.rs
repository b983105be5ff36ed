//! The control connection: async-nats for what is rare and needs no speed.
//!
//! Used by the edge's main thread for the heartbeats between regions. Nothing that a browser
//! receives comes this way. async-nats keeps the connection up by itself; this wrapper gives it the
//! mesh's reconnect policy and keeps its types out of the other crates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Event;
use async_nats::connection::State;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use tracing::{debug, info, warn};

use crate::backoff::jittered_ms;
use crate::defaults;
use crate::error::Error;
use crate::server_url::{Credentials, ServerUrl};
use crate::wire_text::{Wildcards, check_subject};

/// What a control connection is made with.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// The region's servers, the preferred one first. They must share their credentials.
    pub servers: Vec<ServerUrl>,
    /// How the connection is called in the server's monitoring.
    pub name: String,
    /// The edge's id, one subject token. Replies come to `_INBOX_<edge_id>.…`, so that the
    /// permissions of an edge's user can keep other edges' replies from it.
    pub edge_id: String,
}

/// A handle on the control connection; clones share it. The connection ends with the last handle or
/// with [`Control::drain`].
#[derive(Clone, Debug)]
pub struct Control {
    client: async_nats::Client,
    /// True once async-nats has closed for good. Written by its event callback only.
    is_closed: watch::Receiver<bool>,
    events: Arc<EventCounts>,
}

/// What happened on a control connection since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlEvents {
    /// Connections made, the first included.
    pub connected: u64,
    /// Times that async-nats dropped messages which were not taken fast enough.
    pub dropped: u64,
}

/// Written by async-nats's event callback only.
#[derive(Debug, Default)]
struct EventCounts {
    connected: AtomicU64,
    dropped: AtomicU64,
}

impl Control {
    /// Starts the connection and returns at once; it is made in the background, and made again
    /// after every loss. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Address`] when the servers cannot be used, [`Error::Invalid`] for an edge id that
    /// is not one subject token.
    pub async fn connect(options: ControlOptions) -> Result<Self, Error> {
        check_subject("edge id", &options.edge_id, Wildcards::Refused)?;
        if options.edge_id.contains('.') {
            return Err(Error::Invalid { what: "edge id", why: "it has more than one token" });
        }
        let credentials = shared_credentials(&options.servers)?;
        let addresses: Vec<String> =
            options.servers.iter().map(ServerUrl::without_credentials).collect();
        let (closed, is_closed) = watch::channel(false);
        let events = Arc::<EventCounts>::default();
        let counts = Arc::clone(&events);
        let connect = async_nats::ConnectOptions::new()
            .name(options.name)
            .custom_inbox_prefix(format!("_INBOX_{}", options.edge_id))
            .retain_servers_order()
            .ignore_discovered_servers()
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_millis(defaults::CONNECT_TIMEOUT_MS))
            .ping_interval(Duration::from_millis(defaults::CONTROL_PING_INTERVAL_MS))
            .client_capacity(defaults::CONTROL_COMMANDS_MAX)
            .subscription_capacity(defaults::CONTROL_MESSAGES_MAX)
            .reconnect_delay_callback(reconnect_delay())
            .event_callback(move |event| {
                match event {
                    Event::Closed => drop(closed.send_replace(true)),
                    Event::Connected => drop(counts.connected.fetch_add(1, Ordering::Relaxed)),
                    Event::SlowConsumer(_) => drop(counts.dropped.fetch_add(1, Ordering::Relaxed)),
                    _ => {}
                }
                async move { log(&event) }
            });
        let connect = match credentials {
            Credentials::None => connect,
            Credentials::UserPassword { user, password } => {
                connect.user_and_password(user, password)
            }
            Credentials::Token(token) => connect.token(token),
        };
        let connect = match options.servers.iter().find_map(ServerUrl::tls) {
            Some(tls) => connect.tls_client_config(ClientConfig::clone(&tls.config())),
            None => connect,
        };
        // async-nats decodes no percent signs in a URL, so credentials go beside it, already
        // decoded.
        let client = connect
            .connect(addresses)
            .await
            .map_err(|_| Error::Address("async-nats cannot read the servers' addresses"))?;
        Ok(Self { client, is_closed, events })
    }

    /// What happened up to now.
    pub fn events(&self) -> ControlEvents {
        ControlEvents {
            connected: self.events.connected.load(Ordering::Relaxed),
            dropped: self.events.dropped.load(Ordering::Relaxed),
        }
    }

    /// Whether the connection stands at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// For the modules of this crate that speak another part of the protocol.
    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// Publishes at most once. Without a connection it refuses instead of queueing, because a
    /// heartbeat that is delivered late is worse than none.
    ///
    /// # Errors
    /// [`Error::Closed`] without a connection; [`Error::Invalid`], [`Error::TooLarge`] and
    /// [`Error::Control`] for what must not or cannot be sent.
    pub async fn publish(&self, subject: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        check_subject("subject", subject, Wildcards::Refused)?;
        check_length(subject)?;
        if !self.is_connected() {
            return Err(Error::Closed);
        }
        let published = self.client.publish(subject.to_owned(), payload.into()).await;
        published.map_err(|error| Error::Control(error.to_string()))
    }

    /// Publishes, and waits at most 5 s until a stream has stored it. Gives the stream's name.
    ///
    /// # Errors
    /// As for [`Control::ask`]; [`Error::Control`] also when the stream refuses it. Whoever
    /// subscribes has it all the same.
    pub async fn publish_stored(
        &self,
        subject: &str,
        payload: impl Into<Bytes>,
    ) -> Result<String, Error> {
        let patience = Duration::from_millis(defaults::CONTROL_STORE_TIMEOUT_MS);
        let answer = self.ask(subject, payload, patience).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)
            .map_err(|error| Error::Control(format!("no acknowledgement of a stream: {error}")))?;
        match answer["stream"].as_str() {
            Some(stream) => Ok(stream.to_owned()),
            None => Err(Error::Control(format!("not stored: {}", answer["error"]))),
        }
    }

    /// Publishes a request, and waits for one answer.
    ///
    /// # Errors
    /// [`Error::Closed`] without a connection; [`Error::Invalid`], [`Error::TooLarge`];
    /// [`Error::Control`] when nobody answers in time.
    pub async fn ask(
        &self,
        subject: &str,
        payload: impl Into<Bytes>,
        patience: Duration,
    ) -> Result<Bytes, Error> {
        check_subject("subject", subject, Wildcards::Refused)?;
        check_length(subject)?;
        if !self.is_connected() {
            return Err(Error::Closed);
        }
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(patience));
        let answer = self.client.send_request(subject.to_owned(), request).await;
        answer.map(|answer| answer.payload).map_err(|error| Error::Control(error.to_string()))
    }

    /// Subscribes, now and again after every loss. Gives subject and payload of each message until
    /// [`Control::drain`]; what comes while more than 1,024 wait is dropped. A payload shares
    /// memory with its neighbours: copy what is kept.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::TooLarge`] or [`Error::Control`].
    pub async fn subscribe(
        &self,
        subject: &str,
    ) -> Result<impl Stream<Item = (String, Bytes)> + Send + Unpin + use<>, Error> {
        check_subject("subject", subject, Wildcards::Allowed)?;
        // The server answers an over-long line by closing, and async-nats would repeat it for ever.
        check_length(subject)?;
        let subscribed = self.client.subscribe(subject.to_owned()).await;
        let subscriber = subscribed.map_err(|error| Error::Control(error.to_string()))?;
        Ok(subscriber.map(|message| (message.subject.into_string(), message.payload)))
    }

    /// As [`Control::subscribe`], but of all who name the same group one gets each message.
    ///
    /// # Errors
    /// As there.
    pub async fn subscribe_in_turn(
        &self,
        subject: &str,
        group: &str,
    ) -> Result<impl Stream<Item = (String, Bytes)> + Send + Unpin + use<>, Error> {
        check_subject("subject", subject, Wildcards::Allowed)?;
        check_subject("queue group", group, Wildcards::Refused)?;
        check_length(subject)?;
        let subscribed = self.client.queue_subscribe(subject.to_owned(), group.to_owned()).await;
        let subscriber = subscribed.map_err(|error| Error::Control(error.to_string()))?;
        Ok(subscriber.map(|message| (message.subject.into_string(), message.payload)))
    }

    /// Sends what waits, ends all subscriptions and closes for good. Takes at most 2 s; whatever
    /// has not left by then is lost. Without a connection there is nothing to do, and it returns at
    /// once.
    pub async fn drain(&self) {
        let mut is_closed = self.is_closed.clone();
        let draining = async {
            // A flush without a connection would wait for the next one.
            if self.is_connected() {
                self.client.flush().await.ok();
                self.client.drain().await.ok();
                is_closed.wait_for(|is_closed| *is_closed).await.ok();
            }
        };
        let limit = Duration::from_millis(defaults::CONTROL_DRAIN_TIMEOUT_MS);
        if timeout(limit, draining).await.is_err() {
            warn!("control connection was not drained in time");
        }
    }
}

/// The first attempt of all goes out at once: at the start nothing was lost together with others.
fn reconnect_delay() -> impl Fn(usize) -> Duration + Send + Sync + 'static {
    let is_first = AtomicBool::new(true);
    move |attempt| {
        if is_first.swap(false, Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
        Duration::from_millis(jittered_ms(attempt, fastrand::u64(..)))
    }
}

fn shared_credentials(servers: &[ServerUrl]) -> Result<Credentials, Error> {
    let (first, others) =
        servers.split_first().ok_or(Error::Address("the list of servers is empty"))?;
    if others.iter().any(|server| server.credentials() != first.credentials()) {
        return Err(Error::Address("the servers of one region must share their credentials"));
    }
    Ok(first.credentials().clone())
}

fn check_length(subject: &str) -> Result<(), Error> {
    // Room for the verb, the numbers and the line's end.
    let bytes_max = defaults::CONTROL_LINE_BYTES_MAX - 64;
    if subject.len() > bytes_max {
        return Err(Error::TooLarge { what: "control line", bytes: subject.len(), bytes_max });
    }
    Ok(())
}

fn log(event: &Event) {
    match event {
        Event::Connected => info!("control connection is up"),
        Event::Disconnected => warn!("control connection is lost"),
        Event::LameDuckMode => info!("control connection's server is about to stop"),
        Event::SlowConsumer(sid) => warn!(sid, "control messages were dropped"),
        Event::ServerError(error) => warn!(%error, "control connection: server error"),
        Event::ClientError(error) => warn!(%error, "control connection: client error"),
        Event::Draining | Event::Closed => debug!(%event, "control connection"),
    }
}
