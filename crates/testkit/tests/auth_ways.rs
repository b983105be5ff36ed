//! Where a token may come from, and whose pages may bring one: subprotocol, header, cookie and
//! address on each transport, and the check of `Origin`.

#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meridian_edge::Config;
use meridian_testkit::{
    RawSocket, RunningEdge, ServerFrame, TestIssuer, ask_for_tokens, config_for, curl,
};
use serde_json::{Value, json};

const APP: &str = "https://app.example.com";

/// An edge without NATS: it greets all the same.
fn edge(configure: fn(&mut Config)) -> RunningEdge {
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    ask_for_tokens(&mut config);
    config.listen.origins = vec![APP.into()];
    configure(&mut config);
    RunningEdge::start_unready(config)
}

fn token() -> String {
    TestIssuer::token("ann", json!({"permissions": TestIssuer::all_of(&["demo.>"])}))
}

/// What a WebSocket with these headers gets when it connects without a token in `connect`: the
/// user, or the close code.
async fn socket(edge: &RunningEdge, headers: &str) -> Result<String, u16> {
    let mut socket = RawSocket::tcp(edge.public()).await;
    let head = socket.request_upgrade(headers).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(!head.contains("meridian.auth"), "a token is never echoed: {head}");
    socket.send_text(r#"{"id":1,"connect":{}}"#).await;
    loop {
        match socket.next().await {
            ServerFrame::Close(code, _) => return Err(code),
            ServerFrame::Text(line) => {
                let item: Value = serde_json::from_str(&line).unwrap();
                if let Some(user) = item["connect"]["user"].as_str() {
                    return Ok(user.into());
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn offer(token: &str) -> String {
    let encoded = URL_SAFE_NO_PAD.encode(token);
    format!("Sec-WebSocket-Protocol: meridian.v1.json, meridian.auth.{encoded}\r\n")
}

#[tokio::test]
async fn a_socket_may_bring_its_token_as_a_subprotocol() {
    let edge = edge(|_| {});
    assert_eq!(socket(&edge, &offer(&token())).await, Ok("ann".into()));
    assert_eq!(socket(&edge, &offer("nonsense")).await, Err(3500));
    assert_eq!(socket(&edge, "").await, Err(3500));
    let bearer = format!("Authorization: Bearer {}\r\n", token());
    assert_eq!(socket(&edge, &bearer).await, Ok("ann".into()));
    edge.stop().await;
}

#[tokio::test]
async fn a_cookie_counts_where_it_is_switched_on_and_only_for_pages_that_may() {
    let cookie = format!("Cookie: theme=dark; mrd={}\r\n", token());
    let of_page = |origin: &str| format!("{cookie}Origin: {origin}\r\n");
    let off = edge(|_| {});
    assert_eq!(socket(&off, &of_page(APP)).await, Err(3500));
    off.stop().await;

    let on = edge(|config| config.auth.cookie = "mrd".into());
    assert_eq!(socket(&on, &of_page(APP)).await, Ok("ann".into()));
    // The test kit's sockets say `Host: x`.
    assert_eq!(socket(&on, &of_page("http://x")).await, Ok("ann".into()));
    assert_eq!(socket(&on, &of_page("https://evil.example")).await, Err(3507));
    assert_eq!(socket(&on, &of_page("null")).await, Err(3507));
    assert_eq!(socket(&on, &cookie).await, Err(3500), "no page says that it may");
    on.stop().await;
}

#[tokio::test]
async fn a_page_that_may_not_is_told_by_a_close_code_whatever_token_it_has() {
    let edge = edge(|_| {});
    let foreign = format!("{}Origin: https://evil.example\r\n", offer(&token()));
    assert_eq!(socket(&edge, &foreign).await, Err(3507));
    let listed = format!("{}Origin: {APP}\r\n", offer(&token()));
    assert_eq!(socket(&edge, &listed).await, Ok("ann".into()));
    edge.stop().await;
}

/// Status of `GET /v1/sse`, within the time that its head takes.
async fn sse(edge: &RunningEdge, query: &str, headers: &[&str]) -> u16 {
    let url = format!("http://{}/v1/sse?f=demo.a{query}", edge.public());
    let mut arguments = vec!["--max-time", "1", url.as_str()];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    curl(&arguments).await.status
}

#[tokio::test]
async fn sse_takes_a_token_by_header_and_cookie_and_by_the_address_where_that_is_switched_on() {
    let bearer = format!("Authorization: Bearer {}", token());
    let in_address = format!("&token={}", token());
    let cookie = format!("Cookie: mrd={}", token());
    let strict = edge(|_| {});
    assert_eq!(sse(&strict, "", &[&bearer]).await, 200);
    assert_eq!(sse(&strict, "", &[]).await, 401);
    assert_eq!(sse(&strict, "", &["Authorization: Bearer x.y.z"]).await, 401);
    assert_eq!(sse(&strict, &in_address, &[]).await, 401);
    assert_eq!(sse(&strict, "", &[&cookie, "Sec-Fetch-Site: same-origin"]).await, 401);
    assert_eq!(sse(&strict, "", &[&bearer, "Origin: https://evil.example"]).await, 403);
    strict.stop().await;

    let open = edge(|config| {
        config.auth.query = true;
        config.auth.cookie = "mrd".into();
    });
    assert_eq!(sse(&open, &in_address, &[]).await, 200);
    assert_eq!(sse(&open, "", &[&cookie, "Sec-Fetch-Site: same-origin"]).await, 200);
    assert_eq!(sse(&open, "", &[&cookie, "Sec-Fetch-Site: cross-site"]).await, 401);
    let origin = format!("Origin: {APP}");
    let url = format!("http://{}/v1/sse?f=demo.a", open.public());
    let page = curl(&["--max-time", "1", "-H", &cookie, "-H", &origin, &url]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("access-control-allow-origin"), APP);
    assert_eq!(page.header("access-control-allow-credentials"), "true");
    open.stop().await;
}

#[tokio::test]
async fn a_stream_takes_a_token_by_header_and_cookie() {
    let edge = edge(|config| config.auth.cookie = "mrd".into());
    let url = format!("http://{}/v1/stream", edge.public());
    let connected = async |headers: &[&str]| {
        let mut arguments = vec!["--max-time", "1", "-d", r#"{"id":1,"connect":{}}"#, &url];
        for header in headers {
            arguments.extend(["-H", header]);
        }
        curl(&arguments).await.body.contains(r#""user":"ann""#)
    };
    let (bearer, cookie) =
        (format!("Authorization: Bearer {}", token()), format!("Cookie: mrd={}", token()));
    assert!(connected(&[&bearer]).await);
    assert!(connected(&[&cookie, &format!("Origin: {APP}")]).await);
    assert!(!connected(&[&cookie]).await);
    assert!(!connected(&[]).await);
    edge.stop().await;
}

#[test]
fn an_edge_refuses_to_take_cookies_of_every_page() {
    let mut config = config_for("eu-1", "eu", &["eu".into()], "nats://127.0.0.1:1");
    ask_for_tokens(&mut config);
    config.auth.cookie = "mrd".into();
    config.listen.origins = vec!["*".into()];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_toml()).unwrap();
    let errors = Config::load(Some(file.path())).unwrap_err().to_string();
    assert!(
        errors.contains("auth.cookie: with listen.origins \"*\" any page could use it"),
        "{errors}"
    );
}
