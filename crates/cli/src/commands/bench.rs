//! `meridian bench`: loads one edge and says what it cost. The load itself is `meridian-bench`'s;
//! comparisons with a floor and with nats-server are `make bench`'s.

use crate::exit::{Error, Exit};
use crate::signals::Signals;
use crate::target::URL_DEFAULT;
use crate::terminal;
use meridian_bench::{IdleOptions, LoadOptions, Processes, Report, Target, Tracing};
use std::time::Duration;

/// Measure an edge under load.
///
/// Ends with code 7 if a message was lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, clap::Subcommand)]
enum Scenario {
    /// Every message to every socket.
    Fanout(Load),
    /// A subject for each socket, and each message to one of them.
    Unicast(Load),
    /// Idle connections with one subscription each: what memory they cost.
    Conns(Idle),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The edge's WebSocket URL.
    #[arg(long, env = "MERIDIAN_URL", default_value = URL_DEFAULT)]
    url: String,
    /// Subject, or the prefix of the subjects where each socket has its own.
    #[arg(long, default_value = "demo.bench")]
    subject: String,
    /// Receiving sockets.
    #[arg(long, default_value_t = 1000)]
    sockets: usize,
    /// Receiving threads. One, where the server needs the other cores.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Process id of the edge, to measure its CPU and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// Process id of the nats-server beside it.
    #[arg(long)]
    nats_pid: Option<u32>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Load {
    #[command(flatten)]
    common: Common,
    /// The NATS URL to publish to.
    #[arg(long, default_value = "nats://app:app@127.0.0.1:7400")]
    nats: String,
    /// Messages a second, over all subjects.
    #[arg(long, default_value_t = 80)]
    rate: u32,
    /// How long to measure, in s.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration_s: u64,
    /// How long to run before that, in s.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up_s: u64,
    /// Bytes of each payload.
    #[arg(long, default_value_t = 128)]
    payload_bytes: usize,
}

#[derive(Debug, clap::Args)]
struct Idle {
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    let (report, json) = match arguments.scenario {
        Scenario::Fanout(load) => {
            (signals.race(meridian_bench::run_fanout(&load.options())).await?, load.common.json)
        }
        Scenario::Unicast(load) => {
            (signals.race(meridian_bench::run_unicast(&load.options())).await?, load.common.json)
        }
        Scenario::Conns(idle) => {
            (signals.race(meridian_bench::run_idle(&idle.options())).await?, idle.common.json)
        }
    };
    let text = if json { as_json(&report) } else { report.to_table() };
    terminal::data(text.as_bytes())?;
    let lost = report.traffic.as_ref().map_or(0, |traffic| traffic.lost);
    Ok(if lost > 0 { Exit::DataLoss } else { Exit::Ok })
}

fn as_json(report: &Report) -> String {
    let object = serde_json::to_string(report).expect("plain structs of numbers serialize");
    format!("{object}\n")
}

impl Load {
    fn options(&self) -> LoadOptions {
        LoadOptions {
            target: Target::Meridian {
                url: self.common.url.clone(),
                publish_url: self.nats.clone(),
            },
            processes: self.common.processes(),
            subject: self.common.subject.clone(),
            sockets: self.common.sockets,
            rate_per_s: self.rate,
            warm_up: Duration::from_secs(self.warm_up_s),
            duration: Duration::from_secs(self.duration_s),
            payload_bytes: self.payload_bytes,
            receiver_threads: self.common.threads.into(),
            tracing: Tracing::Silent,
        }
    }
}

impl Idle {
    fn options(&self) -> IdleOptions {
        IdleOptions {
            // Nothing is published, so nobody needs to know where to.
            target: Target::Meridian { url: self.common.url.clone(), publish_url: String::new() },
            processes: self.common.processes(),
            subject: self.common.subject.clone(),
            sockets: self.common.sockets,
            receiver_threads: self.common.threads.into(),
        }
    }
}

impl Common {
    fn processes(&self) -> Processes {
        Processes { server: self.pid, nats_beside: self.nats_pid }
    }
}
