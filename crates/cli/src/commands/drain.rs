//! `meridian drain`: sends the clients of an edge, or of a region, to another region.
//!
//! The edges do it, at the pace that is asked for; this asks them over NATS and looks on.

use crate::exit::{Error, Exit};
use crate::signals::Signals;
use crate::terminal::{self, talk};
use meridian_edge::{Answered, Order};
use meridian_nats::{
    ConnectOptions, Control, ControlOptions, Error as NatsError, ServerUrl, subjects,
};
use serde_json::json;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How the connection is called in the server's monitoring, and the beginning of its inbox.
const CONNECTION_NAME: &str = "meridian-drain";

/// How long edges may take to answer: a way through the mesh and back, generously.
const ANSWERS: Duration = Duration::from_secs(1);

/// Between two looks at how many are left.
const LOOK: Duration = Duration::from_millis(500);

/// Send an edge's or a region's clients to another region.
///
/// Each is told where to go and connects there before it leaves; it resumes from its positions.
/// Clients that have not gone after ten seconds are closed, and come back by themselves. The edge
/// stays up, says that it is not ready, and sends away whoever still comes, until `--stay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The edge's id, or the region's name.
    #[arg(value_name = "EDGE|REGION")]
    from: String,
    /// The region to go to.
    #[arg(long, value_name = "REGION", required_unless_present_any = ["server", "stay"])]
    to: Option<String>,
    /// Go to these WebSocket URLs instead of those that the region's edges tell.
    #[arg(long, value_name = "URL")]
    server: Vec<String>,
    /// How many clients a second, of all edges together.
    #[arg(long, value_name = "N/s", default_value = "50/s")]
    rate: Rate,
    /// Any NATS server of the mesh, as a user who may publish on `_mrd.edge.>` and `_mrd.ops.>`.
    #[arg(long, value_name = "URL")]
    nats: ServerUrl,
    /// Send nobody away any more.
    #[arg(long, conflicts_with_all = ["to", "server"])]
    stay: bool,
    /// How long to look on until nobody is left, in s. 0: do not.
    #[arg(long, default_value_t = 600)]
    wait_s: u64,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Clients a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate(u32);

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix("/s").unwrap_or(text);
        match number.parse() {
            Ok(rate @ 1..=1_000_000) => Ok(Self(rate)),
            _ => Err("is no rate: 50/s, at least 1/s"),
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let mut signals = Signals::listen()?;
    signals.race(drain(arguments)).await
}

async fn drain(arguments: Arguments) -> Result<Exit, Error> {
    let control = connect(arguments.nats.clone()).await?;
    let edges = find(&control, &arguments.from).await?;
    let share = arguments.rate.0.div_ceil(edges.len() as u32);
    let order = if arguments.stay {
        Order::Stay {}
    } else {
        let servers = servers(&control, &arguments, &edges).await?;
        Order::Move { servers, per_second: share }
    };
    let began = Instant::now();
    let total: usize = edges.iter().map(|edge| edge.clients).sum();
    let subjects: Vec<String> =
        edges.iter().map(|edge| subjects::edge_orders(&edge.edge)).collect();
    let answers = ask(&control, &subjects, &order).await?;
    for answer in &answers {
        if let Some(why) = &answer.refused {
            return Err(Error::Usage(format!("{} refuses: {why}", answer.edge)));
        }
    }
    let mut left = None;
    if !arguments.stay && arguments.wait_s > 0 {
        talk(&format!("{total} clients leave {} edges, {} a second", edges.len(), share));
        let deadline = began + Duration::from_secs(arguments.wait_s);
        left = Some(look_on(&control, &subjects, deadline).await?);
    }
    let silent = edges.len().saturating_sub(answers.len());
    let report = json!({
        "edges": edges.iter().map(|edge| &edge.edge).collect::<Vec<_>>(),
        "clients": total,
        "left": left,
        "silent_edges": silent,
        "took_ms": began.elapsed().as_millis() as u64,
    });
    let text = match (arguments.json, left) {
        (true, _) => format!("{report}\n"),
        (false, None) => format!("{} edges have their orders\n", answers.len()),
        (false, Some(left)) => format!("{total} clients were there, {left} are left\n"),
    };
    terminal::data(text.as_bytes())?;
    let is_done = silent == 0 && left.unwrap_or_default() == 0;
    Ok(if is_done { Exit::Ok } else { Exit::Timeout })
}

/// The edges that a name means.
async fn find(control: &Control, name: &str) -> Result<Vec<Answered>, Error> {
    let subjects = [subjects::edge_orders(name), subjects::region_orders(name)];
    let mut edges = ask(control, &subjects, &Order::Who {}).await?;
    edges.sort_by(|one, other| one.edge.cmp(&other.edge));
    edges.dedup_by(|one, other| one.edge == other.edge);
    let is_edge = edges.iter().any(|edge| edge.edge == name);
    let is_region = edges.iter().any(|edge| edge.region == name && edge.edge != name);
    match (is_edge, is_region) {
        (true, true) => {
            Err(Error::Usage(format!("{name} is an edge and a region: rename one of them")))
        }
        (false, false) => {
            Err(Error::Usage(format!("no edge and no region {name} answers: is the name right?")))
        }
        _ => Ok(edges),
    }
}

/// Where clients go.
async fn servers(
    control: &Control,
    arguments: &Arguments,
    from: &[Answered],
) -> Result<Vec<String>, Error> {
    if !arguments.server.is_empty() {
        return Ok(arguments.server.clone());
    }
    let to = arguments.to.clone().unwrap_or_default();
    let there = ask(control, &[subjects::region_orders(&to)], &Order::Who {}).await?;
    let is_leaving = |edge: &Answered| from.iter().any(|other| other.edge == edge.edge);
    let there: Vec<Answered> =
        there.into_iter().filter(|edge| !is_leaving(edge) && !edge.moving).collect();
    if there.is_empty() {
        return Err(Error::Usage(format!("no edge of {to} answers that takes clients")));
    }
    Ok(there.into_iter().map(|edge| edge.url).collect())
}

/// Waits until nobody is left, or the time is over; how many are.
async fn look_on(
    control: &Control,
    subjects: &[String],
    deadline: Instant,
) -> Result<usize, Error> {
    loop {
        let answers = ask(control, subjects, &Order::Who {}).await?;
        let left = answers.iter().map(|edge| edge.clients).sum();
        // An edge that does not answer has no clients that it could tell anything.
        if left == 0 || Instant::now() >= deadline {
            return Ok(left);
        }
        talk(&format!("{left} are left"));
        sleep(LOOK).await;
    }
}

async fn ask(
    control: &Control,
    subjects: &[String],
    order: &Order,
) -> Result<Vec<Answered>, Error> {
    let body = serde_json::to_vec(order).expect("plain texts and numbers serialize");
    let answers = control.ask_all(subjects, body.into(), ANSWERS).await.map_err(failed)?;
    // What cannot be read comes from an edge of another version: it does not count as an answer.
    Ok(answers.iter().filter_map(|answer| serde_json::from_slice(answer).ok()).collect())
}

/// Connects once by hand, because that says at once and exactly what is wrong.
async fn connect(server: ServerUrl) -> Result<Control, Error> {
    let servers = vec![server.clone()];
    let options = ConnectOptions::new(servers.clone(), CONNECTION_NAME);
    meridian_nats::dial(&server, &options).await.map_err(failed)?;
    let edge_id = CONNECTION_NAME.to_owned();
    let options = ControlOptions { servers, name: CONNECTION_NAME.to_owned(), edge_id };
    Control::connect(options).await.map_err(failed)
}

fn failed(error: NatsError) -> Error {
    Error::Streams(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_clients_a_second() {
        assert_eq!("50/s".parse(), Ok(Rate(50)));
        assert_eq!("1".parse(), Ok(Rate(1)));
        for wrong in ["0/s", "", "fast", "5/m", "-1/s", "1000001"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
