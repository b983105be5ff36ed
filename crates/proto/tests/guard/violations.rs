//! One claim for each thing that a client must not send.

use crate::frame::{
    BINARY, CLOSE, CONTINUATION, FIN, MASK, PING, PONG, TEXT, frame, header, message,
};
use meridian_proto::guard::{FrameGuard, GuardLimits, Inspected, Violation};
use std::collections::HashSet;

/// The header bytes after `good` must be refused at exactly their last byte.
fn assert_refused_at_last_byte(good: &[u8], bad_header: &[u8], violation: Violation) {
    let limits = GuardLimits::default();
    let mut guard = FrameGuard::new();
    let (last, before) = bad_header.split_last().unwrap();
    guard.inspect(&limits, good).unwrap();
    assert!(guard.is_at_frame_boundary());
    guard.inspect(&limits, before).unwrap();
    assert_eq!(guard.inspect(&limits, &[*last]), Err(violation), "{bad_header:x?}");
}

#[test]
fn unmasked_frame_is_refused() {
    assert_refused_at_last_byte(&[], &[FIN | TEXT, 5], Violation::Unmasked);
    assert_refused_at_last_byte(&[], &[FIN | TEXT, 126], Violation::Unmasked);
    assert_refused_at_last_byte(&[], &[FIN | PING, 0], Violation::Unmasked);
    assert_refused_at_last_byte(&[], &[FIN | CLOSE, 0], Violation::Unmasked);
}

#[test]
fn each_reserved_bit_is_refused() {
    for bit in [0x40, 0x20, 0x10] {
        assert_refused_at_last_byte(&[], &[FIN | bit | TEXT], Violation::ReservedBits);
        assert_refused_at_last_byte(&[], &[FIN | bit | PING], Violation::ReservedBits);
    }
}

#[test]
fn each_reserved_opcode_is_refused() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        assert_refused_at_last_byte(&[], &[FIN | opcode], Violation::UnknownOpcode);
        assert_refused_at_last_byte(&[], &[opcode], Violation::UnknownOpcode);
    }
}

#[test]
fn control_frame_of_125_bytes_is_accepted_and_one_more_is_refused() {
    for opcode in [CLOSE, PING, PONG] {
        let mut guard = FrameGuard::new();
        let seen = guard.inspect(&GuardLimits::default(), &frame(FIN | opcode, 125)).unwrap();
        assert_eq!((seen.frames_completed, seen.control_frames), (1, 1));
        for length_code in [126, 127] {
            let bad = [FIN | opcode, MASK | length_code];
            assert_refused_at_last_byte(&[], &bad, Violation::ControlTooLong);
        }
    }
}

#[test]
fn fragmented_control_frame_is_refused() {
    for opcode in [CLOSE, PING, PONG] {
        assert_refused_at_last_byte(&[], &[opcode], Violation::ControlFragmented);
    }
}

#[test]
fn continuation_without_a_message_is_refused() {
    let whole = message(&[3, 4]).concat();
    for first_byte in [CONTINUATION, FIN | CONTINUATION] {
        assert_refused_at_last_byte(&[], &[first_byte], Violation::UnexpectedContinuation);
        assert_refused_at_last_byte(&whole, &[first_byte], Violation::UnexpectedContinuation);
    }
}

#[test]
fn second_start_inside_a_message_is_refused() {
    let open = [frame(TEXT, 3), frame(FIN | PING, 0)].concat();
    for first_byte in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        assert_refused_at_last_byte(&open, &[first_byte], Violation::StartInsideMessage);
    }
}

#[test]
fn length_in_more_bytes_than_needed_is_refused() {
    let long_16 = [FIN | TEXT, MASK | 126, 0, 125];
    assert_refused_at_last_byte(&[], &long_16, Violation::LengthNotMinimal);
    let long_64 = [FIN | TEXT, MASK | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    assert_refused_at_last_byte(&[], &long_64, Violation::LengthNotMinimal);
}

#[test]
fn shortest_length_of_each_form_is_accepted() {
    for payload_bytes in [0, 125, 126, 65_535, 65_536] {
        let bytes = frame(FIN | BINARY, payload_bytes);
        let seen = FrameGuard::new().inspect(&GuardLimits::default(), &bytes).unwrap();
        assert_eq!(seen.messages_completed, 1, "{payload_bytes}");
        assert_eq!(seen.boundary_bytes, bytes.len());
    }
}

#[test]
fn length_with_the_highest_bit_is_an_overflow_and_without_it_is_too_big() {
    let mut bad = vec![FIN | TEXT, MASK | 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
    assert_refused_at_last_byte(&[], &bad, Violation::LengthOverflow);
    bad[2..].fill(0xff);
    assert_refused_at_last_byte(&[], &bad, Violation::LengthOverflow);
    bad[2] = 0x7f;
    assert_refused_at_last_byte(&[], &bad, Violation::MessageTooBig);
    let open = frame(TEXT, 65_536);
    bad[0] = FIN | CONTINUATION;
    assert_refused_at_last_byte(&open, &bad, Violation::MessageTooBig);
}

#[test]
fn violation_stays_whatever_follows_it() {
    let limits = GuardLimits::default();
    let bad_headers: [(&[u8], Violation); 3] = [
        (&[0x40], Violation::ReservedBits),
        (&[FIN | TEXT, 0], Violation::Unmasked),
        (&[FIN | TEXT, MASK | 126, 0, 0], Violation::LengthNotMinimal),
    ];
    for (bad_header, violation) in bad_headers {
        let mut guard = FrameGuard::new();
        assert_eq!(guard.inspect(&limits, bad_header), Err(violation));
        for bytes in [frame(FIN | TEXT, 1), vec![0x20], Vec::new()] {
            assert_eq!(guard.inspect(&limits, &bytes), Err(violation));
            let nothing = (Inspected::default(), Some(violation));
            assert_eq!(guard.inspect_prefix(&limits, &bytes), nothing);
        }
        assert!(!guard.is_at_frame_boundary());
        assert!(!guard.is_at_message_boundary());
    }
}

#[test]
fn good_frames_before_a_violation_are_told_apart_from_it() {
    let good = [frame(FIN | TEXT, 7), frame(FIN | PING, 2)].concat();
    let bytes = [good.clone(), header(FIN | CONTINUATION, 1)].concat();
    let (seen, violation) = FrameGuard::new().inspect_prefix(&GuardLimits::default(), &bytes);
    assert_eq!(violation, Some(Violation::UnexpectedContinuation));
    assert_eq!(seen.boundary_bytes, good.len());
    assert_eq!((seen.frames_completed, seen.control_frames, seen.messages_completed), (2, 1, 1));
}

#[test]
fn close_codes_follow_rfc_6455_and_reasons_fit_a_close_frame() {
    for violation in Violation::ALL {
        let code = match violation {
            Violation::MessageTooBig => 1009,
            Violation::TooManyFragments => 1008,
            _ => 1002,
        };
        assert_eq!(violation.close_code(), code, "{violation:?}");
        assert!((1..=123).contains(&violation.reason().len()), "{violation:?}");
        assert_eq!(violation.to_string(), violation.reason());
    }
}

#[test]
fn metric_labels_are_distinct_and_every_violation_has_one() {
    let labels: HashSet<_> = Violation::ALL.iter().map(|one| one.metric_label()).collect();
    assert_eq!(labels.len(), Violation::ALL.len());
    assert!(labels.iter().all(|label| label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
}
