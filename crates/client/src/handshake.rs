//! Opens a WebSocket: TCP, the HTTP upgrade, and the check of its answer (RFC 6455 section 4.1).

use crate::address::Address;
use crate::codec::Codec;
use crate::defaults::REFUSAL_BYTES_MAX;
use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::net::TcpStream;

/// Appended to the key before hashing (RFC 6455 section 1.3).
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What we call ourselves to proxies and access logs.
const AGENT: &str = concat!("meridian-client/", env!("CARGO_PKG_VERSION"));

/// A TCP stream that now carries WebSocket frames.
pub(crate) struct Upgraded {
    pub(crate) stream: TcpStream,
    /// Bytes that arrived together with the HTTP answer: the first frames.
    pub(crate) first: Bytes,
}

/// Connects and upgrades. Waits without a limit: the caller sets one.
pub(crate) async fn open(address: &Address, codec: Codec) -> Result<Upgraded, Error> {
    let authority = || address.authority.clone();
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        .map_err(|source| Error::Connect { address: authority(), source })?;
    let refuse = |why: String| Error::Handshake { address: authority(), why };
    let broken = |error: hyper::Error| refuse(format!("not HTTP/1.1 ({error})"));

    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with the upgrade, or when `sender` is dropped.
    tokio::spawn(connection.with_upgrades());
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    let mut response = sender.send_request(request(address, codec, &key)?).await.map_err(broken)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refuse(refusal(response).await));
    }
    check(response.headers(), codec, &key).map_err(refuse)?;
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(broken)?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .expect("the handshake above was given this very type");
    Ok(Upgraded { stream: parts.io.into_inner(), first: parts.read_buf })
}

fn request(address: &Address, codec: Codec, key: &str) -> Result<Request<Empty<Bytes>>, Error> {
    Request::get(&address.path)
        .header(HOST, &address.authority)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header(SEC_WEBSOCKET_KEY, key)
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_PROTOCOL, codec.subprotocol())
        .header(USER_AGENT, AGENT)
        .body(Empty::new())
        .map_err(|_| Error::Address {
            url: format!("ws://{}{}", address.authority, address.path),
            why: "a part of it cannot stand in an HTTP request",
        })
}

fn check(headers: &HeaderMap, codec: Codec, key: &str) -> Result<(), String> {
    // Connection is a list: servers and proxies put other tokens beside ours.
    let has = |name, expected: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        let mut tokens = values.flat_map(|value| value.split(','));
        tokens.any(|token| token.trim().eq_ignore_ascii_case(expected))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err("it switched to something that is not a WebSocket".into());
    }
    if headers.get(SEC_WEBSOCKET_ACCEPT).map(hyper::header::HeaderValue::as_bytes)
        != Some(accept(key).as_bytes())
    {
        return Err("its Sec-WebSocket-Accept does not answer the key".into());
    }
    if !has(SEC_WEBSOCKET_PROTOCOL, codec.subprotocol()) {
        return Err(format!("it did not agree to {}", codec.subprotocol()));
    }
    Ok(())
}

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{ACCEPT_GUID}")))
}

/// What a server that does not upgrade has to say.
async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match String::from_utf8_lossy(&body).trim() {
        "" => format!("HTTP {status}"),
        text => format!("HTTP {status}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn connection_may_name_more_than_the_upgrade() {
        let mut headers = HeaderMap::new();
        let mut set = |name, value: &str| headers.insert(name, value.parse().unwrap());
        set(UPGRADE, "WebSocket");
        set(SEC_WEBSOCKET_ACCEPT, &accept("k"));
        set(SEC_WEBSOCKET_PROTOCOL, Codec::Json.subprotocol());
        for (connection, is_good) in
            [("Upgrade", true), ("upgrade, close", true), ("close", false), ("upgraded", false)]
        {
            headers.insert(CONNECTION, connection.parse().unwrap());
            assert_eq!(check(&headers, Codec::Json, "k").is_ok(), is_good, "{connection}");
            assert!(check(&headers, Codec::Binary, "k").is_err(), "another codec is not agreed to");
        }
    }
}
