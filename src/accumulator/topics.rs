//! The topics that records can be appended to, and what those who wait for one must know.
//!
//! In: what the sender learnt of the cluster. Out: a [`Route`] for each record, and a snapshot of everything for whoever has
//! to know more. Pure but for being awaited. A partition keeps its slot for life, whatever metadata says meanwhile: a topic that vanishes and returns finds
//! its queue, and in the sender its sequence numbers, as they were. Deliberately absent: brokers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::{ArcSwap, Guard};
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

/// A snapshot.
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
    known: ArcSwap<Known>,
    registry: Mutex<Registry>,
    changed: Notify,
}

/// Touched when a topic is asked for or changes, never by a record.
#[derive(Debug, Default)]
struct Registry {
    /// By slot.
    partitions: Vec<Arc<Partition>>,
    wanted: Vec<Arc<str>>,
}

impl Topics {
    pub(super) fn new(compressing: Arc<Compressing>) -> Self {
        Self {
            compressing,
            routes: Routes::default(),
            known: ArcSwap::default(),
            registry: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The current snapshot.
    pub(crate) fn known(&self) -> Guard<Arc<Known>> {
        self.known.load()
    }

    /// The way to a topic that can be appended to, and how many partitions it has.
    #[inline]
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
        let new = !registry.wanted.iter().any(|wanted| &**wanted == name);
        if new {
            registry.wanted.push(Arc::from(name));
        }
        new
    }

    /// The topics that were asked for since the last call.
    pub(crate) fn take_wanted(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.registry().wanted)
    }

    /// The partition of a slot.
    pub(crate) fn partition(&self, slot: u32) -> Option<Arc<Partition>> {
        self.registry().partitions.get(usize::try_from(slot).ok()?).cloned()
    }

    /// All partitions that ever were, by slot.
    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.registry().partitions.clone()
    }

    /// Makes a topic ready with so many partitions, made where they are new.
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

    /// Changes what is known of a topic; `None` forgets it.
    pub(crate) fn set(&self, name: &Arc<str>, state: Option<TopicState>) {
        if !matches!(state, Some(TopicState::Ready(_))) {
            self.routes.close(name);
        }
        self.update(|known| match state {
            Some(state) => drop(known.states.insert(Arc::clone(name), state)),
            None => drop(known.states.remove(name)),
        });
    }

    /// Changes what keeps the producer from asking the cluster.
    pub(crate) fn set_trouble(&self, trouble: Option<Arc<str>>) {
        if self.known().trouble != trouble {
            self.update(|known| known.trouble = trouble);
        }
    }

    fn update(&self, change: impl FnOnce(&mut Known)) {
        let _one_at_a_time = self.registry();
        let now = self.known.load();
        let mut next = Known { states: now.states.clone(), trouble: now.trouble.clone() };
        change(&mut next);
        self.known.store(Arc::new(next));
        self.announce();
    }

    /// Has all who wait look again.
    pub(super) fn announce(&self) {
        self.changed.notify_waiters();
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
