//! Verdicts against brute force, and what placeholders may hold.

use super::*;
use meridian_proto::SubjectError;
use proptest::prelude::*;

fn identity(user: &str, tenant: Option<&str>) -> Identity {
    Identity { user: user.into(), tenant: tenant.map(Into::into) }
}

fn texts(allow: &[&str], deny: &[&str]) -> PermissionTexts {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
    let sub = RuleTexts { allow: list(allow), deny: list(deny) };
    PermissionTexts { sub, ..PermissionTexts::default() }
}

fn permissions(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions::new(&texts(allow, deny), &identity("ann", Some("acme"))).unwrap()
}

/// What is said to a client that wants `asked`.
fn verdict(allow: &[&str], deny: &[&str], asked: &str) -> String {
    permissions(allow, deny).of_filter(Verb::Sub, &Filter::parse(asked).unwrap()).to_string()
}

#[test]
fn nothing_is_allowed_that_no_rule_allows() {
    assert_eq!(verdict(&[], &[], "a"), "no sub rule allows a");
    assert_eq!(verdict(&["a.b"], &[], "a.*"), "no sub rule allows a.*");
    assert_eq!(verdict(&["a.*"], &[], "a.>"), "no sub rule allows a.*.*");
    assert_eq!(verdict(&["a.*.>"], &[], "a.>"), "no sub rule allows a.*");
    assert_eq!(verdict(&["a.>"], &[], "a"), "no sub rule allows a");
    let others = permissions(&["a.>"], &[]);
    let subject = Subject::parse("a.b").unwrap();
    assert!(others.of_subject(Verb::Sub, &subject).is_allowed());
    for verb in [Verb::Pub, Verb::Req, Verb::Hist, Verb::Pres] {
        assert!(!others.of_subject(verb, &subject).is_allowed(), "{verb:?}");
    }
}

#[test]
fn rules_help_one_another_by_different_numbers_of_tokens_only() {
    let both = verdict(&["a.*.>", "a.*"], &[], "a.>");
    assert_eq!(both, "allowed by sub rule a.* and a.*.>");
    let three = verdict(&["a.*", "a.*.*", "a.*.*.>"], &[], "a.>");
    assert_eq!(three, "allowed by sub rule a.* and a.*.* and a.*.*.>");
    assert_eq!(verdict(&["a.b", "a.c", "a.d"], &[], "a.*"), "no sub rule allows a.*");
    assert_eq!(verdict(&["a.b.>", "a.*.c"], &[], "a.*.*"), "no sub rule allows a.*.*");
    assert_eq!(verdict(&[">"], &[], "a.*.>"), "allowed by sub rule >");
    assert_eq!(verdict(&["*.x"], &[], "a.x"), "allowed by sub rule *.x");
}

#[test]
fn one_subject_that_is_denied_denies_the_filter() {
    assert_eq!(verdict(&["a.>"], &["a.*.secret"], "a.>"), "denied by sub rule a.*.secret");
    assert_eq!(verdict(&["a.>"], &["a.*.secret"], "a.b.*"), "denied by sub rule a.*.secret");
    assert_eq!(verdict(&["a.>"], &["a.*.secret"], "a.*"), "allowed by sub rule a.>");
    assert_eq!(verdict(&["a.>"], &["a.>"], "a.b"), "denied by sub rule a.>");
    assert_eq!(verdict(&["a.>"], &["*.b"], "a.b"), "denied by sub rule *.b");
}

#[test]
fn placeholders_hold_the_clients_own_names() {
    let rules = ["{tenant}.chat.{user}.>", "inbox.u-{user}"];
    assert_eq!(verdict(&rules, &[], "acme.chat.ann.x"), "allowed by sub rule acme.chat.ann.>");
    assert_eq!(verdict(&rules, &[], "inbox.u-ann"), "allowed by sub rule inbox.u-ann");
    assert_eq!(verdict(&rules, &[], "acme.chat.bob.x"), "no sub rule allows acme.chat.bob.x");
}

#[test]
fn a_name_that_is_no_single_token_is_never_filled_in() {
    for name in ["", "a.b", "*", ">", "a*", "a b", "a\tb", "a\0", "{tenant}", "a}", "ann@x.org"] {
        let refused = Rule::parse("chat.{user}", &identity(name, Some("acme")));
        assert_eq!(refused, Err(RuleError::NotAToken("user")), "{name:?}");
        let refused = Rule::parse("chat.{tenant}", &identity("ann", Some(name)));
        assert_eq!(refused, Err(RuleError::NotAToken("tenant")), "{name:?}");
        // It is a name all the same, for rules that do not ask for it.
        assert!(Rule::parse("chat.all", &identity(name, None)).is_ok());
    }
    let reserved = Rule::parse("{user}.>", &identity("$SYS", None));
    assert_eq!(reserved, Err(RuleError::Pattern(SubjectError::Reserved)));
    let long = Rule::parse("chat.{user}", &identity(&"x".repeat(251), None));
    assert_eq!(long, Err(RuleError::Pattern(SubjectError::TooLong)));
    assert!(Rule::parse("chat.{user}", &identity(&"x".repeat(250), None)).is_ok());
}

#[test]
fn what_is_no_rule_refuses_the_whole_set() {
    let ann = identity("ann", None);
    for (text, error) in [
        ("a.{role}", RuleError::Placeholder),
        ("a.{user", RuleError::Placeholder),
        ("a.user}", RuleError::Placeholder),
        ("a}.{user}", RuleError::Placeholder),
        ("a.{tenant}", RuleError::NoTenant),
        ("a..b", RuleError::Pattern(SubjectError::EmptyToken)),
        ("_mrd.>", RuleError::Pattern(SubjectError::Reserved)),
    ] {
        let refused = Permissions::new(&texts(&["a.>"], &[text]), &ann);
        let expected = PermissionError::Rule { verb: Verb::Sub, text: text.into(), error };
        assert_eq!(refused, Err(expected));
    }
    let many = |count| Permissions::new(&texts(&vec!["a.b"; count], &[]), &ann);
    assert!(many(RULES_MAX).is_ok());
    assert_eq!(many(RULES_MAX + 1), Err(PermissionError::TooMany(Verb::Sub)));
}

#[test]
fn a_rule_that_is_not_understood_refuses_the_token() {
    let read = serde_json::from_str::<PermissionTexts>;
    let read_all = read(r#"{"sub":{"allow":["a.>"],"deny":["a.b"]},"pub":{"allow":["a.c"]}}"#);
    let read_all = read_all.unwrap();
    assert_eq!(read_all.sub.deny, ["a.b"]);
    assert_eq!(read_all.publish.allow, ["a.c"]);
    for text in [r#"{"subscribe":{}}"#, r#"{"sub":{"denied":["a"]}}"#, r#"{"sub":["a"]}"#] {
        assert!(read(text).is_err(), "{text}");
    }
}

/// Filters of up to three tokens and a `>`, over an alphabet of two.
fn pattern() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec!["a", "b", "*"]);
    let head = prop::collection::vec(token, 0..=3);
    (head, any::<bool>()).prop_filter_map("empty", |(mut head, is_open)| {
        if is_open {
            head.push(">");
        }
        (!head.is_empty()).then(|| head.join("."))
    })
}

/// Rules at the root of what is asked for, and elsewhere.
fn rule() -> impl Strategy<Value = String> {
    prop_oneof![3 => pattern().prop_map(|pattern| format!("a.{pattern}")), 1 => pattern()]
}

/// Every subject of up to five tokens over the alphabet of the rules and a token of no rule. A
/// pattern has at most four tokens, so longer subjects bring nothing new.
fn subjects() -> Vec<String> {
    let mut all: Vec<String> = ["a", "b", "z"].map(String::from).to_vec();
    let mut last = all.clone();
    for _ in 1..5 {
        let longer = |subject: &String| ["a", "b", "z"].map(|token| format!("{subject}.{token}"));
        last = last.iter().flat_map(longer).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Matching, spelt a second time and slowly.
fn matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), subject.split('.').collect());
    let (head, is_long_enough) = match pattern.split_last() {
        Some((&">", head)) => (head, subject.len() > head.len()),
        _ => (&pattern[..], subject.len() == pattern.len()),
    };
    is_long_enough && head.iter().zip(subject).all(|(own, token)| *own == "*" || *own == token)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Yes exactly if each subject of the filter is allowed and none denied; and what is said to
    /// be uncovered is: it lies in the filter, and some subject of it in no rule.
    #[test]
    fn a_verdict_is_what_every_subject_says(
        asked in pattern(),
        allow in prop::collection::vec(rule(), 0..5),
        deny in prop::collection::vec(rule(), 0..2),
    ) {
        let asked = format!("a.{asked}");
        let sub = RuleTexts { allow: allow.clone(), deny: deny.clone() };
        let texts = PermissionTexts { sub, ..PermissionTexts::default() };
        let permissions = Permissions::new(&texts, &Identity::default()).unwrap();
        let filter = Filter::parse(&asked).unwrap();
        let verdict = permissions.of_filter(Verb::Sub, &filter);

        let rooted = |subject: String| format!("a.{subject}");
        let all: Vec<String> = subjects().into_iter().map(rooted).collect();
        let some = |list: &[String], subject: &str| list.iter().any(|text| matches(text, subject));
        let asked_for: Vec<&String> =
            all.iter().filter(|subject| matches(&asked, subject)).collect();
        let is_allowed = asked_for.iter().all(|subject| some(&allow, subject));
        let is_denied = asked_for.iter().any(|subject| some(&deny, subject));
        prop_assert_eq!(verdict.is_allowed(), is_allowed && !is_denied, "{}", verdict);
        match verdict {
            Verdict::Denied { rule, .. } => {
                prop_assert!(asked_for.iter().any(|subject| matches(rule.as_str(), subject)));
            }
            Verdict::NotAllowed { uncovered, .. } => {
                let fresh = uncovered.replace('*', "z");
                prop_assert!(matches(&asked, &fresh) && !some(&allow, &fresh), "{}", fresh);
            }
            Verdict::Allowed { rules, .. } => {
                let named = |subject: &str| {
                    rules.iter().any(|rule| matches(rule.as_str(), subject))
                };
                prop_assert!(asked_for.iter().all(|subject| named(subject)));
            }
        }
    }
}
