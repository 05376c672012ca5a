//! Consumer groups, as their coordinator keeps them.
//!
//! In: requests of members, with their time. Out: answers; a request that has to wait is answered when it is looked at again. Pure. Source:
//! `GroupCoordinatorService` and `GroupMetadataManager` of Apache Kafka 4.2, with `group.coordinator.rebalance.protocols=classic`. Layout, each using those
//! before it: `member`, `offsets` and `subscription`, `group`, `rebalance` and `joining`. All nodes share the groups, so a coordinator that takes over knows them whole.
//! Deliberately absent: the protocol of KIP-848, whose clients fall back; offsets that expire.

mod group;
mod joining;
mod member;
mod offsets;
mod rebalance;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::member::{Protocol, bytes_of};
pub(super) use self::{
    group::{Group, GroupSettings, GroupState},
    member::{GroupAnswer, JoinGroup, Joined, Member, SyncGroup, Synced, Ticket, Who},
    offsets::{Commit, Committed, Offsets},
};
use crate::error::ErrorCode;

/// The most groups that there can be. Empty ones give way to new ones.
const MOST_GROUPS: usize = 10_000;
/// The most bytes that all groups together may take.
const MOST_BYTES: usize = 256 << 20;
/// The most answers that are kept for requests that are not looked at again, because their connection is gone.
const MOST_ANSWERS: usize = 10_000;
/// `offsets.topic.num.partitions`: groups are spread over nodes as if their topic had so many.
const PARTITIONS: i32 = 50;

/// All groups of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    settings: GroupSettings,
    groups: BTreeMap<String, Group>,
    /// How much memory they take, about.
    bytes: usize,
    /// Answers to requests that waited.
    answers: BTreeMap<Ticket, GroupAnswer>,
    has_news: bool,
    ids_made: u128,
}

/// How far a request is that may have to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was not seen before.
    New,
    /// It waits. It is to be looked at again at this time, and when another request was handled.
    Held {
        until_ms: i64,
    },
    Done(GroupAnswer),
}

impl Groups {
    pub(super) fn new(settings: GroupSettings) -> Self {
        Self { settings, groups: BTreeMap::new(), bytes: 0, answers: BTreeMap::new(), has_news: false, ids_made: 0 }
    }

    /// Whether a request that waits has got its answer since the last call.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// How far a request to this group is.
    pub(super) fn standing(&mut self, now_ms: i64, group: &str, ticket: Ticket) -> Standing {
        self.advance(now_ms, group);
        if let Some(answer) = self.answers.remove(&ticket) {
            return Standing::Done(answer);
        }
        match self.groups.get(group).filter(|group| group.holds(ticket)) {
            Some(group) => Standing::Held { until_ms: group.next_ms().unwrap_or(i64::MAX) },
            None => Standing::New,
        }
    }

    /// A client joins a group, which is made for it if it has no id yet.
    pub(super) fn join(&mut self, now_ms: i64, ticket: Ticket, join: &JoinGroup) {
        self.advance(now_ms, &join.group);
        let takes = bytes_of(&join.protocols).saturating_add(join.client_id.len()).saturating_add(join.group.len());
        let refused = if !join.member.is_empty() && !self.groups.contains_key(&join.group) {
            Some(Joined::refused(ErrorCode::UNKNOWN_MEMBER_ID, &*join.member))
        } else if !self.has_room(takes) {
            Some(Joined::refused(ErrorCode::UNKNOWN_SERVER_ERROR, ""))
        } else if !self.make_room_for(&join.group) {
            Some(Joined::refused(ErrorCode::GROUP_MAX_SIZE_REACHED, ""))
        } else {
            None
        };
        if let Some(refused) = refused {
            self.answers.insert(ticket, GroupAnswer::Joined(refused));
            return;
        }
        let new_id = self.new_id(join.instance.as_ref().unwrap_or(&join.client_id));
        self.make(&join.group);
        self.change(&join.group, |group, settings| group.join(now_ms, settings, ticket, join, new_id));
        self.advance(now_ms, &join.group);
    }

    /// A member asks for its part.
    pub(super) fn sync(&mut self, now_ms: i64, ticket: Ticket, sync: &SyncGroup) {
        self.advance(now_ms, &sync.group);
        let takes = sync.assignments.iter().map(|(_, part)| part.len()).fold(0, usize::saturating_add);
        let may_grow = self.has_room(takes);
        let taken = self.change(&sync.group, |group, settings| group.sync(now_ms, settings, ticket, sync, may_grow));
        if taken.is_none() {
            let refused = Synced::refused(ErrorCode::UNKNOWN_MEMBER_ID);
            self.answers.insert(ticket, GroupAnswer::Synced(refused));
        }
        self.advance(now_ms, &sync.group);
    }

    /// A member is alive.
    pub(super) fn heartbeat(&mut self, now_ms: i64, id: &str, who: &Who, generation: i32) -> Result<(), ErrorCode> {
        self.advance(now_ms, id);
        self.groups.get_mut(id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?.heartbeat(now_ms, who, generation)
    }

    /// Members leave; for each, whether it did.
    pub(super) fn leave(&mut self, now_ms: i64, id: &str, all: &[Who]) -> Vec<Result<(), ErrorCode>> {
        self.advance(now_ms, id);
        let left = self.change(id, |group, settings| group.leave(now_ms, settings, all));
        self.advance(now_ms, id);
        left.unwrap_or_else(|| all.iter().map(|_| Err(ErrorCode::UNKNOWN_MEMBER_ID)).collect())
    }

    /// A client commits offsets. One that names no generation makes the group if there is none.
    pub(super) fn commit(
        &mut self,
        now_ms: i64,
        id: &str,
        who: &Who,
        generation: i32,
        commits: Vec<Commit>,
    ) -> Result<(), ErrorCode> {
        self.advance(now_ms, id);
        match self.groups.get(id) {
            Some(group) => group.check_commit(who, generation)?,
            None if generation >= 0 => return Err(ErrorCode::GROUP_ID_NOT_FOUND),
            None => {}
        }
        if !self.make_room_for(id) {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        if !self.has_room(commits.iter().map(Commit::bytes).fold(id.len(), usize::saturating_add)) {
            return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
        }
        self.make(id);
        self.change(id, |group, _| {
            if [GroupState::Stable, GroupState::PreparingRebalance].contains(&group.state) {
                group.renew(now_ms, &who.member);
            }
            commits.into_iter().for_each(|commit| group.offsets.commit(commit));
        });
        Ok(())
    }

    /// A group has no members, and has committed this and nothing else. Without offsets there is no group.
    pub(super) fn restore(&mut self, id: &str, commits: Vec<Commit>) {
        if let Some(group) = self.groups.remove(id) {
            self.bytes = self.bytes.saturating_sub(size_of_group(id, &group));
        }
        if commits.is_empty() {
            return;
        }
        self.make(id);
        self.change(id, |group, _| {
            commits.into_iter().for_each(|commit| group.offsets.commit(commit));
        });
    }

    /// What a group has committed.
    pub(super) fn offsets(&self, id: &str) -> Option<&Offsets> {
        Some(&self.groups.get(id)?.offsets)
    }

    /// Whether what a group has committed may be deleted at all.
    pub(super) fn check_offset_delete(&mut self, now_ms: i64, id: &str) -> Result<(), ErrorCode> {
        self.advance(now_ms, id);
        self.groups.get(id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?.check_offset_delete()
    }

    /// Deletes what a group has committed for a partition.
    pub(super) fn delete_offset(&mut self, id: &str, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        let deleted = self.change(id, |group, _| {
            if group.reads(topic) {
                return Err(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
            }
            group.offsets.remove(topic, partition);
            Ok(())
        });
        deleted.unwrap_or(Err(ErrorCode::GROUP_ID_NOT_FOUND))
    }

    /// A topic is deleted, so nothing is committed for it any more.
    pub(super) fn forget_topic(&mut self, topic: &str) {
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.change(&id, |group, _| group.offsets.forget(topic));
        }
    }

    /// Deletes a group without members.
    pub(super) fn delete(&mut self, now_ms: i64, id: &str) -> Result<(), ErrorCode> {
        self.advance(now_ms, id);
        let group = self.groups.get(id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        if group.state != GroupState::Empty {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        self.bytes = self.bytes.saturating_sub(size_of_group(id, group));
        self.groups.remove(id);
        Ok(())
    }

    pub(super) fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// All groups, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    /// Lets everything happen that is due.
    pub(super) fn advance_all(&mut self, now_ms: i64) {
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.advance(now_ms, &id);
        }
    }

    /// Lets everything happen in a group that is due, and takes its answers.
    pub(super) fn advance(&mut self, now_ms: i64, id: &str) {
        let advanced = self.change(id, |group, settings| {
            group.advance(now_ms, settings);
            group.take_answers()
        });
        let answers = advanced.unwrap_or_default();
        self.has_news |= !answers.is_empty();
        self.answers.extend(answers);
        while self.answers.len() > MOST_ANSWERS {
            self.answers.pop_first();
        }
    }

    /// Makes a group if there is none of this name.
    fn make(&mut self, id: &str) {
        if !self.groups.contains_key(id) {
            let group = Group::new();
            self.bytes = self.bytes.saturating_add(size_of_group(id, &group));
            self.groups.insert(id.to_owned(), group);
        }
    }

    /// Does something with a group that may change how much memory it takes.
    fn change<T>(&mut self, id: &str, change: impl FnOnce(&mut Group, &GroupSettings) -> T) -> Option<T> {
        let group = self.groups.get_mut(id)?;
        let before = group.bytes();
        let changed = change(group, &self.settings);
        self.bytes = self.bytes.saturating_add(group.bytes()).saturating_sub(before);
        Some(changed)
    }

    fn has_room(&self, takes: usize) -> bool {
        takes == 0 || self.bytes.saturating_add(takes) <= MOST_BYTES
    }

    /// Whether there can be a group of this name, if need be in place of those that nobody uses.
    fn make_room_for(&mut self, id: &str) -> bool {
        if self.groups.len() < MOST_GROUPS || self.groups.contains_key(id) {
            return true;
        }
        self.groups.retain(|_, group| group.is_used());
        self.bytes = self.groups.iter().map(|(id, group)| size_of_group(id, group)).fold(0, usize::saturating_add);
        self.groups.len() < MOST_GROUPS
    }

    /// A member's id. Apache Kafka draws it; here the same steps give the same ids.
    fn new_id(&mut self, prefix: &str) -> String {
        self.ids_made = self.ids_made.wrapping_add(1);
        format!("{prefix}-{:032x}", u128::from_be_bytes(*b"milena member\0\0\0").wrapping_add(self.ids_made))
    }
}

fn size_of_group(id: &str, group: &Group) -> usize {
    id.len().saturating_add(group.bytes())
}

/// What a member says of itself for each protocol, copied out of its request.
pub(super) fn protocols<'a>(all: impl Iterator<Item = (&'a str, &'a Bytes)>) -> Vec<Protocol> {
    all.map(|(name, metadata)| Protocol { name: name.to_owned(), metadata: Bytes::copy_from_slice(metadata) }).collect()
}

/// The partition of the groups' topic whose leader coordinates a group (`GroupCoordinatorService.partitionFor`).
pub(super) fn partition_of(group: &str) -> usize {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    let positive = hash.checked_abs().unwrap_or(0);
    usize::try_from(positive.checked_rem(PARTITIONS).unwrap_or(0)).unwrap_or(0)
}
