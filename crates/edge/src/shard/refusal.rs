//! Sockets that are turned away before anything is spent on them: no TLS, no parsing, an answer of
//! plain bytes and a short while to take it.
//!
//! Called by `accept`. Behind TLS nobody can read the answer; the end of the socket says enough.

use super::Shard;
use meridian_core::Limit;
use meridian_telemetry::metrics::labels::Handshake;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

/// How long a refused client has to take its answer. Short, because it is one more socket.
const LINGER: Duration = Duration::from_millis(300);

/// Refused sockets at once. More are cut without a word: an answer is a kindness, not a duty.
const REFUSED_MAX: usize = 512;

/// How the request of an `EventSource` begins.
const SSE_REQUEST: &[u8] = b"GET /v1/sse";

/// Most seconds that are added by chance, so that those who are refused together come back apart.
const JITTER_S: u64 = 5;

/// Counts a refused socket of its shard until it is dropped.
struct Refused(Rc<Shard>);

impl Drop for Refused {
    fn drop(&mut self) {
        self.0.refused.set(self.0.refused.get() - 1);
    }
}

/// Turns a socket away for a limit. It may come back after some seconds.
pub(super) fn refuse(shard: &Rc<Shard>, mut stream: TcpStream, limit: Limit, after_s: u64) {
    shard.counters.add_limit(limit);
    shard.meters.handshake(Handshake::Full);
    debug!(shard = shard.index, limit = limit.label(), "refused");
    if shard.refused.get() >= REFUSED_MAX {
        return;
    }
    shard.refused.set(shard.refused.get() + 1);
    let refused = Refused(Rc::clone(shard));
    let after_s = after_s + fastrand::u64(1..=JITTER_S);
    tokio::task::spawn_local(async move {
        // A failure means that the client is gone, which is all that was wanted.
        drop(timeout(LINGER, answer(&mut stream, limit, after_s)).await);
        drop(refused);
    });
}

/// Answers, and reads what the client sends until it closes: a socket that is closed with its
/// request unread is reset, and the answer is lost with it.
async fn answer(stream: &mut TcpStream, limit: Limit, after_s: u64) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(512);
    // Who says nothing for long gets the common answer.
    let beginning = timeout(LINGER / 2, async {
        while request.len() < SSE_REQUEST.len() && SSE_REQUEST.starts_with(&request) {
            if stream.read_buf(&mut request).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    });
    drop(beginning.await);
    let is_sse = request.starts_with(SSE_REQUEST);
    stream.write_all(&response(limit, after_s, is_sse)).await?;
    stream.shutdown().await?;
    let mut rest = [0; 512];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The answer. An `EventSource` gives up for good at any status but 200, so that it gets an event
/// stream that ends and says when to come back.
fn response(limit: Limit, after_s: u64, is_sse: bool) -> Vec<u8> {
    if is_sse {
        let retry_ms = after_s * 1_000;
        return format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
             Access-Control-Allow-Origin: *\r\nRetry-After: {after_s}\r\nConnection: close\r\n\r\n\
             retry: {retry_ms}\n\n"
        )
        .into();
    }
    let status = match limit {
        Limit::AddressConnections | Limit::AddressRate => "429 Too Many Requests",
        _ => "503 Service Unavailable",
    };
    format!(
        "HTTP/1.1 {status}\r\nRetry-After: {after_s}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_when_to_come_back_and_an_event_source_can_hear_it() {
        for limit in Limit::ALL {
            let text = String::from_utf8(response(limit, 7, false)).unwrap();
            assert!(text.contains("\r\nRetry-After: 7\r\n"), "{text}");
            assert!(text.starts_with("HTTP/1.1 503") || text.starts_with("HTTP/1.1 429"), "{text}");
            let text = String::from_utf8(response(limit, 7, true)).unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            assert!(text.contains("\r\nRetry-After: 7\r\n"), "{text}");
            assert!(text.ends_with("\r\n\r\nretry: 7000\n\n"), "{text}");
        }
    }
}
