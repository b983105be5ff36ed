//! A connection to one edge, as its callers see it.

use crate::address::Address;
use crate::connection::{self, Link};
use crate::defaults::REQUEST_SLACK;
use crate::error::{Closed, Error};
use crate::handshake;
use crate::notice::Notices;
use crate::options::{HistoryOptions, Options, Place, PublishOptions, SubscribeOptions};
use crate::payload::PayloadBuf;
use crate::pending::Effect;
use crate::resume::{Beginning, Tracker};
use crate::subscription::{Closer, Subscription};
use crate::writer::{self, Call};
use meridian_proto::command::{
    Ack, Body, Command, Connect, History, Publish, Receipt, Refresh, Request, Subscribe,
};
use meridian_proto::item::{
    ConnectReply, HistoryReply, PublishReply, RefreshReply, Reply, RequestReply,
};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::timeout;

/// A connection to one edge. Every call may be made from several tasks at once; to share it
/// between tasks that live longer, put it into an `Arc`.
///
/// Dropping it closes the connection without waiting; [`Client::close`] waits.
#[derive(Debug)]
pub struct Client {
    link: Link,
    connected: ConnectReply,
    reply_timeout: Duration,
}

impl Client {
    /// Connects to an edge, for example `ws://127.0.0.1:7410/v1/ws`, and identifies the client.
    ///
    /// # Errors
    /// [`Error::Address`] and [`Error::Tls`] before anything is sent; [`Error::Connect`],
    /// [`Error::Handshake`], [`Error::Timeout`], [`Error::Refused`] and [`Error::Closed`] after.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        let limit = options.connect_timeout;
        let connecting = Self::connect_within(&address, options);
        let after_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let late = |_| Err(Error::Timeout { what: "connection", after_ms });
        timeout(limit, connecting).await.unwrap_or_else(late)
    }

    async fn connect_within(address: &Address, options: Options) -> Result<Self, Error> {
        let reply_timeout = options.reply_timeout;
        let codec = options.codec;
        let link = connection::start(handshake::open(address, codec).await?, codec);
        let body = Body::Connect(Connect {
            token: options.token,
            name: options.name,
            ver: Some(env!("CARGO_PKG_VERSION").to_owned()),
            feat: options.feat,
            ping: options.ping,
            tp: options.tp,
        });
        let command = Call { body, effect: Effect::Nothing, bytes_max: usize::MAX };
        match writer::call(&link, command, options.connect_timeout).await? {
            Reply::Connect(connected) => Ok(Self { link, connected, reply_timeout }),
            other => Err(unexpected(&other)),
        }
    }

    /// Who serves this client, and how much it may do.
    #[must_use]
    pub fn connected(&self) -> &ConnectReply {
        &self.connected
    }

    /// Starts receiving a filter's messages. When this returns, every later message arrives.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Timeout`], [`Error::Closed`] or [`Error::TooLarge`].
    pub async fn subscribe(
        &self,
        filter: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        let (sender, events) = mpsc::channel(options.events_max.max(1));
        let is_snapshot =
            options.from.as_ref().is_some_and(|from| from.get("last_per_subject").is_some());
        let beginning = if is_snapshot { Beginning::Snapshot } else { Beginning::InOrder };
        let body = Body::Subscribe(Subscribe {
            f: filter.to_owned(),
            hdr: options.hdr,
            trace: options.trace,
            recover: options.resume.as_ref().map(|point| point.position.clone()),
            from: options.from,
            token: options.token,
        });
        match self.call(body, Effect::Open(sender), self.reply_timeout).await? {
            Reply::Subscribe(reply) => {
                let closer = Closer {
                    link: self.link.downgrade(),
                    reply_timeout: self.reply_timeout,
                    done: false,
                };
                let tracker = Tracker::new(filter, &reply, options.resume, beginning);
                Ok(Subscription { filter: filter.to_owned(), reply, events, tracker, closer })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Publishes one message and waits for the wanted acknowledgement: the reply says how far it
    /// got. `None` if [`Ack::None`] was asked for; this is then [`Client::publish_no_ack`].
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Timeout`], [`Error::Closed`] or [`Error::TooLarge`].
    pub async fn publish(
        &self,
        subject: &str,
        payload: PayloadBuf,
        options: PublishOptions,
    ) -> Result<Option<PublishReply>, Error> {
        if options.ack == Some(Ack::None) {
            self.publish_no_ack(subject, payload, options).await?;
            return Ok(None);
        }
        let body = publish(subject, payload, options);
        match self.call(body, Effect::Nothing, self.reply_timeout).await? {
            Reply::Publish(reply) => Ok(Some(reply)),
            other => Err(unexpected(&other)),
        }
    }

    /// Publishes one message and waits only for room in the queue. If the edge refuses it, a
    /// [`crate::Notice::Error`] says so.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::TooLarge`].
    pub async fn publish_no_ack(
        &self,
        subject: &str,
        payload: PayloadBuf,
        mut options: PublishOptions,
    ) -> Result<(), Error> {
        options.ack = None;
        self.send_unanswered(&Command { id: None, body: publish(subject, payload, options) }).await
    }

    async fn send_unanswered(&self, command: &Command) -> Result<(), Error> {
        let codec = self.link.pending.codec;
        let part = writer::part_within(codec, command, self.connected.limits.frame)?;
        let ended = |_| writer::ended(&self.link.pending);
        self.link.commands.send(part).await.map_err(ended)
    }

    /// Tells the edge that a message has arrived whose [`Message::tp`] is `tp`, for its trace.
    /// Waits only for room in the queue.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::TooLarge`].
    ///
    /// [`Message::tp`]: meridian_proto::item::Message::tp
    pub async fn receipt(&self, tp: &str, at: SystemTime, took: Duration) -> Result<(), Error> {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = us(at.duration_since(UNIX_EPOCH).unwrap_or_default());
        let body = Body::Receipt(Receipt { tp: tp.to_owned(), at, took: us(took) });
        self.send_unanswered(&Command { id: None, body }).await
    }

    /// Publishes one message and waits for one answer, at most `within` (1 ms to 60 s).
    ///
    /// # Errors
    /// [`Error::Refused`] with code 200 if a responder did not answer in time and 201 if there is
    /// none; [`Error::Timeout`], [`Error::Closed`] or [`Error::TooLarge`].
    pub async fn request(
        &self,
        subject: &str,
        payload: PayloadBuf,
        within: Duration,
    ) -> Result<RequestReply, Error> {
        self.request_below(subject, payload, within, None).await
    }

    /// [`Client::request`] below the caller's span: `tp` is its `traceparent`.
    ///
    /// # Errors
    /// As there.
    pub async fn request_below(
        &self,
        subject: &str,
        payload: PayloadBuf,
        within: Duration,
        tp: Option<String>,
    ) -> Result<RequestReply, Error> {
        let (d, t, b) = payload.into_spelling();
        let timeout = Some(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        let s = subject.to_owned();
        let body = Body::Request(Request { s, d, t, b, timeout, tp, ..Request::default() });
        match self.call(body, Effect::Nothing, within.saturating_add(REQUEST_SLACK)).await? {
            Reply::Request(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads a page of what a durable namespace has stored: its messages in ascending order, and
    /// where the pages before and behind it lie ([`HistoryReply::older`], [`HistoryReply::newer`]).
    ///
    /// # Errors
    /// [`Error::Refused`] with code 112 if the position is of another epoch, 108 if nothing of the
    /// filter is stored; [`Error::Timeout`], [`Error::Closed`] or [`Error::TooLarge`].
    pub async fn history(
        &self,
        filter: &str,
        options: HistoryOptions,
    ) -> Result<HistoryReply, Error> {
        let HistoryOptions { place, limit, hdr, trace } = options;
        let (after, before) = match place {
            Place::Newest => (None, None),
            Place::After(position) => (Some(position), None),
            Place::Before(position) => (None, Some(position)),
        };
        let f = filter.to_owned();
        let body = Body::History(History { f, after, before, limit, hdr, trace });
        match self.call(body, Effect::Nothing, self.reply_timeout).await? {
            Reply::History(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts a newer token in the place of the connection's: at the latest after
    /// [`crate::Notice::Expire`]. Subscriptions that it does not allow end with
    /// [`crate::Event::Unsubscribed`].
    ///
    /// # Errors
    /// [`Error::Refused`] if the token is not taken, which leaves the old one in place;
    /// [`Error::Timeout`], [`Error::Closed`] or [`Error::TooLarge`].
    pub async fn refresh(&self, token: &str) -> Result<RefreshReply, Error> {
        self.refresh_by(Refresh { token: token.to_owned(), i: None }).await
    }

    /// The same for a subscription that stands by a token of its own.
    ///
    /// # Errors
    /// As for [`Client::refresh`].
    pub async fn refresh_subscription(
        &self,
        subscription: &Subscription,
        token: &str,
    ) -> Result<RefreshReply, Error> {
        let i = Some(subscription.reply.i);
        self.refresh_by(Refresh { token: token.to_owned(), i }).await
    }

    async fn refresh_by(&self, refresh: Refresh) -> Result<RefreshReply, Error> {
        let body = Body::Refresh(refresh);
        match self.call(body, Effect::Nothing, self.reply_timeout).await? {
            Reply::Refresh(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Notices about the whole connection. The first caller gets all since the connection began,
    /// later ones those from now on.
    pub fn notices(&self) -> Notices {
        let first = &self.link.first_notices;
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let later = || match self.link.notices.upgrade() {
            Some(notices) => notices.subscribe(),
            // The connection has ended: a stream that ends at once.
            None => broadcast::channel(1).1,
        };
        Notices(first.unwrap_or_else(later))
    }

    /// Waits until the connection has ended, and says how. Cancel-safe.
    pub async fn closed(&self) -> Closed {
        wait_closed(self.link.closed.clone()).await
    }

    /// Sends what is queued, then closes the connection, and waits at most 2 s for the edge to do
    /// the same.
    pub async fn close(self) -> Closed {
        let Link { commands, closed, .. } = self.link;
        drop(commands);
        wait_closed(closed).await
    }

    async fn call(&self, body: Body, effect: Effect, within: Duration) -> Result<Reply, Error> {
        let call = Call { body, effect, bytes_max: self.connected.limits.frame };
        writer::call(&self.link, call, within).await
    }
}

fn publish(subject: &str, payload: PayloadBuf, options: PublishOptions) -> Body {
    let (d, t, b) = payload.into_spelling();
    let PublishOptions { ack, mid, headers, tp } = options;
    Body::Publish(Publish { s: subject.to_owned(), d, t, b, mid, ack, h: headers, tp })
}

fn unexpected(reply: &Reply) -> Error {
    Error::Malformed(format!("a reply to another kind of command: {reply:?}"))
}

async fn wait_closed(mut closed: watch::Receiver<Option<Closed>>) -> Closed {
    match closed.wait_for(Option::is_some).await {
        Ok(end) => end.clone().expect("waited until it is there"),
        // The runtime that drove the connection is gone.
        Err(_) => Closed::lost("the connection's task is gone"),
    }
}
