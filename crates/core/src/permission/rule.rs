//! One rule: a pattern of subjects, in which `{user}` and `{tenant}` stand for the client's own.

use super::Identity;
use meridian_proto::subject::patterns_overlap;
use meridian_proto::{Filter, SubjectError};
use std::fmt;

/// A pattern of subjects, in the syntax of filters, at most 255 bytes and 16 tokens. Other than a
/// client's filter it may begin with a wildcard: namespaces say what that can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(Box<str>);

/// Why a text is no rule for this client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not a pattern.
    #[error(transparent)]
    Pattern(#[from] SubjectError),
    /// Braces around something else, or one brace alone.
    #[error("a brace that is none of {{user}} and {{tenant}}: remove it")]
    Placeholder,
    /// The token has no tenant.
    #[error("the token names no tenant: add one, or take {{tenant}} out")]
    NoTenant,
    /// Dots, wildcards, spaces or braces in a user's or tenant's name would change the pattern.
    #[error("the {0} is no single subject token: no dots, wildcards, spaces or braces")]
    NotAToken(&'static str),
}

impl Rule {
    /// Fills the placeholders in and checks the outcome.
    ///
    /// # Errors
    /// See [`RuleError`].
    pub fn parse(text: &str, identity: &Identity) -> Result<Self, RuleError> {
        let filled = fill(text, identity)?;
        match Filter::parse(&filled) {
            Ok(_) => {}
            // All else has been checked before the root is.
            Err(SubjectError::Reserved) if filled.starts_with(['*', '>']) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self(filled.into()))
    }

    /// The pattern, filled in.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether some subject is matched by both the rule and `pattern`.
    pub(super) fn overlaps(&self, pattern: &str) -> bool {
        patterns_overlap(&self.0, pattern)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One pass from left to right: what is filled in is never looked at again.
fn fill(text: &str, identity: &Identity) -> Result<String, RuleError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or(RuleError::Placeholder)?;
        let value = match name {
            "user" => token("user", &identity.user)?,
            "tenant" => token("tenant", identity.tenant.as_ref().ok_or(RuleError::NoTenant)?)?,
            _ => return Err(RuleError::Placeholder),
        };
        if before.contains('}') {
            return Err(RuleError::Placeholder);
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    if rest.contains('}') {
        return Err(RuleError::Placeholder);
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The name, if it is a single token and nothing else, in whatever place it stands.
fn token<'a>(what: &'static str, name: &'a str) -> Result<&'a str, RuleError> {
    let is_plain = |c: char| {
        !(c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '{' | '}'))
    };
    let is_token = !name.is_empty() && name.chars().all(is_plain);
    is_token.then_some(name).ok_or(RuleError::NotAToken(what))
}
