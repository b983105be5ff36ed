//! `meridian sub`: prints a filter's messages as they come.

use crate::exit::{self, Error, Exit};
use crate::message_format::{self, Format};
use crate::shown::Shown;
use crate::signals::Signals;
use crate::target::Target;
use crate::terminal::{self, harmless, talk, talk_error};
use meridian_client::{Client, Event, Notice, Notices, SubscribeOptions, Subscription};
use meridian_proto::Filter;
use meridian_proto::item::{Gap, Mesh};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Longer than anybody waits; stands for "no limit", so that the wait has one form.
const NO_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Receive the messages of a filter.
///
/// Data goes to stdout, everything else to stderr. A place where messages may be missing is
/// reported on stderr; if there was one, a run with --count ends with code 7.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Subject or pattern: `*` stands for one token, a final `>` for one or more.
    filter: String,
    #[command(flatten)]
    target: Target,
    /// End after so many messages.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    shown: Shown,
    /// Start with the last so many messages, 1 to 500. Durable namespaces only, as the two below.
    #[arg(long, value_name = "N", group = "start")]
    last: Option<u64>,
    /// Start with everything stored since a time, such as 2026-11-24T09:00:00Z.
    #[arg(long, value_name = "TIME", group = "start")]
    since: Option<String>,
    /// Start with the last message of each subject.
    #[arg(long, group = "start")]
    last_per_subject: bool,
    /// End after so many ms; with code 5 if --count, or one message without it, was not reached.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: Option<u64>,
}

/// What has come so far. Owned by the command.
struct Tail {
    format: Format,
    count: Option<u64>,
    messages: u64,
    gaps: u64,
}

/// Why the loop ended.
#[derive(Debug, PartialEq)]
enum End {
    Counted,
    Interrupted,
    TimedOut,
    /// By the edge: the subscription alone.
    Unsubscribed,
    /// By the edge: the connection.
    Closed,
}

pub(super) async fn run(arguments: Arguments) -> Result<Exit, Error> {
    if let Err(error) = Filter::parse(&arguments.filter) {
        return Err(Error::Usage(format!("filter {:?}: {error}", arguments.filter)));
    }
    let mut signals = Signals::listen()?;
    let client = arguments.target.connect(&mut signals).await?;
    let options = SubscribeOptions {
        hdr: arguments.shown.headers.clone(),
        trace: arguments.shown.trace,
        from: start(&arguments),
        ..SubscribeOptions::default()
    };
    let subscription = signals.race(client.subscribe(&arguments.filter, options)).await?;
    let (node, region) = (&client.connected().node, &client.connected().region);
    talk(&format!("listening on {} at {node} in {region}", arguments.filter));

    let timeout = arguments.timeout_ms.map_or(NO_TIMEOUT, Duration::from_millis);
    let format = arguments.shown.format();
    let mut tail = Tail { format, count: arguments.count, messages: 0, gaps: 0 };
    let end = tail.follow(subscription, client.notices(), &mut signals, timeout).await?;
    tail.finish(end, client, &mut signals).await
}

/// Where to start, as the protocol spells it.
fn start(arguments: &Arguments) -> Option<serde_json::Value> {
    match (arguments.last, &arguments.since, arguments.last_per_subject) {
        (Some(last), ..) => Some(json!({ "last": last })),
        (None, Some(time), _) => Some(json!({ "time": time })),
        (None, None, true) => Some(json!({ "last_per_subject": true })),
        (None, None, false) => None,
    }
}

impl Tail {
    async fn follow(
        &mut self,
        mut subscription: Subscription,
        mut notices: Notices,
        signals: &mut Signals,
        timeout: Duration,
    ) -> Result<End, Error> {
        let mut alarm = std::pin::pin!(sleep(timeout));
        let mut is_noticing = true;
        loop {
            // All of these are cancel-safe.
            tokio::select! { biased;
                // The person at the terminal comes first.
                () = signals.recv() => return Ok(End::Interrupted),
                // A stream that never pauses must not outrun its time.
                () = &mut alarm => return Ok(End::TimedOut),
                // Rare, and they explain what follows.
                notice = notices.next(), if is_noticing => match notice {
                    Some(notice) => say(&notice),
                    None => is_noticing = false,
                },
                // The work itself.
                event = subscription.next() => match event {
                    None => return Ok(End::Closed),
                    Some(event) => if let Some(end) = self.on_event(event)? {
                        return Ok(end);
                    },
                },
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Result<Option<End>, Error> {
        match event {
            Event::Message(message) => {
                self.messages += 1;
                terminal::data(&message_format::message(self.format, &message, self.messages))?;
                let is_enough = self.count.is_some_and(|count| self.messages >= count);
                Ok(is_enough.then_some(End::Counted))
            }
            Event::Gap(gap) => {
                self.gaps += 1;
                talk_error(&gap_line(self.messages, &gap));
                Ok(None)
            }
            // Positions are for clients that resume, which this one does not.
            Event::Live(_) | Event::Position(_) => Ok(None),
            Event::Unsubscribed(end) => {
                let reason = harmless(&end.reason);
                talk_error(&format!("the edge ended the subscription: {} {reason}", end.code));
                Ok(Some(End::Unsubscribed))
            }
        }
    }

    /// Closes the connection and says how it went.
    async fn finish(self, end: End, client: Client, signals: &mut Signals) -> Result<Exit, Error> {
        if end == End::Closed {
            let closed = client.closed().await;
            talk_error(&closed.to_string());
            return Ok(exit::of_close(&closed));
        }
        // A second signal ends the wait for the edge's goodbye.
        signals.race(async { Ok::<_, Error>(client.close().await) }).await?;
        if matches!(end, End::Interrupted | End::TimedOut) {
            talk(&format!("{} messages, {} gaps", self.messages, self.gaps));
        }
        Ok(self.exit(&end))
    }

    fn exit(&self, end: &End) -> Exit {
        match end {
            End::Counted | End::TimedOut if self.messages < self.count.unwrap_or(1) => {
                Exit::Timeout
            }
            End::Counted if self.gaps > 0 => Exit::DataLoss,
            End::Counted | End::TimedOut => Exit::Ok,
            End::Interrupted => Exit::Interrupted,
            End::Unsubscribed | End::Closed => Exit::Failure,
        }
    }
}

fn say(notice: &Notice) {
    match notice {
        Notice::GoAway(away) => {
            let (why, servers) = (harmless(&away.why), harmless(&away.server.join(", ")));
            talk(&format!(
                "the edge asks to leave ({why}) within {} ms {servers}",
                away.deadline_ms
            ));
        }
        Notice::Mesh(mesh) => mesh_lines(mesh).iter().for_each(|line| talk(&harmless(line))),
        Notice::Error(failure) => talk_error(&harmless(&failure.msg)),
        Notice::Expire(expire) => talk(&format!("the token ends in {} s", expire.in_s)),
        Notice::Missed(count) => talk(&format!("{count} notices were dropped")),
        // The subscription ends too, and `finish` says why.
        Notice::Closed(_) => {}
    }
}

/// A gap, for whoever reads along.
fn gap_line(messages: u64, gap: &Gap) -> String {
    let what = match gap.why.as_str() {
        "slow" => "this end read too slowly, and the oldest messages were dropped".into(),
        "conflated" => {
            "this end read too slowly, and got only the newest message of each subject".into()
        }
        why => format!("the edge may have missed messages here ({})", harmless(why)),
    };
    let range = match (gap.after, gap.upto) {
        (Some(after), Some(upto)) => format!(", behind {after} and up to {upto}"),
        _ => String::new(),
    };
    let advice = "fetch the current state again if you need it";
    format!("gap after message {messages}: {what}{range}: {advice}")
}

/// What a notice about the mesh says, one line each.
fn mesh_lines(mesh: &Mesh) -> Vec<String> {
    if mesh.is_well() {
        return vec!["the mesh is whole again".into()];
    }
    let Mesh { degraded, stale, readonly } = mesh;
    let says = [
        (degraded, "the edge no longer hears", ": messages from there may be missing"),
        (stale, "behind in this region, or may be:", ": messages come late"),
        (readonly, "nothing can be stored in", ": its home region does not answer"),
    ];
    let says = says.into_iter().filter(|(names, ..)| !names.is_empty());
    says.map(|(names, before, after)| format!("{before} {}{after}", names.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_whose_fault_it_is_and_which_messages_are_missing() {
        let gap = |why: &str, upto: Option<u64>| {
            let after = upto.map(|upto| upto - 3);
            gap_line(5, &Gap { i: 1, after, upto, e: None, why: why.into() })
        };
        assert!(gap("slow", None).contains("after message 5: this end read too slowly"));
        assert!(gap("conflated", Some(9)).contains("newest message of each subject, behind 6"));
        assert!(gap("nats", None).contains("the edge may have missed messages here (nats): "));
    }

    fn exit(count: Option<u64>, messages: u64, gaps: u64, end: &End) -> Exit {
        Tail { format: Format::Raw, count, messages, gaps }.exit(end)
    }

    #[test]
    fn a_gap_matters_where_a_number_of_messages_was_asked_for() {
        assert_eq!(exit(Some(3), 3, 0, &End::Counted), Exit::Ok);
        assert_eq!(exit(Some(3), 3, 1, &End::Counted), Exit::DataLoss);
        assert_eq!(exit(None, 3, 1, &End::Interrupted), Exit::Interrupted);
    }

    #[test]
    fn a_timeout_fails_only_when_too_little_came() {
        assert_eq!(exit(Some(3), 2, 0, &End::TimedOut), Exit::Timeout);
        assert_eq!(exit(None, 0, 0, &End::TimedOut), Exit::Timeout);
        assert_eq!(exit(None, 1, 0, &End::TimedOut), Exit::Ok);
    }

    #[test]
    fn a_notice_about_the_mesh_is_a_line_for_each_trouble() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let mut mesh = Mesh { degraded: names(&["ap", "eu"]), ..Mesh::default() };
        let lines = mesh_lines(&mesh);
        assert_eq!(lines, ["the edge no longer hears ap, eu: messages from there may be missing"]);
        (mesh.stale, mesh.readonly) = (names(&["orders"]), names(&["orders"]));
        assert_eq!(mesh_lines(&mesh).len(), 3);
        assert_eq!(mesh_lines(&Mesh::default()), ["the mesh is whole again"]);
    }

    #[test]
    fn what_the_edge_ends_is_a_failure() {
        assert_eq!(exit(None, 9, 0, &End::Unsubscribed), Exit::Failure);
        assert_eq!(exit(None, 9, 0, &End::Closed), Exit::Failure);
    }
}
