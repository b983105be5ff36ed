//! Subjects and filters against brute force: every filter and subject of a small world, so that
//! the three relations are right everywhere in it, and random texts for the parser.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach test helpers"
)]

use meridian_proto::limits::{SUBJECT_BYTES_MAX, SUBJECT_TOKENS_MAX};
use meridian_proto::{Filter, Subject, SubjectError};
use proptest::prelude::*;

/// Deepest filter of the small world.
const FILTER_TOKENS: usize = 4;
/// One deeper than the filters, so that `>` has something to stand for beyond them.
const SUBJECT_TOKENS: usize = 5;

/// All token sequences of 1 to `tokens_max` tokens of `alphabet`, in no special order.
fn sequences(alphabet: &[&'static str], tokens_max: usize) -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&'static str>> = alphabet.iter().map(|token| vec![*token]).collect();
    let mut begin = 0;
    for _ in 1..tokens_max {
        let end = all.len();
        for index in begin..end {
            for token in alphabet {
                let mut longer = all[index].clone();
                longer.push(token);
                all.push(longer);
            }
        }
        begin = end;
    }
    all
}

/// The filters of the small world. `c` is left to the subjects: no filter names it.
fn filters() -> Vec<Filter> {
    sequences(&["a", "b", "*", ">"], FILTER_TOKENS)
        .into_iter()
        .filter(|tokens| !matches!(tokens[0], "*" | ">"))
        .filter(|tokens| !tokens[..tokens.len() - 1].contains(&">"))
        .map(|tokens| Filter::parse(&tokens.join(".")).unwrap())
        .collect()
}

fn subjects() -> Vec<String> {
    sequences(&["a", "b", "c"], SUBJECT_TOKENS).iter().map(|tokens| tokens.join(".")).collect()
}

/// What NATS's documentation says of wildcards, without any cleverness.
fn matches_naively(filter: &[&str], subject: &[&str]) -> bool {
    match (filter.split_first(), subject.split_first()) {
        (None, None) => true,
        (Some((&">", _)), Some(_)) => true,
        (Some((&"*", filter)), Some((_, subject))) => matches_naively(filter, subject),
        (Some((literal, filter)), Some((token, subject))) => {
            literal == token && matches_naively(filter, subject)
        }
        _ => false,
    }
}

#[test]
fn matches_agrees_with_a_naive_matcher_everywhere() {
    let subjects = subjects();
    for filter in filters() {
        let pattern: Vec<&str> = filter.as_str().split('.').collect();
        for subject in &subjects {
            let tokens: Vec<&str> = subject.split('.').collect();
            let expected = matches_naively(&pattern, &tokens);
            assert_eq!(filter.matches(subject), expected, "{filter} {subject}");
        }
    }
}

#[test]
fn contains_and_overlaps_agree_with_the_sets_of_subjects_everywhere() {
    let (filters, subjects) = (filters(), subjects());
    // Held, so that a mistake above cannot empty the test.
    assert_eq!((filters.len(), subjects.len()), (106, 363));
    let sets: Vec<Vec<bool>> = filters
        .iter()
        .map(|filter| subjects.iter().map(|subject| filter.matches(subject)).collect())
        .collect();
    for (outer, outer_set) in filters.iter().zip(&sets) {
        for (inner, inner_set) in filters.iter().zip(&sets) {
            let mut pairs = outer_set.iter().zip(inner_set);
            let is_subset = pairs.all(|(outer, inner)| *outer || !*inner);
            assert_eq!(outer.contains(inner), is_subset, "{outer} contains {inner}");
            let meets = outer_set.iter().zip(inner_set).any(|(outer, inner)| *outer && *inner);
            assert_eq!(outer.overlaps(inner), meets, "{outer} overlaps {inner}");
        }
    }
}

#[test]
fn a_filter_is_a_wildcard_exactly_if_it_matches_more_than_one_subject() {
    let subjects = subjects();
    for filter in filters() {
        let matched = subjects.iter().filter(|subject| filter.matches(subject)).count();
        assert_eq!(filter.is_wildcard(), matched > 1, "{filter}");
    }
}

#[test]
fn length_and_depth_are_accepted_at_the_limit_and_refused_one_past_it() {
    let longest = format!("{}.*", "x".repeat(SUBJECT_BYTES_MAX - 2));
    assert_eq!(longest.len(), SUBJECT_BYTES_MAX);
    assert!(Filter::parse(&longest).is_ok());
    assert_eq!(Filter::parse(&format!("x{longest}")), Err(SubjectError::TooLong));
    assert!(Subject::parse(&"x".repeat(SUBJECT_BYTES_MAX)).is_ok());
    assert_eq!(Subject::parse(&"x".repeat(SUBJECT_BYTES_MAX + 1)), Err(SubjectError::TooLong));

    let deepest = vec!["x"; SUBJECT_TOKENS_MAX].join(".");
    assert!(Filter::parse(&deepest).is_ok() && Subject::parse(&deepest).is_ok());
    let deeper = format!("{deepest}.>");
    assert_eq!(Filter::parse(&deeper), Err(SubjectError::TooManyTokens));
    assert_eq!(Subject::parse(&format!("{deepest}.x")), Err(SubjectError::TooManyTokens));
}

/// Texts near the border between good and bad: few characters, all of which matter.
fn crooked_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("a"), 2 => Just("."), 1 => Just("*"), 1 => Just(">"), 1 => Just("$"),
        1 => Just("_"), 1 => Just(" "), 1 => Just("\u{85}"), 1 => Just("é"), 1 => Just(".b"),
    ];
    prop::collection::vec(piece, 0..300).prop_map(|pieces| pieces.concat())
}

/// What an accepted text must be, told another way than the parser tells it.
fn assert_well_formed(text: &str, is_filter: bool) {
    assert!((1..=SUBJECT_BYTES_MAX).contains(&text.len()), "{text:?}");
    assert!(!text.chars().any(|c| c.is_whitespace() || c < ' ' || c == '\u{7f}'), "{text:?}");
    let tokens: Vec<&str> = text.split('.').collect();
    assert!(tokens.len() <= SUBJECT_TOKENS_MAX && !tokens.contains(&""), "{text:?}");
    assert!(!text.starts_with(['$', '_', '*', '>']), "{text:?}");
    for (index, token) in tokens.iter().enumerate() {
        let is_wildcard = *token == "*" || (*token == ">" && index + 1 == tokens.len());
        assert!((is_filter && is_wildcard) || !token.contains(['*', '>']), "{text:?}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics_and_accepts_only_what_is_well_formed(
        text in prop_oneof![any::<String>(), crooked_text(), "[a*>.$]{0,24}"],
    ) {
        if let Ok(subject) = Subject::parse(&text) {
            assert_well_formed(&text, false);
            prop_assert_eq!(subject.as_str(), text.as_str());
            prop_assert!(Filter::parse(&text).is_ok_and(|filter| !filter.is_wildcard()));
        }
        if let Ok(filter) = Filter::parse(&text) {
            assert_well_formed(&text, true);
            prop_assert_eq!(filter.as_str(), text.as_str());
            prop_assert_eq!(filter.is_wildcard(), Subject::parse(&text).is_err());
            prop_assert!(filter.contains(&filter) && filter.overlaps(&filter));
        }
    }

    #[test]
    fn matching_any_text_agrees_with_the_naive_matcher(
        filter in "a(\\.[ab*]){0,4}(\\.>)?",
        subject in prop_oneof![any::<String>(), "[ab.*>é]{0,12}"],
    ) {
        let pattern: Vec<&str> = filter.split('.').collect();
        let tokens: Vec<&str> = subject.split('.').collect();
        let expected = matches_naively(&pattern, &tokens);
        prop_assert_eq!(Filter::parse(&filter).unwrap().matches(&subject), expected);
    }
}
