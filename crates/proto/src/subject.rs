//! Subjects and filters, validated before NATS sees them.
//!
//! One over-long SUB takes down the connection that every client of a shard shares, so nothing
//! reaches it that has not passed through these two types.

use crate::limits::{SUBJECT_BYTES_MAX, SUBJECT_TOKENS_MAX};
use std::fmt;

/// A subject that a client may publish to: no wildcards, at most 255 bytes and 16 tokens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Box<str>);

/// A subject pattern that a client may subscribe to: `*` stands for one token, a final `>` for
/// one or more. A filter without wildcards matches exactly one subject.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Box<str>);

/// Why a text is not a subject or filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Nothing there.
    #[error("empty: name at least one token")]
    Empty,
    /// Over [`SUBJECT_BYTES_MAX`].
    #[error("longer than {SUBJECT_BYTES_MAX} bytes: shorten it")]
    TooLong,
    /// Over [`SUBJECT_TOKENS_MAX`].
    #[error("more than {SUBJECT_TOKENS_MAX} tokens: use fewer dots")]
    TooManyTokens,
    /// Two dots in a row, or a dot at an end.
    #[error("an empty token: remove the extra dot")]
    EmptyToken,
    /// A space, a control character or DEL.
    #[error("a space or control character: encode it")]
    Character,
    /// `*` or `>` in a subject, or as part of a longer token.
    #[error("a wildcard where none may stand: `*` and `>` are whole tokens of filters")]
    Wildcard,
    /// `>` before the last token.
    #[error("`>` may only be the last token")]
    GreaterNotLast,
    /// The first token begins with `$` or `_`, or is a wildcard that would cover such subjects.
    #[error("a reserved root: subjects of clients do not begin with `$` or `_`")]
    Reserved,
}

/// Which wildcards a text may hold.
#[derive(Clone, Copy, PartialEq)]
enum Wildcards {
    Refused,
    Allowed,
}

impl Subject {
    /// Checks and keeps a subject.
    ///
    /// # Errors
    /// The first rule that the text breaks, see [`SubjectError`].
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        check(text, Wildcards::Refused)?;
        Ok(Self(text.into()))
    }

    /// The text as NATS spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Filter {
    /// Checks and keeps a filter.
    ///
    /// # Errors
    /// The first rule that the text breaks, see [`SubjectError`].
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        check(text, Wildcards::Allowed)?;
        Ok(Self(text.into()))
    }

    /// The text as NATS spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the filter can match more than one subject.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.tokens().any(|token| token == "*" || token == ">")
    }

    /// Whether a message on `subject` reaches a subscriber of this filter.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for pattern in self.tokens() {
            match (pattern, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Whether every subject that `other` can match is matched by this filter too.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let mut others = other.tokens();
        for pattern in self.tokens() {
            match (pattern, others.next()) {
                (">", Some(_)) => return true,
                ("*", Some(token)) if token != ">" => {}
                (literal, Some(token)) if literal == token && literal != "*" => {}
                _ => return false,
            }
        }
        others.next().is_none()
    }

    /// Whether some subject is matched by both filters.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        patterns_overlap(&self.0, &other.0)
    }

    fn tokens(&self) -> std::str::Split<'_, char> {
        self.0.split('.')
    }
}

/// Whether some subject is matched by both patterns, which are well formed.
#[must_use]
pub fn patterns_overlap(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

fn check(text: &str, wildcards: Wildcards) -> Result<(), SubjectError> {
    if text.is_empty() {
        return Err(SubjectError::Empty);
    }
    if text.len() > SUBJECT_BYTES_MAX {
        return Err(SubjectError::TooLong);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SubjectError::Character);
    }
    if text.split('.').count() > SUBJECT_TOKENS_MAX {
        return Err(SubjectError::TooManyTokens);
    }
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        match token {
            "" => return Err(SubjectError::EmptyToken),
            "*" | ">" if wildcards == Wildcards::Refused => return Err(SubjectError::Wildcard),
            ">" if tokens.peek().is_some() => return Err(SubjectError::GreaterNotLast),
            "*" | ">" => {}
            _ if token.contains(['*', '>']) => return Err(SubjectError::Wildcard),
            _ => {}
        }
    }
    // A first token that is a wildcard would cover `$SYS` and `_mrd` too.
    if text.starts_with(['$', '_', '*', '>']) {
        return Err(SubjectError::Reserved);
    }
    Ok(())
}

impl fmt::Debug for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
