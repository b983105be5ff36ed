//! `{{Count}}` and its like in subjects, payloads and headers, as the `nats` command has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What templates are filled from: one value a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values {
    /// The message's number, from 1.
    pub(crate) count: u64,
    /// Time since 1970.
    pub(crate) since_epoch: Duration,
    /// Random, the same wherever it stands in one message.
    pub(crate) id: u128,
}

impl Values {
    /// The values of the message with this number, now.
    pub(crate) fn now(count: u64) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { count, since_epoch, id: fastrand::u128(..) }
    }

    fn get(&self, name: &str) -> Option<String> {
        match name.trim().trim_start_matches('.') {
            "Count" => Some(self.count.to_string()),
            "Unix" => Some(self.since_epoch.as_secs().to_string()),
            "UnixNano" => Some(self.since_epoch.as_nanos().to_string()),
            "ID" => Some(format!("{:032x}", self.id)),
            _ => None,
        }
    }
}

/// Replaces `{{Count}}`, `{{Unix}}`, `{{UnixNano}}` and `{{ID}}`, also with a dot before the name.
/// Anything else between braces stays as it is: a payload may well hold some.
pub(crate) fn fill(text: &str, values: &Values) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        out.push_str(before);
        let end = after.find("}}");
        match end.and_then(|end| values.get(&after[..end]).map(|value| (value, end))) {
            Some((value, end)) => {
                out.push_str(&value);
                rest = &after[end + 2..];
            }
            None => {
                // One brace only: the second may begin another pair.
                out.push('{');
                rest = &rest[start + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let since_epoch = Duration::new(7, 5);
        fill(text, &Values { count: 12, since_epoch, id: 0xab })
    }

    #[test]
    fn known_names_are_replaced_everywhere() {
        assert_eq!(filled("{{Count}} of {{ .Count }}"), "12 of 12");
        assert_eq!(filled(r#"{"n":{{Count}},"t":{{UnixNano}}}"#), r#"{"n":12,"t":7000000005}"#);
        assert_eq!(filled("{{ID}}"), "000000000000000000000000000000ab");
        assert_eq!(filled("{{Unix}}"), "7");
    }

    #[test]
    fn other_braces_stay() {
        for text in ["{{", "}}", "{{Count", "{{Nope}}", "{\"a\":{\"b\":1}}", ""] {
            assert_eq!(filled(text), text);
        }
        assert_eq!(filled("{{{Count}}}"), "{12}");
        assert_eq!(filled("{{x}} {{Count}}"), "{{x}} 12");
    }
}
