//! Writing: keys and values of the protobuf wire format. What has its default is left out, as
//! proto3 wants it; fields that are `optional` in the `.proto` file are written by the caller's
//! choice.

/// Where fields go: a buffer, or a count of the bytes that they would take. So the hot path writes
/// lengths ahead of what they measure, and computes both in one place.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self, number: u64);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }
}

/// A count of bytes.
#[derive(Debug, Default)]
pub(super) struct Length(pub(super) usize);

impl Sink for Length {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    #[inline]
    fn varint(&mut self, number: u64) {
        let bits = u64::BITS - (number | 1).leading_zeros();
        self.0 += bits.div_ceil(7) as usize;
    }
}

/// A number, written even if it is 0.
pub(super) fn number_always(out: &mut impl Sink, field: u32, number: u64) {
    out.varint(u64::from(field) << 3);
    out.varint(number);
}

/// A number, unless it is 0.
pub(super) fn number(out: &mut impl Sink, field: u32, number: u64) {
    if number != 0 {
        number_always(out, field, number);
    }
}

/// An `optional` number.
pub(super) fn optional_number(out: &mut impl Sink, field: u32, number: Option<u64>) {
    if let Some(number) = number {
        number_always(out, field, number);
    }
}

/// The key and the length of a field of so many bytes, which the caller writes next.
pub(super) fn bytes_ahead(out: &mut impl Sink, field: u32, length: usize) {
    out.varint(u64::from(field) << 3 | 2);
    out.varint(length as u64);
}

/// Bytes, written even if there are none: an element of a repeated field.
pub(super) fn bytes_always(out: &mut impl Sink, field: u32, bytes: &[u8]) {
    bytes_ahead(out, field, bytes.len());
    out.put(bytes);
}

/// Bytes or a string, unless there are none.
pub(super) fn bytes(out: &mut impl Sink, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        bytes_always(out, field, bytes);
    }
}

/// A string that may be absent.
pub(super) fn text(out: &mut impl Sink, field: u32, text: Option<&str>) {
    bytes(out, field, text.unwrap_or_default().as_bytes());
}

/// A nested message, which `write` appends. For what is not hot: the message is moved behind its
/// length.
pub(super) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let mut ahead = Vec::new();
    bytes_ahead(&mut ahead, field, out.len() - start);
    out.splice(start..start, ahead);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        for (number, expected) in [
            (0, &b"\0"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (16_384, b"\x80\x80\x01"),
            (u64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            let (mut out, mut length) = (Vec::new(), Length::default());
            out.varint(number);
            length.varint(number);
            assert_eq!((out.as_slice(), length.0), (expected, expected.len()));
        }
    }

    #[test]
    fn a_nested_message_stands_behind_its_length() {
        let mut out = vec![0xee];
        nested(&mut out, 2, |out| {
            nested(out, 1, |out| bytes(out, 3, &[7; 130]));
        });
        assert_eq!(out[..10], [0xee, 0x12, 0x88, 0x01, 0x0a, 0x85, 0x01, 0x1a, 0x82, 0x01]);
        assert_eq!(out.len(), 10 + 130);
    }
}
