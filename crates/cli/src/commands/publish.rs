//! `meridian pub`: publishes one message, or many from a template.

use crate::exit::{Error, Exit};
use crate::headers;
use crate::payload_argument::{Payload, PayloadArgument};
use crate::signals::Signals;
use crate::target::Target;
use crate::template::{self, Values};
use crate::terminal::{talk, talk_error};
use meridian_client::{Client, Error as ClientError, Notice, PublishOptions};
use meridian_proto::command::Ack;
use meridian_proto::item::Failure;
use meridian_proto::{ErrorCode, Subject};
use std::time::Duration;
use tokio::time::sleep;

/// Pause after "too many requests" where the edge names none.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// Publish messages.
///
/// A payload that is valid JSON is sent as JSON, other UTF-8 as text, anything else as bytes.
/// {{Count}}, {{Unix}}, {{UnixNano}} and {{ID}} are filled in, as the nats command does.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The subject, without wildcards.
    subject: String,
    #[command(flatten)]
    payload: PayloadArgument,
    #[command(flatten)]
    target: Target,
    /// A header, as name:value. May be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE", value_parser = headers::parse)]
    headers: Vec<(String, String)>,
    /// Publish so many messages, one after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Pause between them, in ms.
    #[arg(long, default_value_t = 0)]
    sleep_ms: u64,
    /// What to wait for after each message.
    #[arg(long, value_enum, default_value_t = AckArgument::Edge)]
    ack: AckArgument,
    /// Send a message id, so that a repeated message is stored once: a new one for each message,
    /// or this one (templates are filled in).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "{{ID}}")]
    mid: Option<String>,
}

/// How far a message must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AckArgument {
    /// Nothing is waited for; failures are reported at the end.
    None,
    /// The region's NATS server has it.
    Edge,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    let payload = arguments.payload.read()?;
    // Checked once with the first number in place, before anything is sent.
    let first = subject(&arguments, &payload, &Values::now(1));
    if let Err(error) = Subject::parse(&first) {
        return Err(Error::Usage(format!("subject {first:?}: {error}")));
    }
    let mut signals = Signals::listen()?;
    let client = arguments.target.connect(&mut signals).await?;
    let mut published = 0;
    let result = signals.race(publish_all(&arguments, &payload, &client, &mut published)).await;
    let refused = close(client, &mut signals).await?;
    if published > 0 {
        let noun = if published == 1 { "message" } else { "messages" };
        talk(&format!("published {published} {noun} to {}", arguments.subject));
    }
    result?;
    match refused {
        None => Ok(Exit::Ok),
        Some((count, failure)) => {
            talk_error(&format!("{count} of them were refused; one reason follows"));
            Err(ClientError::Refused(failure).into())
        }
    }
}

async fn publish_all(
    arguments: &Arguments,
    payload: &Payload,
    client: &Client,
    published: &mut u64,
) -> Result<(), Error> {
    for count in 1..=arguments.count {
        if count > 1 && arguments.sleep_ms > 0 {
            sleep(Duration::from_millis(arguments.sleep_ms)).await;
        }
        publish_one(arguments, payload, client, &Values::now(count)).await?;
        *published = count;
    }
    Ok(())
}

/// Publishes one message, again if the edge asks for patience.
async fn publish_one(
    arguments: &Arguments,
    payload: &Payload,
    client: &Client,
    values: &Values,
) -> Result<(), Error> {
    let subject = subject(arguments, payload, values);
    let body = payload.of(values);
    let options = options(arguments, payload, values);
    loop {
        match client.publish(&subject, body.clone(), options.clone()).await {
            Err(ClientError::Refused(f)) if f.code == ErrorCode::TooManyRequests => {
                sleep(f.after_ms.map_or(RETRY_DEFAULT, Duration::from_millis)).await;
            }
            result => return Ok(result.map(drop)?),
        }
    }
}

fn subject(arguments: &Arguments, payload: &Payload, values: &Values) -> String {
    payload.templates.fill(&arguments.subject, values)
}

fn options(arguments: &Arguments, payload: &Payload, values: &Values) -> PublishOptions {
    let fill =
        |(name, value): &(String, String)| (name.clone(), payload.templates.fill(value, values));
    PublishOptions {
        ack: Some(match arguments.ack {
            AckArgument::None => Ack::None,
            AckArgument::Edge => Ack::Edge,
        }),
        mid: arguments.mid.as_deref().map(|mid| template::fill(mid, values)),
        headers: headers::gather(arguments.headers.iter().map(fill)),
        tp: None,
    }
}

/// Sends what is queued, and gathers what was refused without having been waited for.
async fn close(client: Client, signals: &mut Signals) -> Result<Option<(u64, Failure)>, Error> {
    let mut notices = client.notices();
    signals.race(async { Ok::<_, Error>(client.close().await) }).await?;
    let mut refused = None;
    while let Some(notice) = notices.next().await {
        let (more, failure) = match notice {
            Notice::Error(failure) => (1, Some(failure)),
            Notice::Missed(count) => (count, None),
            _ => continue,
        };
        let (count, last) = refused.take().unwrap_or((0, None));
        refused = Some((count + more, failure.or(last)));
    }
    Ok(refused.and_then(|(count, failure)| failure.map(|failure| (count, failure))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use meridian_client::PayloadBuf;
    use meridian_proto::command::HeaderValues;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(line: &[&str]) -> Arguments {
        Line::try_parse_from(std::iter::once(&"pub").chain(line)).unwrap().arguments
    }

    #[test]
    fn templates_reach_subject_payload_headers_and_message_id() {
        let arguments = parsed(&[
            "demo.{{Count}}",
            "{\"n\":{{Count}}}",
            "-H",
            "x-n: {{Count}}",
            "--mid=id-{{Count}}",
            "--ack",
            "none",
        ]);
        let payload = arguments.payload.read().unwrap();
        let values = Values::now(7);
        assert_eq!(subject(&arguments, &payload, &values), "demo.7");
        assert!(matches!(payload.of(&values), PayloadBuf::Json(raw) if raw.get() == "{\"n\":7}"));
        let options = options(&arguments, &payload, &values);
        assert_eq!(options.mid.as_deref(), Some("id-7"));
        assert_eq!(options.headers["x-n"], HeaderValues::One("7".into()));
        assert_eq!(options.ack, Some(Ack::None));
    }

    #[test]
    fn a_bare_mid_makes_a_new_id_for_each_message() {
        let arguments = parsed(&["demo.x", "hi", "--mid"]);
        let payload = arguments.payload.read().unwrap();
        let mid = |count| options(&arguments, &payload, &Values::now(count)).mid.unwrap();
        assert_eq!(mid(1).len(), 32);
        assert_ne!(mid(1), mid(2));
        let without = parsed(&["demo.x", "hi"]);
        assert_eq!(options(&without, &payload, &Values::now(1)).mid, None);
    }

    #[test]
    fn wrong_arguments_are_refused_before_anything_is_sent() {
        for line in [
            &["pub"][..],
            &["pub", "demo.x", "hi", "-H", "no-colon"],
            &["pub", "demo.x", "hi", "--count", "0"],
            &["pub", "demo.x", "hi", "--ack", "maybe"],
            &["pub", "demo.x", "hi", "--text", "--base64"],
        ] {
            assert!(Line::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
