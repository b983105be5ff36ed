//! Publishes stamped messages over nats-server's plain TCP port at a paced rate, with a
//! hand-written `PUB` writer.
//!
//! Not a NATS client: no subscriptions, no reconnect. A message is stamped when its bytes are made,
//! immediately before the write; a server that pushes back therefore shows as a rate that was not
//! kept, which the report tells.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

use crate::endpoint::NatsRole;
use crate::pace::Pacer;
use crate::payload::{Stamp, now_ns};
use crate::plan::{PublishPlan, Published};
use crate::{Endpoint, Error};

/// The server's word after a connect or a flush; generous, because it may be busy delivering.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the server's PINGs are looked for; it waits minutes for an answer.
const PING_CHECK: Duration = Duration::from_secs(1);

/// A connected publisher. Owned by the publishing thread.
#[derive(Debug)]
pub struct Publisher {
    stream: TcpStream,
}

impl Publisher {
    /// Connects, logs in with the URL's user and password, and waits for the server's PONG.
    ///
    /// # Errors [`Error::Connect`] when there is no server, [`Error::Publish`] with its words when
    /// it refuses.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let connect = |source| Error::Connect { address: endpoint.authority.clone(), source };
        let stream =
            TcpStream::connect_timeout(&endpoint.address, REPLY_TIMEOUT).map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).map_err(connect)?;
        let mut publisher = Self { stream };
        let opening = format!("{}PING\r\n", endpoint.nats_connect(NatsRole::Publisher));
        publisher.stream.write_all(opening.as_bytes()).map_err(failed)?;
        publisher.wait_for_pong()?;
        Ok(publisher)
    }

    /// Publishes the whole plan and waits until the server has taken it.
    ///
    /// # Errors
    /// [`Error::Publish`] when the connection breaks.
    pub fn run(&mut self, plan: &PublishPlan) -> Result<Published, Error> {
        let heads: Vec<String> =
            plan.subjects().iter().map(|subject| head(plan, subject)).collect();
        let subjects = heads.len() as u64;
        let mut batch_bytes = Vec::new();
        let mut pinged = Instant::now();
        let mut pacer = Pacer::start(plan.rate_per_s, plan.messages);
        while let Some(batch) = pacer.next_batch() {
            batch_bytes.clear();
            for index in batch {
                let head = &heads[usize::try_from(index % subjects).expect("an index of heads")];
                batch_bytes.extend_from_slice(head.as_bytes());
                batch_bytes.extend_from_slice(plan.tracing.headers(index).as_bytes());
                let stamp = Stamp { sent_ns: now_ns(), sequence: index / subjects };
                stamp.write(plan.payload_bytes, &mut batch_bytes);
                batch_bytes.extend_from_slice(b"\r\n");
            }
            self.stream.write_all(&batch_bytes).map_err(failed)?;
            if pinged.elapsed() > PING_CHECK {
                pinged = Instant::now();
                self.answer_pings()?;
            }
        }
        let published = pacer.published(0);
        self.stream.write_all(b"PING\r\n").map_err(failed)?;
        self.wait_for_pong()?;
        Ok(published)
    }

    fn answer_pings(&mut self) -> Result<(), Error> {
        let mut bytes = [0; 4096];
        match rustix::net::recv(&self.stream, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(Error::Publish("the server closed the connection".into())),
            Ok((received, _)) if bytes[..received].starts_with(b"-ERR") => {
                Err(Error::Publish(String::from_utf8_lossy(&bytes[..received]).into_owned()))
            }
            Ok(_) => self.stream.write_all(b"PONG\r\n").map_err(failed),
            Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    fn wait_for_pong(&mut self) -> Result<(), Error> {
        let mut lines = BufReader::new(&self.stream);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).map_err(failed)? == 0 {
                return Err(Error::Publish("the server closed the connection".into()));
            }
            if line.starts_with("PONG") {
                return Ok(());
            }
            if line.starts_with("-ERR") {
                return Err(Error::Publish(line.trim().to_owned()));
            }
        }
    }
}

/// What stands before a message's headers and payload. All headers of a plan are equally long.
fn head(plan: &PublishPlan, subject: &str) -> String {
    match plan.tracing.headers(0).len() {
        0 => format!("PUB {subject} {}\r\n", plan.payload_bytes),
        bytes => format!("HPUB {subject} {bytes} {}\r\n", bytes + plan.payload_bytes),
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::Publish(error.to_string())
}
