//! The interest table's claims, and a random walk against a naive model.

use super::Admission::{AtProof, ByCaller};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOBODY: [u8; 0] = [];
const NOTHING: [Sid; 0] = [];

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

fn members(interest: &Interest<u8>, sid: Sid) -> Vec<u8> {
    let groups = interest.route(sid).iter();
    groups.flat_map(|group| interest.group(*group).members().to_vec()).collect()
}

#[test]
fn the_first_subscriber_subscribes_and_the_reply_waits_for_proof() {
    let mut interest = Interest::new(1000);
    let (first, join) = interest.join(1, Some(10), &filter("a.>"), Wishes::default(), AtProof);
    let Join::Subscribe(sid) = join else { panic!("{join:?}") };
    interest.prove(sid, 5);
    let (second, join) = interest.join(2, Some(20), &filter("a.>"), Wishes::default(), AtProof);
    assert_eq!((second, join), (first, Join::Wait));
    assert_eq!(members(&interest, sid), NOBODY, "nobody receives before the reply");
    assert!(interest.proven(4).proven.is_empty());
    let proven = interest.proven(5).proven;
    assert_eq!(proven.len(), 2);
    assert_eq!(proven[0], Proven { member: 1, command: Some(10), group: first });
    let (_, join) = interest.join(3, Some(30), &filter("a.>"), Wishes::default(), AtProof);
    assert_eq!(join, Join::Ready);
    assert_eq!(members(&interest, sid), [1, 2, 3]);
    assert_eq!(interest.filters(), 1);
}

#[test]
fn different_wishes_share_the_filter_but_not_the_frame() {
    let mut interest = Interest::new(0);
    let wishes = Wishes { headers: vec!["x".into()], trace: true, ..Wishes::default() };
    let (plain, _) = interest.join(1, None, &filter("a"), Wishes::default(), AtProof);
    let (traced, join) = interest.join(2, None, &filter("a"), wishes.clone(), AtProof);
    assert_ne!(plain, traced);
    assert_eq!(join, Join::Wait);
    assert_eq!(interest.groups_of(&filter("a")), [plain - 1, traced - 1]);
    assert_eq!(interest.group(traced - 1).wishes(), Some(&wishes));
    assert_eq!(interest.filters(), 1);
}

#[test]
fn different_wires_share_the_filter_but_not_the_frame() {
    let mut interest = Interest::new(0);
    let lines = Wishes { wire: Wire::JsonLine, ..Wishes::default() };
    let (frames, _) = interest.join(1, None, &filter("a"), Wishes::default(), AtProof);
    let (streamed, join) = interest.join(2, None, &filter("a"), lines, AtProof);
    assert_ne!(frames, streamed);
    assert_eq!(join, Join::Wait);
    assert_eq!(interest.group(frames - 1).wire(), Wire::JsonText);
    assert_eq!(interest.group(streamed - 1).wire(), Wire::JsonLine);
}

#[test]
fn a_filter_lingers_and_a_return_within_the_linger_costs_nothing() {
    let mut interest = Interest::new(1000);
    let (group, join) = interest.join(1, None, &filter("a"), Wishes::default(), AtProof);
    let Join::Subscribe(sid) = join else { panic!("{join:?}") };
    interest.prove(sid, 1);
    interest.proven(1);
    interest.leave(group, 1, 0);
    assert_eq!(interest.expire(999), NOTHING);
    let (group, join) = interest.join(1, None, &filter("a"), Wishes::default(), AtProof);
    assert_eq!(join, Join::Ready);
    assert_eq!(interest.expire(1000), NOTHING, "wanted again");
    interest.leave(group, 1, 500);
    assert_eq!(interest.expire(1499), NOTHING);
    assert_eq!(interest.expire(1500), [sid]);
    assert_eq!(interest.filters(), 0);
    assert_eq!(interest.route(sid), [] as [u32; 0], "a late message finds nobody");
    let (_, join) = interest.join(2, None, &filter("b"), Wishes::default(), AtProof);
    let Join::Subscribe(other) = join else { panic!("{join:?}") };
    assert_ne!(other, sid);
    assert_eq!(interest.route(sid), [] as [u32; 0], "not even in its old place");
}

#[test]
fn an_interrupted_filter_is_subscribed_again_and_its_members_are_told() {
    let mut interest = Interest::new(1000);
    let (group, join) = interest.join(1, None, &filter("a"), Wishes::default(), AtProof);
    let Join::Subscribe(sid) = join else { panic!("{join:?}") };
    interest.prove(sid, 1);
    interest.proven(1);
    let (idle, join) = interest.join(1, None, &filter("b"), Wishes::default(), AtProof);
    assert!(matches!(join, Join::Subscribe(_)));
    interest.leave(idle, 1, 0);
    interest.interrupt();
    let (_, join) = interest.join(2, Some(7), &filter("c"), Wishes::default(), AtProof);
    let Join::Subscribe(late) = join else { panic!("{join:?}") };
    let again = interest.resume();
    assert_eq!(again.len(), 2, "what only lingered is forgotten: {again:?}");
    for (sid, _) in again {
        interest.prove(sid, 9);
    }
    assert_eq!(members(&interest, sid), NOBODY, "what comes before the gap belongs to it");
    let proof = interest.proven(9);
    let resumed = [Resumed { group, members: 1 }];
    assert_eq!(proof.resumed, resumed, "only what stood before has a gap");
    assert_eq!(
        proof.proven,
        [Proven { member: 2, command: Some(7), group: proof.proven[0].group }]
    );
    assert_eq!(members(&interest, late), [2]);
    assert_eq!(members(&interest, sid), [1]);
}

#[test]
fn a_refused_filter_leaves_nothing_behind() {
    let mut interest = Interest::new(1000);
    let (group, join) = interest.join(1, Some(5), &filter("a"), Wishes::default(), AtProof);
    let Join::Subscribe(sid) = join else { panic!("{join:?}") };
    interest.prove(sid, 1);
    let told = interest.refuse(&filter("a"));
    assert_eq!(told, [Proven { member: 1, command: Some(5), group }]);
    assert!(interest.proven(1).proven.is_empty());
    assert_eq!(interest.filters(), 0);
    assert!(interest.refuse(&filter("a")).is_empty());
}

#[test]
fn members_of_a_durable_filter_wait_for_the_caller() {
    let mut interest = Interest::new(1000);
    let (group, join) = interest.join(1, Some(5), &filter("a"), Wishes::default(), ByCaller);
    let Join::Subscribe(sid) = join else { panic!("{join:?}") };
    interest.prove(sid, 1);
    let proof = interest.proven(1);
    assert_eq!((proof.standing, proof.proven.len()), (vec![sid], 0));
    assert_eq!(members(&interest, sid), NOBODY);
    interest.admit(group, 1);
    assert_eq!(members(&interest, sid), [1]);
    let (_, join) = interest.join(2, Some(6), &filter("a"), Wishes::default(), ByCaller);
    assert_eq!((join, members(&interest, sid)), (Join::Ready, vec![1]));
    interest.leave(group, 2, 0);
    interest.admit(group, 2);
    assert_eq!(members(&interest, sid), [1], "whoever has left is not admitted");
    interest.interrupt();
    assert_eq!(members(&interest, sid), [1], "a durable filter repairs instead of a gap");
    for (sid, _) in interest.resume() {
        interest.prove(sid, 2);
    }
    assert_eq!(interest.proven(2).standing, [sid], "and is told to");
}

proptest! {
    /// Members of each filter agree with a naive model whatever happens in whatever order.
    #[test]
    fn members_agree_with_a_naive_model(
        steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_usize..3), 1..80)
    ) {
        let filters = [filter("a"), filter("a.*"), filter("b.>")];
        let mut interest = Interest::new(3);
        let mut model: BTreeMap<(u8, usize), u32> = BTreeMap::new();
        let (mut ping, mut is_up) = (0, true);
        for (now_ms, (step, member, which)) in steps.into_iter().enumerate() {
            let now_ms = now_ms as u64;
            match step {
                0 | 1 if !model.contains_key(&(member, which)) => {
                    let wishes = Wishes { trace: member == 0, ..Wishes::default() };
                    let filter = &filters[which];
                    let (group, join) = interest.join(member, None, filter, wishes, AtProof);
                    model.insert((member, which), group);
                    if let (Join::Subscribe(sid), true) = (join, is_up) {
                        ping += 1;
                        interest.prove(sid, ping);
                    }
                }
                2 => if let Some(group) = model.remove(&(member, which)) {
                    interest.leave(group, member, now_ms);
                },
                3 => { interest.expire(now_ms); },
                4 => {
                    interest.interrupt();
                    is_up = false;
                }
                5 => {
                    if !is_up {
                        ping += 1;
                        for (sid, _) in interest.resume() {
                            interest.prove(sid, ping);
                        }
                        is_up = true;
                    }
                    interest.proven(ping);
                    for (index, filter) in filters.iter().enumerate() {
                        let mut actual: Vec<u8> = interest.groups_of(filter).iter()
                            .flat_map(|group| interest.group(*group).members().to_vec()).collect();
                        actual.sort_unstable();
                        let expected: Vec<u8> = model.keys()
                            .filter(|(_, which)| *which == index).map(|(member, _)| *member)
                            .collect();
                        prop_assert_eq!(actual, expected);
                    }
                }
                _ => {}
            }
        }
    }
}
