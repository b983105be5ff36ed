//! Builds client frames byte by byte, wrong ones included.

/// RFC 6455 11.8.
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const MASK: u8 = 0x80;

/// Looks like a header on purpose: a guard that lost its place would trip over it.
const KEY_AND_PAYLOAD_BYTE: u8 = 0xff;

/// The header of a masked frame, without its masking key; the length in its shortest form.
pub(crate) fn header(first_byte: u8, payload_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    match payload_bytes {
        0..=125 => bytes.push(MASK | payload_bytes as u8),
        126..=65_535 => {
            bytes.push(MASK | 126);
            bytes.extend((payload_bytes as u16).to_be_bytes());
        }
        _ => {
            bytes.push(MASK | 127);
            bytes.extend((payload_bytes as u64).to_be_bytes());
        }
    }
    bytes
}

/// A whole masked frame.
pub(crate) fn frame(first_byte: u8, payload_bytes: usize) -> Vec<u8> {
    let mut bytes = header(first_byte, payload_bytes);
    bytes.resize(bytes.len() + 4 + payload_bytes, KEY_AND_PAYLOAD_BYTE);
    bytes
}

/// A message in as many fragments as there are sizes.
pub(crate) fn message(fragment_bytes: &[usize]) -> Vec<Vec<u8>> {
    let last = fragment_bytes.len() - 1;
    let fragment = |(index, payload_bytes): (usize, &usize)| {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        frame(if index == last { FIN | opcode } else { opcode }, *payload_bytes)
    };
    fragment_bytes.iter().enumerate().map(fragment).collect()
}
