//! `meridian streams`: the JetStream streams of durable namespaces. What there must be stands in
//! an edge's configuration; what that means is `meridian-nats`'s.

mod config_file;
mod promote;
mod report;

use crate::exit::{Error, Exit};
use crate::signals::Signals;
use crate::terminal::{self, talk};
use config_file::StreamsFile;
use meridian_nats::streams::{Confirm, Error as StreamsError, Plan, Streams, copy_name, plan};
use meridian_nats::{ConnectOptions, Control, ControlOptions, Error as NatsError, ServerUrl};
use report::CopyReport;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How the connection is called in the server's monitoring.
const CONNECTION_NAME: &str = "meridian-streams";

/// A copy that does not answer is a line of the status, not a reason to wait for it.
const STATUS_PATIENCE_MS: u64 = 3_000;

/// Plan, make, purge and show the streams of durable namespaces.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what `apply` would do, as a diff. Changes nothing.
    Plan {
        #[command(flatten)]
        place: Place,
    },
    /// Make what is missing, change what differs. Run again, it does nothing.
    Apply {
        #[command(flatten)]
        place: Place,
        /// Also delete streams, with their messages, where the plan says so.
        #[arg(long)]
        yes: bool,
    },
    /// Erase stored messages in every region, and begin a new epoch: clients that resume start
    /// anew.
    Purge {
        /// The namespace's name.
        namespace: String,
        /// Only messages whose subjects match this filter.
        #[arg(long, value_name = "FILTER")]
        subject: Option<String>,
        /// Really do it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Make a region's mirror the home stream: when home is lost, or in order to move it.
    ///
    /// Shows what would be done, and does it with --yes only. If home answers, it hands over and
    /// nothing is lost. If it does not, the epoch changes: what home had acknowledged and the
    /// mirror has not copied is lost to the mesh.
    Promote {
        /// The namespace's name.
        namespace: String,
        /// The region whose mirror becomes home.
        #[arg(long, value_name = "REGION")]
        to: String,
        /// Really do it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show every copy and how far it is behind. Ends with code 6 if one is missing or differs.
    Status {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// An edge's TOML file: its durable namespaces and the mesh's regions.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The NATS server to ask, instead of the file's first.
    #[arg(long, value_name = "URL")]
    nats: Option<ServerUrl>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    match arguments.action {
        Action::Plan { place } => signals.race(show_plan(&place)).await,
        Action::Apply { place, yes } => signals.race(apply(&place, confirm(yes))).await,
        Action::Purge { namespace, subject, yes, place } => {
            signals.race(purge(&place, &namespace, subject.as_deref(), confirm(yes))).await
        }
        Action::Promote { namespace, to, yes, place } => {
            signals.race(promote::promote(&place, &namespace, &to, confirm(yes))).await
        }
        Action::Status { place } => signals.race(status(&place)).await,
    }
}

fn confirm(yes: bool) -> Confirm {
    if yes { Confirm::Yes } else { Confirm::No }
}

async fn show_plan(place: &Place) -> Result<Exit, Error> {
    let file = StreamsFile::read(&place.config)?;
    let streams = connect(place, &file).await?;
    let plan = make_plan(&file, &streams).await?;
    terminal::data(if place.json { report::json(&plan) } else { plan.to_string() }.as_bytes())?;
    Ok(Exit::Ok)
}

async fn apply(place: &Place, confirm: Confirm) -> Result<Exit, Error> {
    let file = StreamsFile::read(&place.config)?;
    let streams = connect(place, &file).await?;
    let plan = make_plan(&file, &streams).await?;
    if !place.json {
        terminal::data(plan.to_string().as_bytes())?;
    }
    let applied = streams.apply(&plan, confirm).await?;
    if place.json {
        terminal::data(report::json(&applied).as_bytes())?;
    } else if !plan.is_empty() {
        talk("done");
    }
    Ok(Exit::Ok)
}

/// Makes what a configuration file's durable namespaces need, and destroys nothing. For
/// `meridian dev`.
pub(super) async fn make(config: &Path, nats: &str) -> Result<(), Error> {
    let file = StreamsFile::read(config)?;
    let server = nats.parse().map_err(|error: NatsError| Error::Usage(error.to_string()))?;
    let streams = connect_to(server).await?;
    let plan = make_plan(&file, &streams).await?;
    streams.apply(&plan, Confirm::No).await?;
    Ok(())
}

async fn purge(
    place: &Place,
    name: &str,
    filter: Option<&str>,
    confirm: Confirm,
) -> Result<Exit, Error> {
    let file = StreamsFile::read(&place.config)?;
    let namespace = file.namespace(name)?;
    let streams = connect(place, &file).await?;
    let purged = streams.purge(namespace, &file.regions, filter, now_s(), confirm).await?;
    let text = if place.json { report::json(&purged) } else { report::purged(&purged) };
    terminal::data(text.as_bytes())?;
    if purged.is_complete() {
        return Ok(Exit::Ok);
    }
    talk("not every copy was purged: run it again once the regions above are well");
    Ok(Exit::Failure)
}

async fn status(place: &Place) -> Result<Exit, Error> {
    let file = StreamsFile::read(&place.config)?;
    let streams = connect(place, &file).await?.with_patience_ms(STATUS_PATIENCE_MS);
    let mut copies = Vec::new();
    for namespace in &file.namespaces {
        for region in &file.regions {
            let stream = copy_name(namespace, region);
            let status = match streams.copy_status(&stream).await {
                // Without a connection or JetStream there is no status of anything.
                Err(error @ (StreamsError::Connection(_) | StreamsError::NoJetStream)) => {
                    return Err(error.into());
                }
                status => status,
            };
            let is_home = *region == namespace.home;
            copies.push(CopyReport::new(&namespace.name, region, is_home, stream, status));
        }
    }
    report::compare_homes(&mut copies);
    let has_meta_leader = streams.has_meta_leader().await?;
    let text = if place.json {
        report::status_json(&copies, has_meta_leader)
    } else {
        report::status(&copies, has_meta_leader)
    };
    terminal::data(text.as_bytes())?;
    let is_well = has_meta_leader && copies.iter().all(|copy| copy.problem.is_none());
    Ok(if is_well { Exit::Ok } else { Exit::CheckFailed })
}

async fn make_plan(file: &StreamsFile, streams: &Streams) -> Result<Plan, Error> {
    let existing = streams.existing().await?;
    Ok(plan(&file.namespaces, &existing, &file.regions, now_s())?)
}

/// Connects once by hand, because that says at once and exactly what is wrong.
async fn connect(place: &Place, file: &StreamsFile) -> Result<Streams, Error> {
    let tls = file.server.tls().cloned();
    let named = place.nats.clone().map(|server| server.with_tls(tls));
    connect_to(named.unwrap_or_else(|| file.server.clone())).await
}

async fn connect_to(server: ServerUrl) -> Result<Streams, Error> {
    let servers = vec![server.clone()];
    let options = ConnectOptions::new(servers.clone(), CONNECTION_NAME);
    let connection = |error: NatsError| Error::Streams(error.into());
    meridian_nats::dial(&server, &options).await.map_err(connection)?;
    let edge_id = CONNECTION_NAME.to_owned();
    let options = ControlOptions { servers, name: CONNECTION_NAME.to_owned(), edge_id };
    Ok(Streams::new(&Control::connect(options).await.map_err(connection)?))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The exit code of an error that concerns streams.
pub(crate) fn exit_of(error: &StreamsError) -> Exit {
    match error {
        StreamsError::Invalid { .. } | StreamsError::NotConfirmed { .. } => Exit::Usage,
        StreamsError::NoMetaLeader { .. }
        | StreamsError::Unanswered { .. }
        | StreamsError::NotCaughtUp { .. } => Exit::Timeout,
        StreamsError::Connection(error) => match error {
            NatsError::Address(_) => Exit::Usage,
            NatsError::Unauthorized { .. } => Exit::Forbidden,
            _ => Exit::CannotConnect,
        },
        _ => Exit::Failure,
    }
}
