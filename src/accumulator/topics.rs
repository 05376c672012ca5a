//! The topics that records can be appended to, and what those who wait for one must know.
//!
//! In: what the sender learnt of the cluster. Out: a [`Route`] for each record, and all that is known of a topic for whoever
//! has to know more, once a batch or less. Pure but for being awaited. A change costs as much as what changes, however many
//! topics there are; those who wait are told of it once an answer ([`announce`](Topics::announce)). A partition keeps its slot for life, whatever metadata says meanwhile: a topic that vanishes and returns finds
//! its queue, and in the sender its sequence numbers, as they were. Deliberately absent: brokers.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::{Notify, futures::Notified};

use super::{
    compressing::Compressing,
    partition::Partition,
    routes::{Route, Routes},
};
use crate::{cluster, delivery::Origin, error::ErrorCode};

/// One topic. Immutable: a change makes a new one.
#[derive(Debug)]
pub(crate) struct Topic {
    /// By partition number.
    pub(crate) partitions: Box<[Arc<Partition>]>,
    /// Their leaders, by partition number.
    pub(crate) leaders: Box<[cluster::Partition]>,
}

/// What is known of a topic.
#[derive(Clone, Debug)]
pub(crate) enum TopicState {
    /// It can be appended to.
    Ready(Arc<Topic>),
    /// It was asked for; the last answer, if any, was this.
    Awaited(Option<ErrorCode>),
    /// The cluster refuses it.
    Refused(ErrorCode),
}

type States = HashMap<Arc<str>, TopicState, foldhash::fast::RandomState>;

/// What is known. Read under a lock that the sender takes for as long as it changes one topic.
#[derive(Debug, Default)]
pub(crate) struct Known {
    states: States,
    /// What keeps the producer from asking the cluster, if anything.
    pub(crate) trouble: Option<Arc<str>>,
}

impl Known {
    /// What is known of a topic.
    pub(crate) fn topic(&self, name: &str) -> Option<&TopicState> {
        self.states.get(name)
    }
}

/// All topics.
#[derive(Debug)]
pub(crate) struct Topics {
    compressing: Arc<Compressing>,
    routes: Routes,
    known: RwLock<Known>,
    registry: Mutex<Registry>,
    changed: Notify,
}

/// Touched when a topic is asked for or changes, never by a record.
#[derive(Debug, Default)]
struct Registry {
    /// By slot.
    partitions: Vec<Arc<Partition>>,
    wanted: BTreeSet<Arc<str>>,
}

impl Topics {
    pub(super) fn new(compressing: Arc<Compressing>) -> Self {
        Self {
            compressing,
            routes: Routes::default(),
            known: RwLock::default(),
            registry: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// What is known now. The sender waits for who holds it.
    pub(crate) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a topic now.
    pub(crate) fn state(&self, name: &str) -> Option<TopicState> {
        self.known().topic(name).cloned()
    }

    /// The way to a topic that can be appended to, and how many partitions it has. To call it would take a fiftieth of what
    /// appending a record does.
    #[inline(always)]
    pub(crate) fn ready(&self, name: &str) -> Option<(&Route, usize)> {
        let route = self.routes.get(name)?;
        Some((route, route.count())).filter(|(_, count)| *count > 0)
    }

    /// Resolves at the next change. Ask for it before looking.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Has the sender ask the cluster for a topic; false if it has been asked to and did not take note yet.
    pub(crate) fn want(&self, name: &str) -> bool {
        let mut registry = self.registry();
        !registry.wanted.contains(name) && registry.wanted.insert(Arc::from(name))
    }

    /// The topics that were asked for since the last call.
    pub(crate) fn take_wanted(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.registry().wanted)
    }

    /// The partition of a slot.
    pub(crate) fn partition(&self, slot: u32) -> Option<Arc<Partition>> {
        self.registry().partitions.get(usize::try_from(slot).ok()?).cloned()
    }

    /// The slots of a topic's partitions from a number on, of all that it ever had.
    pub(crate) fn partitions_from(&self, name: &str, number: usize) -> Vec<u32> {
        let route = self.routes.get(name);
        let of = |number| route?.partition(i32::try_from(number).ok()?);
        (number..).map_while(of).map(|partition| partition.slot).collect()
    }

    /// All partitions that ever were, by slot.
    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.registry().partitions.clone()
    }

    /// Makes a topic ready with so many partitions, made where they are new. Those who wait are told by
    /// [`announce`](Self::announce).
    pub(super) fn publish(&self, name: &Arc<str>, leaders: &[cluster::Partition], seed: u64) -> Arc<Topic> {
        let route = self.routes.get(name);
        let of = |number| match route.and_then(|route| route.partition(number)) {
            Some(known) => Arc::clone(known),
            None => self.add(Origin { topic: Arc::clone(name), partition: number }),
        };
        let partitions = (0..).zip(leaders).map(|(number, _)| of(number)).collect();
        let topic = Arc::new(Topic { partitions, leaders: leaders.into() });
        self.routes.open(name, &topic.partitions, seed);
        self.set(name, Some(TopicState::Ready(Arc::clone(&topic))));
        topic
    }

    /// Makes a partition, with a slot of its own.
    fn add(&self, origin: Origin) -> Arc<Partition> {
        let mut registry = self.registry();
        let slot = u32::try_from(registry.partitions.len()).unwrap_or(u32::MAX);
        let partition = Arc::new(Partition::new(slot, origin, Arc::clone(&self.compressing)));
        registry.partitions.push(Arc::clone(&partition));
        partition
    }

    /// Changes what is known of a topic; `None` forgets it. Those who wait are told by [`announce`](Self::announce).
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

    /// Takes note that a topic of which nothing is known has been asked for.
    pub(crate) fn expect(&self, name: &Arc<str>) {
        self.change().states.entry(Arc::clone(name)).or_insert(TopicState::Awaited(None));
    }

    /// Changes what keeps the producer from asking the cluster.
    pub(crate) fn set_trouble(&self, trouble: Option<Arc<str>>) {
        if self.known().trouble != trouble {
            self.change().trouble = trouble;
        }
    }

    fn change(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has all who wait look again.
    pub(crate) fn announce(&self) {
        self.changed.notify_waiters();
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
