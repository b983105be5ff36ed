//! Reading: the fields of one protobuf message in order of appearance, borrowed.
//!
//! There is no recursion: a nested message is a field's bytes until somebody reads it. Groups, the
//! only thing in the wire format that nests by itself, are not in proto3 and are refused.

/// A field's value by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Number(u64),
    /// Wire type 2: a string, bytes, or a nested message.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which no known field has.
    Fixed,
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it ends within a field")]
    Cut,
    #[error("a number of more than 64 bits")]
    Number,
    #[error("a field number outside 1 to 2^29-1")]
    FieldNumber,
    #[error("wire type {0}, which proto3 does not have")]
    WireType(u8),
    #[error("field {0} has another type")]
    FieldType(u32),
    #[error("field {0} is not UTF-8")]
    Utf8(u32),
    #[error("field {0} is a number that is too large")]
    TooLarge(u32),
    #[error("d is not JSON, as its kind says")]
    Json,
    #[error("d is not text, as its kind says")]
    Text,
}

/// The fields of a message. Ends after the first malformed one.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn read(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(Malformed::FieldNumber)?;
        let value = match (key & 7) as u8 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed::Cut)?)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            other => return Err(Malformed::WireType(other)),
        };
        Ok((number, value))
    }

    /// At most ten bytes of seven bits each, the lowest first.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed::Cut)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::Number)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self, field: u32) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::FieldType(field)),
        }
    }

    pub(super) fn text(self, field: u32) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.bytes(field)?);
        text.map(str::to_owned).map_err(|_| Malformed::Utf8(field))
    }

    /// A string whose absence means the same as its being empty.
    pub(super) fn optional_text(self, field: u32) -> Result<Option<String>, Malformed> {
        self.text(field).map(|text| (!text.is_empty()).then_some(text))
    }

    pub(super) fn number(self, field: u32) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(Malformed::FieldType(field)),
        }
    }

    pub(super) fn small<T: TryFrom<u64>>(self, field: u32) -> Result<T, Malformed> {
        T::try_from(self.number(field)?).map_err(|_| Malformed::TooLarge(field))
    }

    pub(super) fn flag(self, field: u32) -> Result<bool, Malformed> {
        self.number(field).map(|number| number != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<(u32, Value<'_>), Malformed>> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn fields_come_in_order_with_their_values() {
        let message = b"\x08\x96\x01\x12\x02hi\x1d\0\0\0\0\x21\0\0\0\0\0\0\0\0\x0a\0";
        assert_eq!(
            read(message),
            [
                Ok((1, Value::Number(150))),
                Ok((2, Value::Bytes(b"hi"))),
                Ok((3, Value::Fixed)),
                Ok((4, Value::Fixed)),
                Ok((1, Value::Bytes(b""))),
            ]
        );
    }

    #[test]
    fn what_is_cut_or_overlong_ends_the_message() {
        for (bytes, why) in [
            (&b"\x08"[..], Malformed::Cut),
            (b"\x08\x80", Malformed::Cut),
            (b"\x12\x03hi", Malformed::Cut),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Malformed::Cut),
            (b"\x1d\0\0\0", Malformed::Cut),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", Malformed::Number),
            (b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", Malformed::Number),
            (b"\x02\x00", Malformed::FieldNumber),
            (b"\x80\x80\x80\x80\x10\x00", Malformed::FieldNumber),
            (b"\x0b\x0c", Malformed::WireType(3)),
            (b"\x0e", Malformed::WireType(6)),
        ] {
            assert_eq!(read(bytes), [Err(why)], "{bytes:x?}");
        }
        assert_eq!(
            read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            [Ok((1, Value::Number(u64::MAX)))]
        );
        assert_eq!(read(b"\xf8\xff\xff\xff\x0f\x01"), [Ok(((1 << 29) - 1, Value::Number(1)))]);
    }
}
