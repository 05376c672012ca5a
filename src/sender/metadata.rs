//! When to ask for metadata, and what a response changes.
//!
//! In: topics that somebody wants, responses, hints. Out: what to ask, and a new [`Cluster`]. Pure. One response never takes
//! anything away from a topic that is known: an error, a leader epoch that is older than the known one, a topic without
//! partitions or with fewer, all leave it as it was ([`weigh`]). A question that is not answered soon is put to another
//! broker as well; its first response counts. Deliberately absent: connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::backoff::{Backoff, Chance};
use crate::{
    cluster::{Broker, Cluster, PartitionMetadata, TopicId, TopicMetadata},
    error::ErrorCode,
    wire::apis::metadata::{ClusterView, TopicView},
};

/// So many responses in a row that contradict what is known of a topic without an id are believed: the topic was created anew.
const CONVINCING: u32 = 3;
/// With an id it is the same topic, whose leader epochs only rise. But what is known may have been a lie, or the cluster was restored
/// from what it was before; then nothing else would ever be believed.
const OVERWHELMING: u32 = 10;

/// How often to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `metadata.max.age.ms`.
    pub(crate) max_age: Duration,
    /// `metadata.max.idle.ms`: a topic that was not used for so long is not asked for any more.
    pub(crate) max_idle: Duration,
    /// `retry.backoff.ms` and its maximum: between responses that brought nothing new.
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
    /// Topics whose last responses contradicted what is known of them, and how many did in a row.
    contradicted: BTreeMap<Arc<str>, u32>,
    /// When to ask for all topics; `None` while the response for all is on its way.
    full_at: Option<Instant>,
    /// Not to ask before this moment.
    not_before: Instant,
    /// The number of the last question. Requests that ask the same one of several brokers share it.
    question: u64,
    /// How many requests with it are on their way, none once it was answered.
    asked: usize,
    last_asked: Option<Instant>,
    /// Responses in a row that brought nothing new.
    idle_answers: u32,
    last_success: Instant,
    /// Whether a new topic is wanted that the question on its way does not name.
    unasked: bool,
}

/// What a response changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Topics whose partitions are known now.
    pub(crate) topics: Vec<Arc<str>>,
    /// Those of them that were created anew: leader epochs start again.
    pub(crate) recreated: BTreeSet<Arc<str>>,
    /// Partitions of which the response told an older leader epoch than is known, by topic.
    pub(crate) stale: BTreeMap<Arc<str>, BTreeSet<usize>>,
    /// Topics of which the response says nothing, and the broker's reason. Those that were known still are.
    pub(crate) missing: Vec<(Arc<str>, ErrorCode)>,
    /// Whether the response is of no use at all.
    pub(crate) useless: bool,
}

impl Metadata {
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            cluster: Arc::default(),
            topics: BTreeMap::new(),
            new: BTreeSet::new(),
            contradicted: BTreeMap::new(),
            full_at: Some(now),
            not_before: now,
            question: 0,
            asked: 0,
            last_asked: None,
            idle_answers: 0,
            last_success: now,
            unasked: false,
        }
    }

    /// What is known.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// When the last useful response came, or when the producer was made.
    pub(crate) fn last_success(&self) -> Instant {
        self.last_success
    }

    /// Somebody uses a topic.
    pub(crate) fn want(&mut self, topic: &Arc<str>, now: Instant) {
        if self.topics.insert(Arc::clone(topic), now).is_none() {
            self.new.insert(Arc::clone(topic));
            (self.idle_answers, self.not_before, self.unasked) = (0, now, true);
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

    /// Whether the next question is for all topics, and not for new ones alone.
    pub(crate) fn asks_for_all(&self, now: Instant) -> bool {
        self.full_at.is_some_and(|at| at <= now) || self.new.is_empty()
    }

    /// The topics to ask for now. They are on their way from here on.
    pub(crate) fn ask(&mut self, now: Instant) -> Vec<Arc<str>> {
        let full = self.asks_for_all(now);
        if full {
            self.full_at = None;
        }
        self.question += 1;
        (self.asked, self.last_asked, self.unasked) = (1, Some(now), false);
        if full { self.topics.keys().cloned().collect() } else { self.new.iter().cloned().collect() }
    }

    /// When to put the question that is on its way to another broker as well, if it has no response until then.
    pub(crate) fn again_due(&self, patience: Duration) -> Option<Instant> {
        self.last_asked.filter(|_| self.asked > 0).map(|at| at + patience)
    }

    /// The topics to ask another broker for, of which there may be more by now.
    pub(crate) fn ask_again(&mut self, now: Instant) -> Vec<Arc<str>> {
        (self.asked, self.last_asked, self.unasked) = (self.asked + 1, Some(now), false);
        self.topics.keys().cloned().collect()
    }

    /// The number of the question that is on its way.
    pub(crate) fn question(&self) -> u64 {
        self.question
    }

    /// A request with this question brought no response.
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
        Arc::make_mut(&mut self.cluster).brokers.clear();
        (self.asked, self.full_at, self.last_success) = (0, Some(now), now);
    }

    /// Takes over the first response to a question. Later ones, which other brokers gave to the same question, are stale by now.
    pub(crate) fn apply(&mut self, question: u64, response: ClusterView, now: Instant, chance: &mut Chance) -> Changes {
        if question != self.question || std::mem::take(&mut self.asked) == 0 {
            return Changes { useless: true, ..Changes::default() };
        }
        if response.brokers.is_empty() {
            self.refresh(now);
            self.wait(now, chance);
            return Changes { useless: true, ..Changes::default() };
        }
        let mut changes = Changes::default();
        let cluster = Arc::make_mut(&mut self.cluster);
        let brokers = response.brokers.into_iter().map(|broker| (broker.id, broker)).collect();
        let mut progress = std::mem::replace(&mut cluster.brokers, brokers) != cluster.brokers;
        progress |= std::mem::replace(&mut cluster.cluster_id, response.cluster_id) != cluster.cluster_id;
        let mut unsettled = false;
        for topic in response.topics.into_iter().filter(|topic| self.topics.contains_key(&topic.name)) {
            let taken = take_over(cluster, &mut self.contradicted, topic, &mut changes);
            (progress, unsettled) = (progress | taken.news, unsettled | taken.unsettled);
        }
        self.settle(&changes);
        self.last_success = now;
        if self.full_at.is_none() {
            self.full_at = Some(now + self.policy.max_age);
        }
        if progress {
            self.idle_answers = 0;
        }
        if unsettled {
            self.refresh(now);
        }
        if std::mem::take(&mut self.unasked) {
            // As Java: a topic that was wanted meanwhile does not wait for a backoff.
            self.not_before = now;
        } else {
            // Also after progress: where leaders flap, each response is new.
            self.wait(now, chance);
        }
        changes
    }

    /// Topics that were answered for are not new any more.
    fn settle(&mut self, changes: &Changes) {
        for topic in &changes.topics {
            self.new.remove(topic);
        }
        for (topic, code) in &changes.missing {
            self.new.remove(topic);
            if is_refusal(*code) && !self.cluster.topics.contains_key(topic) {
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
    /// it did. A full response is asked for all the same.
    pub(crate) fn hint(&mut self, topic: &str, partition: i32, leader: (i32, i32), brokers: &[Broker]) -> bool {
        let Ok(index) = usize::try_from(partition) else { return false };
        let endpoint = brokers.iter().find(|broker| broker.id == leader.0);
        let known = self.cluster.topics.get(topic).and_then(|topic| topic.partitions.get(index));
        let newer = known.is_some_and(|known| leader.1 > known.leader_epoch);
        if !newer || (endpoint.is_none() && !self.cluster.brokers.contains_key(&leader.0)) {
            return false;
        }
        let cluster = Arc::make_mut(&mut self.cluster);
        if let Some(broker) = endpoint {
            cluster.brokers.insert(broker.id, broker.clone());
        }
        let known = cluster.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(index));
        known.map(|known| *known = PartitionMetadata { leader: Some(leader.0), leader_epoch: leader.1 }).is_some()
    }
}

/// Whether a broker's error says that a topic cannot be used as things are, so that waiting for it is of no use: its name is
/// not allowed, or this user may not see it. These are the two that Java's `send` throws at once
/// (`Metadata.maybeThrowExceptionForTopic`). Whatever else a broker says of a topic may be over with the next response, as
/// `INVALID_REPLICATION_FACTOR` is when more brokers have started.
pub(crate) fn is_refusal(code: ErrorCode) -> bool {
    code == ErrorCode::INVALID_TOPIC_EXCEPTION || code == ErrorCode::TOPIC_AUTHORIZATION_FAILED
}

/// What one response makes of one topic. Of `stale` partitions it tells an older leader epoch than is known.
#[derive(Debug, PartialEq, Eq)]
enum Weighed {
    /// What was known, with what the response adds.
    Merged { topic: TopicMetadata, stale: BTreeSet<usize> },
    /// Another topic of the same name: nothing of what was known counts.
    Anew(TopicMetadata),
    /// The response takes back what was known: it is late, or what was known is of no use any more, which is believed when `enough` in a
    /// row say so.
    Contradicts { if_late: TopicMetadata, stale: BTreeSet<usize>, if_anew: TopicMetadata, enough: u32 },
    /// It says nothing of the topic, for this reason.
    Nothing(ErrorCode),
}

/// Weighs what a response says of a topic against what is known of it.
///
/// As in Java (`Metadata.updateLatestMetadata`) the newest leader epoch counts, partition by partition, and a topic with another
/// id is another one (KAFKA-12257). Unlike Java, which forgets a topic with an error or with fewer partitions until the next
/// response, a topic that is known stays as it is.
fn weigh(known: Option<&TopicMetadata>, response: &TopicView) -> Weighed {
    // Error 0 without partitions says nothing: the broker is only just learning of the topic.
    let silent = Weighed::Nothing(ErrorCode::LEADER_NOT_AVAILABLE);
    if response.error != ErrorCode::NONE {
        return Weighed::Nothing(response.error);
    }
    let Some(told) = by_number(&response.partitions) else { return silent };
    let is_whole = told.keys().copied().eq(0..told.len());
    let anew = || TopicMetadata { id: response.id, partitions: told.values().copied().collect() };
    let Some(known) = known else {
        return if is_whole { Weighed::Merged { topic: anew(), stale: BTreeSet::new() } } else { silent };
    };
    let has_ids = !known.id.is_nil() && !response.id.is_nil();
    if has_ids && known.id != response.id {
        return if is_whole { Weighed::Anew(anew()) } else { silent };
    }
    let topic =
        TopicMetadata { id: newer_id(known.id, response.id), partitions: merge(&known.partitions, &told, is_whole) };
    let stale = stale(&known.partitions, &told);
    let is_less = !has_ids && told.len() < known.partitions.len();
    if is_whole && (is_less || !stale.is_empty()) {
        let enough = if has_ids { OVERWHELMING } else { CONVINCING };
        return Weighed::Contradicts { if_late: topic, stale, if_anew: anew(), enough };
    }
    Weighed::Merged { topic, stale }
}

fn newer_id(known: TopicId, told: TopicId) -> TopicId {
    if told.is_nil() { known } else { told }
}

/// The partitions of a response by number. `None` if there are none, or one has a number that cannot be.
fn by_number(response: &[(i32, i32, i32)]) -> Option<BTreeMap<usize, PartitionMetadata>> {
    let partition = |&(number, leader, leader_epoch): &(i32, i32, i32)| {
        let leader = (leader >= 0).then_some(leader);
        Some((usize::try_from(number).ok()?, PartitionMetadata { leader, leader_epoch }))
    };
    response.iter().map(partition).collect::<Option<BTreeMap<_, _>>>().filter(|told| !told.is_empty())
}

/// The partitions of which a response tells an older epoch than is known.
fn stale(known: &[PartitionMetadata], told: &BTreeMap<usize, PartitionMetadata>) -> BTreeSet<usize> {
    let is_stale =
        |(number, known): &(usize, &PartitionMetadata)| told.get(number).is_some_and(|told| is_older(*told, **known));
    known.iter().enumerate().filter(is_stale).map(|(number, _)| number).collect()
}

/// A broker that tells no epochs is believed.
fn is_older(told: PartitionMetadata, known: PartitionMetadata) -> bool {
    told.leader_epoch >= 0 && told.leader_epoch < known.leader_epoch
}

/// What is known of a topic's partitions, with what a response says of them. One that leaves partitions out adds none: to hash
/// keys over them would put records where they do not belong.
fn merge(
    known: &[PartitionMetadata],
    told: &BTreeMap<usize, PartitionMetadata>,
    is_whole: bool,
) -> Vec<PartitionMetadata> {
    let count = if is_whole { told.len().max(known.len()) } else { known.len() };
    let nobody = PartitionMetadata { leader: None, leader_epoch: -1 };
    let partition = |number: usize| match (told.get(&number), known.get(number)) {
        (Some(told), Some(known)) if is_older(*told, *known) => *known,
        (Some(told), Some(known)) => {
            PartitionMetadata { leader: told.leader, leader_epoch: told.leader_epoch.max(known.leader_epoch) }
        }
        (Some(told), None) => *told,
        (None, known) => known.copied().unwrap_or(nobody),
    };
    (0..count).map(partition).collect()
}

/// What taking over a response for one topic came to.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// Whether something is known now that was not.
    news: bool,
    /// Whether the topic has to be asked for again soon.
    unsettled: bool,
}

/// Takes over what a response says of one topic.
fn take_over(
    cluster: &mut Cluster,
    contradicted: &mut BTreeMap<Arc<str>, u32>,
    response: TopicView,
    changes: &mut Changes,
) -> Taken {
    let known = cluster.topics.get(&response.name);
    let (topic, stale, late) = match weigh(known, &response) {
        Weighed::Nothing(code) => {
            let unsettled = known.is_some() || !is_refusal(code);
            changes.missing.push((response.name, code));
            return Taken { news: false, unsettled };
        }
        Weighed::Merged { topic, stale } => (topic, stale, false),
        Weighed::Anew(topic) => {
            changes.recreated.insert(Arc::clone(&response.name));
            (topic, BTreeSet::new(), false)
        }
        Weighed::Contradicts { if_late, stale, if_anew, enough } => {
            let times = contradicted.entry(Arc::clone(&response.name)).or_default();
            *times += 1;
            if *times < enough {
                (if_late, stale, true)
            } else {
                changes.recreated.insert(Arc::clone(&response.name));
                (if_anew, BTreeSet::new(), false)
            }
        }
    };
    if !late {
        contradicted.remove(&response.name);
    }
    if !stale.is_empty() {
        changes.stale.insert(Arc::clone(&response.name), stale);
    }
    let leaderless = topic.partitions.iter().any(|partition| partition.leader.is_none());
    let news = known != Some(&topic);
    changes.topics.push(Arc::clone(&response.name));
    cluster.topics.insert(response.name, topic);
    Taken { news, unsettled: leaderless || late }
}
