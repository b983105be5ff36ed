//! Whatever is pushed and however the socket takes it: what leaves and what gaps cover is all that
//! was pushed, in time and in order.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Room for a handful of frames.
const BYTES_MAX: usize = 1500;

/// Frames are shorter than this.
const PADDING_MAX: usize = 120;

const POLICIES: [SlowClient; 3] =
    [SlowClient::Disconnect, SlowClient::DropOldest, SlowClient::Conflate];

#[derive(Debug, Clone)]
enum Step {
    /// A frame that is no message.
    Item { padding: usize, taken: usize },
    /// The same behind a fence.
    Fenced,
    /// A message on a subscription (its policy's number) and a subject.
    Message { subscription: u32, subject: u32, padding: usize, taken: usize },
    /// The socket takes so many bytes.
    Take(usize),
}

/// What was pushed, and what it came to.
#[derive(Debug, Default)]
struct History {
    outbox: Outbox,
    /// In order: an item as None, a message as subscription, subject and sequence.
    pushed: Vec<Option<(u32, u32, u64)>>,
    /// The section of each message.
    sections: BTreeMap<(u32, u64), u32>,
    section: u32,
    shed: Shed,
    received: Vec<u8>,
}

/// What must have been heard of everything that was pushed before an item.
#[derive(Debug, Default)]
struct Heard {
    left: BTreeSet<(u32, u64)>,
    gaps: Vec<(u32, u64, u64)>,
    items: usize,
    fences: u32,
}

impl Heard {
    fn knows(&self, subscription: u32, sequence: u64) -> bool {
        let tells = |(of, after, upto): &(u32, u64, u64)| {
            *of == subscription && *after < sequence && sequence <= *upto
        };
        self.left.contains(&(subscription, sequence)) || self.gaps.iter().any(tells)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || (0..PADDING_MAX, prop_oneof![Just(0), 0..PADDING_MAX]);
    prop_oneof![
        2 => bytes().prop_map(|(padding, taken)| Step::Item { padding, taken }),
        1 => Just(Step::Fenced),
        9 => (0_u32..3, 0_u32..3, bytes()).prop_map(|(subscription, subject, (padding, taken))| {
            Step::Message { subscription, subject, padding, taken }
        }),
        3 => (1_usize..300).prop_map(Step::Take),
    ]
}

impl History {
    fn run(&mut self, steps: &[Step]) -> Result<(), Full> {
        for step in steps {
            match *step {
                Step::Item { padding, taken } => self.item("i", padding, taken)?,
                Step::Fenced => {
                    self.outbox.fence();
                    self.section += 1;
                    self.item("f", 0, 0)?;
                }
                Step::Message { subscription, subject, padding, taken } => {
                    self.message(subscription, subject, padding, taken)?;
                }
                Step::Take(bytes) => self.take(bytes),
            }
            let most = BYTES_MAX + PADDING_MAX + 300;
            assert!(self.outbox.bytes() <= most, "{} bytes wait", self.outbox.bytes());
        }
        Ok(())
    }

    fn item(&mut self, kind: &str, padding: usize, taken: usize) -> Result<(), Full> {
        let frame = format!("{kind} {} {}\n", self.pushed.len(), "x".repeat(padding));
        let written = self.write(&frame, taken);
        self.shed += self.outbox.push(frame.as_bytes(), written, BYTES_MAX)?;
        self.pushed.push(None);
        Ok(())
    }

    /// Sequences ascend on each subject, but the messages of one come late.
    fn message(&mut self, of: u32, subject: u32, padding: usize, taken: usize) -> Result<(), Full> {
        let sequence = 10 * self.pushed.len() as u64 + 100;
        let sequence = if subject == 2 { sequence - 35 } else { sequence };
        let (number, padding) = (self.pushed.len(), "x".repeat(padding));
        let frame = format!("m {number} {of} {subject} {sequence} {padding}\n");
        let written = self.write(&frame, taken);
        let name = subject.to_string();
        let slow_client = POLICIES[of as usize];
        let subject_bytes = name.as_bytes();
        let label = Label {
            subscription: of,
            slow_client,
            sequence: Some(sequence),
            subject: subject_bytes,
        };
        self.shed += match written {
            0 => self.outbox.push_message(frame.as_bytes(), &label, BYTES_MAX)?,
            _ => self.outbox.push(frame.as_bytes(), written, BYTES_MAX)?,
        };
        self.pushed.push(Some((of, subject, sequence)));
        self.sections.insert((of, sequence), self.section);
        Ok(())
    }

    /// An empty outbox lets the socket take a beginning.
    fn write(&mut self, frame: &str, taken: usize) -> usize {
        let written = if self.outbox.is_empty() { taken.min(frame.len()) } else { 0 };
        self.received.extend_from_slice(&frame.as_bytes()[..written]);
        written
    }

    fn take(&mut self, bytes: usize) {
        let mut slices = Vec::new();
        self.outbox.slices(&mut slices, |gap| {
            let (after, upto) = (gap.after.unwrap(), gap.upto.unwrap());
            format!("g {} {after} {upto} {}\n", gap.i, gap.why).into_bytes()
        });
        let waiting: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let taken = &waiting[..bytes.min(waiting.len())];
        self.received.extend_from_slice(taken);
        self.outbox.consume(taken.len());
    }

    fn drain(&mut self) {
        while !self.outbox.is_empty() {
            self.take(usize::MAX);
        }
    }

    /// Reads what came, and judges each line by what was pushed before it.
    fn judge(&self) -> Heard {
        let text = std::str::from_utf8(&self.received).unwrap();
        let mut heard = Heard::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |index: usize| words[index].parse::<u64>().unwrap();
            match words[0] {
                "m" => {
                    let (of, sequence) = (number(2) as u32, number(4));
                    self.judge_message(&heard, number(1) as usize);
                    assert!(heard.left.insert((of, sequence)), "twice: {line}");
                }
                "g" => {
                    let (of, after, upto) = (number(1) as u32, number(2), number(3));
                    let why = if of == 1 { "slow" } else { "conflated" };
                    assert_eq!(words[4], why);
                    for end in [after + 1, upto] {
                        let section = self.sections.get(&(of, end));
                        assert_eq!(section, Some(&heard.fences), "the ends of {line}");
                        assert!(!text.contains(&format!(" {of} {} {end} ", self.subject(of, end))));
                    }
                    heard.gaps.push((of, after, upto));
                }
                "i" | "f" => {
                    let place = number(1) as usize;
                    for (of, _, sequence) in self.pushed[..place].iter().flatten() {
                        assert!(heard.knows(*of, *sequence), "{of} {sequence} is behind {line}");
                    }
                    let items = self.pushed[..place].iter().filter(|one| one.is_none());
                    assert_eq!(items.count(), heard.items, "items before {line}");
                    heard.items += 1;
                    heard.fences += u32::from(words[0] == "f");
                }
                other => panic!("{other}"),
            }
        }
        heard
    }

    /// Everything before it on its subscription was heard of; under `conflate`, on its subject.
    fn judge_message(&self, heard: &Heard, place: usize) {
        let (of, subject, _) = self.pushed[place].unwrap();
        for (other, on, sequence) in self.pushed[..place].iter().flatten() {
            let rests_on = *other == of && (of != 2 || *on == subject);
            assert!(!rests_on || heard.knows(of, *sequence), "{of} {sequence} before {place}");
        }
    }

    fn subject(&self, of: u32, sequence: u64) -> u32 {
        let mut messages = self.pushed.iter().flatten();
        messages.find(|one| one.0 == of && one.2 == sequence).unwrap().1
    }
}

proptest! {
    #[test]
    fn what_leaves_and_what_gaps_cover_is_what_was_pushed(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut history = History::default();
        let is_full = history.run(&steps).is_err();
        if is_full {
            // Closed: what was begun ends, and the rest is missing without a word.
            history.outbox.keep_started();
            history.drain();
            prop_assert!(history.received.last().is_none_or(|byte| *byte == b'\n'));
            history.judge();
            return Ok(());
        }
        history.drain();
        let heard = history.judge();
        let messages: Vec<_> = history.pushed.iter().flatten().collect();
        for (of, _, sequence) in &messages {
            prop_assert!(heard.knows(*of, *sequence), "{} {} is lost", of, sequence);
        }
        let lost = messages.len() - heard.left.len();
        let Shed { dropped, conflated } = history.shed;
        prop_assert_eq!(dropped + conflated, lost as u64);
        prop_assert_eq!(heard.items, history.pushed.len() - messages.len());
        prop_assert!(messages.iter().all(|one| one.0 != 0 || heard.left.contains(&(0, one.2))));
    }

    #[test]
    fn a_client_that_may_lose_its_oldest_messages_is_never_too_slow(
        steps in prop::collection::vec((0_u32..3, 0..PADDING_MAX), 1..200),
    ) {
        let mut history = History::default();
        for (subject, padding) in steps {
            prop_assert!(history.message(1, subject, padding, 0).is_ok());
        }
        history.drain();
        history.judge();
    }
}
