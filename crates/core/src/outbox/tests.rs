//! Claims about single cases; `properties` claims the same of any.

mod properties;

use super::*;

const MAX: usize = 10;

/// Room for a few labelled frames behind the first one.
const WIDE: usize = 1000;

fn spelled(gap: Gap) -> Vec<u8> {
    let Gap { i, after, upto, why, .. } = gap;
    let (after, upto) = (after.unwrap_or_default(), upto.unwrap_or_default());
    format!("<{i} {why} {after}-{upto}>").into_bytes()
}

/// Everything that waits, if it is not over 64 pieces.
fn waiting(outbox: &mut Outbox) -> Vec<u8> {
    let mut slices = Vec::new();
    outbox.slices(&mut slices, spelled);
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn text(outbox: &mut Outbox) -> String {
    String::from_utf8(waiting(outbox)).unwrap()
}

fn label(slow_client: SlowClient, sequence: u64, subject: &str) -> Label<'_> {
    let subject = subject.as_bytes();
    Label { subscription: 7, slow_client, sequence: Some(sequence), subject }
}

fn droppable(sequence: u64) -> Label<'static> {
    label(SlowClient::DropOldest, sequence, "")
}

fn push(outbox: &mut Outbox, frame: &str) {
    outbox.push(frame.as_bytes(), 0, WIDE).unwrap();
}

fn message(outbox: &mut Outbox, frame: &str, label: Label<'_>) -> Result<Shed, Full> {
    outbox.push_message(frame.as_bytes(), &label, WIDE)
}

#[test]
fn frames_leave_in_order_however_the_socket_takes_them() {
    let mut outbox = Outbox::default();
    outbox.push(b"abcd", 1, MAX).unwrap();
    outbox.push(b"efg", 0, MAX).unwrap();
    let mut taken = Vec::new();
    for step in [1, 2, 1, 2] {
        taken.extend_from_slice(&waiting(&mut outbox)[..step]);
        outbox.consume(step);
    }
    assert_eq!(taken, b"bcdefg");
    assert!(outbox.is_empty());
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn the_bound_is_exact_and_a_refused_frame_leaves_no_trace() {
    let mut outbox = Outbox::default();
    outbox.push(&[1], 0, MAX).unwrap();
    outbox.push(&[2; MAX], 0, MAX).unwrap();
    assert_eq!(outbox.push(&[3], 0, MAX), Err(Full));
    assert_eq!(waiting(&mut outbox), [&[1][..], &[2; MAX]].concat());
}

#[test]
fn the_message_on_its_way_may_be_of_any_size() {
    let mut outbox = Outbox::default();
    outbox.push(&[1; MAX + 3], 1, MAX).unwrap();
    outbox.push(&[2; MAX], 0, MAX).unwrap();
    assert_eq!(outbox.push(&[3], 0, MAX), Err(Full));
    assert_eq!(outbox.bytes(), MAX + 2 + MAX);
}

#[test]
fn a_close_frame_can_follow_a_started_frame_only() {
    let mut outbox = Outbox::default();
    outbox.push(b"abc", 0, MAX).unwrap();
    outbox.push(b"def", 0, MAX).unwrap();
    outbox.consume(1);
    outbox.keep_started();
    assert_eq!((waiting(&mut outbox), outbox.bytes()), (b"bc".to_vec(), 2));
    outbox.consume(2);

    outbox.push(b"abc", 0, MAX).unwrap();
    outbox.keep_started();
    assert!(outbox.is_empty());
    assert_eq!(outbox.bytes(), 0);

    outbox.push(b"abc", 2, MAX).unwrap();
    outbox.push(b"def", 0, MAX).unwrap();
    outbox.keep_started();
    assert_eq!(waiting(&mut outbox), b"c");
}

#[test]
fn the_oldest_messages_give_way_and_one_gap_stands_in_their_place() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    for sequence in 11..=14 {
        message(&mut outbox, &format!("m{sequence} "), droppable(sequence)).unwrap();
        push(&mut outbox, "item ");
    }
    let mut dropped = 0;
    for sequence in 15..=17 {
        let frame = format!("m{sequence} ");
        dropped += message(&mut outbox, &frame, droppable(sequence)).unwrap().dropped;
    }
    assert_eq!(dropped, 3, "they make room for two more and the gap");
    assert_eq!(text(&mut outbox), "head <7 slow 10-13>item item item m14 item m15 m16 m17 ");
}

#[test]
fn a_gap_that_has_begun_to_leave_grows_no_more() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    let flood = |outbox: &mut Outbox, sequences: std::ops::RangeInclusive<u64>| {
        for sequence in sequences {
            message(outbox, &format!("m{sequence} "), droppable(sequence)).unwrap();
        }
    };
    flood(&mut outbox, 11..=17);
    assert_eq!(text(&mut outbox), "head <7 slow 10-13>m14 m15 m16 m17 ");
    outbox.consume("head <".len());
    flood(&mut outbox, 18..=19);
    assert_eq!(text(&mut outbox), "7 slow 10-13>m14 <7 slow 14-16>m17 m18 m19 ");
}

#[test]
fn a_message_that_can_make_no_room_is_dropped_itself() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    push(&mut outbox, &"x".repeat(WIDE - 200));
    assert_eq!(message(&mut outbox, "m11", droppable(11)).unwrap().dropped, 0);
    assert_eq!(message(&mut outbox, &"y".repeat(WIDE), droppable(12)).unwrap().dropped, 2);
    assert!(text(&mut outbox).ends_with("x<7 slow 10-12>"));
    let mut full = Outbox::default();
    push(&mut full, "head ");
    push(&mut full, &"x".repeat(WIDE));
    assert_eq!(message(&mut full, "m11", droppable(11)), Err(Full), "not even a gap has room");
}

#[test]
fn nothing_but_droppable_messages_gives_way() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    message(&mut outbox, "a", label(SlowClient::Conflate, 1, "a")).unwrap();
    message(&mut outbox, "b", label(SlowClient::Disconnect, 2, "b")).unwrap();
    message(&mut outbox, "c", droppable(3)).unwrap();
    assert_eq!(outbox.firm_bytes(), "head b".len());
    assert_eq!(outbox.push(&[b'x'; WIDE], 0, WIDE), Err(Full));
    assert_eq!(text(&mut outbox), "head ab<7 slow 2-3>");
}

#[test]
fn the_newest_message_of_a_subject_takes_the_place_of_the_last() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    for (sequence, subject) in [(12, "a"), (15, "b"), (16, "b"), (20, "a"), (21, "c")] {
        let frame = format!("{subject}{sequence} ");
        message(&mut outbox, &frame, label(SlowClient::Conflate, sequence, subject)).unwrap();
        if sequence == 12 {
            push(&mut outbox, "pos ");
        }
    }
    let expected = "head <7 conflated 11-15>a20 pos b16 c21 ";
    assert_eq!(text(&mut outbox), expected, "one gap, before whatever may rest on it");
}

#[test]
fn too_many_subjects_do_not_fit_and_one_subject_always_does() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    for sequence in 1..1000 {
        let label = label(SlowClient::Conflate, sequence, "a");
        assert_eq!(message(&mut outbox, "a ", label).unwrap().conflated, u64::from(sequence > 1));
    }
    let subjects: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let mut pushed = subjects
        .iter()
        .map(|subject| message(&mut outbox, "b ", label(SlowClient::Conflate, 1000, subject)));
    assert!(pushed.any(|result| result == Err(Full)));
}

#[test]
fn nothing_takes_a_place_before_a_fence_and_losses_are_told_apart() {
    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    for sequence in [1, 2, 101, 102] {
        if sequence == 101 {
            outbox.fence();
            push(&mut outbox, "epoch ");
        }
        let frame = format!("a{sequence} ");
        message(&mut outbox, &frame, label(SlowClient::Conflate, sequence, "a")).unwrap();
    }
    let expected = "head <7 conflated 0-1>a2 epoch <7 conflated 100-101>a102 ";
    assert_eq!(text(&mut outbox), expected);

    let mut outbox = Outbox::default();
    push(&mut outbox, "head ");
    let large = "m".repeat(100);
    message(&mut outbox, &large, droppable(1)).unwrap();
    outbox.fence();
    push(&mut outbox, "epoch ");
    message(&mut outbox, &large, droppable(101)).unwrap();
    outbox.push(&[b'x'; WIDE - 440], 0, WIDE).unwrap();
    assert!(text(&mut outbox).starts_with("head <7 slow 0-1>epoch <7 slow 100-101>xx"));
}
