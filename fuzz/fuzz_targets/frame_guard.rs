//! For any bytes a client may send: the frame guard does not panic, its verdict does not depend
//! on how the stream was cut into reads, and a naive decoder comes to the same one.
//!
//! The first input byte chooses the sizes of the pieces, the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_proto::guard::{FrameGuard, GuardLimits, Inspected, Violation};

#[path = "../../crates/proto/tests/guard/reference.rs"]
mod reference;

/// The limits of production, and others so low that short inputs pass them.
const LIMITS: [GuardLimits; 2] = [
    GuardLimits { message_bytes_max: 64 * 1024, fragments_max: 64 },
    GuardLimits { message_bytes_max: 150, fragments_max: 3 },
];

fuzz_target!(|input: &[u8]| {
    let Some((&seed, stream)) = input.split_first() else { return };
    for limits in &LIMITS {
        let expected = reference::decode(limits, stream);
        let mut whole = FrameGuard::new();
        assert_eq!(whole.inspect_prefix(limits, stream), expected);
        assert_eq!(in_pieces(limits, stream, |_| 1), expected);
        assert_eq!(in_pieces(limits, stream, |index| piece_bytes(seed, index)), expected);

        let is_all_whole = expected.1.is_none() && expected.0.boundary_bytes == stream.len();
        assert_eq!(whole.is_at_frame_boundary(), is_all_whole);
        assert!(whole.is_at_frame_boundary() || !whole.is_at_message_boundary());
        if let Some(violation) = expected.1 {
            assert_eq!(whole.inspect(limits, stream), Err(violation));
        }
    }
});

/// Sizes from 1 to 31 that differ from piece to piece.
fn piece_bytes(seed: u8, index: usize) -> usize {
    1 + (usize::from(seed) * 7 + index * 13) % 31
}

fn in_pieces(
    limits: &GuardLimits,
    stream: &[u8],
    size: impl Fn(usize) -> usize,
) -> (Inspected, Option<Violation>) {
    let mut guard = FrameGuard::new();
    let mut sum = Inspected::default();
    let mut position = 0;
    for index in 0.. {
        let piece = &stream[position..(position + size(index)).min(stream.len())];
        let (seen, violation) = guard.inspect_prefix(limits, piece);
        sum.frames_completed += seen.frames_completed;
        sum.control_frames += seen.control_frames;
        sum.messages_completed += seen.messages_completed;
        if seen.boundary_bytes > 0 {
            sum.boundary_bytes = position + seen.boundary_bytes;
        }
        position += piece.len();
        if violation.is_some() || position == stream.len() {
            return (sum, violation);
        }
    }
    unreachable!("every piece has at least one byte")
}
