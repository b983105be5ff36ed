//! `meridian request`: publishes one message and prints the answer.

use crate::exit::{Error, Exit};
use crate::message_format::{self, Format};
use crate::payload_argument::PayloadArgument;
use crate::signals::Signals;
use crate::target::Target;
use crate::template::Values;
use crate::terminal::{self, Paint};
use meridian_proto::Subject;
use meridian_proto::limits::{REQUEST_TIMEOUT_MS_DEFAULT, REQUEST_TIMEOUT_MS_RANGE};
use std::time::Duration;

/// Send a request and print the answer.
///
/// Ends with code 5 if there is no responder in any region, or none answers in time.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The responder's subject.
    subject: String,
    #[command(flatten)]
    payload: PayloadArgument,
    #[command(flatten)]
    target: Target,
    /// How long to wait for the answer, in ms.
    #[arg(
        long,
        default_value_t = REQUEST_TIMEOUT_MS_DEFAULT,
        value_parser = clap::value_parser!(u64)
            .range(REQUEST_TIMEOUT_MS_RANGE.0..=REQUEST_TIMEOUT_MS_RANGE.1)
    )]
    timeout_ms: u64,
    /// As one JSON object.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Only the payload's bytes, and a line end.
    #[arg(long)]
    raw: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let payload = arguments.payload.read()?;
    let values = Values::now(1);
    let subject = payload.templates.fill(&arguments.subject, &values);
    if let Err(error) = Subject::parse(&subject) {
        return Err(Error::Usage(format!("subject {subject:?}: {error}")));
    }
    let mut signals = Signals::listen()?;
    let client = arguments.target.connect(&mut signals).await?;
    let within = Duration::from_millis(arguments.timeout_ms);
    let reply = signals.race(client.request(&subject, payload.of(&values), within)).await?;
    let format = match (arguments.json, arguments.raw) {
        (true, _) => Format::Json,
        (_, true) => Format::Raw,
        _ => Format::Human(Paint::of_stdout()),
    };
    terminal::data(&message_format::reply(format, &reply))?;
    signals.race(async { Ok::<_, Error>(client.close().await) }).await?;
    Ok(Exit::Ok)
}
