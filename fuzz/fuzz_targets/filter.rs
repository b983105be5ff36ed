//! Whatever text a client sends as subject or filter: what is accepted is safe to hand to NATS,
//! and matching, containment and overlap agree with one another.
//!
//! The input is two filters and a subject, a line each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_proto::limits::{SUBJECT_BYTES_MAX, SUBJECT_TOKENS_MAX};
use meridian_proto::{Filter, Subject};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (left, right, subject) = (next(), next(), next());
    for line in [left, right, subject] {
        check_one(line);
    }
    let (Ok(left), Ok(right)) = (Filter::parse(left), Filter::parse(right)) else { return };
    check_pair(&left, &right, subject);
    check_pair(&right, &left, subject);
});

fn check_one(text: &str) {
    let parsed = Filter::parse(text);
    assert_eq!(parsed.is_ok(), is_filter(text), "{text:?}: {parsed:?}");
    if let Ok(filter) = parsed {
        assert_eq!(filter.as_str(), text);
        assert!(filter.contains(&filter) && filter.overlaps(&filter));
        assert_eq!(filter.is_wildcard(), text.contains(['*', '>']));
    }
    let subject = Subject::parse(text);
    assert_eq!(subject.is_ok(), is_filter(text) && !text.contains(['*', '>']), "{text:?}");
    if let Ok(subject) = subject {
        assert_eq!(subject.as_str(), text);
        assert!(Filter::parse(text).is_ok_and(|filter| filter.matches(text)));
    }
}

/// The rules of the protocol, spelt a second time and slowly.
fn is_filter(text: &str) -> bool {
    let tokens: Vec<&str> = text.split('.').collect();
    let is_wildcard = |token: &str| token == "*" || token == ">";
    text.len() <= SUBJECT_BYTES_MAX
        && tokens.len() <= SUBJECT_TOKENS_MAX
        && text.chars().all(|c| c > ' ' && c != '\x7f' && !c.is_whitespace() && !c.is_control())
        && tokens.iter().all(|token| !token.is_empty())
        && tokens.iter().all(|token| is_wildcard(token) || !token.contains(['*', '>']))
        && tokens.iter().rev().skip(1).all(|token| *token != ">")
        && !is_wildcard(tokens[0])
        && !tokens[0].starts_with(['$', '_'])
}

fn check_pair(left: &Filter, right: &Filter, subject: &str) {
    assert_eq!(left.overlaps(right), right.overlaps(left));
    if left.contains(right) {
        assert!(left.overlaps(right), "{left} contains {right} and does not overlap it");
    }
    if !right.is_wildcard() {
        assert_eq!(left.contains(right), left.matches(right.as_str()), "{left} {right}");
    }
    if Subject::parse(subject).is_err() {
        return;
    }
    if left.matches(subject) && right.matches(subject) {
        assert!(left.overlaps(right), "{left} and {right} share {subject}");
    }
    if left.contains(right) && right.matches(subject) {
        assert!(left.matches(subject), "{left} contains {right} and misses {subject}");
    }
    assert_eq!(left.matches(subject), matches_slowly(left.as_str(), subject));
}

fn matches_slowly(filter: &str, subject: &str) -> bool {
    let filter: Vec<&str> = filter.split('.').collect();
    let subject: Vec<&str> = subject.split('.').collect();
    match filter.split_last() {
        Some((&">", head)) => subject.len() > head.len() && equal_tokens(head, &subject),
        _ => subject.len() == filter.len() && equal_tokens(&filter, &subject),
    }
}

fn equal_tokens(filter: &[&str], subject: &[&str]) -> bool {
    filter.iter().zip(subject).all(|(pattern, token)| *pattern == "*" || pattern == token)
}
