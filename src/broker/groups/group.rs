//! One consumer group: who is in it, and in which state it is.
//!
//! In: requests of members, with their time. Out: answers, at once or into [`Group::take_answers`]. Pure. Source: `ClassicGroup` and the classic half
//! of `GroupMetadataManager` of Apache Kafka 4.2. How members join is in [`super::joining`], how a generation comes about and what happens by
//! itself in [`super::rebalance`].
//!
//! Two differences on purpose. A member's request that is overtaken by another one of it, or whose member goes away, is answered; Apache Kafka
//! leaves it without an answer. And the members that come into question as leader, or as the next protocol, are taken by name, where Apache
//! Kafka leaves it to a hash table.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    member::{GroupAnswer, Joined, Member, Synced, Ticket, Who, bytes_of},
    offsets::Offsets,
    subscription,
};
use crate::error::ErrorCode;

/// In which state a group is. One that does not exist is `Dead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl GroupState {
    /// The name that ListGroups and DescribeGroups have for it.
    pub(in crate::broker) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// Settings of all groups.
#[derive(Clone, Debug)]
pub(in crate::broker) struct GroupSettings {
    /// `group.initial.rebalance.delay.ms`
    pub(in crate::broker) initial_rebalance_delay_ms: i64,
    /// `group.min.session.timeout.ms`
    pub(in crate::broker) min_session_timeout_ms: i64,
    /// `group.max.session.timeout.ms`
    pub(in crate::broker) max_session_timeout_ms: i64,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self { initial_rebalance_delay_ms: 0, min_session_timeout_ms: 6_000, max_session_timeout_ms: 1_800_000 }
    }
}

impl GroupSettings {
    /// Whether members may have this session timeout.
    pub(in crate::broker) fn allows(&self, session_timeout_ms: i32) -> bool {
        (self.min_session_timeout_ms..=self.max_session_timeout_ms).contains(&session_timeout_ms.into())
    }
}

/// Until when members may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// An empty group waits for more members: for how long this time, and how much longer it may.
    Initial { until_ms: i64, delay_ms: i64, remaining_ms: i64 },
    /// A group waits for its members to join again.
    Rebalance { until_ms: i64 },
}

impl JoinTimer {
    pub(super) fn until_ms(self) -> i64 {
        match self {
            Self::Initial { until_ms, .. } | Self::Rebalance { until_ms } => until_ms,
        }
    }
}

/// A group.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Group {
    pub(in crate::broker) state: GroupState,
    /// Whether the group was empty before it began to prepare.
    pub(super) was_empty: bool,
    pub(in crate::broker) protocol_type: Option<String>,
    pub(in crate::broker) protocol_name: Option<String>,
    pub(super) generation: i32,
    pub(super) leader: Option<String>,
    pub(in crate::broker) members: BTreeMap<String, Member>,
    /// Ids that were given out and have not joined, and until when they may.
    pub(super) pending: BTreeMap<String, i64>,
    pub(super) join_timer: Option<JoinTimer>,
    /// When members that owe a sync are removed.
    pub(super) sync_until_ms: Option<i64>,
    /// Whether somebody joined while an empty group waited for more members.
    pub(super) is_joined: bool,
    pub(super) answers: Vec<(Ticket, GroupAnswer)>,
    /// The topics of the current generation's members, if they are consumers whose subscriptions can be read.
    subscribed: Option<BTreeSet<String>>,
    pub(super) offsets: Offsets,
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            state: GroupState::Empty,
            was_empty: false,
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            join_timer: None,
            sync_until_ms: None,
            is_joined: false,
            answers: Vec::new(),
            subscribed: None,
            offsets: Offsets::default(),
        }
    }

    /// The answers to requests that waited, since the last call.
    pub(super) fn take_answers(&mut self) -> Vec<(Ticket, GroupAnswer)> {
        std::mem::take(&mut self.answers)
    }

    /// Whether the group is more than its name.
    pub(super) fn is_used(&self) -> bool {
        self.state != GroupState::Empty || !self.pending.is_empty() || !self.offsets.is_empty()
    }

    /// Whether a request waits here.
    pub(super) fn holds(&self, ticket: Ticket) -> bool {
        let holds = |member: &Member| [member.joining, member.syncing].contains(&Some(ticket));
        self.members.values().any(holds)
    }

    /// Whether a request may speak for a member (`ClassicGroup.validateMember`).
    pub(super) fn check_member(&self, who: &Who) -> Result<(), ErrorCode> {
        if let Some(instance) = &who.instance {
            match self.static_member(instance) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(id) if *id != who.member => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&who.member) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Whether a request may speak for a member of the current generation.
    pub(super) fn check_generation(&self, who: &Who, generation: i32) -> Result<(), ErrorCode> {
        self.check_member(who)?;
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// The id of the member with this `group.instance.id`.
    pub(super) fn static_member(&self, instance: &str) -> Option<&String> {
        self.members.iter().find(|(_, member)| member.instance.as_deref() == Some(instance)).map(|(id, _)| id)
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// A member is alive.
    pub(super) fn heartbeat(&mut self, now_ms: i64, who: &Who, generation: i32) -> Result<(), ErrorCode> {
        self.check_generation(who, generation)?;
        self.renew(now_ms, &who.member);
        if self.state == GroupState::PreparingRebalance { Err(ErrorCode::REBALANCE_IN_PROGRESS) } else { Ok(()) }
    }

    /// A member was heard of.
    pub(super) fn renew(&mut self, now_ms: i64, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.renew(now_ms);
        }
    }

    /// Members leave. Without an id, the one that has this `group.instance.id` is removed.
    pub(super) fn leave(&mut self, now_ms: i64, settings: &GroupSettings, all: &[Who]) -> Vec<Result<(), ErrorCode>> {
        let left: Vec<_> = all.iter().map(|who| self.remove_leaving(who)).collect();
        if left.iter().any(Result::is_ok) {
            match self.state {
                GroupState::Stable | GroupState::CompletingRebalance => self.rebalance(now_ms, settings),
                GroupState::PreparingRebalance => self.complete_if_joined(now_ms),
                GroupState::Empty => {}
            }
        }
        left
    }

    fn remove_leaving(&mut self, who: &Who) -> Result<(), ErrorCode> {
        let id = match &who.instance {
            _ if self.pending.contains_key(&who.member) => &who.member,
            Some(instance) if who.member.is_empty() => {
                &self.static_member(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?.clone()
            }
            _ => {
                self.check_member(who)?;
                &who.member
            }
        };
        self.remove(id);
        Ok(())
    }

    /// Removes a member, or an id that has not joined.
    pub(super) fn remove(&mut self, id: &str) {
        if let Some(member) = self.members.remove(id) {
            self.answer_joining(member.joining, || Joined::refused(ErrorCode::UNKNOWN_MEMBER_ID, ""));
            self.answer_syncing(member.syncing, || Synced::refused(ErrorCode::UNKNOWN_MEMBER_ID));
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.remove(id);
    }

    pub(super) fn answer_joining(&mut self, ticket: Option<Ticket>, answer: impl FnOnce() -> Joined) {
        self.answers.extend(ticket.map(|ticket| (ticket, GroupAnswer::Joined(answer()))));
    }

    pub(super) fn answer_syncing(&mut self, ticket: Option<Ticket>, answer: impl FnOnce() -> Synced) {
        self.answers.extend(ticket.map(|ticket| (ticket, GroupAnswer::Synced(answer()))));
    }

    /// The protocol that most members like best, of those that all know (`ClassicGroup.selectProtocol`).
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().find(|protocol| self.all_know(&protocol.name));
            if let Some(vote) = vote {
                let count = votes.entry(&vote.name).or_default();
                *count = count.saturating_add(1);
            }
        }
        let most = votes.values().max().copied();
        votes.into_iter().find(|(_, count)| Some(*count) == most).map(|(name, _)| name.to_owned())
    }

    pub(super) fn all_know(&self, protocol: &str) -> bool {
        self.members.values().all(|member| member.knows(protocol))
    }

    /// Looks up what the current generation's members subscribe to (`ClassicGroup.computeSubscribedTopics`).
    pub(super) fn learn_subscriptions(&mut self) {
        let protocol = self.protocol_name.as_deref();
        let topics = |member: &Member| subscription::topics(&member.metadata(protocol));
        let all: Option<Vec<_>> = self.members.values().map(topics).collect();
        self.subscribed = all.filter(|_| self.is_of_consumers()).map(|all| all.into_iter().flatten().collect());
    }

    fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    /// Whether offsets may be committed (`ClassicGroup.validateOffsetCommit`).
    pub(super) fn check_commit(&self, who: &Who, generation: i32) -> Result<(), ErrorCode> {
        let is_empty = self.state == GroupState::Empty;
        if generation < 0 && is_empty {
            return Ok(());
        }
        if generation >= 0 || *who != Who::default() {
            self.check_generation(who, generation)?;
        } else if !is_empty {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if self.state == GroupState::CompletingRebalance { Err(ErrorCode::REBALANCE_IN_PROGRESS) } else { Ok(()) }
    }

    /// Whether what is committed may be deleted at all.
    pub(super) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.state == GroupState::Empty || self.is_of_consumers() { Ok(()) } else { Err(ErrorCode::NON_EMPTY_GROUP) }
    }

    /// Whether members read a topic. Of consumers who do not say, it is assumed.
    pub(super) fn reads(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or_else(|| self.is_of_consumers(), |topics| topics.contains(topic))
    }

    /// How much memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let members = self.members.iter().map(|(id, member)| id.len().saturating_add(member.bytes()));
        let pending = self.pending.keys().map(|id| id.len().saturating_add(bytes_of(&[])));
        members.chain(pending).fold(size_of::<Self>(), usize::saturating_add).saturating_add(self.offsets.bytes())
    }
}
