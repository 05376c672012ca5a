//! When metadata are requested, and what a response changes.
//!
//! In: topics that callers want, responses, hints. Out: what to request, and a new [`Cluster`]. Pure. One response never takes
//! anything away from a topic that is known: an error, a leader epoch that is older than the known one, a topic without
//! partitions or with fewer, all leave it as it was ([`weigh`]). A request without a response is soon repeated to another
//! broker; the first response counts. Deliberately absent: connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::backoff::{Backoff, Chance, PATIENCE};
use crate::{
    cluster::{Broker, Cluster, PartitionMetadata, TopicMetadata},
    error::ErrorCode,
    wire::apis::metadata::{ClusterView, TopicView},
};

/// So many responses in a row that contradict what is known of a topic without an id are believed: the topic was created anew.
const CONVINCING: u32 = 3;
/// With an id it is the same topic, whose leader epochs only rise. But what is known may have been a lie, or the cluster was restored
/// from what it was before; then nothing else would ever be believed.
const OVERWHELMING: u32 = 10;

/// How often to request metadata.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `metadata.max.age.ms`.
    pub(crate) max_age: Duration,
    /// `metadata.max.idle.ms`: a topic that was not used for so long is not requested any more.
    pub(crate) max_idle: Duration,
    /// `retry.backoff.ms` and its maximum: between responses that changed nothing.
    pub(crate) backoff: Backoff,
}

/// What is known of the cluster, and what is to be requested.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) cluster: Arc<Cluster>,
    /// When the last useful response came, or when the producer was made.
    pub(crate) last_success: Instant,
    /// The number of the last request. A repetition of it to another broker has the same.
    pub(crate) request: u64,
    policy: Policy,
    /// Topics to request, and when each was last used.
    topics: BTreeMap<Arc<str>, Instant>,
    /// Topics of which no response has said anything, and whether the last request names them. They are requested alone (KIP-526).
    new: BTreeMap<Arc<str>, bool>,
    /// Topics whose last responses contradicted what is known of them, and how many did in a row.
    contradicted: BTreeMap<Arc<str>, u32>,
    /// When to request all topics; `None` while the response for all is on its way.
    full_at: Option<Instant>,
    /// Not to request before this moment.
    not_before: Instant,
    /// How many brokers have the last request and have not responded; none once the first response is here.
    pending: usize,
    last_requested: Option<Instant>,
    /// Responses in a row that changed nothing.
    unchanged: u32,
}

/// What a response changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Topics whose partitions are known now.
    pub(crate) topics: Vec<TopicChange>,
    /// Topics of which the response says nothing, and the broker's reason. Those that were known still are.
    pub(crate) missing: Vec<(Arc<str>, ErrorCode)>,
    /// Whether something is known now that was not.
    is_progress: bool,
    /// Whether a topic has to be requested again soon.
    is_unsettled: bool,
}

/// What a response changed of one topic.
#[derive(Debug, Default)]
pub(crate) struct TopicChange {
    pub(crate) topic: Arc<str>,
    /// Whether it was created anew: leader epochs start again.
    pub(crate) recreated: bool,
    /// Partitions for which the response has an older leader epoch than is known.
    pub(crate) stale: BTreeSet<usize>,
}

impl Metadata {
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            cluster: Arc::default(),
            last_success: now,
            request: 0,
            policy,
            topics: BTreeMap::new(),
            new: BTreeMap::new(),
            contradicted: BTreeMap::new(),
            full_at: Some(now),
            not_before: now,
            pending: 0,
            last_requested: None,
            unchanged: 0,
        }
    }

    /// A caller wants a topic.
    pub(crate) fn want(&mut self, topic: &Arc<str>, now: Instant) {
        if self.topics.insert(Arc::clone(topic), now).is_none() {
            self.new.insert(Arc::clone(topic), false);
            (self.unchanged, self.not_before) = (0, now);
        } else if !self.cluster.topics.contains_key(topic) {
            // Another caller wants it: the backoff starts again, but does not end.
            let soonest = self.last_requested.map_or(now, |requested| requested + self.policy.backoff.initial);
            (self.unchanged, self.not_before) = (1, self.not_before.min(soonest));
            self.refresh(now);
        }
    }

    /// A topic that is known is used.
    pub(crate) fn touch(&mut self, topic: &Arc<str>, now: Instant) {
        match self.topics.get_mut(topic) {
            Some(used) => *used = now,
            None => self.want(topic, now),
        }
    }

    /// What is known has proved wrong: request it soon.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |at| at.min(now)));
    }

    /// When to request metadata, or to repeat a request to another broker if it has no response until then.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.pending > 0 {
            return self.last_requested.map(|at| at + PATIENCE);
        }
        let at = if self.new.is_empty() { self.full_at? } else { self.not_before };
        Some(at.max(self.not_before))
    }

    /// Whether a new request is due for all topics, and not for new ones alone.
    pub(crate) fn is_full_due(&self, now: Instant) -> bool {
        self.pending == 0 && (self.full_at.is_some_and(|at| at <= now) || self.new.is_empty())
    }

    /// The topics to request now. They are on their way from here on. A repetition names all, of which there may be more by now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let (repeated, full) = (self.pending > 0, self.is_full_due(now));
        if full {
            self.full_at = None;
        }
        self.request += u64::from(!repeated);
        (self.pending, self.last_requested) = (self.pending + 1, Some(now));
        self.new.values_mut().for_each(|requested| *requested = true);
        if full || repeated { self.topics.keys().cloned().collect() } else { self.new.keys().cloned().collect() }
    }

    /// This request has no response of one broker.
    pub(crate) fn failed(&mut self, request: u64, now: Instant, chance: &mut Chance) {
        if request == self.request && self.pending > 0 {
            self.pending -= 1;
            if self.pending == 0 {
                self.retry(now, chance);
            }
        }
    }

    fn retry(&mut self, now: Instant, chance: &mut Chance) {
        self.refresh(now);
        self.wait(now, chance);
    }

    /// Nothing changed: wait before the next request, longer each time.
    fn wait(&mut self, now: Instant, chance: &mut Chance) {
        self.unchanged = self.unchanged.saturating_add(1);
        self.not_before = now + self.policy.backoff.delay(self.unchanged, chance);
    }

    /// Starts again from nothing but the topics that are wanted (KIP-899). A wait that has begun goes on: a broker that
    /// requires this each time must not be sent requests without pause.
    pub(crate) fn rebootstrap(&mut self, now: Instant) {
        Arc::make_mut(&mut self.cluster).brokers.clear();
        (self.pending, self.full_at, self.last_success) = (0, Some(now), now);
    }

    /// Takes over the first response to a request. Later ones, of other brokers to the same request, are stale by now. `None` if the
    /// response is of no use.
    pub(crate) fn apply(
        &mut self,
        request: u64,
        response: ClusterView,
        now: Instant,
        chance: &mut Chance,
    ) -> Option<Changes> {
        if request != self.request || std::mem::take(&mut self.pending) == 0 {
            return None;
        }
        if response.brokers.is_empty() {
            self.retry(now, chance);
            return None;
        }
        let is_new_topic_unrequested = self.new.values().any(|requested| !requested);
        let changes = self.take_over(response);
        self.settle(&changes);
        self.last_success = now;
        if self.full_at.is_none() {
            self.full_at = Some(now + self.policy.max_age);
        }
        if changes.is_progress {
            self.unchanged = 0;
        }
        if changes.is_unsettled {
            self.refresh(now);
        }
        if is_new_topic_unrequested {
            // As Java: a topic that was wanted meanwhile does not wait for a backoff.
            self.not_before = now;
        } else {
            // Also after progress: where leaders flap, each response is new.
            self.wait(now, chance);
        }
        Some(changes)
    }

    fn take_over(&mut self, response: ClusterView) -> Changes {
        let mut changes = Changes::default();
        let cluster = Arc::make_mut(&mut self.cluster);
        let brokers = response.brokers.into_iter().map(|broker| (broker.id, broker)).collect();
        changes.is_progress |= std::mem::replace(&mut cluster.brokers, brokers) != cluster.brokers;
        changes.is_progress |= std::mem::replace(&mut cluster.cluster_id, response.cluster_id) != cluster.cluster_id;
        for topic in response.topics.into_iter().filter(|topic| self.topics.contains_key(&topic.name)) {
            take_over_topic(cluster, &mut self.contradicted, topic, &mut changes);
        }
        changes
    }

    /// Topics that a response was about are not new any more.
    fn settle(&mut self, changes: &Changes) {
        for change in &changes.topics {
            self.new.remove(&change.topic);
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
        let is_idle = |topic: &Arc<str>, used: &mut Instant| {
            now.saturating_duration_since(*used) >= self.policy.max_idle && !busy(topic)
        };
        self.topics.extract_if(.., is_idle).map(|(topic, _)| topic).collect()
    }

    /// Takes over a hint of who leads a partition (KIP-951), if it is strictly newer and its broker is known. Returns whether
    /// it did. All topics are requested all the same.
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

/// What one response makes of one topic. For `stale` partitions it has an older leader epoch than is known.
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
    let Some(got) = by_number(&response.partitions) else { return silent };
    let is_whole = got.keys().copied().eq(0..got.len());
    let anew = || TopicMetadata { id: response.id, partitions: got.values().copied().collect() };
    let Some(known) = known else {
        return if is_whole { Weighed::Merged { topic: anew(), stale: BTreeSet::new() } } else { silent };
    };
    let has_ids = !known.id.is_nil() && !response.id.is_nil();
    if has_ids && known.id != response.id {
        return if is_whole { Weighed::Anew(anew()) } else { silent };
    }
    let id = if response.id.is_nil() { known.id } else { response.id };
    let topic = TopicMetadata { id, partitions: merge(&known.partitions, &got, is_whole) };
    let stale = stale(&known.partitions, &got);
    let is_less = !has_ids && got.len() < known.partitions.len();
    if is_whole && (is_less || !stale.is_empty()) {
        let enough = if has_ids { OVERWHELMING } else { CONVINCING };
        return Weighed::Contradicts { if_late: topic, stale, if_anew: anew(), enough };
    }
    Weighed::Merged { topic, stale }
}

/// The partitions of a response by number. `None` if there are none, or one has a number that cannot be.
fn by_number(response: &[(i32, i32, i32)]) -> Option<BTreeMap<usize, PartitionMetadata>> {
    let partition = |&(number, leader, leader_epoch): &(i32, i32, i32)| {
        let leader = (leader >= 0).then_some(leader);
        Some((usize::try_from(number).ok()?, PartitionMetadata { leader, leader_epoch }))
    };
    response.iter().map(partition).collect::<Option<BTreeMap<_, _>>>().filter(|got| !got.is_empty())
}

/// The partitions for which a response has an older epoch than is known.
fn stale(known: &[PartitionMetadata], got: &BTreeMap<usize, PartitionMetadata>) -> BTreeSet<usize> {
    let is_stale =
        |(number, got): &(&usize, &PartitionMetadata)| known.get(**number).is_some_and(|known| is_older(**got, *known));
    got.iter().filter(is_stale).map(|(number, _)| *number).collect()
}

/// A broker that sends no epochs is believed.
fn is_older(got: PartitionMetadata, known: PartitionMetadata) -> bool {
    got.leader_epoch >= 0 && got.leader_epoch < known.leader_epoch
}

/// What is known of a topic's partitions, with what a response says of them. One that leaves partitions out adds none: to hash
/// keys over them would put records where they do not belong.
fn merge(
    known: &[PartitionMetadata],
    got: &BTreeMap<usize, PartitionMetadata>,
    is_whole: bool,
) -> Vec<PartitionMetadata> {
    let count = if is_whole { got.len().max(known.len()) } else { known.len() };
    let unknown = PartitionMetadata { leader: None, leader_epoch: -1 };
    let partition = |number: usize| match (got.get(&number), known.get(number)) {
        (Some(got), Some(known)) if is_older(*got, *known) => *known,
        (Some(got), known) => {
            let leader_epoch = known.map_or(got.leader_epoch, |known| known.leader_epoch.max(got.leader_epoch));
            PartitionMetadata { leader: got.leader, leader_epoch }
        }
        (None, known) => known.copied().unwrap_or(unknown),
    };
    (0..count).map(partition).collect()
}

/// Takes over what a response says of one topic.
fn take_over_topic(
    cluster: &mut Cluster,
    contradicted: &mut BTreeMap<Arc<str>, u32>,
    response: TopicView,
    changes: &mut Changes,
) {
    let known = cluster.topics.get(&response.name);
    let (topic, stale, recreated, late) = match weigh(known, &response) {
        Weighed::Nothing(code) => {
            changes.is_unsettled |= known.is_some() || !is_refusal(code);
            return changes.missing.push((response.name, code));
        }
        Weighed::Merged { topic, stale } => (topic, stale, false, false),
        Weighed::Anew(topic) => (topic, BTreeSet::new(), true, false),
        Weighed::Contradicts { if_late, stale, if_anew, enough } => {
            let times = contradicted.entry(Arc::clone(&response.name)).or_default();
            *times += 1;
            if *times < enough { (if_late, stale, false, true) } else { (if_anew, BTreeSet::new(), true, false) }
        }
    };
    if !late {
        contradicted.remove(&response.name);
    }
    changes.is_unsettled |= late || topic.partitions.iter().any(|partition| partition.leader.is_none());
    changes.is_progress |= known != Some(&topic);
    changes.topics.push(TopicChange { topic: Arc::clone(&response.name), recreated, stale });
    cluster.topics.insert(response.name, topic);
}
