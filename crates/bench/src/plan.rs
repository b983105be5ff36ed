//! What is to be published in one run, and what became of it. Shared by the NATS publisher and by
//! the floor, so that both make the same load.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::payload::{PAYLOAD_BYTES_MIN, SEQUENCES_MAX};

/// NATS servers refuse larger payloads by default (1 MiB).
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// A process here may hold 20,000 descriptors, a few of which are not sockets.
const SOCKETS_MAX: usize = 19_900;

/// How the sockets share the subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// All sockets on one subject: every message goes to each of them.
    OneSubject,
    /// A subject for each socket, in turn: every message goes to one of them.
    SubjectEach,
}

/// What messages say of their trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracing {
    /// Nothing: no headers.
    #[default]
    Silent,
    /// A `traceparent` that is not sampled.
    Unsampled,
    /// A `traceparent`, of which every so-manieth is sampled.
    Every(u32),
}

impl Tracing {
    /// The header block of a message, empty without one.
    #[must_use]
    pub fn headers(self, index: u64) -> String {
        let is_sampled = match self {
            Self::Silent => return String::new(),
            Self::Unsampled => false,
            Self::Every(count) => index.is_multiple_of(u64::from(count.max(1))),
        };
        let number = index + 1;
        let flags = u8::from(is_sampled);
        format!("NATS/1.0\r\ntraceparent: 00-{number:032x}-{number:016x}-{flags:02x}\r\n\r\n")
    }
}

/// The load of one run: `messages` in all at `rate_per_s`, evenly spaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishPlan {
    /// The subject, or the prefix of the subjects.
    pub subject: String,
    /// One subject or many.
    pub spread: Spread,
    /// How many sockets receive.
    pub sockets: usize,
    /// Messages a second, over all subjects.
    pub rate_per_s: u32,
    /// Messages in all, unless the rate cannot be kept: then as many as fit the time.
    pub messages: u64,
    /// The exact length of each payload.
    pub payload_bytes: usize,
    /// What messages say of their trace, over NATS.
    pub tracing: Tracing,
}

/// What the publishing side did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Messages written.
    pub messages: u64,
    /// From the first message to the last.
    pub elapsed: Duration,
    /// Sends that failed (the floor only: it sends to each socket itself).
    pub failed_sends: u64,
}

impl PublishPlan {
    /// Refuses what a run could not do.
    ///
    /// # Errors
    /// [`Error::Options`] with the limit that is crossed.
    pub fn check(&self) -> Result<(), Error> {
        let sockets = (1..=SOCKETS_MAX).contains(&self.sockets);
        let payload = (PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&self.payload_bytes);
        let why = match (sockets, payload) {
            (false, _) => format!("sockets must be 1 to {SOCKETS_MAX}"),
            (_, false) => {
                format!("the payload must be {PAYLOAD_BYTES_MIN} to {PAYLOAD_BYTES_MAX} bytes")
            }
            _ if self.rate_per_s == 0 || self.messages == 0 => {
                "the rate and the duration must be above zero".to_owned()
            }
            _ if self.messages > SEQUENCES_MAX => {
                format!("at most {SEQUENCES_MAX} messages: lower the rate or the duration")
            }
            _ if self.subject.is_empty()
                || self.subject.contains(|c: char| c.is_whitespace() || c == '"') =>
            {
                "the subject must not be empty nor hold spaces or quotes".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::Options(why))
    }

    /// The subjects that are published to, in turn.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        match self.spread {
            Spread::OneSubject => vec![self.subject.clone()],
            Spread::SubjectEach => {
                (0..self.sockets).map(|index| format!("{}.{index}", self.subject)).collect()
            }
        }
    }

    /// The subject of each socket, in the order of the sockets.
    #[must_use]
    pub fn socket_subjects(&self) -> Vec<String> {
        match self.spread {
            Spread::OneSubject => vec![self.subject.clone(); self.sockets],
            Spread::SubjectEach => self.subjects(),
        }
    }

    /// How many deliveries so many messages mean.
    #[must_use]
    pub fn deliveries(&self, messages: u64) -> u64 {
        match self.spread {
            Spread::OneSubject => messages * self.sockets as u64,
            Spread::SubjectEach => messages,
        }
    }
}

impl Published {
    /// The rate that was kept, in messages a second.
    #[must_use]
    pub fn rate_per_s(&self) -> f64 {
        // N messages have N - 1 spaces between them.
        self.messages.saturating_sub(1) as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> PublishPlan {
        PublishPlan {
            subject: "demo.bench".into(),
            spread: Spread::SubjectEach,
            sockets: 3,
            rate_per_s: 10,
            messages: 100,
            payload_bytes: 128,
            tracing: Tracing::Silent,
        }
    }

    #[test]
    fn every_so_manieth_message_is_sampled_and_all_heads_are_equally_long() {
        let headers = |tracing: Tracing| (0..10).map(|index| tracing.headers(index)).collect();
        let all: Vec<String> = headers(Tracing::Every(5));
        let sampled = all.iter().filter(|block| block.ends_with("-01\r\n\r\n"));
        assert_eq!(sampled.count(), 2);
        assert!(all.iter().all(|block| block.len() == all[0].len()));
        let none: Vec<String> = headers(Tracing::Unsampled);
        assert!(none.iter().all(|block| block.ends_with("-00\r\n\r\n")));
        assert_eq!(Tracing::Silent.headers(3), "");
    }

    #[test]
    fn limits_are_kept_and_one_past_them_is_refused() {
        assert!(plan().check().is_ok());
        assert!(PublishPlan { sockets: SOCKETS_MAX, ..plan() }.check().is_ok());
        assert!(PublishPlan { sockets: SOCKETS_MAX + 1, ..plan() }.check().is_err());
        assert!(PublishPlan { payload_bytes: PAYLOAD_BYTES_MIN - 1, ..plan() }.check().is_err());
        assert!(PublishPlan { rate_per_s: 0, ..plan() }.check().is_err());
        assert!(PublishPlan { messages: SEQUENCES_MAX, ..plan() }.check().is_ok());
        assert!(PublishPlan { messages: SEQUENCES_MAX + 1, ..plan() }.check().is_err());
        assert!(PublishPlan { subject: "a b".into(), ..plan() }.check().is_err());
    }

    #[test]
    fn deliveries_follow_the_spread() {
        assert_eq!(plan().deliveries(100), 100);
        assert_eq!(plan().subjects(), ["demo.bench.0", "demo.bench.1", "demo.bench.2"]);
        let fanout = PublishPlan { spread: Spread::OneSubject, ..plan() };
        assert_eq!(fanout.deliveries(100), 300);
        assert_eq!(fanout.socket_subjects().len(), 3);
    }
}
