//! Revocations: they close connections in every region, keep tokens out of edges that start later,
//! and hit nobody else.

#![allow(clippy::unwrap_used)]

use meridian_client::{Client, Error, Options};
use meridian_edge::Config;
use meridian_edge::auth::unix_time_s;
use meridian_edge::revocations::{Revocation, RevokedKind, subject};
use meridian_testkit::{
    RunningEdge, TestIssuer, TestMesh, TestMeshOptions, ask, ask_for_tokens, config_for,
    eventually, within,
};
use serde_json::{Value, json};

fn with_revocations(config: &mut Config) {
    ask_for_tokens(config);
    config.auth.revocations.home = "eu".into();
}

async fn mesh() -> TestMesh {
    let configure = with_revocations;
    TestMesh::durable(TestMeshOptions { configure, ..TestMeshOptions::default() }).await
}

fn token(sub: &str, claims: Value) -> String {
    TestIssuer::token(sub, claims)
}

async fn connect(url: &str, token: &str) -> Result<Client, Error> {
    let options = Options { token: Some(token.to_owned()), ..Options::default() };
    Client::connect(url, options).await
}

/// Connects as soon as the edge knows the revocations.
async fn connected(mesh: &TestMesh, region: &str, token: &str) -> Client {
    let mut client = None;
    eventually("the edge knows the revocations", async || {
        client = connect(&mesh.edge(region).url(), token).await.ok();
        client.is_some()
    })
    .await;
    client.unwrap()
}

fn revocation(kind: RevokedKind, name: &str) -> Revocation {
    let at = unix_time_s();
    Revocation { kind, name: name.into(), tenant: None, at, until: at + 600 }
}

async fn revoke(nats: &async_nats::Client, revocation: &Revocation) {
    let answer = ask(nats, &subject(revocation), &serde_json::to_value(revocation).unwrap()).await;
    assert_eq!(answer["stream"], "MRD_REVOCATIONS_1", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_closes_connections_in_every_region_and_outlives_an_edge() {
    let mesh = mesh().await;
    let (ann, bob) = (token("ann", json!({"jti": "t1"})), token("bob", json!({"sid": "s1"})));
    let eve = token("eve", json!({"jti": "t2"}));
    let mut anns = Vec::new();
    for region in ["eu", "us", "ap"] {
        anns.push(connected(&mesh, region, &ann).await);
    }
    let bobs = connected(&mesh, "us", &bob).await;
    let eves = connected(&mesh, "us", &eve).await;

    // From a region that is not home.
    let nats = mesh.plain_nats("us").await;
    revoke(&nats, &revocation(RevokedKind::User, "ann")).await;
    for client in &anns {
        assert_eq!(within("the close", client.closed()).await.code, 3506);
    }
    revoke(&nats, &revocation(RevokedKind::Session, "s1")).await;
    assert_eq!(within("the close", bobs.closed()).await.code, 3506);
    let cid = eves.connected().cid.clone();
    assert!(!eves.connected().region.is_empty(), "eve is untouched");

    // An edge that starts now has heard nothing, and reads it from its region's copy.
    let url = mesh.nats.region("ap").unwrap().nats_edge_url();
    let regions = ["eu", "us", "ap"].map(String::from);
    let mut config = config_for("ap-2", "ap", &regions, &url);
    with_revocations(&mut config);
    let later = RunningEdge::start(config).await;
    eventually("the later edge lets eve in", async || connect(&later.url(), &eve).await.is_ok())
        .await;
    for revoked in [&ann, &bob] {
        let refused = connect(&later.url(), revoked).await.unwrap_err().to_string();
        assert!(refused.contains("revoked"), "{refused}");
    }
    // A newer token of the user is good: it was issued after the revocation.
    let newer = token("ann", json!({"iat": unix_time_s() + 1}));
    assert!(connect(&later.url(), &newer).await.is_ok());

    // One connection by its id: eve may come again.
    revoke(&nats, &revocation(RevokedKind::Session, &cid)).await;
    assert_eq!(within("the close", eves.closed()).await.code, 3506);
    assert!(connect(&mesh.edge("us").url(), &eve).await.is_ok());
    later.stop().await;
}

#[tokio::test]
async fn an_edge_that_cannot_read_revocations_lets_nobody_in_and_says_to_come_again() {
    // The stream was never made.
    let mesh = TestMesh::one_region(with_revocations).await;
    let refused = connect(&mesh.edge("eu").url(), &token("ann", json!({}))).await.unwrap_err();
    let Error::Refused(failure) = &refused else { panic!("{refused}") };
    assert!(failure.retry, "{failure:?}");
    assert_eq!(failure.msg, "revocations are not known yet");
}
