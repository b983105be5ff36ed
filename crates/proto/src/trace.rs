//! W3C trace context as text and as a value, and spans as plain values (`SpanRecord`), so that pure
//! code can make them. Not for their export: the SDK is known to `meridian-telemetry` only.

mod context;
mod span;

pub use context::{SpanId, TraceContext, TraceId};
pub use span::{SpanKind, SpanRecord, SpanValue};

/// Length of a version 00 `traceparent` (W3C Trace Context, section 3.2).
pub const TRACEPARENT_BYTES: usize = 55;

/// The sampled flag of a well-formed version 00 `traceparent`, or `None` if it is malformed: not
/// `00-<32 hex>-<16 hex>-<2 hex>` in lower case, or an id of zeros only.
#[must_use]
pub fn sampled_flag(traceparent: &str) -> Option<bool> {
    let bytes = traceparent.as_bytes();
    if bytes.len() != TRACEPARENT_BYTES || !traceparent.starts_with("00-") {
        return None;
    }
    if bytes[35] != b'-' || bytes[52] != b'-' {
        return None;
    }
    let (trace_id, span_id, flags) = (&bytes[3..35], &bytes[36..52], &bytes[53..55]);
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
    if ![trace_id, span_id, flags].into_iter().all(is_hex) || is_zero(trace_id) || is_zero(span_id)
    {
        return None;
    }
    let low = flags[1];
    let value = if low.is_ascii_digit() { low - b'0' } else { low - b'a' + 10 };
    Some(value & 1 == 1)
}

/// Length of a trace context in the binary codec: trace id (16), span id (8), flags (1).
pub const BINARY_BYTES: usize = 25;

/// The binary form of a well-formed version 00 `traceparent`.
#[must_use]
pub fn to_binary(traceparent: &str) -> Option<[u8; BINARY_BYTES]> {
    sampled_flag(traceparent)?;
    let digits = [&traceparent[3..35], &traceparent[36..52], &traceparent[53..55]];
    let mut pairs = digits.into_iter().flat_map(|part| part.as_bytes().chunks_exact(2));
    let mut binary = [0; BINARY_BYTES];
    for byte in &mut binary {
        let pair = std::str::from_utf8(pairs.next()?).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(binary)
}

/// The `traceparent` of a binary trace context. What is not of its length has none.
#[must_use]
pub fn from_binary(binary: &[u8]) -> Option<String> {
    let binary: &[u8; BINARY_BYTES] = binary.try_into().ok()?;
    let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (trace_id, span_id, flags) = (&binary[..16], &binary[16..24], &binary[24..]);
    Some(format!("00-{}-{}-{}", hex(trace_id), hex(span_id), hex(flags)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_flag_reads_well_formed_contexts_only() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        assert_eq!(sampled_flag(&format!("00-{id}-{span}-01")), Some(true));
        assert_eq!(sampled_flag(&format!("00-{id}-{span}-00")), Some(false));
        assert_eq!(sampled_flag(&format!("00-{id}-{span}-0b")), Some(true));
        assert_eq!(sampled_flag(&format!("01-{id}-{span}-01")), None);
        assert_eq!(sampled_flag(&format!("00-{}-{span}-01", "0".repeat(32))), None);
        assert_eq!(sampled_flag(&format!("00-{}-{span}-01", id.to_uppercase())), None);
        assert_eq!(sampled_flag("00-"), None);
    }

    #[test]
    fn the_binary_form_holds_the_same_and_nothing_malformed_has_one() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let binary = to_binary(text).unwrap();
        assert_eq!((binary[0], binary[16], binary[24]), (0x4b, 0x00, 0x01));
        assert_eq!(from_binary(&binary).as_deref(), Some(text));
        assert_eq!(to_binary(&text.to_uppercase()), None);
        assert_eq!(to_binary("é"), None);
        assert_eq!(from_binary(&binary[1..]), None);
        assert_eq!(sampled_flag(&from_binary(&[0; BINARY_BYTES]).unwrap()), None);
    }
}
