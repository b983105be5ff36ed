//! The query of an address: names and values, percent-decoded (RFC 3986 section 2.1). A plus sign
//! stays one: it may stand in a subject, and a space may not.

/// The values of a name, in order. None where a value is not well encoded UTF-8.
pub(super) fn values(query: &str, name: &str) -> Option<Vec<String>> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(other, _)| *other == name).map(|(_, value)| decode(value)).collect()
}

fn decode(value: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push((high * 16 + low) as u8);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_decoded_and_in_order() {
        let query = "f=demo.%3E&g=x&f=a%2Bb+c&f=&=y&f=%C3%A9.*";
        assert_eq!(values(query, "f").unwrap(), ["demo.>", "a+b+c", "", "é.*"]);
        assert_eq!(values(query, "h").unwrap(), [""; 0]);
        assert_eq!(values("", "f").unwrap(), [""; 0]);
    }

    #[test]
    fn bad_encodings_are_refused() {
        for query in ["f=%", "f=%4", "f=%zz", "f=%ff", "f=a&f=%4"] {
            assert_eq!(values(query, "f"), None, "{query}");
        }
    }
}
