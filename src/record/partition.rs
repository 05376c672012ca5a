//! The choice of a record's partition.
//!
//! In: a record, the partitions of its topic, random numbers that the caller seeds. Out: a partition. Pure. The order is that of Java:
//! the record's own partition, else a custom [`Partitioner`], else the key's hash over all partitions, else the sticky partition,
//! which changes after `batch.size` bytes (KIP-794, `BuiltInPartitioner`). Deliberately absent: the queues, whose lengths the caller
//! passes in.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Record, murmur2::murmur2};
use crate::{cluster, error::SendError};

/// User code that chooses partitions in place of the built-in partitioner.
///
/// It is called on the sending task, when the topic's partitions are known, and must not block. It is called once for each call to
/// `send` whose record has no partition of its own. Its choice is kept, however long the record then waits. `send` fails with
/// [`SendError::InvalidPartition`] if the topic does not have the partition, or no longer has it after the wait. A panic is caught, and
/// `send` fails with [`SendError::Partitioner`].
pub trait Partitioner: Send + Sync {
    /// The partition of `record`, from 0 to [`Partitions::count`] - 1.
    fn partition(&self, record: &Record<'_>, partitions: &Partitions<'_>) -> i32;
}

impl<F: Fn(&Record<'_>, &Partitions<'_>) -> i32 + Send + Sync> Partitioner for F {
    fn partition(&self, record: &Record<'_>, partitions: &Partitions<'_>) -> i32 {
        self(record, partitions)
    }
}

/// The partitions of a topic, as a [`Partitioner`] sees them. There is always at least one.
#[derive(Clone, Copy, Debug)]
pub struct Partitions<'a>(&'a [cluster::PartitionMetadata]);

impl<'a> Partitions<'a> {
    pub(crate) fn new(partitions: &'a [cluster::PartitionMetadata]) -> Self {
        Self(partitions)
    }

    /// How many there are. They are numbered from 0, without gaps.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The numbers of the partitions that have a leader at the moment, in rising order. There may be none.
    pub fn available(&self) -> impl Iterator<Item = i32> + Clone + use<'a> {
        (0..).zip(self.0).filter(|(_, partition)| partition.leader.is_some()).map(|(number, _)| number)
    }

    /// The partition that the built-in partitioner gives `key`: its murmur2 hash modulo the number of partitions.
    #[must_use]
    pub fn for_key(&self, key: &[u8]) -> i32 {
        for_key(key, self.0.len())
    }
}

/// Calls a custom partitioner.
///
/// # Errors
/// [`SendError::Partitioner`] with the message of its panic.
pub(crate) fn ask(
    partitioner: &dyn Partitioner,
    record: &Record<'_>,
    partitions: &Partitions<'_>,
) -> Result<i32, SendError> {
    let asked = catch_unwind(AssertUnwindSafe(|| partitioner.partition(record, partitions)));
    asked.map_err(|panic| SendError::Partitioner { topic: Arc::from(record.topic()), reason: said(&*panic) })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(ToString::to_string);
    literal.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it did not say why".to_owned())
}

/// The partition that the record names, or that its key has, in a topic with `count` partitions. `None` leaves the choice to [`Sticky`].
///
/// # Errors
/// [`SendError::InvalidPartition`] if the topic does not have the partition that the record names.
#[inline]
pub(crate) fn fixed(record: &Record<'_>, count: usize, ignore_keys: bool) -> Result<Option<i32>, SendError> {
    match record.explicit_partition() {
        Some(partition) if usize::try_from(partition).is_ok_and(|partition| partition < count) => Ok(Some(partition)),
        Some(partition) => Err(invalid(record, partition, count)),
        None if ignore_keys => Ok(None),
        None => Ok(record.key_bytes().map(|key| for_key(key, count))),
    }
}

#[cold]
fn invalid(record: &Record<'_>, partition: i32, count: usize) -> SendError {
    SendError::InvalidPartition { topic: Arc::from(record.topic()), partition, count }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "the remainder is under 2^31")]
fn for_key(key: &[u8], count: usize) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    // A division of 32 bits is much faster than one of 64.
    (positive % (count as u32).max(1)) as i32
}

/// One partition that the sticky partition may move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its number.
    pub(crate) partition: i32,
    /// The number of batches in its queue. With 0 for every candidate the choice is uniform.
    pub(crate) queue: u32,
    /// Whether it has a leader, and the leader accepts batches.
    pub(crate) available: bool,
    /// Whether its leader is in the client's rack, if racks count.
    pub(crate) near: bool,
}

/// Chooses among the available candidates, or among all if none is available; of the available ones among those in the client's rack, if
/// there are any (KIP-1123). A candidate with a longer queue is less likely: its weight
/// is `longest + 1 - queue`. Equal queues have equal weights. Without candidates the result is 0. Each candidate is read once, because
/// its queue changes all the time.
pub(crate) fn choose(random: u64, candidates: impl Iterator<Item = Candidate>) -> i32 {
    let mut candidates: Vec<_> = candidates.collect();
    if candidates.iter().any(|candidate| candidate.available) {
        let prefers_near = candidates.iter().any(|candidate| candidate.available && candidate.near);
        candidates.retain(|candidate| candidate.available && (candidate.near || !prefers_near));
    }
    let longest = candidates.iter().map(|candidate| candidate.queue).max().unwrap_or(0);
    let weight = |candidate: &Candidate| u64::from(longest - candidate.queue) + 1;
    let total: u64 = candidates.iter().map(weight).sum();
    let mut left = random % total.max(1);
    for candidate in &candidates {
        match left.checked_sub(weight(candidate)) {
            Some(rest) => left = rest,
            None => return candidate.partition,
        }
    }
    0
}

/// The partition that records without a key currently go to. There is one for each topic, which all sending tasks share.
///
/// Its state is one word, so that no task waits for another. The upper half is the partition plus 1, or 0 if there is none yet. The
/// lower half is the number of bytes that were appended to it.
#[derive(Debug)]
pub(crate) struct Sticky {
    state: AtomicU64,
    random: Random,
}

impl Sticky {
    /// A sticky partition whose random numbers come from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(0), random: Random(AtomicU64::new(seed)) }
    }

    /// The partition for the next record. `choose` turns a random number into a partition. It is called if there is no partition yet,
    /// or if the topic, which has `count` partitions, no longer has it.
    pub(crate) fn current(&self, count: usize, mut choose: impl FnMut(u64) -> i32) -> i32 {
        let mut current = 0;
        let change = |state| {
            (current, _) = unpack(state);
            if usize::try_from(current).is_ok_and(|current| current < count) {
                return None;
            }
            current = choose(self.random.next());
            Some(pack(current, 0))
        };
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        current
    }

    /// Counts `bytes` that were appended to `partition`. After `batch_size` bytes another partition is chosen, if the append has left no
    /// open batch (`batch_boundary`), and after twice as many in any case. Waiting for the boundary keeps a long `linger.ms` from leaving
    /// a half-full batch in every partition. Bytes of a partition that is no longer the sticky one are not counted.
    pub(crate) fn appended(
        &self,
        partition: i32,
        bytes: usize,
        batch_boundary: bool,
        batch_size: usize,
        mut choose: impl FnMut(u64) -> i32,
    ) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let share = if batch_boundary { batch_size } else { batch_size.saturating_mul(2) };
        let change = |state| match unpack(state) {
            (current, _) if current != partition => None,
            (_, before) => {
                let produced = before.saturating_add(bytes);
                let is_used_up = produced as usize >= share;
                Some(if is_used_up { pack(choose(self.random.next()), 0) } else { pack(partition, produced) })
            }
        };
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

fn pack(partition: i32, bytes: u32) -> u64 {
    u64::from(partition.wrapping_add(1).cast_unsigned()) << 32 | u64::from(bytes)
}

fn unpack(state: u64) -> (i32, u32) {
    let partition = (state >> 32) as u32;
    (partition.cast_signed().wrapping_sub(1), (state & 0xffff_ffff) as u32)
}

/// Random numbers from one seed, for any number of tasks (splitmix64, whose state is a counter).
#[derive(Debug)]
struct Random(AtomicU64);

impl Random {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(Self::STEP, Ordering::Relaxed).wrapping_add(Self::STEP);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(leaders: &[bool]) -> Vec<cluster::PartitionMetadata> {
        leaders.iter().map(|led| cluster::PartitionMetadata { leader: led.then_some(1), leader_epoch: 0 }).collect()
    }

    fn candidates(queues: &[(u32, bool)]) -> impl Iterator<Item = Candidate> {
        (0..).zip(queues).map(|(partition, &(queue, available))| Candidate { partition, queue, available, near: false })
    }

    /// How often each partition is chosen when every random number below `draws` is drawn once.
    fn histogram(queues: &[(u32, bool)], draws: u64) -> Vec<usize> {
        let mut counts = vec![0; queues.len()];
        for random in 0..draws {
            counts[usize::try_from(choose(random, candidates(queues))).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn a_partition_that_is_named_comes_before_the_key_and_the_key_before_chance() {
        let record = Record::to("t").key("21");
        assert_eq!(fixed(&record.clone().partition(3), 4, true).unwrap(), Some(3));
        assert_eq!(fixed(&record, 4, true).unwrap(), None);
        assert_eq!(fixed(&record, 4, false).unwrap(), Some((-973_932_308_i32 & 0x7fff_ffff) % 4));
        assert_eq!(fixed(&Record::to("t"), 4, false).unwrap(), None);
    }

    #[test]
    fn a_partition_that_the_topic_does_not_have_is_refused() {
        for partition in [-1, 2, i32::MIN, i32::MAX] {
            let error = fixed(&Record::to("t").partition(partition), 2, false).unwrap_err();
            assert!(matches!(error, SendError::InvalidPartition { partition: p, count: 2, .. } if p == partition));
        }
    }

    #[test]
    fn a_partitioner_that_panics_has_refused_the_record_and_its_words_are_told() {
        let words = |partitioner: &dyn Partitioner| {
            let asked = ask(partitioner, &Record::to("t"), &Partitions::new(&topic(&[true])));
            let SendError::Partitioner { reason, .. } = asked.unwrap_err() else { panic!("another error") };
            reason
        };
        assert_eq!(words(&|_: &Record<'_>, _: &Partitions<'_>| panic!("no region")), "no region");
        assert_eq!(words(&|record: &Record<'_>, _: &Partitions<'_>| panic!("no {}", record.topic())), "no t");
        let number = |_: &Record<'_>, _: &Partitions<'_>| std::panic::panic_any(7);
        assert_eq!(words(&number), "it did not say why");
    }

    #[test]
    fn keys_go_to_all_partitions_with_or_without_a_leader() {
        let (led, leaderless) = (topic(&[true; 7]), topic(&[false; 7]));
        for key in 0..100_u32 {
            let key = key.to_be_bytes();
            assert_eq!(Partitions::new(&led).for_key(&key), Partitions::new(&leaderless).for_key(&key));
        }
        assert_eq!(for_key(b"k", 0), 0);
    }

    #[test]
    fn partitions_with_a_leader_are_available() {
        let leaders = topic(&[false, true, false, true]);
        let partitions = Partitions::new(&leaders);
        assert_eq!((partitions.count(), partitions.available().collect::<Vec<_>>()), (4, vec![1, 3]));
    }

    #[test]
    fn equal_queues_make_a_uniform_choice() {
        assert_eq!(histogram(&[(0, true), (0, true), (0, true)], 9), [3, 3, 3]);
        assert_eq!(histogram(&[(8, true), (8, true)], 8), [4, 4]);
    }

    #[test]
    fn a_longer_queue_is_chosen_less_often() {
        assert_eq!(histogram(&[(0, true), (3, true), (1, true)], 8), [4, 1, 3]);
    }

    #[test]
    fn unavailable_partitions_are_avoided_unless_none_is_available() {
        assert_eq!(histogram(&[(0, false), (5, true), (0, true)], 7), [0, 1, 6]);
        assert_eq!(histogram(&[(0, false), (0, false)], 4), [2, 2]);
    }

    #[test]
    fn of_the_available_partitions_those_in_the_clients_rack_are_chosen_if_there_are_any() {
        let chosen = |candidates: [(bool, bool); 3]| {
            let of = |(partition, (available, near))| Candidate { partition, queue: 0, available, near };
            let from = |random| choose(random, (0..).zip(candidates).map(of));
            (0..12).map(from).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(chosen([(true, false), (true, true), (true, true)]), [1, 2]);
        assert_eq!(chosen([(true, false), (false, true), (true, true)]), [2]);
        assert_eq!(chosen([(true, false), (false, true), (true, false)]), [0, 2], "none in the rack is available");
        assert_eq!(chosen([(false, false), (false, true), (false, false)]), [0, 1, 2], "none is available");
        assert_eq!(chosen([(true, false), (true, false), (true, false)]), [0, 1, 2], "racks do not count");
    }

    #[test]
    fn queues_that_change_meanwhile_are_read_once_for_a_choice() {
        let reads = std::cell::Cell::new(0);
        let changing = (0..3).map(|partition| {
            reads.set(reads.get() + 1);
            // Longer at each reading: a second one would find a queue that is longer than the longest of the first.
            Candidate { partition, queue: reads.get(), available: true, near: false }
        });
        // Queues of 1, 2 and 3 weigh 3, 2 and 1.
        assert_eq!((choose(3, changing), reads.get()), (1, 3));
    }

    #[test]
    fn extreme_numbers_do_not_overflow_the_choice() {
        let queues = [(u32::MAX, true), (0, true)];
        assert!((0..2).contains(&choose(u64::MAX, candidates(&queues))));
        assert_eq!(choose(u64::MAX, candidates(&[])), 0);
    }

    #[test]
    fn the_sticky_partition_stays_until_a_batch_s_worth_of_bytes_and_a_batch_boundary() {
        let sticky = Sticky::new(1);
        let mut to = 0..;
        let mut next = |_| to.next().unwrap();
        assert_eq!(sticky.current(9, &mut next), 0);
        sticky.appended(0, 99, true, 100, &mut next);
        assert_eq!(sticky.current(9, &mut next), 0, "under batch.size");
        sticky.appended(0, 1, false, 100, &mut next);
        assert_eq!(sticky.current(9, &mut next), 0, "batch.size is reached, but a batch is open");
        sticky.appended(0, 1, true, 100, &mut next);
        assert_eq!(sticky.current(9, &mut next), 1, "a boundary after batch.size");
        sticky.appended(1, 199, false, 100, &mut next);
        assert_eq!(sticky.current(9, &mut next), 1);
        sticky.appended(1, 1, false, 100, &mut next);
        assert_eq!(sticky.current(9, &mut next), 2, "twice batch.size needs no boundary");
    }

    #[test]
    fn late_bytes_for_an_earlier_partition_count_for_nothing() {
        let sticky = Sticky::new(1);
        sticky.current(9, |_| 4);
        sticky.appended(3, usize::MAX, true, 1, |_| panic!("nothing to choose"));
        assert_eq!(sticky.current(9, |_| panic!("nothing to choose")), 4);
    }

    #[test]
    fn a_partition_that_the_topic_has_lost_is_left() {
        let sticky = Sticky::new(1);
        assert_eq!(sticky.current(9, |_| 8), 8);
        assert_eq!(sticky.current(3, |_| 2), 2);
    }

    #[test]
    fn a_record_of_any_size_moves_the_sticky_partition_on() {
        let sticky = Sticky::new(1);
        sticky.current(9, |_| 0);
        sticky.appended(0, usize::MAX, false, usize::MAX / 2, |_| panic!("4 GiB are under the share"));
        sticky.appended(0, usize::MAX, true, 1 << 20, |_| 5);
        assert_eq!(sticky.current(9, |_| panic!("nothing to choose")), 5);
    }

    #[test]
    fn many_tasks_share_one_sticky_partition_and_its_state_stays_whole() {
        let (sticky, moves) = (Sticky::new(1), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let partition = sticky.current(3, |random| i32::try_from(random % 3).unwrap());
                        sticky.appended(partition, 10, true, 100, |_| {
                            moves.fetch_add(1, Ordering::Relaxed);
                            (partition + 1) % 3
                        });
                    }
                });
            }
        });
        let (_, left) = unpack(sticky.state.load(Ordering::Relaxed));
        assert!(left < 100, "the state is whole: {left} bytes");
        assert!(moves.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn random_numbers_repeat_with_their_seed_and_cover_the_range() {
        let draw = |seed| -> Vec<u64> {
            let random = Random(AtomicU64::new(seed));
            (0..64).map(|_| random.next()).collect()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(0)[0], 0xe220_a839_7b1d_cdaf, "the published first number of splitmix64 with seed 0");
        let bits = draw(7).into_iter().fold((0, u64::MAX), |(ones, zeros), n| (ones | n, zeros & n));
        assert_eq!(bits, (u64::MAX, 0), "every bit is sometimes 1 and sometimes 0");
    }
}
