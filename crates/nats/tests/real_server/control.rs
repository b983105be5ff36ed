//! The control connection.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use meridian_nats::{Control, ControlOptions, Error, ServerUrl, subjects};
use tokio::time::{sleep, timeout};

use crate::server::{DEADLINE, NatsServer, POLL};

fn options(servers: Vec<ServerUrl>) -> ControlOptions {
    ControlOptions { servers, name: "test".to_owned(), edge_id: "eu-1".to_owned() }
}

async fn connected(control: &Control) {
    let connecting = async {
        while !control.is_connected() {
            sleep(POLL).await;
        }
    };
    timeout(DEADLINE, connecting).await.unwrap();
}

/// Publishes until it is heard: a subscription may reach the server after the first publication,
/// and a connection may be lost between the look and the command.
async fn heard(
    control: &Control,
    subject: &str,
    stream: &mut (impl Stream<Item = (String, Bytes)> + Unpin),
) -> (String, Bytes) {
    let hearing = async {
        loop {
            control.publish(subject, "beat").await.ok();
            if let Ok(message) = timeout(POLL * 20, stream.next()).await {
                return message.unwrap();
            }
        }
    };
    timeout(DEADLINE, hearing).await.unwrap()
}

#[tokio::test]
async fn heartbeat_is_heard_with_its_region() {
    let server = NatsServer::start("").await;
    let control = Control::connect(options(vec![server.url()])).await.unwrap();
    connected(&control).await;
    let mut beats = control.subscribe(subjects::HEARTBEATS).await.unwrap();
    let (subject, payload) = heard(&control, &subjects::heartbeat("eu"), &mut beats).await;
    assert_eq!(subjects::heartbeat_region(&subject), Some("eu"));
    assert_eq!(&payload[..], b"beat");
}

#[tokio::test]
async fn connection_and_subscription_survive_a_server_restart() {
    let mut server = NatsServer::start("").await;
    let control = Control::connect(options(vec![server.url()])).await.unwrap();
    connected(&control).await;
    let mut beats = control.subscribe(subjects::HEARTBEATS).await.unwrap();
    heard(&control, "_mrd.hb.before", &mut beats).await;
    server.kill();
    let lost = async {
        while control.is_connected() {
            sleep(POLL).await;
        }
    };
    timeout(DEADLINE, lost).await.unwrap();
    assert!(matches!(control.publish("_mrd.hb.lost", "late").await, Err(Error::Closed)));
    server.start_again().await;
    connected(&control).await;
    let again = async {
        loop {
            let (subject, _) = heard(&control, "_mrd.hb.after", &mut beats).await;
            assert_ne!(subject, "_mrd.hb.lost");
            if subject == "_mrd.hb.after" {
                return;
            }
        }
    };
    timeout(DEADLINE, again).await.unwrap();
}

#[tokio::test]
async fn second_server_is_used_while_the_first_is_down() {
    let mut first = NatsServer::start("").await;
    let second = NatsServer::start("").await;
    first.kill();
    let control = Control::connect(options(vec![first.url(), second.url()])).await.unwrap();
    connected(&control).await;
}

#[tokio::test]
async fn connect_returns_before_the_server_is_there() {
    let mut server = NatsServer::start("").await;
    server.kill();
    let control = Control::connect(options(vec![server.url()])).await.unwrap();
    assert!(!control.is_connected());
    let mut beats = control.subscribe(subjects::HEARTBEATS).await.unwrap();
    server.start_again().await;
    heard(&control, "_mrd.hb.eu", &mut beats).await;
}

#[tokio::test]
async fn drain_ends_subscriptions_and_closes() {
    let server = NatsServer::start("").await;
    let control = Control::connect(options(vec![server.url()])).await.unwrap();
    connected(&control).await;
    let mut beats = control.subscribe(subjects::HEARTBEATS).await.unwrap();
    heard(&control, "_mrd.hb.eu", &mut beats).await;
    control.drain().await;
    let ended = async { while beats.next().await.is_some() {} };
    timeout(DEADLINE, ended).await.unwrap();
    assert!(control.publish("_mrd.hb.eu", "late").await.is_err());
}

#[tokio::test]
async fn encoded_credentials_are_understood() {
    let users = r#"authorization { user: "edge", password: "p@ss:w/rd" }"#;
    let server = NatsServer::start(users).await;
    let url = server.url_as("edge:p%40ss%3Aw%2Frd@");
    let control = Control::connect(options(vec![url])).await.unwrap();
    connected(&control).await;
}

#[tokio::test]
async fn what_would_break_the_connection_is_refused() {
    let server = NatsServer::start("").await;
    for edge_id in ["", "a.b", "a b", "*"] {
        let options = ControlOptions { edge_id: edge_id.to_owned(), ..options(vec![server.url()]) };
        assert!(Control::connect(options).await.is_err(), "{edge_id:?}");
    }
    let different = vec![server.url_as("a:b@"), server.url_as("a:c@")];
    assert!(matches!(Control::connect(options(different)).await, Err(Error::Address(_))));
    assert!(matches!(Control::connect(options(Vec::new())).await, Err(Error::Address(_))));
    let control = Control::connect(options(vec![server.url()])).await.unwrap();
    connected(&control).await;
    let long = "x".repeat(5000);
    for subject in ["", "a b", "a\r\n", "a..b", &long] {
        assert!(control.publish(subject, "").await.is_err());
        assert!(control.subscribe(subject).await.is_err());
    }
    let mut beats = control.subscribe(subjects::HEARTBEATS).await.unwrap();
    heard(&control, "_mrd.hb.eu", &mut beats).await;
}
