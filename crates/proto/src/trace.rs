//! W3C trace context as text: shape check and the sampled flag. Not for spans: the SDK that makes
//! them is known to `meridian-telemetry` only.

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
}
