//! A verdict, and how it is told to people.

use super::{Rule, Verb};
use std::fmt;

/// Whether a client may do what it asked for, and which rules say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// These rules together allow it.
    Allowed {
        /// What was asked for.
        verb: Verb,
        /// At least one rule, none twice.
        rules: Vec<&'a Rule>,
    },
    /// This rule denies some or all of it.
    Denied {
        /// What was asked for.
        verb: Verb,
        /// The first rule that does.
        rule: &'a Rule,
    },
    /// No rule allows some or all of it.
    NotAllowed {
        /// What was asked for.
        verb: Verb,
        /// A pattern of subjects that it contains and of which not all are allowed: itself, or a
        /// part that a `>` stands for.
        uncovered: String,
    },
}

impl Verdict<'_> {
    /// Whether it is a yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { verb, rules } => {
                write!(formatter, "allowed by {} rule", verb.name())?;
                rules.iter().enumerate().try_for_each(|(index, rule)| {
                    write!(formatter, "{} {rule}", if index == 0 { "" } else { " and" })
                })
            }
            Self::Denied { verb, rule } => {
                write!(formatter, "denied by {} rule {rule}", verb.name())
            }
            Self::NotAllowed { verb, uncovered } => {
                write!(formatter, "no {} rule allows {uncovered}", verb.name())
            }
        }
    }
}
