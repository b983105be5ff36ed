//! Indents JSON for people. Works on the text, so numbers and the order of keys stay as they were
//! sent; parsing would change both.

/// Text that fits into this many columns stays on its line.
const COLUMNS_MAX: usize = 80;

/// Valid JSON, indented by two spaces if it is long.
pub(crate) fn pretty(json: &str) -> String {
    let json = json.trim();
    if json.chars().count() <= COLUMNS_MAX {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => string(&mut out, &mut characters),
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(closer) => out.push(closer),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

/// Copies a string up to its closing quote; the opening one is consumed.
fn string(out: &mut String, characters: &mut impl Iterator<Item = char>) {
    out.push('"');
    let mut escaped = false;
    for character in characters {
        out.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return,
            _ => {}
        }
    }
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_json_stays_as_it_is() {
        assert_eq!(pretty(" {\"a\": 1} "), "{\"a\": 1}");
    }

    #[test]
    fn long_json_is_indented_with_numbers_and_order_as_sent() {
        let long = "x".repeat(80);
        let json =
            format!(r#"{{"z":1.50,"a":[],"s":"{long}, {{\"q\\","n":[12345678901234567890,{{}}]}}"#);
        let expected = format!(
            "{{\n  \"z\": 1.50,\n  \"a\": [],\n  \"s\": \"{long}, {{\\\"q\\\\\",\n  \"n\": [\n    \
             12345678901234567890,\n    {{}}\n  ]\n}}"
        );
        assert_eq!(pretty(&json), expected);
    }
}
