//! The way from a topic's name to its partitions, looked up once for each record.
//!
//! In: the topics that are ready, from the sender. Out: a [`Route`], found with a few reads, without a lock or a
//! reference count: counting a shared snapshot costs half as much as encoding a record. So nothing is ever removed: the
//! tree of topics only grows, and so do the partitions of a topic. A topic that is not ready any more keeps its route,
//! with no partition open. Pure. Deliberately absent: leaders and all else that changes, see [`super::topics`].

use std::{
    hash::BuildHasher,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::partition::PartitionQueue;
use crate::record::partition::Sticky;

/// The tree's branches at the root, and at each node below.
const ROOTS: u64 = 64;
const FORKS: u64 = 4;

/// A topic's partitions, for the callers that append.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// The partition for records without a key.
    pub(crate) sticky: Sticky,
    /// How many partitions can be appended to; 0 while the topic is not ready.
    open: AtomicUsize,
    partitions: PartitionList,
}

/// Partitions by number, followed by those that were added later.
#[derive(Debug)]
struct PartitionList {
    partitions: Box<[Arc<PartitionQueue>]>,
    more: OnceLock<Box<Self>>,
}

/// The routes of all topics that were ever ready.
#[derive(Debug)]
pub(super) struct Routes {
    roots: [Branch; ROOTS as usize],
    hasher: foldhash::fast::RandomState,
}

/// The place of a topic in the tree, empty until the topic is added.
type Branch = OnceLock<Box<TreeNode>>;

#[derive(Debug)]
struct TreeNode {
    hash: u64,
    route: Route,
    forks: [Branch; FORKS as usize],
}

impl Default for Routes {
    fn default() -> Self {
        Self { roots: std::array::from_fn(|_| Branch::new()), hasher: foldhash::fast::RandomState::default() }
    }
}

impl Routes {
    /// The route of a topic that was ever ready.
    #[inline]
    pub(super) fn get(&self, topic: &str) -> Option<&Route> {
        self.find(topic, |branch, _| branch.get())
    }

    /// Opens exactly these partitions of a topic. The partitions that the topic had before come first, in the same
    /// order. `seed` seeds the choice of partitions of a new topic.
    pub(super) fn open(&self, topic: &Arc<str>, partitions: &[Arc<PartitionQueue>], seed: u64) {
        let node = |hash| {
            let (name, sticky, partitions) = (Arc::clone(topic), Sticky::new(seed), PartitionList::new(partitions));
            let route = Route { name, sticky, open: AtomicUsize::new(0), partitions };
            Box::new(TreeNode { hash, route, forks: Default::default() })
        };
        if let Some(route) = self.find(topic, |branch, hash| Some(branch.get_or_init(|| node(hash)))) {
            route.partitions.extend(partitions);
            route.open.store(partitions.len(), Ordering::Release);
        }
    }

    /// Closes all partitions of a topic.
    pub(super) fn close(&self, topic: &str) {
        if let Some(route) = self.get(topic) {
            route.open.store(0, Ordering::Release);
        }
    }

    /// Descends the tree to the place of `topic`. `look` returns the node there, and may add it.
    #[inline]
    fn find<'a>(
        &'a self,
        topic: &str,
        look: impl Fn(&'a Branch, u64) -> Option<&'a Box<TreeNode>>,
    ) -> Option<&'a Route> {
        let hash = self.hasher.hash_one(topic);
        let (mut branch, mut rest) = (&self.roots[(hash % ROOTS) as usize], hash / ROOTS);
        loop {
            let node = look(branch, hash)?;
            if node.hash == hash && same(&node.route.name, topic) {
                return Some(&node.route);
            }
            (branch, rest) = (&node.forks[(rest % FORKS) as usize], rest / FORKS);
        }
    }
}

/// Whether two names are equal. Most names are short, and for those a call of the general comparison takes longer than
/// this.
#[inline]
fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    match a.len() {
        len if len != b.len() => false,
        4..=8 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        9..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        _ => a == b,
    }
}

impl Route {
    /// How many partitions can be appended to; at least one if the topic is ready.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// A partition. It may have been closed since the count was read.
    #[inline]
    pub(crate) fn partition(&self, number: i32) -> Option<&Arc<PartitionQueue>> {
        self.partitions.get(usize::try_from(number).ok()?)
    }
}

impl PartitionList {
    fn new(partitions: &[Arc<PartitionQueue>]) -> Self {
        Self { partitions: partitions.into(), more: OnceLock::new() }
    }

    #[inline]
    fn get(&self, number: usize) -> Option<&Arc<PartitionQueue>> {
        match self.partitions.get(number) {
            None => self.more.get()?.get(number - self.partitions.len()),
            known => known,
        }
    }

    /// Adds the partitions that are not here yet.
    fn extend(&self, partitions: &[Arc<PartitionQueue>]) {
        if let Some(later @ [_, ..]) = partitions.get(self.partitions.len()..) {
            self.more.get_or_init(|| Box::new(Self::new(later))).extend(later);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accumulator::CompressionQueue, delivery::Origin, wire::compression::Method};

    fn partitions(topic: &Arc<str>, slots: std::ops::Range<u32>) -> Vec<Arc<PartitionQueue>> {
        let compressing = CompressionQueue::new(Method::NONE);
        let origin = Origin { topic: Arc::clone(topic), partition: 0 };
        slots.map(|slot| Arc::new(PartitionQueue::new(slot, origin.clone(), Arc::clone(&compressing)))).collect()
    }

    fn open(routes: &Routes, topic: &str, slots: std::ops::Range<u32>) {
        let topic = Arc::from(topic);
        routes.open(&topic, &partitions(&topic, slots), 1);
    }

    fn slots(routes: &Routes, topic: &str) -> Vec<u32> {
        let route = routes.get(topic).unwrap();
        (0..).map_while(|number| route.partition(number)).map(|partition| partition.slot).collect()
    }

    #[test]
    fn each_of_thousands_of_topics_is_found_and_no_other() {
        let routes = Routes::default();
        let name = |number: u32| format!("topic-{number}");
        (0..3_000).for_each(|number| open(&routes, &name(number), number..number + 1));
        assert!((0..3_000).all(|number| slots(&routes, &name(number)) == [number]));
        assert!((3_000..6_000).all(|number| routes.get(&name(number)).is_none()));
    }

    #[test]
    fn names_of_any_length_are_the_same_only_if_every_byte_is() {
        let name = "abcdefghijklmnopqrst";
        for len in 0..name.len() {
            let name = &name[..len];
            assert!(same(name, &String::from(name)));
            assert!(!same(name, &format!("{name}x")) && !same(&format!("{name}x"), name));
            for position in 0..len {
                let mut other = name.to_owned();
                other.replace_range(position..=position, "X");
                assert!(!same(name, &other), "{name} and {other}");
            }
        }
    }

    #[test]
    fn partitions_that_are_added_stand_behind_those_that_were_there() {
        let routes = Routes::default();
        open(&routes, "orders", 0..2);
        for more in [3, 7, 7] {
            open(&routes, "orders", 0..more);
            assert_eq!(slots(&routes, "orders"), (0..more).collect::<Vec<_>>());
        }
        assert_eq!(routes.get("orders").map(Route::count), Some(7));
        assert!(routes.get("orders").unwrap().partition(-1).is_none());
    }

    #[test]
    fn a_topic_that_comes_back_with_fewer_partitions_has_only_those_open() {
        let routes = Routes::default();
        open(&routes, "orders", 0..3);
        open(&routes, "orders", 0..2);
        assert_eq!(routes.get("orders").map(Route::count), Some(2));
    }

    #[test]
    fn a_closed_topic_has_no_partition_open_until_it_is_opened_again() {
        let routes = Routes::default();
        routes.close("orders");
        assert!(routes.get("orders").is_none());
        open(&routes, "orders", 0..3);
        routes.close("orders");
        assert_eq!(routes.get("orders").map(Route::count), Some(0));
        open(&routes, "orders", 0..3);
        assert_eq!(routes.get("orders").map(Route::count), Some(3));
    }
}
