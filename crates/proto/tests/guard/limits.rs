//! Each limit at its edge and one past it, and the boundaries at which a reader may let go.

use crate::frame::{BINARY, CONTINUATION, FIN, PING, PONG, TEXT, frame, header, message};
use meridian_proto::guard::{FrameGuard, GuardLimits, Violation};

const LIMITS: GuardLimits = GuardLimits { message_bytes_max: 1_000, fragments_max: 4 };

/// Feeds all but the last frame, then only the header of the last one.
fn verdict_on_last_header(limits: &GuardLimits, frames: &[Vec<u8>]) -> Result<(), Violation> {
    let mut guard = FrameGuard::new();
    let (last, before) = frames.split_last().unwrap();
    for bytes in before {
        guard.inspect(limits, bytes).unwrap();
    }
    let header_bytes = match last[1] & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    guard.inspect(limits, &last[..header_bytes]).map(drop)
}

#[test]
fn defaults_are_64_kib_and_64_fragments() {
    let limits = GuardLimits::default();
    assert_eq!((limits.message_bytes_max, limits.fragments_max), (65_536, 64));
    assert!(verdict_on_last_header(&limits, &message(&[65_536])).is_ok());
    assert_eq!(verdict_on_last_header(&limits, &message(&[65_537])), Err(Violation::MessageTooBig));
    assert!(verdict_on_last_header(&limits, &message(&[1; 64])).is_ok());
    assert_eq!(
        verdict_on_last_header(&limits, &message(&[1; 65])),
        Err(Violation::TooManyFragments)
    );
}

#[test]
fn message_of_exactly_the_limit_is_accepted_and_one_more_byte_is_refused_at_its_header() {
    for good in [vec![1_000], vec![0, 1_000], vec![999, 1], vec![250; 4], vec![1_000, 0, 0]] {
        assert_eq!(verdict_on_last_header(&LIMITS, &message(&good)), Ok(()), "{good:?}");
    }
    for bad in [vec![1_001], vec![0, 1_001], vec![999, 2], vec![250, 250, 250, 251]] {
        let verdict = verdict_on_last_header(&LIMITS, &message(&bad));
        assert_eq!(verdict, Err(Violation::MessageTooBig), "{bad:?}");
    }
}

#[test]
fn limit_counts_each_message_anew() {
    let mut guard = FrameGuard::new();
    for _ in 0..3 {
        let seen = guard.inspect(&LIMITS, &message(&[400, 300, 200, 100]).concat()).unwrap();
        assert_eq!((seen.frames_completed, seen.messages_completed), (4, 1));
    }
}

#[test]
fn last_allowed_fragment_is_accepted_and_the_next_is_refused_at_its_first_byte() {
    let mut guard = FrameGuard::new();
    guard.inspect(&LIMITS, &frame(BINARY, 0)).unwrap();
    for _ in 1..LIMITS.fragments_max {
        guard.inspect(&LIMITS, &frame(CONTINUATION, 0)).unwrap();
    }
    let verdict = guard.inspect(&LIMITS, &[FIN | CONTINUATION]);
    assert_eq!(verdict, Err(Violation::TooManyFragments));
}

#[test]
fn control_frames_inside_a_message_count_towards_nothing() {
    let mut frames = Vec::new();
    for fragment in message(&[250; 4]) {
        frames.extend([frame(FIN | PING, 125), frame(FIN | PONG, 125), fragment]);
    }
    let mut guard = FrameGuard::new();
    let seen = guard.inspect(&LIMITS, &frames.concat()).unwrap();
    assert_eq!((seen.frames_completed, seen.control_frames, seen.messages_completed), (12, 8, 1));
    assert!(guard.is_at_message_boundary());
}

#[test]
fn largest_limits_do_not_overflow() {
    let limits = GuardLimits { message_bytes_max: u32::MAX, fragments_max: u32::MAX };
    let largest = u32::MAX as usize;
    let mut guard = FrameGuard::new();
    guard.inspect(&limits, &header(FIN | TEXT, largest)).unwrap();
    assert!(!guard.is_at_frame_boundary());
    let frames = [frame(TEXT, 1), header(FIN | CONTINUATION, largest)];
    assert_eq!(verdict_on_last_header(&limits, &frames), Err(Violation::MessageTooBig));
}

#[test]
fn zero_limits_refuse_messages_but_not_control_frames() {
    let limits = GuardLimits { message_bytes_max: 0, fragments_max: 0 };
    let mut guard = FrameGuard::new();
    guard.inspect(&limits, &frame(FIN | PING, 9)).unwrap();
    assert_eq!(guard.inspect(&limits, &[FIN | TEXT]), Err(Violation::TooManyFragments));
    let limits = GuardLimits { message_bytes_max: 0, fragments_max: 1 };
    assert!(FrameGuard::new().inspect(&limits, &frame(FIN | TEXT, 0)).is_ok());
    let verdict = FrameGuard::new().inspect(&limits, &frame(FIN | TEXT, 1));
    assert_eq!(verdict, Err(Violation::MessageTooBig));
}

#[test]
fn boundaries_are_where_frames_and_messages_end_and_nowhere_else() {
    let frames =
        [frame(FIN | TEXT, 3), frame(TEXT, 0), frame(FIN | PING, 1), frame(FIN | CONTINUATION, 2)];
    let ends_message = [true, false, false, true];
    let mut guard = FrameGuard::new();
    assert!(guard.is_at_frame_boundary() && guard.is_at_message_boundary());
    for (bytes, ends_message) in frames.iter().zip(ends_message) {
        let (last, before) = bytes.split_last().unwrap();
        for byte in before {
            assert_eq!(guard.inspect(&LIMITS, &[*byte]).unwrap().boundary_bytes, 0);
            assert!(!guard.is_at_frame_boundary() && !guard.is_at_message_boundary());
        }
        assert_eq!(guard.inspect(&LIMITS, &[*last]).unwrap().boundary_bytes, 1);
        assert!(guard.is_at_frame_boundary());
        assert_eq!(guard.is_at_message_boundary(), ends_message);
    }
}

#[test]
fn guard_is_small_enough_to_be_kept_by_each_idle_connection() {
    assert!(size_of::<FrameGuard>() <= 32, "{} bytes", size_of::<FrameGuard>());
}
