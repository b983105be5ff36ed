//! A man in the middle that lies: a loopback proxy which drops, repeats, reorders or rewrites what
//! a server says. It stands for a bug in the delivery path, so that a test can prove that the
//! checker sees one. Not for delay and cuts: those are `meridian_local::Link`.

use bytes::{Buf, BytesMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server speaks, and so what one saying of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tongue {
    /// A saying is an operation with its payload.
    Nats,
    /// A saying is a line of JSON; lines that share a frame are told apart.
    WebSocket,
}

/// Makes of a saying what is passed on: itself, nothing, or anything else.
type Lie = Arc<Mutex<dyn FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send>>;

/// A running proxy. Owned by its test; dropping it ends its listener, not its connections.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Liar {
    /// Listens on a port of the system's choice. Clients are passed on as they are; what the server
    /// says goes through `lie`, one saying after the other, over all connections.
    pub async fn start(
        target: SocketAddr,
        tongue: Tongue,
        lie: impl FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let lie: Lie = Arc::new(Mutex::new(lie));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, target, tongue, Arc::clone(&lie)));
            }
        });
        Self { address, task }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends with the first of the two directions that ends.
async fn connection(mut client: TcpStream, target: SocketAddr, tongue: Tongue, lie: Lie) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let back = async {
        let (mut heard, mut place) = (BytesMut::new(), Place::Head);
        while server_read.read_buf(&mut heard).await.is_ok_and(|length| length > 0) {
            while let Some((length, said)) = next_said(tongue, &mut place, &heard) {
                let told = match said {
                    Said::Verbatim => heard[..length].to_vec(),
                    Said::Sayings(sayings) => sayings
                        .into_iter()
                        .flat_map(|saying| (*lie.lock().unwrap())(saying))
                        .flat_map(|saying| framed(tongue, saying))
                        .collect(),
                };
                heard.advance(length);
                if client_write.write_all(&told).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! { biased;
        // A server that has closed says nothing more; whoever speaks to it learns so.
        () = back => {}
        _ = tokio::io::copy(&mut client_read, &mut server_write) => {}
    }
}

/// Where a WebSocket's stream stands.
enum Place {
    Head,
    Frames,
}

enum Said {
    Verbatim,
    Sayings(Vec<Vec<u8>>),
}

/// The next whole piece of what was heard, and its length; `None` until more has come.
fn next_said(tongue: Tongue, place: &mut Place, heard: &[u8]) -> Option<(usize, Said)> {
    match (tongue, &place) {
        (Tongue::Nats, _) => nats_operation(heard),
        (Tongue::WebSocket, Place::Head) => {
            let length = heard.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            *place = Place::Frames;
            Some((length, Said::Verbatim))
        }
        (Tongue::WebSocket, Place::Frames) => websocket_frame(heard),
    }
}

fn nats_operation(heard: &[u8]) -> Option<(usize, Said)> {
    let line = heard.windows(2).position(|two| two == b"\r\n")?;
    let text = String::from_utf8_lossy(&heard[..line]);
    if !text.starts_with("MSG ") && !text.starts_with("HMSG ") {
        return Some((line + 2, Said::Verbatim));
    }
    let payload: usize = text.rsplit(' ').next()?.parse().expect("nats-server counts its bytes");
    let length = line + 2 + payload + 2;
    (heard.len() >= length).then(|| (length, Said::Sayings(vec![heard[..length].to_vec()])))
}

/// An edge's frame: not masked, not fragmented.
fn websocket_frame(heard: &[u8]) -> Option<(usize, Said)> {
    let (opcode, short) = (heard.first()? & 0x0f, usize::from(*heard.get(1)?));
    let (head, payload) = match short {
        126 => (4, usize::from(u16::from_be_bytes(heard.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(heard.get(2..10)?.try_into().ok()?) as usize),
        length => (2, length),
    };
    let whole = heard.get(..head + payload)?;
    if opcode != 1 {
        return Some((whole.len(), Said::Verbatim));
    }
    let lines = whole[head..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Some((whole.len(), Said::Sayings(lines.map(<[u8]>::to_vec).collect())))
}

/// A saying as it goes over the wire.
fn framed(tongue: Tongue, saying: Vec<u8>) -> Vec<u8> {
    if tongue == Tongue::Nats {
        return saying;
    }
    let length = u16::try_from(saying.len()).expect("tests send short messages");
    let mut frame = vec![0x81, 126];
    if length < 126 {
        frame[1] = length as u8;
    } else {
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(&saying);
    frame
}
