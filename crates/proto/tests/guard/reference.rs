//! A naive decoder that looks at the whole stream at once. It is written from RFC 6455 5.2 and
//! shares no code with the guard, so that an error would have to be made twice. The fuzz target
//! `frame_guard` uses it too.

use meridian_proto::guard::{GuardLimits, Inspected, Violation};

/// What the guard must say about `bytes`, whatever pieces they arrive in.
pub(crate) fn decode(limits: &GuardLimits, bytes: &[u8]) -> (Inspected, Option<Violation>) {
    let mut seen = Inspected::default();
    let mut message: Vec<u64> = Vec::new();
    let mut position = 0;
    loop {
        match decode_frame(limits, &bytes[position..], &message) {
            Decoded::Incomplete => return (seen, None),
            Decoded::Refused(violation) => return (seen, Some(violation)),
            Decoded::Frame { frame_bytes, payload_bytes, is_control, is_final } => {
                position += frame_bytes;
                seen.boundary_bytes = position;
                seen.frames_completed += 1;
                if is_control {
                    seen.control_frames += 1;
                } else {
                    message.push(payload_bytes);
                    if is_final {
                        seen.messages_completed += 1;
                        message.clear();
                    }
                }
            }
        }
    }
}

enum Decoded {
    Incomplete,
    Refused(Violation),
    Frame { frame_bytes: usize, payload_bytes: u64, is_control: bool, is_final: bool },
}

/// Decodes one frame. `message` holds the payload sizes of the open message's fragments.
fn decode_frame(limits: &GuardLimits, bytes: &[u8], message: &[u64]) -> Decoded {
    let Some(&first) = bytes.first() else { return Decoded::Incomplete };
    let (is_final, opcode) = (first >= 128, first % 16);
    let is_control = opcode >= 8;
    let refusals = [
        ((first / 16) % 8 != 0, Violation::ReservedBits),
        (![0, 1, 2, 8, 9, 10].contains(&opcode), Violation::UnknownOpcode),
        (is_control && !is_final, Violation::ControlFragmented),
        (opcode == 0 && message.is_empty(), Violation::UnexpectedContinuation),
        ([1, 2].contains(&opcode) && !message.is_empty(), Violation::StartInsideMessage),
        (
            !is_control && message.len() + 1 > limits.fragments_max as usize,
            Violation::TooManyFragments,
        ),
    ];
    if let Some((_, violation)) = refusals.into_iter().find(|(is_refused, _)| *is_refused) {
        return Decoded::Refused(violation);
    }
    let Some(&second) = bytes.get(1) else { return Decoded::Incomplete };
    if second < 128 {
        return Decoded::Refused(Violation::Unmasked);
    }
    if is_control && second > 128 + 125 {
        return Decoded::Refused(Violation::ControlTooLong);
    }
    let (length, header_bytes, shortest) = match second - 128 {
        126 => (bytes.get(2..4), 4, 126),
        127 => (bytes.get(2..10), 10, 65_536),
        _ => (None, 2, 0),
    };
    let payload_bytes = match length {
        Some(digits) => digits.iter().fold(0, |sum, digit| sum * 256 + u64::from(*digit)),
        None if header_bytes > 2 => return Decoded::Incomplete,
        None => u64::from(second - 128),
    };
    if payload_bytes >= 1 << 63 {
        return Decoded::Refused(Violation::LengthOverflow);
    }
    if payload_bytes < shortest {
        return Decoded::Refused(Violation::LengthNotMinimal);
    }
    let sum: u128 = message.iter().chain([&payload_bytes]).map(|size| u128::from(*size)).sum();
    if !is_control && sum > u128::from(limits.message_bytes_max) {
        return Decoded::Refused(Violation::MessageTooBig);
    }
    let frame_bytes = header_bytes + 4 + payload_bytes as usize;
    if bytes.len() < frame_bytes {
        return Decoded::Incomplete;
    }
    Decoded::Frame { frame_bytes, payload_bytes, is_control, is_final }
}
