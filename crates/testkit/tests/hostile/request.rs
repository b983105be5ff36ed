//! Upgrade requests, written by hand.

/// A good upgrade request with more headers, each with its line end.
pub(crate) fn upgrade_request(headers: &str) -> String {
    format!(
        "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {headers}\r\n"
    )
}
