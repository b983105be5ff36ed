//! What a line or a function of Rust is, read off text that rustfmt has formatted. Pure. Not a
//! parser: it trusts the indentation, which `make fmt` guards.

/// A function's place and size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// Of its `fn`, from 1.
    pub(crate) line: usize,
    /// From its `fn` to its closing brace.
    pub(crate) lines: usize,
}

/// The functions with a body of their own lines. One-liners and declarations have no size worth
/// checking.
pub(crate) fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        // A declaration ends in `;` at the end of a line of this indentation, a body in `}`.
        let end = lines[start..].iter().position(|line| {
            let rest = line.strip_prefix(indent).unwrap_or_default();
            rest == "}" || (!rest.starts_with(' ') && rest.ends_with([';', '}']))
        });
        if let Some(length) = end.filter(|length| *length > 0) {
            found.push(Function { name, line: start + 1, lines: length + 1 });
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let is_qualifier = |word: &str| {
        word.starts_with("pub")
            || ["in", "const", "async", "unsafe", "extern", "default"].contains(&word)
            || word.ends_with(')')
            || word.starts_with('"')
    };
    loop {
        match words.next()? {
            "fn" => break,
            word if is_qualifier(word) => {}
            _ => return None,
        }
    }
    words.next()?.split(['(', '<']).next()
}

/// Whether `text` holds `word`, not as a part of a longer word.
pub(crate) fn holds_word(text: &str, word: &str) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    text.match_indices(word).any(|(start, _)| {
        let (bytes, end) = (text.as_bytes(), start + word.len());
        let is_before = start > 0 && is_part(bytes.get(start - 1)) && is_part(bytes.get(start));
        let is_after = is_part(bytes.get(end - 1)) && is_part(bytes.get(end));
        !is_before && !is_after
    })
}

/// What stands between the quotes behind `before`, for each time that it occurs.
pub(crate) fn quoted_after<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    let after = text.match_indices(before).map(|(start, _)| &text[start + before.len()..]);
    after.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

#[test]
fn functions_are_measured_from_their_first_word_to_their_brace() {
    let text = "\
fn one() {}
impl X {
    pub(in crate::a) const fn two<T>(
        a: u8,
    ) -> u8 {
        if a == 0 {
            1
        }
    }
}
trait Y {
    fn three(
        a: u8,
    );
    async fn four();
}
// fn five() {
";
    let found = functions(text);
    assert_eq!(
        found,
        [
            Function { name: "two", line: 3, lines: 7 },
            Function { name: "three", line: 12, lines: 3 }
        ]
    );
}

#[test]
fn a_word_is_not_found_inside_a_longer_one() {
    assert!(holds_word("// ABC: later", "ABC"));
    assert!(holds_word("x = abc!(y)", "abc!("));
    assert!(!holds_word("mktemp ABCABCABC", "ABC"));
    assert!(!holds_word("my_abc!(y)", "abc!("));
}

#[test]
fn quotes_are_found_behind_a_word() {
    assert_eq!(quoted_after("a!(\"b\"), a!( \"c\")", "a!("), ["b", "c"]);
}
