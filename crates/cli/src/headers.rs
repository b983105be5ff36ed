//! `-H name:value` arguments.

use meridian_proto::command::{HeaderValues, Headers};

/// Reads one argument, as clap wants it.
pub(crate) fn parse(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as name:value")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("the name before the colon is empty or holds spaces".into());
    }
    if value.contains(char::is_control) {
        return Err("the value holds a control character".into());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Gathers arguments; a repeated name keeps all its values in order.
pub(crate) fn gather(arguments: impl IntoIterator<Item = (String, String)>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in arguments {
        let values = match headers.remove(&name) {
            None => HeaderValues::One(value),
            Some(HeaderValues::One(first)) => HeaderValues::Many(vec![first, value]),
            Some(HeaderValues::Many(mut values)) => {
                values.push(value);
                HeaderValues::Many(values)
            }
        };
        headers.insert(name, values);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_colon_divides() {
        assert_eq!(parse("x-url: http://a:1"), Ok(("x-url".into(), "http://a:1".into())));
        assert_eq!(parse("empty:"), Ok(("empty".into(), String::new())));
        for text in ["none", ": v", "a b: v", "a: v\nNats-Evil: 1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn repeated_names_keep_all_values_in_order() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = gather([pair("a", "1"), pair("b", "2"), pair("a", "3"), pair("a", "4")]);
        assert_eq!(headers["a"].iter().collect::<Vec<_>>(), ["1", "3", "4"]);
        assert_eq!(headers["b"], HeaderValues::One("2".into()));
    }
}
