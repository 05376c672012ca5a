//! How a generation of a group comes about, and what happens in a group by itself.
//!
//! In: a group whose members join, ask for their part, or are not heard of any more; the time. Out: a group in its next state, and answers. Pure. Source:
//! `GroupMetadataManager` of Apache Kafka 4.2 (`prepareRebalance`, `completeClassicGroupJoin`, `classicGroupSyncToClassicGroup`). A timer runs out when
//! it is looked at, so an answer may be due by a timer that ran out some time ago; then the time is that of the look.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    group::{Group, GroupSettings, GroupState, JoinTimer},
    member::{GroupAnswer, SyncGroup, Synced, Ticket},
};
use crate::error::ErrorCode;

/// What is due next in a group.
enum Due<'a> {
    Pending(&'a String),
    Member(&'a String),
    Join(JoinTimer),
    Sync,
}

impl Group {
    /// When something happens by itself.
    pub(super) fn next_ms(&self) -> Option<i64> {
        self.timers().map(|(at_ms, _)| at_ms).min()
    }

    fn timers(&self) -> impl Iterator<Item = (i64, Due<'_>)> {
        let pending = self.pending.iter().map(|(id, until_ms)| (*until_ms, Due::Pending(id)));
        let members = self.members.iter().filter_map(|(id, member)| Some((member.expires_ms?, Due::Member(id))));
        let join = self.join_timer.map(|timer| (timer.until_ms(), Due::Join(timer)));
        let sync = self.sync_until_ms.map(|until_ms| (until_ms, Due::Sync));
        pending.chain(members).chain(join).chain(sync)
    }

    /// Lets everything happen that is due.
    pub(super) fn advance(&mut self, now_ms: i64, settings: &GroupSettings) {
        while let Some((at_ms, due)) = self.timers().min_by_key(|(at_ms, _)| *at_ms)
            && at_ms <= now_ms
        {
            match due {
                Due::Pending(id) => self.expire_pending(now_ms, &id.clone()),
                Due::Member(id) => self.expire_member(now_ms, settings, &id.clone()),
                Due::Join(timer) => self.end_joining(now_ms, settings, timer),
                Due::Sync => self.expire_syncs(now_ms, settings),
            }
        }
    }

    fn expire_pending(&mut self, now_ms: i64, id: &str) {
        self.remove(id);
        if self.state == GroupState::PreparingRebalance && self.all_joined() {
            self.complete_join(now_ms);
        }
    }

    fn expire_member(&mut self, now_ms: i64, settings: &GroupSettings, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.expires_ms = None;
        if member.waits() {
            return;
        }
        self.remove(id);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.rebalance(now_ms, settings),
            GroupState::PreparingRebalance if self.all_joined() => self.complete_join(now_ms),
            GroupState::PreparingRebalance | GroupState::Empty => {}
        }
    }

    fn end_joining(&mut self, now_ms: i64, settings: &GroupSettings, timer: JoinTimer) {
        match timer {
            JoinTimer::Initial { delay_ms, remaining_ms, .. } if self.is_joined && remaining_ms > 0 => {
                self.is_joined = false;
                let next_ms = settings.initial_rebalance_delay_ms.min(remaining_ms);
                self.join_timer = Some(JoinTimer::Initial {
                    until_ms: now_ms.saturating_add(next_ms),
                    delay_ms: next_ms,
                    remaining_ms: remaining_ms.saturating_sub(delay_ms).max(0),
                });
            }
            JoinTimer::Initial { .. } | JoinTimer::Rebalance { .. } => self.complete_join(now_ms),
        }
    }

    /// Members that did not ask for their part are removed, and the others have to join again.
    fn expire_syncs(&mut self, now_ms: i64, settings: &GroupSettings) {
        self.sync_until_ms = None;
        let late: Vec<_> =
            self.members.iter().filter(|(_, member)| member.owes_sync).map(|(id, _)| id.clone()).collect();
        if late.is_empty() {
            return;
        }
        late.iter().for_each(|id| self.remove(id));
        self.prepare(now_ms, settings);
    }

    /// Begins a rebalance, or completes the one that is under way.
    pub(super) fn rebalance(&mut self, now_ms: i64, settings: &GroupSettings) {
        if self.state == GroupState::PreparingRebalance {
            self.complete_if_joined(now_ms);
        } else {
            self.prepare(now_ms, settings);
        }
    }

    fn prepare(&mut self, now_ms: i64, settings: &GroupSettings) {
        if self.state == GroupState::CompletingRebalance {
            self.cancel_syncs(now_ms, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.members.values_mut().for_each(|member| member.owes_sync = false);
        self.sync_until_ms = None;
        self.was_empty = self.state == GroupState::Empty;
        self.state = GroupState::PreparingRebalance;
        if self.was_empty {
            let delay_ms = settings.initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            let until_ms = now_ms.saturating_add(delay_ms);
            self.join_timer = Some(JoinTimer::Initial { until_ms, delay_ms, remaining_ms });
        } else if self.all_joined() {
            self.complete_join(now_ms);
        } else {
            let until_ms = now_ms.saturating_add(self.rebalance_timeout_ms());
            self.join_timer = Some(JoinTimer::Rebalance { until_ms });
        }
    }

    /// Completes a rebalance if all members have joined. The first one of an empty group waits for its time.
    pub(super) fn complete_if_joined(&mut self, now_ms: i64) {
        if self.state == GroupState::PreparingRebalance && !self.was_empty && self.all_joined() {
            self.complete_join(now_ms);
        }
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// The next generation begins with those who have joined. Static members may be absent for a while.
    fn complete_join(&mut self, now_ms: i64) {
        self.join_timer = None;
        let absent = self.members.iter().filter(|(_, member)| member.joining.is_none() && member.instance.is_none());
        let absent: Vec<_> = absent.map(|(id, _)| id.clone()).collect();
        absent.iter().for_each(|id| self.remove(id));
        if !self.elect() && !self.members.is_empty() {
            // Nobody has joined: their sessions end, or somebody comes.
            let until_ms = now_ms.saturating_add(self.rebalance_timeout_ms().max(1));
            self.join_timer = Some(JoinTimer::Rebalance { until_ms });
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.protocol_name = self.select_protocol();
        self.learn_subscriptions();
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            return;
        }
        self.state = GroupState::CompletingRebalance;
        self.sync_until_ms = Some(now_ms.saturating_add(self.rebalance_timeout_ms()));
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let joined = self.joined(&id, self.is_leader(&id));
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.renew(now_ms);
            (member.is_new, member.owes_sync) = (false, true);
            let joining = member.joining.take();
            self.answer_joining(joining, || joined);
        }
    }

    /// Whether there is a leader that has joined. If the last one has not, another one takes its place.
    fn elect(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(has_joined) {
            let Some(next) = self.members.keys().find(|id| has_joined(id)).cloned() else { return false };
            self.leader = Some(next);
        }
        true
    }

    /// A member asks for its part. It waits until the leader has shared out.
    pub(super) fn sync(
        &mut self,
        now_ms: i64,
        settings: &GroupSettings,
        ticket: Ticket,
        sync: &SyncGroup,
        may_grow: bool,
    ) {
        let id = &sync.who.member;
        if let Err(code) = self.check_sync(sync) {
            return self.answer_syncing(Some(ticket), || Synced::refused(code));
        }
        let is_stable = self.state == GroupState::Stable;
        let Some(member) = self.members.get_mut(id) else { return };
        member.owes_sync = false;
        let overtaken = member.syncing.replace(ticket);
        self.answer_syncing(overtaken, || Synced::refused(ErrorCode::REBALANCE_IN_PROGRESS));
        if self.members.values().all(|member| !member.owes_sync) {
            self.sync_until_ms = None;
        }
        if is_stable {
            self.hand_out(now_ms);
        } else if self.is_leader(id) && !may_grow {
            self.cancel_syncs(now_ms, ErrorCode::UNKNOWN_SERVER_ERROR);
            self.rebalance(now_ms, settings);
        } else if self.is_leader(id) {
            let mut parts: BTreeMap<&String, &Bytes> = sync.assignments.iter().map(|(id, part)| (id, part)).collect();
            for (id, member) in &mut self.members {
                member.assignment = parts.remove(id).cloned().unwrap_or_default();
            }
            self.state = GroupState::Stable;
            self.hand_out(now_ms);
        }
    }

    fn check_sync(&self, sync: &SyncGroup) -> Result<(), ErrorCode> {
        self.check_generation(&sync.who, sync.generation)?;
        let differs = |asked: &Option<String>, own: &Option<String>| {
            asked.as_ref().zip(own.as_ref()).is_some_and(|(asked, own)| asked != own)
        };
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol_name, &self.protocol_name) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if self.state == GroupState::PreparingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// Every member that waits for its part gets it.
    fn hand_out(&mut self, now_ms: i64) {
        for member in self.members.values_mut() {
            let Some(ticket) = member.syncing.take() else { continue };
            member.renew(now_ms);
            let synced = Synced {
                code: ErrorCode::NONE,
                protocol_type: self.protocol_type.clone(),
                protocol_name: self.protocol_name.clone(),
                assignment: member.assignment.clone(),
            };
            self.answers.push((ticket, GroupAnswer::Synced(synced)));
        }
    }

    /// Nothing is shared out, and those who wait for their part are told why.
    fn cancel_syncs(&mut self, now_ms: i64, code: ErrorCode) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(ticket) = member.syncing.take() {
                member.renew(now_ms);
                self.answers.push((ticket, GroupAnswer::Synced(Synced::refused(code))));
            }
        }
    }
}
