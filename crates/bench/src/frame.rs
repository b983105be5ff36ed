//! WebSocket frames, the least of them that a load generator needs (RFC 6455, section 5.2).
//!
//! [`FrameWalker`] walks unmasked server frames piece by piece without buffering a payload:
//! nats-server puts everything that is pending into one frame, which may be megabytes long. It does
//! not check fragment order or UTF-8; that is what the edge's own tests are for.

/// A text frame.
pub const OPCODE_TEXT: u8 = 1;
/// A binary frame.
pub const OPCODE_BINARY: u8 = 2;
/// A close frame.
pub const OPCODE_CLOSE: u8 = 8;
/// A ping.
pub const OPCODE_PING: u8 = 9;
/// A pong.
pub const OPCODE_PONG: u8 = 10;

/// The mask of every frame that we send. Constant, because what a mask protects against (cache
/// poisoning through proxies) does not exist on loopback, and a server does the same work for any
/// mask.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The longest header of an unmasked frame: two bytes and a 64-bit length.
const HEADER_BYTES_MAX: usize = 10;

/// Why bytes are not a server's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent a masked frame or a reserved bit, which RFC 6455 forbids here")]
pub struct NotAServerFrame;

/// A part of one frame's payload: what has arrived of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The frame's opcode; 0 continues a fragmented message.
    pub opcode: u8,
    /// The bytes, possibly none.
    pub bytes: &'a [u8],
    /// True when the frame's payload ends with these bytes.
    pub is_last: bool,
}

/// Where one socket stands in its stream of frames. Owned by the socket's task.
#[derive(Debug, Default)]
pub struct FrameWalker {
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    remaining_bytes: u64,
    is_in_payload: bool,
}

impl FrameWalker {
    /// Takes the next piece off the front of `bytes`; `None` when all are used up.
    ///
    /// # Errors [`NotAServerFrame`] when the mask bit or a reserved bit is set: nothing after it
    /// can be trusted.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a>>, NotAServerFrame> {
        while !self.is_in_payload {
            let wanted = self.header_bytes_wanted();
            if self.header_bytes == wanted {
                self.begin_payload()?;
                break;
            }
            let taken = (wanted - self.header_bytes).min(bytes.len());
            if taken == 0 {
                return Ok(None);
            }
            let (head, rest) = bytes.split_at(taken);
            self.header[self.header_bytes..self.header_bytes + taken].copy_from_slice(head);
            self.header_bytes += taken;
            *bytes = rest;
        }
        if bytes.is_empty() && self.remaining_bytes > 0 {
            return Ok(None);
        }
        let taken = usize::try_from(self.remaining_bytes).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at(taken);
        *bytes = rest;
        self.remaining_bytes -= taken as u64;
        let is_last = self.remaining_bytes == 0;
        if is_last {
            self.is_in_payload = false;
            self.header_bytes = 0;
        }
        Ok(Some(Piece { opcode: self.header[0] & 0x0f, bytes: payload, is_last }))
    }

    fn header_bytes_wanted(&self) -> usize {
        match (self.header_bytes, self.header[1] & 0x7f) {
            (0 | 1, _) => 2,
            (_, 126) => 4,
            (_, 127) => 10,
            _ => 2,
        }
    }

    fn begin_payload(&mut self) -> Result<(), NotAServerFrame> {
        if self.header[1] & 0x80 != 0 || self.header[0] & 0x70 != 0 {
            return Err(NotAServerFrame);
        }
        self.remaining_bytes = match self.header[1] {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => self.header[2..10].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
            short => u64::from(short),
        };
        self.is_in_payload = true;
        Ok(())
    }
}

/// Appends the header of an unmasked, unfragmented frame, as a server writes it.
pub fn write_server_header(opcode: u8, payload_bytes: usize, out: &mut Vec<u8>) {
    write_header(opcode, payload_bytes, 0, out);
}

/// A whole masked frame, as a client must write it.
#[must_use]
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    write_header(opcode, payload.len(), 0x80, &mut out);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn write_header(opcode: u8, payload_bytes: usize, mask_bit: u8, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload_bytes), u16::try_from(payload_bytes)) {
        (Ok(short), _) if short < 126 => out.push(mask_bit | short),
        (_, Ok(medium)) => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(walker: &mut FrameWalker, mut bytes: &[u8], frames: &mut Vec<(u8, Vec<u8>)>) {
        let mut open = frames.last().is_some_and(|frame| frame.0 & 0x80 != 0);
        while let Some(piece) = walker.next(&mut bytes).unwrap() {
            if !open {
                frames.push((0x80 | piece.opcode, Vec::new()));
            }
            let frame = frames.last_mut().unwrap();
            frame.1.extend_from_slice(piece.bytes);
            open = !piece.is_last;
            if piece.is_last {
                frame.0 &= 0x7f;
            }
        }
    }

    #[test]
    fn frames_are_the_same_wherever_the_input_is_split() {
        let sizes = [0, 1, 125, 126, 300, 70_000];
        let (mut input, mut expected) = (Vec::new(), Vec::new());
        for (index, size) in sizes.into_iter().enumerate() {
            let payload = vec![index as u8; size];
            write_server_header(OPCODE_TEXT, size, &mut input);
            input.extend_from_slice(&payload);
            expected.push((OPCODE_TEXT, payload));
        }
        for step in [1, 2, 3, 7, 128, 1021, 65_536, input.len()] {
            let (mut walker, mut frames) = (FrameWalker::default(), Vec::new());
            for chunk in input.chunks(step) {
                walk(&mut walker, chunk, &mut frames);
            }
            assert!(frames == expected, "split every {step} bytes");
        }
    }

    #[test]
    fn masked_server_frame_is_refused() {
        let frame = client_frame(OPCODE_TEXT, b"{}");
        assert_eq!(FrameWalker::default().next(&mut &frame[..]), Err(NotAServerFrame));
    }

    #[test]
    fn client_frame_unmasks_to_its_payload() {
        let frame = client_frame(OPCODE_BINARY, b"PING\r\n");
        assert_eq!(frame[..2], [0x82, 0x86]);
        let unmasked: Vec<u8> =
            frame[6..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(unmasked, b"PING\r\n");
    }
}
