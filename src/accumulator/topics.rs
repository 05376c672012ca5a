//! The topics that records can be appended to, and the state of those that callers wait for.
//!
//! In: the sender's metadata. Out: a [`Route`] for each record, and the state of a topic, which is read once a batch or
//! less. Pure but for being awaited. A change costs as much as what changes, however many topics there are. Callers
//! that wait are woken once a metadata response ([`announce`](Topics::announce)). A partition keeps its slot for ever:
//! a topic that vanishes from metadata and returns finds its queues, and in the sender its sequence numbers, unchanged.
//! Deliberately absent: brokers.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::{Notify, futures::Notified};

use super::{
    compressing::CompressionQueue,
    partition::PartitionQueue,
    routes::{Route, Routes},
};
use crate::{cluster::PartitionMetadata, delivery::Origin, error::ErrorCode};

/// A topic that can be appended to. A change replaces it.
#[derive(Debug)]
pub(crate) struct ReadyTopic {
    /// The queues, by partition number.
    pub(crate) partitions: Box<[Arc<PartitionQueue>]>,
    /// The leaders, by partition number.
    pub(crate) leaders: Box<[PartitionMetadata]>,
}

/// What the producer knows of a topic.
#[derive(Clone, Debug)]
pub(crate) enum TopicState {
    /// Records can be appended.
    Ready(Arc<ReadyTopic>),
    /// Metadata was requested. The last response, if there was one, had this error.
    Awaited(Option<ErrorCode>),
    /// The cluster refused the topic.
    Refused(ErrorCode),
}

/// The topics that the producer knows. The sender holds the lock only while it changes one topic.
#[derive(Debug, Default)]
pub(crate) struct KnownTopics {
    states: HashMap<Arc<str>, TopicState, foldhash::fast::RandomState>,
    /// Why metadata cannot be had from any broker, if that is so.
    pub(crate) metadata_failure: Option<MetadataFailure>,
    /// The ids of the brokers in the client's rack, if racks count.
    near: Arc<BTreeSet<i32>>,
}

/// Why metadata cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataFailure {
    pub(crate) code: ErrorCode,
    pub(crate) why: Arc<str>,
    /// Whether waiting does not help: somebody has to act.
    pub(crate) is_final: bool,
}

impl KnownTopics {
    /// The state of a topic.
    pub(crate) fn topic(&self, name: &str) -> Option<&TopicState> {
        self.states.get(name)
    }
}

/// All topics of the producer.
#[derive(Debug)]
pub(crate) struct Topics {
    compressing: Arc<CompressionQueue>,
    routes: Routes,
    known: RwLock<KnownTopics>,
    registry: Mutex<Registry>,
    changed: Notify,
    /// How many metadata responses there have been.
    responses: AtomicU64,
}

/// The partitions by slot, and the topics that callers want. Not used for each record.
#[derive(Debug, Default)]
struct Registry {
    /// By slot.
    partitions: Vec<Arc<PartitionQueue>>,
    wanted: BTreeSet<Arc<str>>,
}

impl Topics {
    pub(super) fn new(compressing: Arc<CompressionQueue>) -> Self {
        let (routes, known, registry, responses) = Default::default();
        Self { compressing, routes, known, registry, changed: Notify::new(), responses }
    }

    /// The topics that the producer knows. The sender cannot change them while the caller holds the guard.
    pub(crate) fn known(&self) -> RwLockReadGuard<'_, KnownTopics> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of the brokers in the client's rack; none if racks do not count.
    pub(crate) fn near(&self) -> Arc<BTreeSet<i32>> {
        Arc::clone(&self.known().near)
    }

    pub(crate) fn set_near(&self, near: BTreeSet<i32>) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).near = Arc::new(near);
    }

    /// A copy of the state of a topic.
    pub(crate) fn state(&self, name: &str) -> Option<TopicState> {
        self.known().topic(name).cloned()
    }

    /// The route of a topic that is ready, and how many partitions it has. Always inlined, because a call takes a
    /// fiftieth of an append.
    #[inline(always)]
    pub(crate) fn ready(&self, name: &str) -> Option<(&Route, usize)> {
        let route = self.routes.get(name)?;
        Some((route, route.count())).filter(|(_, count)| *count > 0)
    }

    /// Completes at the next change. The caller gets it before it looks at a state, so that no change is missed.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Has the sender request a topic's metadata. Returns false if the topic is on its list already.
    pub(crate) fn want(&self, name: &str) -> bool {
        let mut registry = self.registry();
        !registry.wanted.contains(name) && registry.wanted.insert(Arc::from(name))
    }

    /// The topics that callers wanted since the last call.
    pub(crate) fn take_wanted(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.registry().wanted)
    }

    /// The partition at a slot.
    pub(crate) fn partition(&self, slot: u32) -> Option<Arc<PartitionQueue>> {
        self.registry().partitions.get(usize::try_from(slot).ok()?).cloned()
    }

    /// The slots of a topic's partitions from `number` on, including those that are closed now.
    pub(crate) fn partitions_from(&self, name: &str, number: usize) -> Vec<u32> {
        let route = self.routes.get(name);
        let of = |number| route?.partition(i32::try_from(number).ok()?);
        (number..).map_while(of).map(|partition| partition.slot).collect()
    }

    /// All partitions by slot, including those that are closed now.
    pub(crate) fn partitions(&self) -> Vec<Arc<PartitionQueue>> {
        self.registry().partitions.clone()
    }

    /// Makes a topic ready with as many partitions as there are leaders. Adds those that are new.
    /// [`announce`](Self::announce) wakes the callers that wait.
    pub(super) fn publish(&self, name: &Arc<str>, leaders: &[PartitionMetadata], seed: u64) -> Arc<ReadyTopic> {
        let route = self.routes.get(name);
        let of = |number| match route.and_then(|route| route.partition(number)) {
            Some(known) => Arc::clone(known),
            None => self.add(Origin { topic: Arc::clone(name), partition: number }),
        };
        let partitions = (0..).zip(leaders).map(|(number, _)| of(number)).collect();
        let topic = Arc::new(ReadyTopic { partitions, leaders: leaders.into() });
        self.routes.open(name, &topic.partitions, seed);
        self.set(name, Some(TopicState::Ready(Arc::clone(&topic))));
        topic
    }

    /// Adds a partition with a new slot.
    fn add(&self, origin: Origin) -> Arc<PartitionQueue> {
        let mut registry = self.registry();
        let slot = u32::try_from(registry.partitions.len()).unwrap_or(u32::MAX);
        let partition = Arc::new(PartitionQueue::new(slot, origin, Arc::clone(&self.compressing)));
        registry.partitions.push(Arc::clone(&partition));
        partition
    }

    /// Changes the state of a topic; `None` removes it. [`announce`](Self::announce) wakes the callers that wait.
    pub(crate) fn set(&self, name: &Arc<str>, state: Option<TopicState>) {
        if !matches!(state, Some(TopicState::Ready(_))) {
            self.routes.close(name);
        }
        let mut known = self.change();
        match state {
            Some(state) => drop(known.states.insert(Arc::clone(name), state)),
            None => drop(known.states.remove(name)),
        }
    }

    /// Marks a topic as awaited, if nothing is known of it.
    pub(crate) fn expect(&self, name: &Arc<str>) {
        self.change().states.entry(Arc::clone(name)).or_insert(TopicState::Awaited(None));
    }

    /// Sets or clears why metadata cannot be had. Callers that wait look at it at once if waiting does not help.
    pub(crate) fn set_metadata_failure(&self, metadata_failure: Option<MetadataFailure>) {
        if self.known().metadata_failure == metadata_failure {
            return;
        }
        let is_final = metadata_failure.as_ref().is_some_and(|failure| failure.is_final);
        self.change().metadata_failure = metadata_failure;
        if is_final {
            self.announce();
        }
    }

    fn change(&self) -> RwLockWriteGuard<'_, KnownTopics> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many metadata responses there have been.
    pub(crate) fn responses(&self) -> u64 {
        self.responses.load(Relaxed)
    }

    /// Counts a metadata response, and wakes all callers that wait for a change.
    pub(crate) fn answered(&self) {
        self.responses.fetch_add(1, Relaxed);
        self.announce();
    }

    /// Wakes all callers that wait for a change.
    pub(crate) fn announce(&self) {
        self.changed.notify_waiters();
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
