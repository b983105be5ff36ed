//! `meridian history`: prints what a durable namespace has stored, a page or all of it.

use crate::exit::{Error, Exit};
use crate::message_format::{self, Format};
use crate::shown::Shown;
use crate::signals::Signals;
use crate::target::Target;
use crate::terminal::{self, harmless, talk, talk_error};
use meridian_client::{Client, Error as ClientError, HistoryOptions, Place};
use meridian_proto::command::Position;
use meridian_proto::item::{HistoryGap, HistoryMessage, HistoryReply, Message};
use meridian_proto::limits::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX};
use meridian_proto::{ErrorCode, Filter};
use std::time::Duration;
use tokio::time::sleep;

/// Pause after "too many requests" where the edge names none.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// Read stored messages of a durable namespace.
///
/// Without --after and --before: the newest. Within a page the oldest message comes first. Data
/// goes to stdout; where the next pages lie, and what is no longer stored, is told on stderr. Ends
/// with code 7 if messages above --after are gone, or if the region's copy is behind --before.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Subject or pattern: `*` stands for one token, a final `>` for one or more.
    filter: String,
    #[command(flatten)]
    target: Target,
    /// Most messages in a page. Pages of large messages hold fewer.
    #[arg(
        long,
        default_value_t = HISTORY_LIMIT_DEFAULT,
        value_parser = clap::value_parser!(u64).range(1..=HISTORY_LIMIT_MAX)
    )]
    limit: u64,
    /// The oldest messages above a position, as this command tells it.
    #[arg(long, value_name = "EPOCH:SEQUENCE", value_parser = position, group = "place")]
    after: Option<Position>,
    /// The newest messages below a position.
    #[arg(long, value_name = "EPOCH:SEQUENCE", value_parser = position, group = "place")]
    before: Option<Position>,
    /// Page after page: upwards from --after or from the oldest message, or downwards from
    /// --before.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    shown: Shown,
}

/// What was printed so far. Owned by the command.
struct Printed {
    format: Format,
    messages: u64,
    lost: Lost,
    thinned: Thinned,
}

/// Whether the namespace drops messages between others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thinned {
    No,
    Yes,
}

/// Whether something is missing that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Nothing,
    Some,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    if let Err(error) = Filter::parse(&arguments.filter) {
        return Err(Error::Usage(format!("filter {:?}: {error}", arguments.filter)));
    }
    let mut signals = Signals::listen()?;
    let client = arguments.target.connect(&mut signals).await?;
    let format = arguments.shown.format();
    let mut printed = Printed { format, messages: 0, lost: Lost::Nothing, thinned: Thinned::No };
    signals.race(print(&arguments, &client, &mut printed)).await?;
    signals.race(async { Ok::<_, Error>(client.close().await) }).await?;
    Ok(if printed.lost == Lost::Some { Exit::DataLoss } else { Exit::Ok })
}

async fn print(arguments: &Arguments, client: &Client, printed: &mut Printed) -> Result<(), Error> {
    let mut place = place(arguments);
    if arguments.all && place == Place::Newest {
        // Only an answer names the epoch that a position needs.
        let options = HistoryOptions { limit: Some(1), ..HistoryOptions::default() };
        let newest = read(client, &arguments.filter, options).await?;
        place = Place::After(Position { e: newest.e, q: 0 });
    }
    let mut ends: Option<(Position, Position)> = None;
    loop {
        let options = HistoryOptions {
            place: place.clone(),
            limit: Some(arguments.limit),
            hdr: arguments.shown.headers.clone(),
            trace: arguments.shown.trace,
        };
        let page = read(client, &arguments.filter, options).await?;
        printed.page(&page, &place)?;
        let (older, newer) = (page.older(), page.newer());
        let is_upwards = matches!(place, Place::After(_));
        place = if is_upwards { Place::After(newer.clone()) } else { Place::Before(older.clone()) };
        let (older, newer) = match ends {
            None => (older, newer),
            Some((first, _)) if is_upwards => (first, newer),
            Some((_, first)) => (older, first),
        };
        if !(arguments.all && page.more) {
            printed.tell_ends(&older, &newer);
            return Ok(());
        }
        ends = Some((older, newer));
    }
}

/// Reads one page, again if the edge asks for patience.
async fn read(
    client: &Client,
    filter: &str,
    options: HistoryOptions,
) -> Result<HistoryReply, ClientError> {
    loop {
        match client.history(filter, options.clone()).await {
            Err(ClientError::Refused(f)) if f.code == ErrorCode::TooManyRequests => {
                sleep(f.after_ms.map_or(RETRY_DEFAULT, Duration::from_millis)).await;
            }
            result => return result,
        }
    }
}

fn place(arguments: &Arguments) -> Place {
    match (&arguments.after, &arguments.before) {
        (Some(position), _) => Place::After(position.clone()),
        (None, Some(position)) => Place::Before(position.clone()),
        (None, None) => Place::Newest,
    }
}

impl Printed {
    fn page(&mut self, page: &HistoryReply, place: &Place) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for stored in &page.m {
            self.messages += 1;
            bytes.extend(message_format::message(self.format, &shown(stored), self.messages));
        }
        for gap in &page.gaps {
            self.note(gap, place);
        }
        if page.thinned {
            self.thinned = Thinned::Yes;
        }
        terminal::data(&bytes)
    }

    /// What is older than the oldest stored message is missing only to those who asked from there.
    fn note(&mut self, gap: &HistoryGap, place: &Place) {
        let HistoryGap { after, upto, why } = gap;
        let is_from_the_beginning = matches!(place, Place::After(position) if position.q == 0);
        let is_asked = matches!(place, Place::After(_)) && !is_from_the_beginning;
        if is_asked || why != "expired" {
            self.lost = Lost::Some;
            let why = harmless(why);
            talk_error(&format!("messages above {after} up to {upto} may be missing ({why})"));
        } else {
            talk(&format!("nothing up to {upto} is stored any more"));
        }
    }

    /// Where the pages before and behind lie, for the next call.
    fn tell_ends(&self, older: &Position, newer: &Position) {
        let noun = if self.messages == 1 { "message" } else { "messages" };
        let (e, count) = (harmless(&newer.e), self.messages);
        let (older, newer) = (older.q, newer.q);
        talk(&format!("{count} {noun}; older: --before {e}:{older}; newer: --after {e}:{newer}"));
        if self.thinned == Thinned::Yes {
            talk(
                "the namespace keeps a number of messages a subject: others may have been between",
            );
        }
    }
}

/// A stored message as the formats take it.
fn shown(stored: &HistoryMessage) -> Message {
    let HistoryMessage { s, q, d, t, b, h, tp } = stored.clone();
    Message { i: 0, s, q: Some(q), d, t, b, h, tp, r: None }
}

fn position(text: &str) -> Result<Position, String> {
    let parts = text.rsplit_once(':').filter(|(epoch, _)| !epoch.is_empty());
    let (epoch, sequence) = parts.ok_or("write it as EPOCH:SEQUENCE")?;
    let q = sequence.parse().map_err(|_| "the part behind the last colon is no sequence")?;
    Ok(Position { e: epoch.to_owned(), q })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(place: Place, why: &str) -> Lost {
        let (format, messages) = (Format::Raw, 0);
        let mut printed = Printed { format, messages, lost: Lost::Nothing, thinned: Thinned::No };
        printed.note(&HistoryGap { after: 0, upto: 9, why: why.into() }, &place);
        printed.lost
    }

    #[test]
    fn what_is_gone_is_a_loss_only_above_a_position_that_was_asked_for() {
        let at = |q| Position { e: "E".into(), q };
        assert_eq!(lost(Place::After(at(5)), "expired"), Lost::Some);
        assert_eq!(lost(Place::After(at(0)), "expired"), Lost::Nothing);
        assert_eq!(lost(Place::Before(at(5)), "expired"), Lost::Nothing);
        assert_eq!(lost(Place::Newest, "expired"), Lost::Nothing);
        assert_eq!(lost(Place::Before(at(5)), "behind"), Lost::Some);
    }

    #[test]
    fn only_the_last_colon_divides_a_position() {
        assert_eq!(position("A@1:7"), Ok(Position { e: "A@1".into(), q: 7 }));
        assert_eq!(position("a:b:7"), Ok(Position { e: "a:b".into(), q: 7 }));
        for text in ["", "A@1", ":7", "A@1:", "A@1:-1", "A@1:x"] {
            assert!(position(text).is_err(), "{text}");
        }
    }
}
