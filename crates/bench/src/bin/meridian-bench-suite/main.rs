//! `make bench`: the floor, nats-server's own WebSocket listener and the edge, one after the
//! other in one run, and a table of what each cost.
//!
//! The durable scenarios compare the edge with itself, on an ephemeral and on a durable namespace.
//!
//! The edge runs with one shard: on the two cores that this is made for, one core serves and one
//! makes the load. Every run starts its servers afresh, so that memory is measured from the same
//! beginning. `--repeat` interleaves the targets (floor, nats, edge, floor, …) and takes medians,
//! because a shared machine drifts. Not for measuring a server elsewhere: that is `meridian bench`.

mod provenance;
mod scenarios;
mod servers;
mod span_sink;
mod summary;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use meridian_bench::{
    IdleOptions, LoadOptions, Report, descriptors, run_fanout, run_idle, run_unicast,
};

use crate::provenance::Provenance;
use crate::scenarios::{Kind, SCENARIOS, Scenario};
use crate::servers::{Programs, Server, ServerKind};
use crate::summary::Summary;

/// What any step may fail with; only this program's last line of output sees it.
type Failure = Box<dyn std::error::Error>;

/// Payload of every scenario.
const PAYLOAD_BYTES: usize = 128;

/// `--quick`: enough to see that everything works, too short for figures.
const QUICK: Duration = Duration::from_secs(2);

/// The most sockets of any scenario.
const SOCKETS_MAX: usize = 10_000;

/// Compare the edge with a bare send(2) and with nats-server's WebSocket listener.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run only these scenarios: fanout-20, fanout-80, burst-1000, burst-5000, unicast, idle,
    /// durable-20, durable-1000, durable-unicast, traced-80, traced-unicast.
    #[arg(long, value_delimiter = ',', value_parser = scenarios::find)]
    only: Vec<&'static Scenario>,
    /// Run only these targets.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "floor,nats,edge,durable,untraced,traced-thousandth,traced-all"
    )]
    targets: Vec<ServerKind>,
    /// Repeat each scenario so often, targets interleaved, and report medians.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Two seconds a run: to see that it works, not for figures.
    #[arg(long)]
    quick: bool,
    /// Seconds measured in each run, instead of each scenario's own.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    duration_s: Option<u64>,
    /// Receiving threads.
    #[arg(long, default_value_t = 1)]
    receiver_threads: usize,
    /// Where results, configurations and logs go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The `meridian` program; the default is the one beside this program.
    #[arg(long)]
    meridian: Option<PathBuf>,
}

// One thread: children are tied to the life of the thread that started them, and the load has
// threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::select! {
        biased;
        // First, so that an interrupt is never behind a run; dropping the run stops its servers.
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
        done = run(&arguments) => done,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is gone only when nobody reads it.
            let _unread = writeln!(std::io::stderr(), "meridian-bench-suite: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    descriptors::make_room_for(SOCKETS_MAX)?;
    let programs = Programs::find(arguments.meridian.clone(), &arguments.targets)?;
    std::fs::create_dir_all(&arguments.out)?;
    let mut summary = Summary::new(Provenance::collect(&programs)?);
    let chosen: Vec<&Scenario> =
        if arguments.only.is_empty() { SCENARIOS.iter().collect() } else { arguments.only.clone() };
    for scenario in chosen {
        let mut reports = Vec::new();
        for repeat in 1..=arguments.repeat {
            for &kind in &arguments.targets {
                if !scenario.targets.contains(&kind) {
                    continue;
                }
                writeln!(
                    std::io::stderr(),
                    "{}: {} ({repeat} of {})",
                    scenario.name,
                    kind.name(),
                    arguments.repeat
                )?;
                let report = measure(arguments, &programs, scenario, kind).await?;
                writeln!(std::io::stderr(), "{}", report.to_table())?;
                reports.push((kind, report));
            }
        }
        summary.add(scenario, reports, &arguments.out)?;
    }
    let table = summary.to_markdown();
    std::fs::write(arguments.out.join("table.md"), &table)?;
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(())
}

/// One run of one target, with servers of its own.
async fn measure(
    arguments: &Arguments,
    programs: &Programs,
    scenario: &Scenario,
    kind: ServerKind,
) -> Result<Report, Failure> {
    let directory = arguments.out.join("run").join(format!("{}-{}", scenario.name, kind.name()));
    let server = Server::start(kind, programs, &directory).await?;
    let duration = match (arguments.quick, arguments.duration_s) {
        (true, _) => QUICK,
        (_, Some(seconds)) => Duration::from_secs(seconds),
        _ => Duration::from_secs(scenario.duration_s),
    };
    let load = LoadOptions {
        target: server.target.clone(),
        processes: server.processes(),
        subject: kind.subject().to_owned(),
        sockets: scenario.sockets,
        rate_per_s: scenario.rate_per_s,
        warm_up: duration / 4,
        duration,
        payload_bytes: PAYLOAD_BYTES,
        receiver_threads: arguments.receiver_threads,
        tracing: kind.tracing(),
    };
    let measured = match scenario.kind {
        Kind::Fanout => run_fanout(&load).await,
        Kind::Unicast => run_unicast(&load).await,
        Kind::Idle => {
            run_idle(&IdleOptions {
                target: load.target,
                processes: load.processes,
                subject: load.subject,
                sockets: load.sockets,
                receiver_threads: load.receiver_threads,
            })
            .await
        }
    };
    server.stop().await?;
    let mut report = measured?;
    report.scenario = scenario.name.to_owned();
    Ok(report)
}
