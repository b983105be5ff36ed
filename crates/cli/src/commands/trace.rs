//! `meridian trace`: publishes one traced message, and shows where it went and what was slow.

use crate::exit::{Error, Exit};
use crate::payload_argument::PayloadArgument;
use crate::signals::Signals;
use crate::target::Target;
use crate::template::Values;
use crate::terminal::{self, Paint, talk};
use crate::waterfall;
use meridian_client::{Client, Error as ClientError, Event, PublishOptions, SubscribeOptions};
use meridian_client::{PayloadBuf, Subscription};
use meridian_proto::Subject;
use meridian_proto::item::Message;
use meridian_proto::trace::{SpanId, SpanRecord, TraceContext, TraceId};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Most spans that are kept: a message to every region has some tens.
const SPANS_MAX: usize = 2_000;

/// Publish one traced message and draw the way it took.
///
/// Each line is a step: a server, the way between two regions, an edge's delivery, a browser's
/// receipt. Ends with code 6 if no span came: then the edges publish none (tracing.live_subject),
/// or the clients' budget for traces was spent.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The subject, without wildcards.
    subject: String,
    #[command(flatten)]
    payload: PayloadArgument,
    #[command(flatten)]
    target: Target,
    /// Where the edges publish spans: their tracing.live_subject, as a namespace of this edge has
    /// it too.
    #[arg(long, value_name = "SUBJECT", default_value = "traces")]
    live: String,
    /// How long to wait for spans after the last one came, in ms. Edges hand them on once a
    /// second.
    #[arg(long, default_value_t = 2_500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    wait_ms: u64,
    /// As one JSON object a span, instead of the picture.
    #[arg(long)]
    json: bool,
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
    let context = TraceContext {
        trace_id: TraceId(values.id.max(1)),
        span_id: SpanId(fastrand::u64(1..)),
        flags: 1,
    };
    let quiet = Duration::from_millis(arguments.wait_ms);
    let follow = follow(&client, &arguments.live, &subject, payload.of(&values), context, quiet);
    let spans = signals.race(follow).await?;
    signals.race(async { Ok::<_, Error>(client.close().await) }).await?;
    if arguments.json {
        for span in &spans {
            let line = serde_json::to_string(span).expect("a span is plain JSON");
            terminal::data(format!("{line}\n").as_bytes())?;
        }
    } else {
        talk(&format!("trace {} of {subject}", context.trace_id));
        terminal::data(waterfall::draw(&spans, Paint::of_stdout()).as_bytes())?;
    }
    if spans.is_empty() {
        talk(
            "no span came: do the edges publish them (tracing.live_subject), and is there room \
              in the clients' budget (tracing.client_per_second)?",
        );
        return Ok(Exit::CheckFailed);
    }
    Ok(Exit::Ok)
}

/// Publishes the message and collects its spans until none comes for a while.
async fn follow(
    client: &Client,
    live: &str,
    subject: &str,
    payload: PayloadBuf,
    context: TraceContext,
    quiet: Duration,
) -> Result<Vec<SpanRecord>, ClientError> {
    let filter = format!("{live}.{}", context.trace_id);
    let mut told = client.subscribe(&filter, SubscribeOptions::default()).await?;
    let options = PublishOptions { tp: Some(context.to_string()), ..PublishOptions::default() };
    client.publish(subject, payload, options).await?;
    let mut spans = Vec::new();
    let mut until = Instant::now() + quiet;
    while let Ok(Some(span)) = timeout_at(until, next(&mut told)).await {
        until = Instant::now() + quiet;
        // The root's parent is this command, which leaves no span.
        let is_root = span.parent == Some(context.span_id);
        spans.push(SpanRecord { parent: span.parent.filter(|_| !is_root), ..span });
        if spans.len() == SPANS_MAX {
            break;
        }
    }
    Ok(spans)
}

/// The next span. None when the subscription has ended.
async fn next(told: &mut Subscription) -> Option<SpanRecord> {
    loop {
        let Event::Message(message) = told.next().await? else { continue };
        if let Some(span) = span_of(&message) {
            return Some(span);
        }
    }
}

fn span_of(message: &Message) -> Option<SpanRecord> {
    let bytes = message.content().to_bytes().ok()?;
    serde_json::from_slice(&bytes).ok()
}
