//! What one client, and all of them together, may use: each limit at its edge and one past it.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Options, PayloadBuf, PublishOptions, SubscribeOptions};
use meridian_proto::ErrorCode;
use meridian_testkit::{RawSocket, TestMesh, code_of, eventually, refusal};

#[tokio::test]
async fn a_full_edge_turns_clients_away_until_one_leaves() {
    let mesh = TestMesh::one_region(|config| config.limits.connections_max = 3).await;
    let public = mesh.edge("eu").public();
    let held = [mesh.client("eu").await, mesh.client("eu").await, mesh.client("eu").await];
    let mut turned_away = RawSocket::tcp(public).await;
    let head = turned_away.request_upgrade("").await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(head.contains("\r\nRetry-After: "), "{head}");
    assert!(Client::connect(&mesh.edge("eu").url(), Options::default()).await.is_err());
    let [leaving, staying @ ..] = held;
    leaving.close().await;
    eventually("there is room for one", async || {
        RawSocket::tcp(public).await.request_upgrade("").await.starts_with("HTTP/1.1 101")
    })
    .await;
    drop(staying);
}

#[tokio::test]
async fn a_spent_command_budget_says_when_to_come_back() {
    let mesh = TestMesh::one_region(|config| {
        config.limits.commands_burst = 5;
        config.limits.commands_per_second = 2;
    })
    .await;
    let client = mesh.client("eu").await;
    let publish =
        async || client.publish("demo.a", PayloadBuf::text("x"), PublishOptions::default()).await;
    let mut done = 0;
    let failure = loop {
        match publish().await {
            Ok(_) => done += 1,
            refused => break refusal(refused),
        }
    };
    assert!(done >= 5, "the burst is {done}");
    assert_eq!((failure.code, failure.retry), (ErrorCode::TooManyRequests, true));
    let after_ms = failure.after_ms.unwrap();
    assert!((1..=500).contains(&after_ms), "{after_ms}");
    eventually("it recovers", async || publish().await.is_ok()).await;
    let other = mesh.client("eu").await;
    let none = PublishOptions::default();
    other.publish("demo.a", PayloadBuf::text("x"), none).await.expect("budgets are not shared");
}

#[tokio::test]
async fn a_connection_holds_so_many_filters_and_no_more() {
    let mesh = TestMesh::one_region(|config| {
        config.limits.commands_burst = 1_000;
        config.limits.commands_per_second = 1_000;
    })
    .await;
    let client = mesh.client("eu").await;
    let most = client.connected().limits.subs;
    assert_eq!(most, 128);
    let subscribe = async |number: usize| {
        client.subscribe(&format!("demo.{number}"), SubscribeOptions::default()).await
    };
    let mut held = Vec::new();
    for number in 0..most {
        held.push(subscribe(number).await.unwrap());
    }
    assert_eq!(code_of(subscribe(most).await), ErrorCode::Limit);
    held.pop().unwrap().unsubscribe().await.unwrap();
    held.push(subscribe(most).await.unwrap());
    assert_eq!(code_of(subscribe(most + 1).await), ErrorCode::Limit);
}
