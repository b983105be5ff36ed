//! What a server says of itself in an INFO line: at the start, and again when something changes.

use serde::Deserialize;

use crate::defaults;
use crate::error::Error;

/// The part of a server's INFO line that an edge uses (NATS client protocol, INFO). Unknown fields
/// are passed over, missing ones take the value of an old server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerInfo {
    /// Unique for each start of a server.
    #[serde(default)]
    pub server_id: String,
    /// The configured name, or the id where none is configured.
    #[serde(default)]
    pub server_name: String,
    /// For instance `2.15.1`.
    #[serde(default)]
    pub version: String,
    /// The cluster's name: the region, in Meridian.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The most bytes of headers and payload together that the server takes from a publisher.
    #[serde(default = "default_max_payload")]
    pub max_payload: usize,
    /// The server is about to stop: move to another one now.
    #[serde(default, rename = "ldm")]
    pub lame_duck: bool,
    /// Other servers of the cluster, for show. Meridian never connects to them.
    #[serde(default)]
    pub connect_urls: Vec<String>,
    /// The server takes messages with headers.
    #[serde(default)]
    pub headers: bool,
    /// The server expects a TLS handshake next.
    #[serde(default)]
    pub tls_required: bool,
    /// The server takes a TLS handshake next, and clear text too.
    #[serde(default)]
    pub tls_available: bool,
}

impl ServerInfo {
    /// Reads the JSON that follows `INFO `.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, Error> {
        const UNEXPECTED: Error = Error::Protocol("INFO is not the JSON expected");
        // serde would take an array's elements for the fields in their order.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(UNEXPECTED);
        }
        serde_json::from_slice(json).map_err(|_| UNEXPECTED)
    }
}

fn default_max_payload() -> usize {
    defaults::PAYLOAD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lame_duck_is_recognised_among_unknown_fields() {
        let json =
            br#"{"server_id":"N","server_name":"eu-1","proto":1,"go":"go1.25","cluster":"eu",
            "headers":true,"max_payload":2048,"ldm":true,"connect_urls":["10.0.0.1:4222"]}"#;
        let info = ServerInfo::from_json(json).unwrap();
        assert!(info.lame_duck && info.headers && !info.tls_required);
        assert_eq!((info.cluster.as_deref(), info.max_payload), (Some("eu"), 2048));
        assert_eq!(info.connect_urls, ["10.0.0.1:4222"]);
    }

    #[test]
    fn an_empty_object_is_an_old_server_and_other_json_is_a_violation() {
        assert_eq!(ServerInfo::from_json(b"{}").unwrap().max_payload, 1024 * 1024);
        for json in [&b""[..], b"[]", b"{\"max_payload\":-1}", b"{", b"\xff"] {
            assert!(matches!(ServerInfo::from_json(json), Err(Error::Protocol(_))));
        }
    }
}
