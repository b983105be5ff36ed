//! The floor: what the kernel alone costs. Writes a ready frame to each socket with a bare,
//! blocking `send(2)`.
//!
//! One thread writes, in a plain loop: no epoll, no queue, no protocol, one send for each delivery.
//! A server that gathers several messages into one write may therefore beat it at high rates; that
//! is said in the tables. Run by the `meridian-floor` program, told what to do over a control
//! connection, so that it is driven like any server.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::frame::{OPCODE_TEXT, write_server_header};
use crate::pace::Pacer;
use crate::payload::{Stamp, now_ns};
use crate::plan::{PublishPlan, Published, Spread};
use crate::{Endpoint, Error};

/// How long the floor waits for the sockets that an order names.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound floor. Owned by its process's main thread.
#[derive(Debug)]
pub struct Floor {
    sockets: TcpListener,
    control: TcpListener,
}

impl Floor {
    /// Binds both listeners on loopback, on ports that the system chooses.
    ///
    /// # Errors
    /// The system's.
    pub fn bind() -> std::io::Result<Self> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self { sockets: TcpListener::bind(loopback)?, control: TcpListener::bind(loopback)? })
    }

    /// Where the receiving sockets connect, and where orders are given.
    ///
    /// # Errors
    /// The system's.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.sockets.local_addr()?, self.control.local_addr()?))
    }

    /// Serves one control connection after the other: an order, a [`PublishPlan`] as a JSON line,
    /// is carried out and answered with a [`Published`] line. Sockets accepted before an order
    /// belong to it. Returns when the control listener fails.
    ///
    /// # Errors
    /// The system's.
    pub fn serve(self) -> std::io::Result<()> {
        let (accepted, sockets) = mpsc::channel();
        let listener = self.sockets;
        std::thread::Builder::new().name("floor-accept".into()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stream.set_nodelay(true).is_err() || accepted.send(stream).is_err() {
                    return;
                }
            }
        })?;
        loop {
            let (control, _) = self.control.accept()?;
            // A broken order ends its own connection only.
            let _order = obey(&control, &sockets);
        }
    }
}

fn obey(mut control: &TcpStream, accepted: &mpsc::Receiver<TcpStream>) -> std::io::Result<()> {
    let mut order = String::new();
    BufReader::new(control).read_line(&mut order)?;
    let plan: PublishPlan = serde_json::from_str(&order)?;
    plan.check().map_err(std::io::Error::other)?;
    let mut sockets = Vec::with_capacity(plan.sockets);
    while sockets.len() < plan.sockets {
        sockets.push(accepted.recv_timeout(ACCEPT_TIMEOUT).map_err(std::io::Error::other)?);
    }
    let published = send_all(&plan, &mut sockets);
    let mut answer = serde_json::to_vec(&published)?;
    answer.push(b'\n');
    control.write_all(&answer)?;
    // The receivers close first, with a reset: closing here would leave thousands of TIME_WAITs.
    BufReader::new(control).read_line(&mut order)?;
    Ok(())
}

fn send_all(plan: &PublishPlan, sockets: &mut [TcpStream]) -> Published {
    let subjects = plan.subjects();
    let count = subjects.len() as u64;
    let mut frame = Vec::new();
    let mut failed_sends = 0;
    let mut pacer = Pacer::start(plan.rate_per_s, plan.messages);
    while let Some(batch) = pacer.next_batch() {
        for index in batch {
            let at = usize::try_from(index % count).expect("an index of subjects");
            let stamp = Stamp { sent_ns: now_ns(), sequence: index / count };
            write_frame(&subjects[at], stamp, plan.payload_bytes, &mut frame);
            let receivers = match plan.spread {
                Spread::OneSubject => &mut sockets[..],
                Spread::SubjectEach => &mut sockets[at..=at],
            };
            for socket in receivers {
                failed_sends += u64::from(socket.write_all(&frame).is_err());
            }
        }
    }
    pacer.published(failed_sends)
}

/// The frame that an edge would send, so that the sizes are the same.
fn write_frame(subject: &str, stamp: Stamp, payload_bytes: usize, frame: &mut Vec<u8>) {
    const HEAD: &[u8] = b"{\"m\":{\"i\":1,\"s\":\"";
    const MIDDLE: &[u8] = b"\",\"d\":";
    const TAIL: &[u8] = b"}}";
    frame.clear();
    let bytes = HEAD.len() + subject.len() + MIDDLE.len() + payload_bytes + TAIL.len();
    write_server_header(OPCODE_TEXT, bytes, frame);
    frame.extend_from_slice(HEAD);
    frame.extend_from_slice(subject.as_bytes());
    frame.extend_from_slice(MIDDLE);
    stamp.write(payload_bytes, frame);
    frame.extend_from_slice(TAIL);
}

/// The other end of the control connection. Owned by the publishing thread.
#[derive(Debug)]
pub struct FloorControl {
    stream: TcpStream,
}

impl FloorControl {
    /// Connects to a floor's control port.
    ///
    /// # Errors
    /// [`Error::Connect`] when no floor listens there.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let stream = TcpStream::connect(endpoint.address)
            .map_err(|source| Error::Connect { address: endpoint.authority.clone(), source })?;
        Ok(Self { stream })
    }

    /// Orders the plan and waits for its end. The floor keeps the sockets open until this is
    /// dropped.
    ///
    /// # Errors
    /// [`Error::Publish`] when the floor hangs up or a send failed: then its figures mean nothing.
    pub fn run(&mut self, plan: &PublishPlan) -> Result<Published, Error> {
        let failed = |why: String| Error::Publish(format!("the floor: {why}"));
        let mut order = serde_json::to_vec(plan).map_err(|e| failed(e.to_string()))?;
        order.push(b'\n');
        self.stream.write_all(&order).map_err(|e| failed(e.to_string()))?;
        let mut answer = String::new();
        let mut lines = BufReader::new(&self.stream);
        lines.read_line(&mut answer).map_err(|e| failed(e.to_string()))?;
        let published: Published =
            serde_json::from_str(&answer).map_err(|_| failed("no answer".into()))?;
        if published.failed_sends > 0 {
            return Err(failed(format!("{} sends failed", published.failed_sends)));
        }
        Ok(published)
    }
}
