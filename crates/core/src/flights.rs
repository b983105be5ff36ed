//! Questions to somebody slow: whoever asks the same at the same time waits for one answer, and
//! answers are kept for a while.
//!
//! Pure: time is passed in, in ms. The edge asks; what about, this does not know.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Owned by whoever asks. `Q` is a question, `A` an answer, `W` somebody who waits for one.
#[derive(Debug)]
pub struct Flights<Q, A, W> {
    waiting: HashMap<Q, Vec<W>>,
    kept: HashMap<Q, (u64, A)>,
    /// Questions in the order in which their answers came, for the bound.
    order: VecDeque<Q>,
    kept_max: usize,
    waiting_max: usize,
}

/// What a question leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered<A, W> {
    /// The answer is here.
    Kept(A, W),
    /// It is on its way.
    Joined,
    /// Nobody has asked: ask, then call [`Flights::land`].
    First,
    /// Too many wait.
    Full(W),
}

impl<Q: Clone + Eq + Hash, A: Clone, W> Flights<Q, A, W> {
    /// Keeps at most so many answers, and so many who wait.
    #[must_use]
    pub fn new(kept_max: usize, waiting_max: usize) -> Self {
        let (waiting, kept, order) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { waiting, kept, order, kept_max, waiting_max }
    }

    /// Somebody asks.
    pub fn enter(&mut self, question: &Q, who: W, now_ms: u64) -> Entered<A, W> {
        if let Some((until_ms, answer)) = self.kept.get(question)
            && *until_ms > now_ms
        {
            return Entered::Kept(answer.clone(), who);
        }
        if self.waiting.values().map(Vec::len).sum::<usize>() >= self.waiting_max {
            return Entered::Full(who);
        }
        match self.waiting.get_mut(question) {
            Some(waiting) => {
                waiting.push(who);
                Entered::Joined
            }
            None => {
                self.waiting.insert(question.clone(), vec![who]);
                Entered::First
            }
        }
    }

    /// The answer came; it is kept until `until_ms`, if that lies ahead. Returns who waits for it.
    pub fn land(&mut self, question: &Q, answer: A, until_ms: u64, now_ms: u64) -> Vec<W> {
        if until_ms > now_ms {
            if self.kept.insert(question.clone(), (until_ms, answer)).is_none() {
                self.order.push_back(question.clone());
            }
            while self.order.len() > self.kept_max {
                if let Some(oldest) = self.order.pop_front() {
                    self.kept.remove(&oldest);
                }
            }
        }
        self.waiting.remove(question).unwrap_or_default()
    }

    /// Forgets answers that are too old.
    pub fn expire(&mut self, now_ms: u64) {
        self.kept.retain(|_, (until_ms, _)| *until_ms > now_ms);
        let kept = &self.kept;
        self.order.retain(|question| kept.contains_key(question));
    }

    /// Answers that are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_the_same_waits_for_one_answer_and_who_comes_later_finds_it() {
        let mut flights = Flights::new(10, 10);
        assert_eq!(flights.enter(&"q", 1, 0), Entered::First);
        assert_eq!(flights.enter(&"q", 2, 5), Entered::Joined);
        assert_eq!(flights.enter(&"r", 3, 5), Entered::First);
        assert_eq!(flights.land(&"q", 'a', 100, 10), [1, 2]);
        assert_eq!(flights.enter(&"q", 4, 99), Entered::Kept('a', 4));
        assert_eq!(flights.enter(&"q", 5, 100), Entered::First);
    }

    #[test]
    fn an_answer_that_is_not_to_be_kept_is_asked_for_again() {
        let mut flights = Flights::new(10, 10);
        flights.enter(&"q", 1, 0);
        assert_eq!(flights.land(&"q", 'a', 10, 10), [1]);
        assert_eq!(flights.enter(&"q", 2, 10), Entered::First);
        assert_eq!(flights.kept(), 0);
    }

    #[test]
    fn both_bounds_hold_at_the_limit_and_one_past_it() {
        let mut flights = Flights::new(2, 2);
        assert_eq!(flights.enter(&1, 'a', 0), Entered::First);
        assert_eq!(flights.enter(&1, 'b', 0), Entered::Joined);
        assert_eq!(flights.enter(&2, 'c', 0), Entered::Full('c'));
        for question in 1..=3 {
            flights.land(&question, 'x', 100, 0);
        }
        assert_eq!(flights.kept(), 2);
        assert_eq!(flights.enter(&1, 'd', 0), Entered::First, "the oldest gave way");
        flights.expire(100);
        assert_eq!(flights.kept(), 0);
        assert!(flights.order.is_empty());
    }
}
