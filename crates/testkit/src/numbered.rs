//! Numbered messages on durable subjects: a publisher that goes on in the background, and a record
//! of what a subscriber was shown, which knows whether that is everything, once and in order.

use meridian_client::{Event, Subscription};
use meridian_proto::item::Gap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::text_of;

/// Between two messages: about 500 a second.
const PACE: Duration = Duration::from_millis(2);

/// Whatever goes wrong, a publisher ends.
const NUMBERS_MAX: usize = 50_000;

/// Publishes 0, 1, 2 and so on with plain NATS, round robin over subjects. Owned by its test.
pub struct NumberedPublisher {
    published: Arc<AtomicUsize>,
    is_stopped: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl NumberedPublisher {
    /// Starts on the subjects `<stem>.0` to `<stem>.<subjects - 1>`.
    pub fn start(nats: async_nats::Client, stem: &str, subjects: usize) -> Self {
        let (published, is_stopped) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop, stem) =
            (Arc::clone(&published), Arc::clone(&is_stopped), stem.to_owned());
        let task = tokio::spawn(async move {
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0..NUMBERS_MAX {
                pace.tick().await;
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let subject = format!("{stem}.{}", number % subjects);
                nats.publish(subject, number.to_string().into()).await.unwrap();
                count.store(number + 1, Ordering::Relaxed);
            }
            nats.flush().await.unwrap();
        });
        Self { published, is_stopped, task }
    }

    /// How many were published up to now.
    pub fn published(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }

    /// Waits until so many more were published.
    pub async fn publishes(&self, more: usize) {
        let wanted = self.published() + more;
        crate::eventually("the publisher goes on", async || self.published() >= wanted).await;
    }

    /// Stops; how many were published.
    pub async fn stop(self) -> usize {
        self.is_stopped.store(true, Ordering::Relaxed);
        crate::within("the publisher ends", self.task).await.unwrap();
        self.published.load(Ordering::Relaxed)
    }
}

/// What one subscriber was shown, over all its subscriptions.
#[derive(Debug, Default)]
pub struct Shown {
    /// Sequence, subject and number of each message.
    pub messages: Vec<(u64, String, usize)>,
    pub gaps: Vec<Gap>,
    /// Ends of a replay.
    pub lives: usize,
}

impl Shown {
    /// Notes one event.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Message(message) => {
                let number = text_of(&message).parse().unwrap();
                self.messages.push((message.q.unwrap(), message.s, number));
            }
            Event::Gap(gap) => self.gaps.push(gap),
            Event::Live(_) => self.lives += 1,
            Event::Position(_) => {}
            Event::Unsubscribed(end) => panic!("{end:?}"),
        }
    }

    /// Reads until a condition holds, at most `limit` for all of it.
    pub async fn read_until(
        &mut self,
        subscription: &mut Subscription,
        limit: Duration,
        condition: impl Fn(&Self) -> bool,
    ) {
        let reading = async {
            while !condition(self) {
                match subscription.next().await {
                    Some(event) => self.note(event),
                    None => panic!("the subscription on {} ended", subscription.filter()),
                }
            }
        };
        let is_late = timeout(limit, reading).await.is_err();
        let filter = subscription.filter();
        assert!(!is_late, "{filter}: not in {limit:?}: {}", self.summary());
    }

    /// The numbers in order of arrival.
    pub fn numbers(&self) -> Vec<usize> {
        self.messages.iter().map(|message| message.2).collect()
    }

    /// Panics unless these are exactly the numbers shown, each once, in order of sequence and
    /// number on each subject, and no gap was told.
    pub fn assert_complete(&self, who: &str, expected: impl IntoIterator<Item = usize>) {
        assert_eq!(self.gaps, [], "{who}");
        let mut last: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
        for (sequence, subject, number) in &self.messages {
            if let Some(before) = last.insert(subject, (*sequence, *number)) {
                let is_after = before.0 < *sequence && before.1 < *number;
                assert!(is_after, "{who}: {subject} {before:?} before {sequence} {number}");
            }
        }
        let mut shown = self.numbers();
        shown.sort_unstable();
        let expected: Vec<usize> = expected.into_iter().collect();
        let differs = || {
            let at = shown.iter().zip(&expected).position(|(one, other)| one != other);
            let at = at.unwrap_or(shown.len().min(expected.len()));
            format!("at {at}: shown {:?}, published {:?}", shown.get(at), expected.get(at))
        };
        assert!(shown == expected, "{who}: {} {}", differs(), self.summary());
    }

    fn summary(&self) -> String {
        let (messages, last) = (self.messages.len(), self.messages.last());
        format!("{messages} messages, last {last:?}, gaps {:?}, live {}", self.gaps, self.lives)
    }
}
