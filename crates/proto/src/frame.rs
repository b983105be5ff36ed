//! Server frames, encoded once: an unmasked WebSocket frame is the same for every socket, so the
//! header goes in front of the text once, and the bytes are shared (RFC 6455 section 5.2).

use crate::codes::CloseCode;

const FINAL_TEXT: u8 = 0x81;
const FINAL_BINARY: u8 = 0x82;
const FINAL_PING: u8 = 0x89;
const FINAL_PONG: u8 = 0x8a;
const FINAL_CLOSE: u8 = 0x88;

/// Bytes kept free for the header while the text's length is not known: the form for texts of
/// 126 to 65,535 bytes.
const HEADER_RESERVED: usize = 4;

/// Heartbeat: the empty object for the client's code, and a ping that a browser answers without
/// waking it (`proto/PROTOCOL.md`, Heartbeat).
pub const HEARTBEAT: [u8; 6] = [FINAL_TEXT, 2, b'{', b'}', FINAL_PING, 0];

/// [`HEARTBEAT`] of the binary codec: the empty frame, and the ping.
pub const HEARTBEAT_BINARY: [u8; 4] = [FINAL_BINARY, 0, FINAL_PING, 0];

/// Appends one text frame whose text `write` appends. The text is written once and moved only if
/// its header is not of the usual size.
pub fn text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    data(out, FINAL_TEXT, write);
}

/// Appends one binary frame whose bytes `write` appends, in the way of [`text`].
pub fn binary(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    data(out, FINAL_BINARY, write);
}

fn data(out: &mut Vec<u8>, first: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[first, 0, 0, 0]);
    write(out);
    let length = out.len() - start - HEADER_RESERVED;
    if length < 126 {
        out[start + 1] = length as u8;
        out.drain(start + 2..start + HEADER_RESERVED);
    } else if let Ok(short) = u16::try_from(length) {
        out[start + 1] = 126;
        out[start + 2..start + HEADER_RESERVED].copy_from_slice(&short.to_be_bytes());
    } else {
        out[start + 1] = 127;
        let long = (length as u64).to_be_bytes();
        out.splice(start + 2..start + HEADER_RESERVED, long);
    }
}

/// Appends a close frame with the code and its reason.
pub fn close(out: &mut Vec<u8>, code: CloseCode) {
    close_with(out, code, code.reason());
}

/// Appends a close frame with the code and another reason, cut to the 123 bytes that fit.
pub fn close_with(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let mut end = reason.len().min(crate::limits::CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&[FINAL_CLOSE, 2 + end as u8]);
    out.extend_from_slice(&code.number().to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

/// Appends a pong that repeats the ping's payload. `payload` is at most 125 bytes: the frame guard
/// refuses longer pings.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    let length = payload.len().min(125);
    out.extend_from_slice(&[FINAL_PONG, length as u8]);
    out.extend_from_slice(&payload[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(length: usize) -> Vec<u8> {
        let mut out = vec![0xee];
        text(&mut out, |out| out.extend(std::iter::repeat_n(b'x', length)));
        out
    }

    #[test]
    fn headers_have_the_minimal_form_at_every_threshold() {
        for (length, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let out = text_of(length);
            assert_eq!(out[0], 0xee, "what was there before stays");
            assert_eq!(out[1..=header.len()], header, "{length}");
            assert_eq!(out.len(), 1 + header.len() + length);
            assert!(out[1 + header.len()..].iter().all(|byte| *byte == b'x'));
        }
    }

    #[test]
    fn close_reasons_are_cut_at_a_character() {
        let mut out = Vec::new();
        close_with(&mut out, CloseCode::Slow, &"é".repeat(100));
        assert_eq!(out[1], 2 + 122);
        assert_eq!(&out[2..4], 3003_u16.to_be_bytes());
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }
}
