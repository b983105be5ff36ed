//! What a subscription, a connection or a call brings, awaited with the deadline. Each function
//! panics when something else comes, so that a test reads as a list of claims.

use crate::within;
use futures_util::StreamExt;
use meridian_client::{Error, Event, Notice, Notices, Subscription};
use meridian_proto::ErrorCode;
use meridian_proto::item::{Failure, Message};
use std::fmt::Debug;

/// The next event of a subscription that goes on.
pub async fn next_event(subscription: &mut Subscription) -> Event {
    let what = format!("an event on {}", subscription.filter());
    within(&what, subscription.next()).await.expect("the subscription goes on")
}

/// The next event, which must be a message.
pub async fn next_message(subscription: &mut Subscription) -> Message {
    match next_event(subscription).await {
        Event::Message(message) => message,
        other => panic!("not a message on {}: {other:?}", subscription.filter()),
    }
}

/// The next event, which must be a gap; its reason.
pub async fn next_gap(subscription: &mut Subscription) -> String {
    match next_event(subscription).await {
        Event::Gap(gap) => gap.why,
        other => panic!("not a gap on {}: {other:?}", subscription.filter()),
    }
}

/// The next notice of a connection.
pub async fn next_notice(notices: &mut Notices) -> Notice {
    within("a notice", notices.next()).await.expect("the connection goes on")
}

/// A message's payload, which must be text or JSON.
pub fn text_of(message: &Message) -> String {
    String::from_utf8(message.content().to_bytes().unwrap().into_owned()).unwrap()
}

/// What the edge refused a call with.
pub fn refusal<T: Debug>(result: Result<T, Error>) -> Failure {
    match result {
        Err(Error::Refused(failure)) => failure,
        other => panic!("not refused: {other:?}"),
    }
}

/// The code that the edge refused a call with.
pub fn code_of<T: Debug>(result: Result<T, Error>) -> ErrorCode {
    refusal(result).code
}

/// Waits until the server has processed everything that a plain NATS client sent before, its
/// subscriptions among it: `flush` alone proves only that the bytes have left.
pub async fn round_trip(nats: &async_nats::Client) {
    let inbox = nats.new_inbox();
    let mut echo = nats.subscribe(inbox.clone()).await.unwrap();
    nats.publish(inbox, "".into()).await.unwrap();
    within("the client hears itself", echo.next()).await.unwrap();
}
