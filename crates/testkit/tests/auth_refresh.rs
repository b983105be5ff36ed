//! Tokens of connections that stand: they are announced, refreshed in place, and what a newer one
//! does not allow ends with a reason. Subscription tokens too.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Error, Event, Notice, Options, PayloadBuf, PublishOptions};
use meridian_client::{SubscribeOptions, Subscription};
use meridian_edge::auth::unix_time_s;
use meridian_proto::ErrorCode;
use meridian_testkit::{
    TestIssuer, TestMesh, ask_for_tokens, code_of, next_event, next_message, next_notice, refusal,
    text_of, with_orders, within,
};
use serde_json::{Value, json};

async fn client_of(mesh: &TestMesh, token: String) -> Client {
    mesh.client_with("eu", Options { token: Some(token), ..Options::default() }).await
}

fn ann(permissions: Value) -> String {
    TestIssuer::token("ann", json!({ "permissions": permissions }))
}

async fn subscribe(client: &Client, filter: &str) -> Result<Subscription, Error> {
    client.subscribe(filter, SubscribeOptions::default()).await
}

async fn publish(client: &Client, subject: &str) {
    let text = PayloadBuf::text("hi");
    client.publish(subject, text, PublishOptions::default()).await.unwrap();
}

/// Code and reason of the next event, which must be the end.
async fn end_of(subscription: &mut Subscription) -> (u16, String) {
    match next_event(subscription).await {
        Event::Unsubscribed(end) => (end.code, end.reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_narrower_token_ends_what_it_does_not_allow_and_leaves_the_rest() {
    let mesh = TestMesh::one_region(ask_for_tokens).await;
    let client = client_of(&mesh, ann(TestIssuer::all_of(&["demo.>"]))).await;
    let mut kept = subscribe(&client, "demo.a").await.unwrap();
    let mut lost = subscribe(&client, "demo.b").await.unwrap();
    let mut wide = subscribe(&client, "demo.>").await.unwrap();

    let reply = client.refresh(&ann(TestIssuer::all_of(&["demo.a"]))).await.unwrap();
    assert!(reply.expires >= unix_time_s() + 590, "{reply:?}");
    let reason = "no longer allowed: no sub rule allows demo.b";
    assert_eq!(end_of(&mut lost).await, (2501, reason.into()));
    assert_eq!(end_of(&mut wide).await.0, 2501);

    publish(&client, "demo.a").await;
    assert_eq!(text_of(&next_message(&mut kept).await), "hi");
    let text = PayloadBuf::text("hi");
    let refused = client.publish("demo.b", text, PublishOptions::default()).await;
    assert_eq!(code_of(refused), ErrorCode::Forbidden);
    assert_eq!(code_of(subscribe(&client, "demo.b").await), ErrorCode::Forbidden);
    // More again: what has ended stays so, and may be asked for.
    client.refresh(&ann(TestIssuer::all_of(&["demo.>"]))).await.unwrap();
    let mut again = subscribe(&client, "demo.b").await.unwrap();
    publish(&client, "demo.b").await;
    assert_eq!(text_of(&next_message(&mut again).await), "hi");
    assert_eq!(lost.next().await.map(|event| format!("{event:?}")), None);
}

#[tokio::test]
async fn a_durable_subscription_that_is_no_longer_allowed_ends_too() {
    let configure = |config: &mut meridian_edge::Config| {
        with_orders(config);
        ask_for_tokens(config);
    };
    let mesh = TestMesh::one_region(configure).await;
    mesh.apply_streams_of(configure).await;
    let client = client_of(&mesh, ann(TestIssuer::all_of(&["orders.>"]))).await;
    let mut orders = None;
    meridian_testkit::eventually("the stream is there", async || {
        orders = subscribe(&client, "orders.eu.*").await.ok();
        orders.is_some()
    })
    .await;
    client.refresh(&ann(TestIssuer::all_of(&["demo.>"]))).await.unwrap();
    assert_eq!(end_of(&mut orders.unwrap()).await.0, 2501);
}

#[tokio::test]
async fn a_token_that_is_not_taken_or_is_anothers_leaves_the_old_one_in_place() {
    let mesh = TestMesh::one_region(ask_for_tokens).await;
    let client = client_of(&mesh, ann(TestIssuer::all_of(&["demo.>"]))).await;
    let mut kept = subscribe(&client, "demo.a").await.unwrap();
    let expired = TestIssuer::token_for("ann", 0, json!({}));
    for (token, code) in [
        (expired, ErrorCode::Unauthorized),
        ("nonsense".into(), ErrorCode::Unauthorized),
        (TestIssuer::token("bob", json!({})), ErrorCode::Forbidden),
        (TestIssuer::token("ann", json!({"tenant": "acme"})), ErrorCode::Forbidden),
        ("x".repeat(4_097), ErrorCode::BadRequest),
    ] {
        assert_eq!(code_of(client.refresh(&token).await), code, "{token}");
    }
    publish(&client, "demo.a").await;
    assert_eq!(text_of(&next_message(&mut kept).await), "hi");
}

#[tokio::test]
async fn a_token_is_announced_before_its_end_and_a_refresh_keeps_the_connection() {
    let mesh = TestMesh::one_region(ask_for_tokens).await;
    let client = client_of(&mesh, TestIssuer::token_for("ann", 4, json!({}))).await;
    let mut notices = client.notices();
    let notice = next_notice(&mut notices).await;
    let Notice::Expire(expire) = notice else { panic!("{notice:?}") };
    assert!(expire.in_s <= 4 && expire.i.is_none(), "{expire:?}");
    let until_s = unix_time_s() + 5;
    client.refresh(&TestIssuer::token_for("ann", 600, json!({}))).await.unwrap();
    meridian_testkit::eventually("the first token is over", async || unix_time_s() > until_s).await;
    // The connection answers still.
    assert_eq!(code_of(subscribe(&client, "demo.a").await), ErrorCode::Forbidden);
    // And one that is not refreshed ends with its token.
    let client = client_of(&mesh, TestIssuer::token_for("ann", 1, json!({}))).await;
    assert_eq!(within("the end", client.closed()).await.code, 3002);
}

#[tokio::test]
async fn a_subscription_token_opens_its_filter_to_its_user_and_ends_with_its_time() {
    let mesh = TestMesh::one_region(ask_for_tokens).await;
    let rules = json!({"sub": {"allow": ["demo.x"], "deny": ["demo.room.secret"]},
                       "pub": {"allow": ["demo.>"]}});
    let client = client_of(&mesh, ann(rules)).await;
    let with = async |filter: &str, token: String| {
        let options = SubscribeOptions { token: Some(token), ..SubscribeOptions::default() };
        client.subscribe(filter, options).await
    };
    let token = |sub: &str, life_s, filter: &str| {
        TestIssuer::token_for(sub, life_s, json!({ "filter": filter }))
    };
    let forbidden = async |filter: &str, token: String| refusal(with(filter, token).await).msg;
    let said = forbidden("demo.room.1", token("bob", 60, "demo.room.1")).await;
    assert!(said.contains("another user's"), "{said}");
    let said = forbidden("demo.room.2", token("ann", 60, "demo.room.1")).await;
    assert_eq!(said, "the subscription token is for demo.room.1");
    // What the connection's token denies, no other gives.
    let said = forbidden("demo.room.>", token("ann", 60, "demo.room.>")).await;
    assert_eq!(said, "not allowed: demo.room.>");
    // A connection's token is none for a subscription, and the other way round.
    let said = forbidden("demo.room.1", ann(TestIssuer::all_of(&["demo.>"]))).await;
    assert!(said.contains("no subscription token"), "{said}");
    let connecting = Options { token: Some(token("ann", 60, "demo.>")), ..Options::default() };
    let connecting = Client::connect(&mesh.edge("eu").url(), connecting).await;
    assert_eq!(code_of(connecting), ErrorCode::Unauthorized);

    let mut room = with("demo.room.1", token("ann", 2, "demo.room.*")).await.unwrap();
    publish(&client, "demo.room.1").await;
    assert_eq!(text_of(&next_message(&mut room).await), "hi");
    let renewed = client.refresh_subscription(&room, &token("ann", 4, "demo.room.1")).await;
    assert!(renewed.unwrap().expires >= unix_time_s() + 3);
    assert_eq!(end_of(&mut room).await, (2502, "the subscription token has expired".into()));
    assert!(subscribe(&client, "demo.x").await.is_ok(), "the connection stands");
}
