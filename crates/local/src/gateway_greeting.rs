//! Finds out which region dials a gateway, from the first line that each side sends.
//!
//! nats-servers gossip every address that they have for a gateway, so region `us` learns the
//! address of the link from `ap` to `eu` and dials it when its own link breaks. A link therefore
//! asks who is there, and treats the connection as one of the link that the dialler belongs to.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// INFO and CONNECT of a gateway are below one kilobyte.
const LINE_BYTES_MAX: usize = 16 << 10;

/// What the dialler sent so far, which the target has not seen yet.
pub(crate) struct Greeting {
    pub(crate) dialler: String,
    pub(crate) sent: Vec<u8>,
}

/// Passes the target's INFO on, late by the link's delay, and reads the dialler's CONNECT.
pub(crate) async fn greet(
    client: &mut TcpStream,
    server: &mut TcpStream,
    one_way_delay: Duration,
) -> io::Result<Greeting> {
    let info = read_line(server).await?;
    sleep(one_way_delay).await;
    client.write_all(&info).await?;
    let sent = read_line(client).await?;
    let dialler = dialler(&sent).ok_or_else(|| invalid("no gateway's CONNECT"))?;
    Ok(Greeting { dialler, sent })
}

/// At least one line; what came with it is kept.
async fn read_line(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    while !bytes.windows(2).any(|pair| pair == b"\r\n") {
        if bytes.len() > LINE_BYTES_MAX {
            return Err(invalid("a greeting without an end"));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}

fn dialler(sent: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Connect {
        gateway: String,
    }
    let end = sent.windows(2).position(|pair| pair == b"\r\n")?;
    let json = sent[..end].strip_prefix(b"CONNECT ")?;
    serde_json::from_slice::<Connect>(json).ok().map(|connect| connect.gateway)
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialler_is_read_from_the_first_line() {
        let sent =
            b"CONNECT {\"verbose\":false,\"gateway\":\"us\"}\r\nINFO {\"gateway\":\"x\"}\r\n";
        assert_eq!(dialler(sent).as_deref(), Some("us"));
    }

    #[test]
    fn what_is_no_gateway_has_no_dialler() {
        assert_eq!(dialler(b"CONNECT {\"user\":\"app\"}\r\n"), None);
        assert_eq!(dialler(b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(dialler(b"CONNECT {\"gateway\":\"us\"}"), None);
    }
}
