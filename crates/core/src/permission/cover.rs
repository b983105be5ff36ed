//! Whether a list of rules, taken together, matches every subject that a filter can match.
//!
//! Tokens are any text, so for each filter and each number of tokens there is a subject whose
//! tokens under the filter's wildcards stand in no rule. A rule that matches that one has a
//! wildcard wherever the filter has one, and so matches every subject of the filter with as many
//! tokens. So a list covers a filter exactly if for each number of tokens one of its rules does,
//! and rules help one another only by different numbers: `a.>` is covered by `a.*` and `a.*.>`,
//! and `a.*` by no number of rules without a wildcard there. (`docs/adr/0016-permissions.md`)

use super::Rule;

/// A pattern taken apart.
struct Shape<'a> {
    /// The tokens before a final `>`.
    head: Vec<&'a str>,
    /// Whether that `>` is there.
    is_open: bool,
}

impl<'a> Shape<'a> {
    fn of(pattern: &'a str) -> Self {
        let mut head: Vec<&str> = pattern.split('.').collect();
        let is_open = head.pop_if(|token| *token == ">").is_some();
        Self { head, is_open }
    }

    /// Fewest tokens of a subject that it matches.
    fn tokens_min(&self) -> usize {
        self.head.len() + usize::from(self.is_open)
    }

    /// Whether it matches each subject of `count` tokens that `asked` matches. `asked` matches
    /// some.
    fn covers(&self, asked: &Self, count: usize) -> bool {
        let is_long_enough =
            if self.is_open { count >= self.tokens_min() } else { count == self.head.len() };
        let asked = asked.head.iter().copied().chain(std::iter::repeat("*"));
        is_long_enough && self.head.iter().zip(asked).all(|(own, of)| *own == "*" || *own == of)
    }
}

/// The rules that together cover a pattern, in order and each once; otherwise a pattern of what
/// none of them covers: the shortest there is.
///
/// Looks at most 17 times at each rule: beyond the longest rule, nothing changes any more.
pub(super) fn cover<'a>(asked: &str, rules: &'a [Rule]) -> Result<Vec<&'a Rule>, String> {
    let asked = Shape::of(asked);
    let shapes: Vec<(&Rule, Shape<'_>)> =
        rules.iter().map(|rule| (rule, Shape::of(rule.as_str()))).collect();
    let least = asked.tokens_min();
    let longest = shapes.iter().map(|(_, shape)| shape.tokens_min()).max().unwrap_or(0);
    let most = if asked.is_open { least.max(longest + 1) } else { least };
    let mut covering: Vec<&Rule> = Vec::new();
    for count in least..=most {
        let Some((rule, _)) = shapes.iter().find(|(_, shape)| shape.covers(&asked, count)) else {
            let wildcards = count - asked.head.len();
            let tokens: Vec<&str> =
                asked.head.iter().copied().chain(std::iter::repeat_n("*", wildcards)).collect();
            return Err(tokens.join("."));
        };
        if !covering.iter().any(|known| std::ptr::eq(*known, *rule)) {
            covering.push(rule);
        }
    }
    Ok(covering)
}
