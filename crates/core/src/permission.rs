//! Permissions: what one client may do with which subjects, and the decision whether a filter or
//! subject is among them.
//!
//! Not for: tokens and their signatures, which the edge reads, and namespaces, which say what is
//! reachable at all. Sessions ask here, and so does `meridian token explain`.

mod cover;
mod identity;
mod rule;
#[cfg(test)]
mod tests;
mod verdict;

pub use identity::{FilterGrant, Grant, Identity, TokenFacts};
pub use rule::{Rule, RuleError};
pub use verdict::Verdict;

use meridian_proto::{Filter, Subject};
use serde::{Deserialize, Serialize};

/// Most rules in one list: a verdict looks at each of them, and a token of 4 KiB holds few more.
pub const RULES_MAX: usize = 64;

/// What a client may want to do with subjects. Each has lists of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Receive messages, resumed and replayed ones included.
    Sub,
    /// Publish.
    Pub,
    /// Send requests to responders.
    Req,
    /// Read pages of history.
    Hist,
    /// See who is present.
    Pres,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 5] = [Self::Sub, Self::Pub, Self::Req, Self::Hist, Self::Pres];

    /// As tokens spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::Pub => "pub",
            Self::Req => "req",
            Self::Hist => "hist",
            Self::Pres => "pres",
        }
    }
}

/// The rules of one verb as a token spells them, placeholders and all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleTexts {
    /// What is allowed. Nothing else is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// What is not, whatever is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// All rules as a token spells them. Unknown fields are refused: a rule that is not understood
/// might be one that denies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is a verb, documented there")]
pub struct PermissionTexts {
    pub sub: RuleTexts,
    #[serde(rename = "pub")]
    pub publish: RuleTexts,
    pub req: RuleTexts,
    pub hist: RuleTexts,
    pub pres: RuleTexts,
}

/// A rule that nobody can go by. One makes the whole set worthless: it might be one that denies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// More than [`RULES_MAX`] rules.
    #[error("{verb} has a list of more than {RULES_MAX} rules: use wildcards", verb = .0.name())]
    TooMany(Verb),
    /// A rule that is none.
    #[error("{verb} rule {text:?}: {error}", verb = .verb.name())]
    Rule {
        /// Whose list it stands in.
        verb: Verb,
        /// As it was spelt.
        text: String,
        /// What is wrong.
        error: RuleError,
    },
}

/// What one client may do. Nothing is allowed that no rule allows, and nothing that one denies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions([Rules; Verb::ALL.len()]);

/// The rules of one verb, placeholders filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rules {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

impl Permissions {
    /// Fills the placeholders in and checks every rule.
    ///
    /// # Errors
    /// The first rule that nobody can go by.
    pub fn new(texts: &PermissionTexts, identity: &Identity) -> Result<Self, PermissionError> {
        let PermissionTexts { sub, publish, req, hist, pres } = texts;
        let mut permissions = Self::default();
        for (verb, texts) in Verb::ALL.into_iter().zip([sub, publish, req, hist, pres]) {
            let list = |texts: &[String]| rules(verb, texts, identity);
            let rules = Rules { allow: list(&texts.allow)?, deny: list(&texts.deny)? };
            permissions.0[verb as usize] = rules;
        }
        Ok(permissions)
    }

    /// May the client have every subject that `filter` can match?
    #[must_use]
    pub fn of_filter(&self, verb: Verb, filter: &Filter) -> Verdict<'_> {
        self.of_pattern(verb, filter.as_str())
    }

    /// May the client have `subject`?
    #[must_use]
    pub fn of_subject(&self, verb: Verb, subject: &Subject) -> Verdict<'_> {
        self.of_pattern(verb, subject.as_str())
    }

    /// The rule that denies some or all of a filter, whatever is allowed.
    #[must_use]
    pub fn denies(&self, verb: Verb, filter: &Filter) -> Option<&Rule> {
        self.0[verb as usize].deny.iter().find(|rule| rule.overlaps(filter.as_str()))
    }

    fn of_pattern(&self, verb: Verb, asked: &str) -> Verdict<'_> {
        let Rules { allow, deny } = &self.0[verb as usize];
        if let Some(rule) = deny.iter().find(|rule| rule.overlaps(asked)) {
            return Verdict::Denied { verb, rule };
        }
        match cover::cover(asked, allow) {
            Ok(rules) => Verdict::Allowed { verb, rules },
            Err(uncovered) => Verdict::NotAllowed { verb, uncovered },
        }
    }
}

fn rules(verb: Verb, texts: &[String], identity: &Identity) -> Result<Vec<Rule>, PermissionError> {
    if texts.len() > RULES_MAX {
        return Err(PermissionError::TooMany(verb));
    }
    let rule = |text: &String| {
        let wrong = |error| PermissionError::Rule { verb, text: text.clone(), error };
        Rule::parse(text, identity).map_err(wrong)
    };
    texts.iter().map(rule).collect()
}
