//! A message's header block, looked up where it lies in the read buffer (NATS ADR-4).
//!
//! Nothing is parsed before someone asks, and nothing is allocated: an edge needs a handful of
//! names out of a block that it otherwise passes on or drops.

use memchr::memchr;

/// The first line of every header block, before its optional status.
const VERSION: &[u8] = b"NATS/1.0";

/// A raw header block, empty for a message without headers.
///
/// nats-server does not check what publishers put into it, so every reading is tolerant: a line
/// that is not `name: value` is passed over, and a block that is not one has no headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    block: &'a [u8],
}

impl<'a> Headers<'a> {
    /// A view of a raw block, from `NATS/1.0` to the empty line.
    pub fn new(block: &'a [u8]) -> Self {
        Self { block }
    }

    /// Whether the message came without a header block.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// The raw block as it came.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.block
    }

    /// The value of a header, without surrounding spaces. Of several equal names the first.
    ///
    /// NATS compares names exactly (ADR-4), so an exact match is preferred. Publishers behind HTTP
    /// bridges write `Traceparent`, so a match that ignores ASCII case is taken where there is no
    /// exact one.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let name = name.as_bytes();
        let mut other_case = None;
        for line in self.lines() {
            // The name's length tells where its colon must stand, so no line is searched for one.
            let Some((found, [b':', value @ ..])) = line.split_at_checked(name.len()) else {
                continue;
            };
            if name.is_empty() || !found.eq_ignore_ascii_case(name) {
                continue;
            }
            if found == name {
                return Some(value.trim_ascii());
            }
            other_case = other_case.or(Some(value.trim_ascii()));
        }
        other_case
    }

    /// All headers in their order, values without surrounding spaces.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.lines().filter_map(|line| {
            let colon = memchr(b':', line)?;
            let name = &line[..colon];
            (!name.is_empty()).then(|| (name, line[colon + 1..].trim_ascii()))
        })
    }

    /// The lines after the first. A block without the version line has none that could be trusted.
    fn lines(&self) -> Lines<'a> {
        let mut lines = Lines { rest: self.block };
        if !lines.next().is_some_and(|line| line.starts_with(VERSION)) {
            lines.rest = &[];
        }
        lines
    }

    /// The status of a message that the server itself made: `503` for a request that nobody listens
    /// to, `404`, `408` and others from JetStream.
    pub fn status(&self) -> Option<u16> {
        let rest = self.block.strip_prefix(VERSION)?.strip_prefix(b" ")?;
        let digits = rest.first_chunk::<3>()?;
        if !digits.iter().all(u8::is_ascii_digit) || rest.get(3).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        Some(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
    }
}

/// The block's lines without their CRLF.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(block: &str) -> Headers<'_> {
        Headers::new(block.as_bytes())
    }

    #[test]
    fn values_are_found_trimmed_and_the_first_of_equal_names_wins() {
        let headers = headers("NATS/1.0\r\nA:1\r\nNats-Sequence:  42 \r\nA: 2\r\nEmpty:\r\n\r\n");
        assert_eq!(headers.get("Nats-Sequence"), Some(&b"42"[..]));
        assert_eq!(headers.get("A"), Some(&b"1"[..]));
        assert_eq!(headers.get("Empty"), Some(&b""[..]));
        assert_eq!(headers.get("Nats"), None);
        assert_eq!(headers.get("A:1"), None);
        assert_eq!(headers.iter().count(), 4);
    }

    #[test]
    fn exact_name_wins_over_another_case_wherever_it_stands() {
        let both = headers("NATS/1.0\r\nTraceparent: x\r\ntraceparent: y\r\n\r\n");
        assert_eq!(both.get("traceparent"), Some(&b"y"[..]));
        let other = headers("NATS/1.0\r\nTRACEPARENT: x\r\n\r\n");
        assert_eq!(other.get("traceparent"), Some(&b"x"[..]));
    }

    #[test]
    fn status_is_read_from_the_first_line_only() {
        assert_eq!(headers("NATS/1.0 503\r\n\r\n").status(), Some(503));
        assert_eq!(headers("NATS/1.0 404 No Messages\r\n\r\n").status(), Some(404));
        for none in ["", "NATS/1.0\r\nA: NATS/1.0 503\r\n\r\n", "NATS/1.0 50", "NATS/1.0 5033\r\n"]
        {
            assert_eq!(headers(none).status(), None, "{none:?}");
        }
    }

    #[test]
    fn a_block_of_rubbish_has_no_headers() {
        for block in ["", "A: 1\r\n\r\n", "NATS/1.0", "NATS/1.0\r\nno colon\r\n: x\r\n", "\r\n\r\n"]
        {
            assert_eq!(headers(block).iter().count(), 0, "{block:?}");
            assert!(["", "A", "no"].iter().all(|name| headers(block).get(name).is_none()));
        }
    }
}
