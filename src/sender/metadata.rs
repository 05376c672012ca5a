//! When to ask for metadata, and what an answer changes.
//!
//! In: topics that somebody wants, answers, hints. Out: what to ask, and a new [`Cluster`]. Pure. An answer never takes
//! anything away from a topic that is known: a leader epoch that is older than the known one, a topic without partitions,
//! a broker that does not know the topic at the moment, all leave it as it was. A question that is not answered soon is put
//! to another broker as well; its first answer counts. Deliberately absent: connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::backoff::{Backoff, Chance};
use crate::{
    cluster::{Broker, Cluster, Partition, Topic},
    error::ErrorCode,
    wire::responses::{MetadataAnswer, TopicAnswer},
};

/// How often to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `metadata.max.age.ms`.
    pub(crate) max_age: Duration,
    /// `metadata.max.idle.ms`: a topic that was not used for so long is not asked for any more.
    pub(crate) max_idle: Duration,
    /// `retry.backoff.ms` and its maximum: between answers that brought nothing new.
    pub(crate) backoff: Backoff,
}

/// What is known of the cluster, and what is to be asked.
#[derive(Debug)]
pub(crate) struct Metadata {
    policy: Policy,
    cluster: Arc<Cluster>,
    /// Topics to ask for, and when each was last used.
    topics: BTreeMap<Arc<str>, Instant>,
    /// Topics that were never answered for: asked for alone (KIP-526).
    new: BTreeSet<Arc<str>>,
    /// When to ask for all topics; `None` while the answer for all is on its way.
    full_at: Option<Instant>,
    /// Not to ask before this moment.
    not_before: Instant,
    /// The number of the last question. Requests that ask the same one of several brokers share it.
    question: u64,
    /// How many requests with it are on their way, none once it was answered.
    asked: usize,
    last_asked: Option<Instant>,
    /// Answers in a row that brought nothing new.
    idle_answers: u32,
    last_success: Instant,
}

/// What an answer changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Topics whose partitions are known now.
    pub(crate) topics: Vec<Arc<str>>,
    /// Topics that were recreated: leader epochs start anew.
    pub(crate) recreated: Vec<Arc<str>>,
    /// Topics that are not known, and the broker's reason.
    pub(crate) missing: Vec<(Arc<str>, ErrorCode)>,
    /// Whether the answer is of no use at all.
    pub(crate) useless: bool,
}

impl Metadata {
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            cluster: Arc::default(),
            topics: BTreeMap::new(),
            new: BTreeSet::new(),
            full_at: Some(now),
            not_before: now,
            question: 0,
            asked: 0,
            last_asked: None,
            idle_answers: 0,
            last_success: now,
        }
    }

    /// What is known.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// When the last useful answer came, or when the producer was made.
    pub(crate) fn last_success(&self) -> Instant {
        self.last_success
    }

    /// Somebody uses a topic.
    pub(crate) fn want(&mut self, topic: &Arc<str>, now: Instant) {
        if self.topics.insert(Arc::clone(topic), now).is_none() {
            self.new.insert(Arc::clone(topic));
            (self.idle_answers, self.not_before) = (0, now);
        } else if !self.cluster.topics.contains_key(topic) {
            // Somebody else asks for it: the backoff starts again, but does not end.
            let soonest = self.last_asked.map_or(now, |asked| asked + self.policy.backoff.initial);
            (self.idle_answers, self.not_before) = (1, self.not_before.min(soonest));
            self.refresh(now);
        }
    }

    /// Somebody uses a topic that is known.
    pub(crate) fn touch(&mut self, topic: &Arc<str>, now: Instant) {
        match self.topics.get_mut(topic) {
            Some(used) => *used = now,
            None => self.want(topic, now),
        }
    }

    /// What is known has proved wrong: ask soon.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |at| at.min(now)));
    }

    /// When to ask, unless a request is on its way.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.asked > 0 {
            return None;
        }
        let at = if self.new.is_empty() { self.full_at? } else { self.not_before };
        Some(at.max(self.not_before))
    }

    /// The topics to ask for now. They are on their way from here on.
    pub(crate) fn ask(&mut self, now: Instant) -> Vec<Arc<str>> {
        let full = self.full_at.is_some_and(|at| at <= now) || self.new.is_empty();
        if full {
            self.full_at = None;
        }
        self.question += 1;
        (self.asked, self.last_asked) = (1, Some(now));
        if full { self.topics.keys().cloned().collect() } else { self.new.iter().cloned().collect() }
    }

    /// When to put the question that is on its way to another broker as well, if it has no answer until then.
    pub(crate) fn again_due(&self, patience: Duration) -> Option<Instant> {
        self.last_asked.filter(|_| self.asked > 0).map(|at| at + patience)
    }

    /// The topics to ask another broker for, of which there may be more by now.
    pub(crate) fn ask_again(&mut self, now: Instant) -> Vec<Arc<str>> {
        (self.asked, self.last_asked) = (self.asked + 1, Some(now));
        self.topics.keys().cloned().collect()
    }

    /// The number of the question that is on its way.
    pub(crate) fn question(&self) -> u64 {
        self.question
    }

    /// A request with this question brought no answer.
    pub(crate) fn failed(&mut self, question: u64, now: Instant, chance: &mut Chance) {
        if question == self.question && self.asked > 0 {
            self.asked -= 1;
            if self.asked == 0 {
                self.refresh(now);
                self.wait(now, chance);
            }
        }
    }

    /// Nothing new: wait before the next request, longer each time.
    fn wait(&mut self, now: Instant, chance: &mut Chance) {
        self.idle_answers = self.idle_answers.saturating_add(1);
        self.not_before = now + self.policy.backoff.delay(self.idle_answers, chance);
    }

    /// Starts again from nothing but the topics that are wanted (KIP-899). A wait that has begun goes on: a broker that
    /// asks for this each time must not be asked without pause.
    pub(crate) fn rebootstrap(&mut self, now: Instant) {
        let known = Cluster { brokers: BTreeMap::new(), ..Cluster::clone(&self.cluster) };
        self.cluster = Arc::new(known);
        (self.asked, self.full_at, self.last_success) = (0, Some(now), now);
    }

    /// Takes over the first answer to a question. Later ones, which other brokers gave to the same question, are stale by now.
    pub(crate) fn apply(
        &mut self,
        question: u64,
        answer: MetadataAnswer,
        now: Instant,
        chance: &mut Chance,
    ) -> Changes {
        if question != self.question || std::mem::take(&mut self.asked) == 0 {
            return Changes { useless: true, ..Changes::default() };
        }
        if answer.brokers.is_empty() {
            self.refresh(now);
            self.wait(now, chance);
            return Changes { useless: true, ..Changes::default() };
        }
        let mut next = Cluster::clone(&self.cluster);
        next.cluster_id = answer.cluster_id;
        next.brokers = answer.brokers.into_iter().map(|broker| (broker.id, broker)).collect();
        let mut changes = Changes::default();
        let mut unsettled = false;
        for topic in answer.topics.into_iter().filter(|topic| self.topics.contains_key(&topic.name)) {
            unsettled |= take_over(&mut next, topic, &mut changes);
        }
        self.settle(&changes);
        self.last_success = now;
        let progress = next != *self.cluster;
        self.cluster = Arc::new(next);
        if self.full_at.is_none() {
            self.full_at = Some(now + self.policy.max_age);
        }
        if progress {
            self.idle_answers = 0;
        }
        if unsettled {
            self.refresh(now);
        }
        // Also after progress: where leaders flap, each answer is new.
        self.wait(now, chance);
        changes
    }

    /// Topics that were answered for are not new any more.
    fn settle(&mut self, changes: &Changes) {
        for topic in &changes.topics {
            self.new.remove(topic);
        }
        for (topic, code) in &changes.missing {
            self.new.remove(topic);
            if !code.retriable() {
                self.topics.remove(topic);
            }
        }
    }

    /// Forgets topics that were not used for `metadata.max.idle.ms`; `busy` says which have batches.
    pub(crate) fn evict_idle(&mut self, now: Instant, busy: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let is_idle = |used: &Instant| now.saturating_duration_since(*used) >= self.policy.max_idle;
        let idle = self.topics.iter().filter(|(topic, used)| is_idle(used) && !busy(topic));
        let idle: Vec<_> = idle.map(|(topic, _)| Arc::clone(topic)).collect();
        for topic in &idle {
            self.topics.remove(topic);
        }
        idle
    }

    /// Takes over a hint of who leads a partition (KIP-951), if it is strictly newer and its broker is known. Says whether
    /// it did. A full answer is asked for all the same.
    pub(crate) fn hint(&mut self, topic: &str, partition: i32, leader: (i32, i32), brokers: &[Broker]) -> bool {
        let Ok(index) = usize::try_from(partition) else { return false };
        let mut next = Cluster::clone(&self.cluster);
        let endpoint = brokers.iter().find(|broker| broker.id == leader.0);
        if let Some(broker) = endpoint {
            next.brokers.insert(broker.id, broker.clone());
        }
        let known = next.brokers.contains_key(&leader.0);
        let Some(slot) = next.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(index)) else {
            return false;
        };
        if !known || leader.1 <= slot.leader_epoch {
            return false;
        }
        *slot = Partition { leader: Some(leader.0), leader_epoch: leader.1 };
        self.cluster = Arc::new(next);
        true
    }
}

/// Takes over what an answer says of one topic. Returns whether it has to be asked again soon.
fn take_over(next: &mut Cluster, topic: TopicAnswer, changes: &mut Changes) -> bool {
    let TopicAnswer { error, name, id, partitions } = topic;
    let known = next.topics.get(&name);
    let same = known.is_none_or(|known| known.id == id || known.id.is_nil() || id.is_nil());
    let old = known.filter(|_| same).map_or(&[][..], |known| &known.partitions);
    let merged = if error == ErrorCode::NONE { merge(old, &partitions) } else { None };
    let Some(merged) = merged else {
        // Error 0 without partitions says nothing: the broker is only just learning of the topic.
        let code = if error == ErrorCode::NONE { ErrorCode::LEADER_NOT_AVAILABLE } else { error };
        next.errors.insert(Arc::clone(&name), code);
        changes.missing.push((name, code));
        return code.retriable();
    };
    if !same {
        changes.recreated.push(Arc::clone(&name));
    }
    let leaderless = merged.iter().any(|partition| partition.leader.is_none());
    let id = if id.is_nil() { known.map_or(id, |known| known.id) } else { id };
    next.errors.remove(&name);
    next.topics.insert(Arc::clone(&name), Topic { id, partitions: merged });
    changes.topics.push(name);
    leaderless
}

/// The partitions by number. `None` if the answer has none, or leaves out some of a topic that is new: to hash keys over
/// them would put records where they do not belong.
fn merge(old: &[Partition], answer: &[(i32, i32, i32)]) -> Option<Vec<Partition>> {
    let mut by_number: BTreeMap<usize, Partition> = BTreeMap::new();
    for &(number, leader, leader_epoch) in answer {
        let number = usize::try_from(number).ok()?;
        by_number.insert(number, Partition { leader: (leader >= 0).then_some(leader), leader_epoch });
    }
    let complete = by_number.keys().copied().eq(0..by_number.len());
    if by_number.is_empty() || (!complete && old.is_empty()) {
        return None;
    }
    let count = if complete { by_number.len().max(old.len()) } else { old.len() };
    let nobody = Partition { leader: None, leader_epoch: -1 };
    let partition = |number: usize| match (by_number.get(&number), old.get(number)) {
        (Some(new), Some(old)) if new.leader_epoch >= 0 && new.leader_epoch < old.leader_epoch => *old,
        (Some(new), Some(old)) => {
            Partition { leader: new.leader, leader_epoch: new.leader_epoch.max(old.leader_epoch) }
        }
        (Some(new), None) => *new,
        (None, old) => old.copied().unwrap_or(nobody),
    };
    Some((0..count).map(partition).collect())
}
