//! For any stream: the verdict does not depend on how it was cut, and a naive decoder agrees.

use crate::frame::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, frame};
use crate::reference;
use meridian_proto::guard::{FrameGuard, GuardLimits, Inspected, Violation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Large enough for a 64-bit length, few enough fragments to be met by chance.
const LIMITS: GuardLimits = GuardLimits { message_bytes_max: 70_000, fragments_max: 6 };
/// So low that random streams reach both.
const LOW_LIMITS: GuardLimits = GuardLimits { message_bytes_max: 200, fragments_max: 3 };

/// Feeds `bytes` in pieces; `cuts` are used over and over as the sizes of the pieces.
fn inspect_in_pieces(
    guard: &mut FrameGuard,
    limits: &GuardLimits,
    bytes: &[u8],
    cuts: &[usize],
) -> (Inspected, Option<Violation>) {
    let mut sum = Inspected::default();
    let mut position = 0;
    for cut in cuts.iter().cycle() {
        let piece = &bytes[position..(position + cut).min(bytes.len())];
        let (seen, violation) = guard.inspect_prefix(limits, piece);
        sum.frames_completed += seen.frames_completed;
        sum.control_frames += seen.control_frames;
        sum.messages_completed += seen.messages_completed;
        if seen.boundary_bytes > 0 {
            sum.boundary_bytes = position + seen.boundary_bytes;
        }
        position += piece.len();
        if violation.is_some() || position == bytes.len() {
            return (sum, violation);
        }
    }
    unreachable!("cuts is never empty")
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 1usize..8, 1 => 8usize..5_000], 1..12)
}

/// Payload sizes around each change of the length's form.
fn fragment_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..20, 4 => 120usize..132, 1 => 4_000usize..5_000]
}

fn control() -> impl Strategy<Value = Vec<u8>> {
    (select(vec![CLOSE, PING, PONG]), prop_oneof![0usize..4, 120usize..=125])
        .prop_map(|(opcode, payload_bytes)| frame(FIN | opcode, payload_bytes))
}

/// A fragmented message: what stands before each fragment, and the fragment's size.
type Fragments = Vec<(Vec<Vec<u8>>, usize)>;

fn fragments() -> impl Strategy<Value = Fragments> {
    let small = vec((vec(control(), 0..3), fragment_bytes()), 1..=LIMITS.fragments_max as usize);
    let large = (65_530usize..=70_000).prop_map(|size| vec![(Vec::new(), size)]);
    prop_oneof![20 => small, 1 => large]
}

/// A valid stream and how many frames, control frames and messages it holds.
fn valid_stream() -> impl Strategy<Value = (Vec<u8>, Inspected)> {
    vec((fragments(), select(vec![TEXT, BINARY])), 0..6).prop_map(|messages| {
        let mut bytes = Vec::new();
        let mut expected = Inspected::default();
        for (fragments, opcode) in messages {
            let last = fragments.len() - 1;
            for (index, (controls, payload_bytes)) in fragments.into_iter().enumerate() {
                expected.control_frames += controls.len() as u32;
                expected.frames_completed += controls.len() as u32 + 1;
                bytes.extend(controls.concat());
                let opcode = if index == 0 { opcode } else { CONTINUATION };
                let fin = if index == last { FIN } else { 0 };
                bytes.extend(frame(fin | opcode, payload_bytes));
            }
            expected.messages_completed += 1;
        }
        expected.boundary_bytes = bytes.len();
        (bytes, expected)
    })
}

/// Frames of which any byte of the header may be wrong: nearer to real attacks than noise.
fn nearly_valid_stream() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        12 => select(vec![TEXT, FIN | TEXT, FIN | BINARY, CONTINUATION, FIN | CONTINUATION]),
        4 => select(vec![FIN | PING, FIN | CLOSE, FIN | PONG]),
        1 => any::<u8>(),
    ];
    let one = (first, 0usize..130, prop::option::weighted(0.1, (1usize..10, any::<u8>())));
    let broken = |(first, payload_bytes, change): (u8, usize, Option<(usize, u8)>)| {
        let mut bytes = frame(first, payload_bytes);
        if let Some((index, value)) = change
            && let Some(byte) = bytes.get_mut(index)
        {
            *byte = value;
        }
        bytes
    };
    vec(one.prop_map(broken), 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn valid_stream_is_accepted_in_any_pieces((bytes, expected) in valid_stream(), cuts in cuts()) {
        let mut whole = FrameGuard::new();
        prop_assert_eq!(whole.inspect(&LIMITS, &bytes), Ok(expected));
        prop_assert!(whole.is_at_message_boundary());
        let mut guard = FrameGuard::new();
        let verdict = inspect_in_pieces(&mut guard, &LIMITS, &bytes, &cuts);
        prop_assert_eq!(verdict, (expected, None));
        prop_assert!(guard.is_at_message_boundary());
        prop_assert_eq!(reference::decode(&LIMITS, &bytes), (expected, None));
    }

    #[test]
    fn nearly_valid_stream_gets_the_reference_verdict_in_any_pieces(
        bytes in nearly_valid_stream(),
        cuts in cuts(),
    ) {
        let expected = reference::decode(&LOW_LIMITS, &bytes);
        let mut guard = FrameGuard::new();
        prop_assert_eq!(inspect_in_pieces(&mut guard, &LOW_LIMITS, &bytes, &cuts), expected);
        prop_assert_eq!(FrameGuard::new().inspect_prefix(&LOW_LIMITS, &bytes), expected);
        prop_assert_eq!(
            FrameGuard::new().inspect(&LOW_LIMITS, &bytes),
            expected.1.map_or(Ok(expected.0), Err)
        );
    }

    #[test]
    fn random_bytes_get_the_reference_verdict_in_any_pieces(
        bytes in vec(any::<u8>(), 0..600),
        cuts in cuts(),
    ) {
        let expected = reference::decode(&LIMITS, &bytes);
        let mut guard = FrameGuard::new();
        prop_assert_eq!(inspect_in_pieces(&mut guard, &LIMITS, &bytes, &cuts), expected);
    }
}
