//! What can be run: fan-out, unicast and idle connections, with their options.
//!
//! Called by `meridian bench` and by `meridian-bench-suite`. It starts no server: processes to be
//! sampled are named by pid, and one that is not named is simply not sampled.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::floor::FloorControl;
use crate::plan::{PublishPlan, Spread, Tracing};
use crate::progress::Progress;
use crate::publisher::Publisher;
use crate::run::{Run, Source};
use crate::{Endpoint, Error, Report, descriptors, dialect, handshake, progress};

/// Which server, and how it is fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An edge; messages are published to its region's nats-server.
    Meridian {
        /// `ws://host:port/v1/ws`.
        url: String,
        /// `nats://user:password@host:port`; not used by [`run_idle`].
        publish_url: String,
    },
    /// nats-server's own WebSocket listener.
    NatsWebSocket {
        /// `ws://user:password@host:port`.
        url: String,
        /// The same server's `nats://user:password@host:port`.
        publish_url: String,
    },
    /// `meridian-floor`, which makes its messages itself.
    Floor {
        /// Where the sockets connect, `host:port`.
        sockets: String,
        /// Where it takes its orders, `host:port`.
        control: String,
    },
}

/// The processes to sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Processes {
    /// The server under test.
    pub server: Option<u32>,
    /// The nats-server beside an edge.
    pub nats_beside: Option<u32>,
}

/// A run with traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// The server.
    pub target: Target,
    /// What to sample.
    pub processes: Processes,
    /// The subject (fan-out) or the prefix of the subjects (unicast).
    pub subject: String,
    /// Receiving sockets, at most 19,900.
    pub sockets: usize,
    /// Messages a second over all subjects.
    pub rate_per_s: u32,
    /// Traffic before the measured window.
    pub warm_up: Duration,
    /// The measured window; long enough for seconds of CPU, since `/proc` counts in 10 ms.
    pub duration: Duration,
    /// Bytes of each payload.
    pub payload_bytes: usize,
    /// Receiving threads. One, where a second core is needed by the server.
    pub receiver_threads: usize,
    /// What messages say of their trace; not by a floor, which has no headers.
    pub tracing: Tracing,
}

/// A run without traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleOptions {
    /// The server; a floor has no idle figure.
    pub target: Target,
    /// What to sample.
    pub processes: Processes,
    /// The prefix of the subjects, one for each socket.
    pub subject: String,
    /// Sockets, at most 19,900.
    pub sockets: usize,
    /// Receiving threads.
    pub receiver_threads: usize,
}

/// Fan-out: every message to every socket. A burst is the same with few sockets and a high rate.
///
/// # Errors
/// Any [`Error`]; lost messages are not one, they are in the report.
pub async fn run_fanout(options: &LoadOptions) -> Result<Report, Error> {
    run_load("fanout", Spread::OneSubject, options).await
}

/// Unicast: a subject for each socket, each message to one socket in turn.
///
/// # Errors
/// As [`run_fanout`].
pub async fn run_unicast(options: &LoadOptions) -> Result<Report, Error> {
    run_load("unicast", Spread::SubjectEach, options).await
}

/// Idle connections: what memory each costs, with one subscription each.
///
/// # Errors
/// As [`run_fanout`]; [`Error::Options`] for a floor.
pub async fn run_idle(options: &IdleOptions) -> Result<Report, Error> {
    let plan = PublishPlan {
        subject: options.subject.clone(),
        spread: Spread::SubjectEach,
        sockets: options.sockets,
        rate_per_s: 1,
        messages: 1,
        payload_bytes: crate::payload::PAYLOAD_BYTES_MIN,
        tracing: Tracing::Silent,
    };
    plan.check()?;
    descriptors::make_room_for(plan.sockets)?;
    let run = Run {
        scenario: "idle",
        processes: options.processes,
        threads: options.receiver_threads,
        progress: Progress::new(),
    };
    match &options.target {
        Target::Meridian { url, .. } => {
            run.idle("meridian", &dialect::Meridian::new(Endpoint::parse(url)?), &plan).await
        }
        Target::NatsWebSocket { url, .. } => {
            run.idle("nats-server", &dialect::NatsWebSocket::new(Endpoint::parse(url)?), &plan)
                .await
        }
        Target::Floor { .. } => {
            Err(Error::Options("the floor holds nothing for a connection; measure a server".into()))
        }
    }
}

/// Waits until an edge takes a subscription: on a durable namespace, until it knows the stream.
///
/// # Errors
/// The last refusal when `limit` has passed; [`Error::Options`] for a target that is no edge.
pub async fn wait_until_subscribable(
    target: &Target,
    subject: &str,
    limit: Duration,
) -> Result<(), Error> {
    let Target::Meridian { url, .. } = target else {
        return Err(Error::Options("only an edge refuses a subject for a while".into()));
    };
    let dialect = dialect::Meridian::new(Endpoint::parse(url)?);
    let deadline = Instant::now() + limit;
    loop {
        match handshake::open(&dialect, subject).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(progress::POLL).await,
        }
    }
}

async fn run_load(
    scenario: &'static str,
    spread: Spread,
    options: &LoadOptions,
) -> Result<Report, Error> {
    let seconds = options.warm_up.as_secs_f64() + options.duration.as_secs_f64();
    let plan = PublishPlan {
        subject: options.subject.clone(),
        spread,
        sockets: options.sockets,
        rate_per_s: options.rate_per_s,
        messages: (f64::from(options.rate_per_s) * seconds).round() as u64,
        payload_bytes: options.payload_bytes,
        tracing: options.tracing,
    };
    plan.check()?;
    descriptors::make_room_for(plan.sockets)?;
    let run = Run {
        scenario,
        processes: options.processes,
        threads: options.receiver_threads,
        progress: Progress::new(),
    };
    let warm_up = options.warm_up;
    match &options.target {
        Target::Meridian { url, publish_url } => {
            let dialect = dialect::Meridian::new(Endpoint::parse(url)?);
            let source = Source::Nats(Publisher::connect(&Endpoint::parse(publish_url)?)?);
            run.load("meridian", &dialect, source, plan, warm_up).await
        }
        Target::NatsWebSocket { url, publish_url } => {
            let dialect = dialect::NatsWebSocket::new(Endpoint::parse(url)?);
            let source = Source::Nats(Publisher::connect(&Endpoint::parse(publish_url)?)?);
            run.load("nats-server", &dialect, source, plan, warm_up).await
        }
        Target::Floor { sockets, control } => {
            let dialect = dialect::Floor::new(Endpoint::parse(sockets)?);
            let source = Source::Floor(FloorControl::connect(&Endpoint::parse(control)?)?);
            run.load("floor", &dialect, source, plan, warm_up).await
        }
    }
}
