//! A model of a region's copy for tests: replicas that lag, oldest messages that are dropped, and
//! a number of messages a subject.

use super::{Page, Stored};

pub(super) const SUBJECTS: [&str; 3] = ["s.a", "s.b", "s.c"];

/// Owned by one test.
#[derive(Debug)]
pub(super) struct Copy {
    /// Subjects of all messages; the sequence is the place, from 1.
    log: Vec<usize>,
    /// How much of the log each replica has. The first leads: it has all.
    replicas: Vec<usize>,
    /// Messages that a copy keeps in all.
    messages_max: usize,
    /// Messages that it keeps of each subject.
    per_subject_max: usize,
}

impl Copy {
    pub(super) fn new(replicas: usize, messages_max: usize, per_subject_max: usize) -> Self {
        Self { log: Vec::new(), replicas: vec![0; replicas], messages_max, per_subject_max }
    }

    /// Stores a message. Its sequence, and the one before it on its subject as the leader has it.
    pub(super) fn store(&mut self, subject: usize) -> (u64, u64) {
        let previous = self.kept(0).into_iter().rfind(|index| self.log[*index] == subject);
        self.log.push(subject);
        self.replicas[0] = self.log.len();
        (self.log.len() as u64, previous.map_or(0, |index| index as u64 + 1))
    }

    /// A replica catches up, by so much.
    pub(super) fn follow(&mut self, replica: usize, messages: usize) {
        let has = &mut self.replicas[replica];
        *has = (*has + messages).min(self.log.len());
    }

    pub(super) fn follow_all(&mut self) {
        self.replicas.fill(self.log.len());
    }

    pub(super) fn last(&self) -> u64 {
        self.log.len() as u64
    }

    /// Sequences on a filter's subjects.
    pub(super) fn of(&self, filter: &[usize]) -> Vec<u64> {
        let matching = |index: &usize| filter.contains(&self.log[*index]);
        (0..self.log.len()).filter(matching).map(|index| index as u64 + 1).collect()
    }

    pub(super) fn subject_of(&self, sequence: u64) -> &'static str {
        SUBJECTS[self.log[sequence as usize - 1]]
    }

    /// From where on the leader's copy is whole.
    pub(super) fn whole_from(&self) -> u64 {
        (self.log.len().saturating_sub(self.messages_max) + 1) as u64
    }

    pub(super) fn page(
        &self,
        replica: usize,
        filter: &[usize],
        after: u64,
        messages_max: usize,
    ) -> Page {
        let is_wanted =
            |index: &usize| *index as u64 >= after && filter.contains(&self.log[*index]);
        let mut found: Vec<usize> = self.kept(replica).into_iter().filter(is_wanted).collect();
        let pending = found.len().saturating_sub(messages_max) as u64;
        found.truncate(messages_max);
        Page {
            messages: found.iter().map(|index| self.stored(*index)).collect(),
            pending,
            upto: None,
        }
    }

    /// The last message of each subject.
    pub(super) fn tails(&self, replica: usize, filter: &[usize]) -> Page {
        let kept = self.kept(replica);
        let last = |subject: &usize| kept.iter().rfind(|index| self.log[**index] == *subject);
        let mut last: Vec<usize> = filter.iter().filter_map(last).copied().collect();
        last.sort_unstable();
        let messages = last.iter().map(|index| self.stored(*index)).collect();
        let upto = Some(self.replicas[replica % self.replicas.len()] as u64);
        Page { messages, pending: 0, upto }
    }

    pub(super) fn stored(&self, index: usize) -> Stored {
        let subject = SUBJECTS[self.log[index]].as_bytes().into();
        Stored { sequence: index as u64 + 1, subject, ..Stored::default() }
    }

    /// Places of what a replica has not dropped.
    fn kept(&self, replica: usize) -> Vec<usize> {
        let has = self.replicas[replica % self.replicas.len()];
        let first = has.saturating_sub(self.messages_max);
        let is_kept = |index: &usize| {
            let newer = &self.log[index + 1..has];
            newer.iter().filter(|subject| **subject == self.log[*index]).count()
                < self.per_subject_max
        };
        (first..has).filter(is_kept).collect()
    }
}
