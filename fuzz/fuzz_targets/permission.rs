//! Whatever rules a token holds: a verdict costs little, and says of a filter what it says of each
//! of its subjects.
//!
//! The input is a user, a tenant, a filter and a subject, a line each, and then rules: `+` and a
//! pattern allows, `-` and a pattern denies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_core::permission::{
    Identity, PermissionTexts, Permissions, RuleTexts, Verb, Verdict,
};
use meridian_proto::{Filter, Subject};

/// A token that stands in no rule, because it is longer than any.
const FRESH: [u8; 256] = [b'z'; 256];

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let (user, tenant, asked, subject) = (next(), next(), next(), next());
    let identity = Identity { user: user.clone(), tenant: Some(tenant.clone()) };
    let mut sub = RuleTexts::default();
    for line in lines {
        match line.split_at_checked(1) {
            Some(("+", rule)) => sub.allow.push(rule.to_owned()),
            Some(("-", rule)) => sub.deny.push(rule.to_owned()),
            _ => {}
        }
    }
    let asks = |name: &str| sub.allow.iter().chain(&sub.deny).any(|rule| rule.contains(name));
    let (asks_user, asks_tenant) = (asks("{user}"), asks("{tenant}"));
    let texts = PermissionTexts { sub, ..PermissionTexts::default() };
    let Ok(permissions) = Permissions::new(&texts, &identity) else { return };
    assert!(!asks_user || is_token(&user), "{user:?}");
    assert!(!asks_tenant || is_token(&tenant), "{tenant:?}");
    let (Ok(filter), Ok(subject)) = (Filter::parse(&asked), Subject::parse(&subject)) else {
        return;
    };
    let of_subject = permissions.of_subject(Verb::Sub, &subject);
    match permissions.of_filter(Verb::Sub, &filter) {
        Verdict::Allowed { rules, .. } => {
            assert!(!rules.is_empty());
            assert!(!filter.matches(subject.as_str()) || of_subject.is_allowed());
        }
        Verdict::Denied { .. } => {}
        Verdict::NotAllowed { uncovered, .. } => check_uncovered(&filter, &uncovered, &texts),
    }
    let publish = permissions.of_subject(Verb::Pub, &subject);
    assert!(!publish.is_allowed(), "no rule of another verb allows");
});

/// A subject of the filter that no rule allows stands behind each `not allowed`.
fn check_uncovered(filter: &Filter, uncovered: &str, texts: &PermissionTexts) {
    let fresh = std::str::from_utf8(&FRESH).expect("letters");
    let subject = uncovered.replace('*', fresh);
    assert!(filter.matches(&subject), "{uncovered}");
    for rule in &texts.sub.allow {
        // With placeholders the pattern is another one.
        if let (false, Ok(rule)) = (rule.contains('{'), Filter::parse(rule)) {
            assert!(!rule.matches(&subject), "{rule} allows {uncovered}");
        }
    }
}

fn is_token(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !".*>{}".contains(c);
    !name.is_empty() && name.chars().all(is_plain)
}
