//! The interest table: which connections want which filters, and what the edge wants of NATS.
//!
//! One upstream subscription a filter, whoever shares it. Within a filter, *groups* of members
//! that asked for the same headers and trace, on the same wire, share one encoded frame; a group's
//! id is the subscription id that clients see.

mod slot;
#[cfg(test)]
mod tests;

use crate::namespace::SlowClient;
use meridian_proto::{Filter, Naming, Wire};
use slab::Slab;
use slot::{Slot, State};
use std::collections::{HashMap, VecDeque};

/// Owned by the shard. `K` names a connection.
#[derive(Debug)]
pub struct Interest<K> {
    by_filter: HashMap<Filter, u32>,
    slots: Slab<Slot>,
    groups: Slab<Group<K>>,
    /// Slots whose SUB awaits proof: the number of the ping behind it, and the sid.
    proving: VecDeque<(u64, Sid)>,
    /// Slots that nobody wants any more: when their linger ends, and the sid.
    lingering: VecDeque<(u64, Sid)>,
    /// How long a slot outlives its last member, in ms.
    linger_ms: u64,
    /// So many first tokens of a filter are its tenant's, and not delivered.
    scope_tokens: usize,
    /// Makes every sid unique, so that a late message cannot reach a slot that took its place.
    next_generation: u32,
}

/// An upstream subscription id: unique for the life of the table.
pub type Sid = u64;

/// What a subscription wants beside the messages. Members of a group want the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Header names to deliver, lower case, sorted, without repeats.
    pub headers: Vec<String>,
    /// Whether to deliver `traceparent` of sampled messages.
    pub trace: bool,
    /// How its frames are put on its connection.
    pub wire: Wire,
}

/// The members that share one encoded frame.
#[derive(Debug)]
pub struct Group<K> {
    slot: u32,
    wishes: Option<Box<Wishes>>,
    naming: Naming,
    /// Bytes that a delivered subject begins with and that are not the clients' business.
    scope_bytes: u8,
    members: Vec<K>,
    /// Members whose subscribe reply waits for proof, with the command's id.
    waiting: Vec<(K, Option<u32>)>,
}

/// When a member of a filter begins to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// As soon as the interest is proven.
    AtProof,
    /// When the caller says so, by [`Interest::admit`]: a durable filter replays first.
    ByCaller,
}

/// What a join asks of the caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Join {
    /// Send SUB with this sid and a ping, and call [`Interest::prove`] with the ping's number.
    Subscribe(Sid),
    /// The reply follows an earlier SUB's proof.
    Wait,
    /// The interest stands: reply at once.
    Ready,
}

/// A proven subscription whose reply is due.
#[derive(Debug, PartialEq, Eq)]
pub struct Proven<K> {
    /// Whom to answer.
    pub member: K,
    /// The command to answer.
    pub command: Option<u32>,
    /// The subscription id.
    pub group: u32,
}

/// What a proof brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof<K> {
    /// Subscriptions to answer.
    pub proven: Vec<Proven<K>>,
    /// Groups that were interrupted and are whole again.
    pub resumed: Vec<Resumed>,
    /// Filters whose members the caller admits, and that stand now, or again.
    pub standing: Vec<Sid>,
}

/// A group whose members may have missed messages.
#[derive(Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The subscription id.
    pub group: u32,
    /// So many of its first members were there before the interruption; later ones are new.
    pub members: usize,
}

impl<K: Copy + Eq> Interest<K> {
    /// An empty table whose filters outlive their last member by `linger_ms`.
    #[must_use]
    pub fn new(linger_ms: u64) -> Self {
        Self {
            by_filter: HashMap::new(),
            slots: Slab::new(),
            groups: Slab::new(),
            proving: VecDeque::new(),
            lingering: VecDeque::new(),
            linger_ms,
            scope_tokens: 0,
            next_generation: 0,
        }
    }

    /// The same, whose filters all begin with so many tokens of a tenant's.
    #[must_use]
    pub fn with_scope_tokens(self, scope_tokens: usize) -> Self {
        Self { scope_tokens, ..self }
    }

    /// Distinct filters that the edge holds upstream, those that linger included.
    #[must_use]
    pub fn filters(&self) -> usize {
        self.slots.len()
    }

    /// The groups of a filter, for the question whether a connection already holds it.
    #[must_use]
    pub fn groups_of(&self, filter: &Filter) -> &[u32] {
        self.by_filter.get(filter).map_or(&[], |slot| &self.slots[*slot as usize].groups)
    }

    /// Adds a member. It receives messages from its [`Proven`] on, or from now if
    /// [`Join::Ready`]. Returns the subscription id.
    pub fn join(
        &mut self,
        member: K,
        command: Option<u32>,
        filter: &Filter,
        wishes: Wishes,
        admission: Admission,
    ) -> (u32, Join) {
        let slot = self.slot_of(filter);
        let group = self.group_of(slot, wishes);
        let slot = &mut self.slots[slot as usize];
        slot.idle_until_ms = None;
        slot.admission = admission;
        let join = match slot.state {
            State::New => Join::Subscribe(slot.sid),
            State::Proving => Join::Wait,
            State::Live if admission == Admission::ByCaller => {
                self.groups[group as usize].waiting.push((member, command));
                return (group + 1, Join::Ready);
            }
            State::Live => {
                self.groups[group as usize].members.push(member);
                return (group + 1, Join::Ready);
            }
        };
        slot.state = State::Proving;
        self.groups[group as usize].waiting.push((member, command));
        (group + 1, join)
    }

    /// Notes that SUB for `sid` went out before ping number `ping`.
    pub fn prove(&mut self, sid: Sid, ping: u64) {
        self.proving.push_back((ping, sid));
    }

    /// The server answered all pings up to number `ping`: what it read before stands.
    pub fn proven(&mut self, ping: u64) -> Proof<K> {
        let mut proof = Proof { proven: Vec::new(), resumed: Vec::new(), standing: Vec::new() };
        while self.proving.front().is_some_and(|(number, _)| *number <= ping) {
            let Some((_, sid)) = self.proving.pop_front() else { break };
            let Some(slot) = slot::find_mut(&mut self.slots, sid) else { continue };
            slot.state = State::Live;
            let was_interrupted = std::mem::take(&mut slot.interrupted);
            if slot.admission == Admission::ByCaller {
                proof.standing.push(sid);
                continue;
            }
            for index in &slot.groups {
                let group = &mut self.groups[*index as usize];
                if was_interrupted && !group.members.is_empty() {
                    let members = group.members.len();
                    proof.resumed.push(Resumed { group: *index + 1, members });
                }
                for (member, command) in std::mem::take(&mut group.waiting) {
                    group.members.push(member);
                    proof.proven.push(Proven { member, command, group: *index + 1 });
                }
            }
        }
        proof
    }

    /// The sid of a filter that is held.
    #[must_use]
    pub fn sid_of(&self, filter: &Filter) -> Option<Sid> {
        self.by_filter.get(filter).map(|slot| self.slots[*slot as usize].sid)
    }

    /// The filter of a sid that is held.
    #[must_use]
    pub fn filter_of(&self, sid: Sid) -> Option<&Filter> {
        slot::find(&self.slots, sid).map(|slot| &slot.filter)
    }

    /// The filter of a subscription that is held.
    #[must_use]
    pub fn filter_of_group(&self, group: u32) -> Option<&Filter> {
        let group = self.groups.get(group.wrapping_sub(1) as usize)?;
        self.slots.get(group.slot as usize).map(|slot| &slot.filter)
    }

    /// Says what happens to a filter's messages for members that read too slowly.
    pub fn set_slow_client(&mut self, filter: &Filter, slow_client: SlowClient) {
        if let Some(slot) = self.by_filter.get(filter) {
            self.slots[*slot as usize].slow_client = slow_client;
        }
    }

    /// What happens to a filter's messages for members that read too slowly.
    #[must_use]
    pub fn slow_client(&self, sid: Sid) -> SlowClient {
        slot::find(&self.slots, sid).map_or(SlowClient::default(), |slot| slot.slow_client)
    }

    /// Lets a member of a filter that the caller admits receive from now on. Without effect if it
    /// has left meanwhile.
    pub fn admit(&mut self, group: u32, member: K) {
        let Some(group) = self.groups.get_mut(group.wrapping_sub(1) as usize) else { return };
        if let Some(position) = group.waiting.iter().position(|(other, _)| *other == member) {
            group.waiting.swap_remove(position);
            group.members.push(member);
        }
    }

    /// NATS refused the filter: whoever waited for its proof is returned, to be told.
    pub fn refuse(&mut self, filter: &Filter) -> Vec<Proven<K>> {
        let mut refused = Vec::new();
        let Some(slot) = self.by_filter.get(filter) else { return refused };
        let sid = self.slots[*slot as usize].sid;
        for index in std::mem::take(&mut self.slots[*slot as usize].groups) {
            let group = self.groups.remove(index as usize);
            let waiting = group.waiting.into_iter();
            refused.extend(waiting.map(|(member, command)| Proven {
                member,
                command,
                group: index + 1,
            }));
            let members = group.members.into_iter();
            refused.extend(members.map(|member| Proven {
                member,
                command: None,
                group: index + 1,
            }));
        }
        self.forget(sid);
        refused
    }

    /// Removes a member from a group. A filter without members lingers from `now_ms` on.
    pub fn leave(&mut self, group: u32, member: K, now_ms: u64) {
        let index = group.wrapping_sub(1);
        let Some(entry) = self.groups.get_mut(index as usize) else { return };
        if let Some(position) = entry.members.iter().position(|other| *other == member) {
            entry.members.swap_remove(position);
        }
        entry.waiting.retain(|(other, _)| *other != member);
        if !entry.members.is_empty() || !entry.waiting.is_empty() {
            return;
        }
        let slot = &mut self.slots[entry.slot as usize];
        slot.groups.retain(|other| *other != index);
        self.groups.remove(index as usize);
        if slot.groups.is_empty() {
            let due_ms = now_ms + self.linger_ms;
            slot.idle_until_ms = Some(due_ms);
            self.lingering.push_back((due_ms, slot.sid));
        }
    }

    /// Forgets filters whose linger is over. Send UNSUB for each sid.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Sid> {
        let mut expired = Vec::new();
        while self.lingering.front().is_some_and(|(due_ms, _)| *due_ms <= now_ms) {
            let Some((due_ms, sid)) = self.lingering.pop_front() else { break };
            let Some(slot) = slot::find_mut(&mut self.slots, sid) else { continue };
            // A filter that was wanted again, and perhaps left again, has another due time.
            if slot.idle_until_ms == Some(due_ms) {
                self.forget(sid);
                expired.push(sid);
            }
        }
        expired
    }

    /// The NATS connection is gone: nothing stands any more.
    pub fn interrupt(&mut self) {
        self.proving.clear();
        for (_, slot) in &mut self.slots {
            slot.interrupted |= slot.state == State::Live;
            slot.state = State::New;
        }
    }

    /// The NATS connection is back: what to SUB again, each followed by [`Interest::prove`].
    /// Filters that only linger are forgotten instead.
    pub fn resume(&mut self) -> Vec<(Sid, Filter)> {
        let idle = self.slots.iter().filter(|(_, slot)| slot.idle_until_ms.is_some());
        let idle: Vec<Sid> = idle.map(|(_, slot)| slot.sid).collect();
        idle.into_iter().for_each(|sid| self.forget(sid));
        let wanted = self.slots.iter_mut().map(|(_, slot)| {
            slot.state = State::Proving;
            (slot.sid, slot.filter.clone())
        });
        wanted.collect()
    }

    /// The groups that want a message which came for `sid`. Empty for a sid that is gone, and for
    /// a filter whose gap is still to be told: what comes before that is part of the gap.
    #[must_use]
    pub fn route(&self, sid: Sid) -> &[u32] {
        let tells_gap = |slot: &&Slot| slot.interrupted && slot.admission == Admission::AtProof;
        let slot = slot::find(&self.slots, sid).filter(|slot| !tells_gap(slot));
        slot.map_or(&[], |slot| &slot.groups)
    }

    /// A group of [`Interest::route`], by its index there (the subscription id less one).
    #[must_use]
    pub fn group(&self, index: u32) -> &Group<K> {
        &self.groups[index as usize]
    }

    fn slot_of(&mut self, filter: &Filter) -> u32 {
        if let Some(slot) = self.by_filter.get(filter) {
            return *slot;
        }
        let entry = self.slots.vacant_entry();
        let index = entry.key() as u32;
        self.next_generation = self.next_generation.wrapping_add(1);
        let sid = slot::sid(self.next_generation, index);
        entry.insert(Slot::new(sid, filter.clone()));
        self.by_filter.insert(filter.clone(), index);
        index
    }

    fn group_of(&mut self, slot: u32, wishes: Wishes) -> u32 {
        let wishes = (wishes != Wishes::default()).then(|| Box::new(wishes));
        let Slot { groups, filter, .. } = &mut self.slots[slot as usize];
        let same = groups.iter().find(|index| self.groups[**index as usize].wishes == wishes);
        if let Some(index) = same {
            return *index;
        }
        let naming = if filter.is_wildcard() { Naming::Needed } else { Naming::ByFilter };
        let scope = filter.as_str().split_inclusive('.').take(self.scope_tokens);
        // A filter has at most 255 bytes.
        let scope_bytes = scope.map(str::len).sum::<usize>() as u8;
        let (members, waiting) = (Vec::new(), Vec::new());
        let group = Group { slot, wishes, naming, scope_bytes, members, waiting };
        let index = self.groups.insert(group) as u32;
        groups.push(index);
        index
    }

    fn forget(&mut self, sid: Sid) {
        let slot = self.slots.remove(slot::index(sid));
        self.by_filter.remove(&slot.filter);
    }
}

impl<K> Group<K> {
    /// Who receives the group's frames.
    #[must_use]
    pub fn members(&self) -> &[K] {
        &self.members
    }

    /// Whether the members need each message's subject beside its filter.
    #[must_use]
    pub fn naming(&self) -> Naming {
        self.naming
    }

    /// A message's subject as the members know it.
    #[must_use]
    pub fn shown<'a>(&self, subject: &'a [u8]) -> &'a [u8] {
        subject.get(usize::from(self.scope_bytes)..).unwrap_or_default()
    }

    /// How the group's frames are put on its members' connections.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wishes().map_or(Wire::default(), |wishes| wishes.wire)
    }

    /// What the members want beside the messages as text frames of JSON.
    #[must_use]
    pub fn wishes(&self) -> Option<&Wishes> {
        self.wishes.as_deref()
    }
}
