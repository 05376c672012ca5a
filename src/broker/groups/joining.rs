//! How members join a group.
//!
//! In: a [`JoinGroup`], with its time. Out: an answer, now or when the group's members are complete. Pure. Source: `classicGroupJoinToClassicGroup` of
//! `GroupMetadataManager` of Apache Kafka 4.2; KIP-345 (static members), KIP-394 (ids before joining), KIP-814 (leaders that skip sharing out).

use super::{
    group::{Group, GroupSettings, GroupState},
    member::{JoinGroup, Joined, Member, Synced, Ticket, Who},
};
use crate::error::ErrorCode;

/// The most members of a group, with those that have not joined yet. Apache Kafka's `group.max.size` has no limit.
pub(super) const MOST_MEMBERS: usize = 1_000;
/// For how long the first join of a member may wait (`classicGroupNewMemberJoinTimeoutMs`).
const NEW_MEMBER_MS: i64 = 300_000;

impl Group {
    /// A client joins. If it has no id yet, it gets `new_id`.
    pub(super) fn join(
        &mut self,
        now_ms: i64,
        settings: &GroupSettings,
        ticket: Ticket,
        join: &JoinGroup,
        new_id: String,
    ) {
        let refuse = |group: &mut Self, code, id: &str| {
            group.answer_joining(Some(ticket), || Joined::refused(code, id));
        };
        let is_pending = self.pending.contains_key(&join.member);
        if !is_pending && !self.members.contains_key(&join.member) && self.is_full() {
            return refuse(self, ErrorCode::GROUP_MAX_SIZE_REACHED, "");
        }
        if !self.supports(join) {
            return refuse(self, ErrorCode::INCONSISTENT_GROUP_PROTOCOL, &join.member);
        }
        match &join.instance {
            Some(_) if is_pending => refuse(self, ErrorCode::UNKNOWN_SERVER_ERROR, ""),
            Some(instance) if join.member.is_empty() => match self.static_member(instance).cloned() {
                Some(old_id) => self.join_in_place(now_ms, settings, ticket, join, &old_id, &new_id),
                None => self.add(now_ms, settings, ticket, join, new_id),
            },
            None if join.member.is_empty() && join.needs_id => {
                let until_ms = now_ms.saturating_add(join.session_timeout_ms.into());
                self.pending.insert(new_id.clone(), until_ms);
                refuse(self, ErrorCode::MEMBER_ID_REQUIRED, &new_id);
            }
            None if join.member.is_empty() => self.add(now_ms, settings, ticket, join, new_id),
            None if is_pending => self.add(now_ms, settings, ticket, join, join.member.clone()),
            instance => {
                let who = Who { member: join.member.clone(), instance: instance.clone() };
                match self.check_member(&who) {
                    Ok(()) => self.join_again(now_ms, settings, ticket, join),
                    Err(code) => refuse(self, code, &join.member),
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.members.len().saturating_add(self.pending.len()) >= MOST_MEMBERS
    }

    /// Whether a client speaks as all members do (`ClassicGroup.supportsProtocols`).
    fn supports(&self, join: &JoinGroup) -> bool {
        if self.state == GroupState::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&join.protocol_type)
            && join.protocols.iter().any(|protocol| self.all_know(&protocol.name))
    }

    fn add(&mut self, now_ms: i64, settings: &GroupSettings, ticket: Ticket, join: &JoinGroup, id: String) {
        if self.state == GroupState::PreparingRebalance && self.was_empty {
            self.is_joined = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        let expires_ms = Some(now_ms.saturating_add(NEW_MEMBER_MS));
        let member = Member { joining: Some(ticket), expires_ms, ..Member::new(join) };
        self.leader.get_or_insert_with(|| id.clone());
        self.pending.remove(&id);
        self.members.insert(id, member);
        self.rebalance(now_ms, settings);
    }

    /// A member joins again. In a group that is complete this is only a repetition, unless something has changed or the leader asks.
    fn join_again(&mut self, now_ms: i64, settings: &GroupSettings, ticket: Ticket, join: &JoinGroup) {
        let id = &join.member;
        let is_same = self.members.get(id).is_some_and(|member| member.protocols == join.protocols);
        let is_leader = self.is_leader(id);
        match self.state {
            GroupState::CompletingRebalance if is_same => {
                let joined = self.joined(id, is_leader);
                self.answer_joining(Some(ticket), || joined);
            }
            GroupState::Stable if is_same && !is_leader => {
                let joined = self.joined(id, false);
                self.answer_joining(Some(ticket), || joined);
            }
            _ => {
                self.update(ticket, id, join);
                self.rebalance(now_ms, settings);
            }
        }
    }

    /// A member takes over what another request of it says, and waits for an answer to that.
    fn update(&mut self, ticket: Ticket, id: &str, join: &JoinGroup) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.update(join);
        let overtaken = member.joining.replace(ticket);
        self.answer_joining(overtaken, || Joined::refused(ErrorCode::REBALANCE_IN_PROGRESS, id));
    }

    /// A static member joins without its id, after a restart: it takes the place of what it was (KIP-345).
    fn join_in_place(
        &mut self,
        now_ms: i64,
        settings: &GroupSettings,
        ticket: Ticket,
        join: &JoinGroup,
        old_id: &str,
        new_id: &str,
    ) {
        let old_leader = self.leader.clone().unwrap_or_default();
        self.replace(now_ms, old_id, new_id);
        self.update(ticket, new_id, join);
        match self.state {
            GroupState::Stable if self.select_protocol() == self.protocol_name => {
                let is_leader = self.is_leader(new_id);
                let joined = if join.may_skip {
                    Joined { skips_assignment: is_leader, ..self.joined(new_id, is_leader) }
                } else {
                    Joined { leader: old_leader, ..self.joined(new_id, false) }
                };
                let joining = self.members.get_mut(new_id).and_then(|member| member.joining.take());
                self.answer_joining(joining, || joined);
            }
            // The old id may already be in what the leader shares out, so everybody has to join again.
            GroupState::Stable | GroupState::CompletingRebalance => self.rebalance(now_ms, settings),
            GroupState::PreparingRebalance | GroupState::Empty => self.complete_if_joined(now_ms),
        }
    }

    /// Gives a member another id. Who still has the old one is fenced.
    fn replace(&mut self, now_ms: i64, old_id: &str, new_id: &str) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        self.answer_joining(member.joining.take(), || Joined::refused(ErrorCode::FENCED_INSTANCE_ID, old_id));
        self.answer_syncing(member.syncing.take(), || Synced::refused(ErrorCode::FENCED_INSTANCE_ID));
        member.is_new = false;
        member.renew(now_ms);
        if self.is_leader(old_id) {
            self.leader = Some(new_id.to_owned());
        }
        self.members.insert(new_id.to_owned(), member);
    }

    /// What a member of the current generation is told of it.
    pub(super) fn joined(&self, id: &str, with_members: bool) -> Joined {
        let protocol = self.protocol_name.as_deref();
        let told = |(id, member): (&String, &Member)| {
            (Who { member: id.clone(), instance: member.instance.clone() }, member.metadata(protocol))
        };
        Joined {
            code: ErrorCode::NONE,
            member: id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skips_assignment: false,
            members: if with_members { self.members.iter().map(told).collect() } else { Vec::new() },
        }
    }
}
