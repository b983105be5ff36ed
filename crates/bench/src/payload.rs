//! The benchmark's payload: valid JSON of an exact length that carries when it was sent and its
//! sequence.
//!
//! `{"t":"<16 hex digits: ns since 1970>","n":<10 digits>,"p":"xxxx…"}`. Fixed offsets make reading
//! it a search for one marker and two number reads, so that a receiver needs no JSON parser.
//! Written by the publisher and by the floor; read by every receiving dialect.

use std::time::{SystemTime, UNIX_EPOCH};

/// What every payload begins with; nothing else in an envelope or in the filler contains it.
const MARKER: &[u8] = b"{\"t\":\"";

/// From the marker to the last digit of the sequence: marker, 16 hex digits, `","n":`, 10 digits.
const STAMP_BYTES: usize = 6 + 16 + 6 + 10;

/// The shortest payload that holds a stamp and an empty filler.
pub const PAYLOAD_BYTES_MIN: usize = STAMP_BYTES + 6 + 2;

/// Sequences are written from here on, because a JSON number may not begin with a zero and its
/// width must not change.
const SEQUENCE_BASE: u64 = 1_000_000_000;

/// The sequences that fit ten digits, of which the first must not be zero.
pub const SEQUENCES_MAX: u64 = 9_000_000_000;

/// The most text kept of a frame whose end has not come: a stamp cannot be longer, and an envelope
/// around it is short.
const CARRY_BYTES_MAX: usize = 4096;

/// When a message was sent, and the how-manieth it is on its subject (from 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since 1970, from the system clock: sender and receiver share a machine.
    pub sent_ns: u64,
    /// Counts from 0 on each subject without holes.
    pub sequence: u64,
}

impl Stamp {
    /// Appends the payload, exactly `payload_bytes` long.
    ///
    /// # Panics When `payload_bytes` is below [`PAYLOAD_BYTES_MIN`] or the sequence above
    /// [`SEQUENCES_MAX`]: options are checked before a run starts.
    pub fn write(self, payload_bytes: usize, out: &mut Vec<u8>) {
        assert!(payload_bytes >= PAYLOAD_BYTES_MIN && self.sequence < SEQUENCES_MAX);
        let filler = payload_bytes - PAYLOAD_BYTES_MIN;
        out.extend_from_slice(MARKER);
        for shift in (0..16).rev() {
            let digit = (self.sent_ns >> (shift * 4)) as usize & 0xf;
            out.push(b"0123456789abcdef"[digit]);
        }
        out.extend_from_slice(b"\",\"n\":");
        let mut digits = [b'0'; 10];
        let mut rest = self.sequence + SEQUENCE_BASE;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        out.extend_from_slice(&digits);
        out.extend_from_slice(b",\"p\":\"");
        out.resize(out.len() + filler, b'x');
        out.extend_from_slice(b"\"}");
    }

    /// Reads a stamp at the very start of `payload`; `None` when it is not one of ours or not all
    /// there.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let stamp = payload.get(..STAMP_BYTES)?;
        if !stamp.starts_with(MARKER) {
            return None;
        }
        let mut sent_ns = 0_u64;
        for &byte in &stamp[6..22] {
            sent_ns = sent_ns << 4 | u64::from((byte as char).to_digit(16)?);
        }
        let mut number = 0_u64;
        for &byte in &stamp[28..38] {
            number = number * 10 + u64::from((byte as char).to_digit(10)?);
        }
        Some(Self { sent_ns, sequence: number.checked_sub(SEQUENCE_BASE)? })
    }
}

/// Finds the stamps in the text of frames that arrive in pieces. Owned by the thread that reads the
/// sockets; what a socket must remember between pieces is its own `carry`.
#[derive(Debug, Clone)]
pub struct StampScanner {
    finder: memchr::memmem::Finder<'static>,
}

impl Default for StampScanner {
    fn default() -> Self {
        Self { finder: memchr::memmem::Finder::new(MARKER) }
    }
}

impl StampScanner {
    /// Calls `on_stamp` for each whole stamp in `carry` followed by `piece`, and returns how many
    /// there were.
    ///
    /// What may be the start of a stamp stays in `carry` for the next piece, unless this piece was
    /// the frame's last.
    pub fn scan(
        &self,
        piece: &[u8],
        is_last: bool,
        carry: &mut Vec<u8>,
        mut on_stamp: impl FnMut(Stamp),
    ) -> usize {
        let mut joined = Vec::new();
        let text = if carry.is_empty() {
            piece
        } else {
            joined.append(carry);
            joined.extend_from_slice(piece);
            &joined[..]
        };
        let (mut at, mut count) = (0, 0);
        while let Some(offset) = self.finder.find(&text[at..]) {
            match Stamp::read(&text[at + offset..]) {
                Some(stamp) => {
                    on_stamp(stamp);
                    count += 1;
                    at += offset + STAMP_BYTES;
                }
                // Cut off by the end of the piece: the rest waits in the carry.
                None if text.len() - at - offset < STAMP_BYTES => break,
                None => at += offset + MARKER.len(),
            }
        }
        if !is_last {
            let rest = &text[at..];
            carry.extend_from_slice(&rest[rest.len().saturating_sub(CARRY_BYTES_MAX)..]);
        }
        count
    }
}

/// Now, in the unit that stamps carry.
#[must_use]
pub fn now_ns() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(sequence: u64) -> Vec<u8> {
        let mut out = Vec::new();
        Stamp { sent_ns: 0x0018_0000_dead_beef, sequence }.write(128, &mut out);
        out
    }

    #[test]
    fn payload_is_valid_json_of_exactly_the_asked_length() {
        for bytes in [PAYLOAD_BYTES_MIN, 128, 4096] {
            let mut out = Vec::new();
            Stamp { sent_ns: now_ns(), sequence: 41 }.write(bytes, &mut out);
            assert_eq!(out.len(), bytes);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["n"], 1_000_000_041_u64);
        }
    }

    #[test]
    fn stamp_survives_writing_and_reading() {
        let stamp = Stamp::read(&payload(7)).unwrap();
        assert_eq!(stamp, Stamp { sent_ns: 0x0018_0000_dead_beef, sequence: 7 });
        assert_eq!(Stamp::read(b"{\"t\":\"not ours at all, but long enough to be one"), None);
        assert_eq!(Stamp::read(&payload(7)[..STAMP_BYTES - 1]), None);
    }

    #[test]
    fn every_stamp_is_found_once_wherever_the_text_is_cut() {
        let mut text = Vec::new();
        for sequence in 0..3 {
            text.extend_from_slice(b"{\"m\":{\"i\":7,\"s\":\"demo.x\",\"d\":");
            text.extend_from_slice(&payload(sequence));
            text.extend_from_slice(b"}}\n");
        }
        let scanner = StampScanner::default();
        for cut in 0..=text.len() {
            let (mut seen, mut carry) = (Vec::new(), Vec::new());
            scanner.scan(&text[..cut], false, &mut carry, |s| seen.push(s.sequence));
            scanner.scan(&text[cut..], true, &mut carry, |s| seen.push(s.sequence));
            assert_eq!(seen, [0, 1, 2], "cut at {cut}");
            assert!(carry.is_empty());
        }
    }

    #[test]
    fn text_without_stamps_is_carried_within_a_bound() {
        let mut carry = Vec::new();
        let scanner = StampScanner::default();
        for _ in 0..10 {
            assert_eq!(scanner.scan(&[b'x'; CARRY_BYTES_MAX], false, &mut carry, |_| ()), 0);
        }
        assert!(carry.len() <= CARRY_BYTES_MAX);
    }
}
