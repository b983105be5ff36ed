//! How a child process shows that it serves. `Process` asks after each start.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http_get::http_get;

/// An INFO line with many advertised addresses stays well below this.
const INFO_BYTES_MAX: usize = 16 << 10;

/// A serving nats-server sends INFO at once; a silent one is asked again.
const INFO_TIMEOUT: Duration = Duration::from_secs(2);

/// The sign to wait for.
#[derive(Debug, Clone)]
pub(crate) enum Readiness {
    /// The NATS greeting of exactly this server; another's on the same port does not count.
    NatsInfo {
        /// Client address.
        address: SocketAddr,
        /// Expected `server_name`.
        server_name: String,
    },
    /// Status 200 for this path.
    Http {
        /// Admin address.
        address: SocketAddr,
        /// Path of the request.
        path: &'static str,
    },
}

impl Readiness {
    pub(crate) async fn is_reached(&self) -> bool {
        match self {
            Self::NatsInfo { address, server_name } => {
                let greeting = timeout(INFO_TIMEOUT, read_info(*address)).await;
                greeting.ok().flatten().as_deref() == Some(server_name)
            }
            Self::Http { address, path } => {
                http_get(*address, path).await.is_ok_and(|response| response.status == 200)
            }
        }
    }
}

impl std::fmt::Display for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NatsInfo { address, server_name } => {
                write!(f, "NATS greeting of {server_name} at {address}")
            }
            Self::Http { address, path } => write!(f, "status 200 at http://{address}{path}"),
        }
    }
}

/// The server name in the INFO line, if one comes.
async fn read_info(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut line = Vec::with_capacity(1024);
    while !line.ends_with(b"\r\n") {
        if line.len() > INFO_BYTES_MAX || stream.read_buf(&mut line).await.ok()? == 0 {
            return None;
        }
    }
    server_name(&line)
}

fn server_name(line: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Info {
        server_name: String,
    }
    let json = line.strip_prefix(b"INFO ")?;
    serde_json::from_slice::<Info>(json).ok().map(|info| info.server_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_name_is_read_from_info_only() {
        let line = b"INFO {\"server_id\":\"N\",\"server_name\":\"eu-1\",\"port\":4222} \r\n";
        assert_eq!(server_name(line).as_deref(), Some("eu-1"));
        assert_eq!(server_name(b"-ERR 'no'\r\n"), None);
    }
}
