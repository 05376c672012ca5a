//! Keeps the order of events that share a key: one after the other, and behind those that are stored.
//!
//! In: events that are to be published, by their slot, and what became of them. Out: whose turn it is, and whether older events of the slot
//! are in the store. Awaits turns. Deliberately absent: sending and storing.
//!
//! An event has a [`Turn`] from the call of `publish` until it is published, stored or given back. Turns of one slot are taken in the order
//! of the calls. Two keys can share a slot by chance; they then wait for each other for no longer than one delivery.
//!
//! Counts err on the side of the store: an event whose insert has an unknown result counts as stored. What another process settles is not told
//! here. So counts are compared with the store's now and then ([`Gate::recount`]).
//!
//! Where several publishers share a store, the relay settles events of others, which are not counted here. It lowers no count then; only a
//! recount does.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    future::poll_fn,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::oneshot;

use crate::store::{SLOTS, SlotCounts};

/// Few enough to be small, and enough that tasks seldom want the same one.
const SHARDS: usize = 256;

/// The order of events by slot.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    shards: Arc<[Shard]>,
    /// How many recounts have begun.
    recounts: Arc<AtomicU64>,
    /// How many slots have events in the store.
    slots_stored: Arc<AtomicUsize>,
    /// Whether others store events as well.
    is_shared: bool,
}

/// Neighbouring slots.
#[derive(Debug, Default)]
struct Shard(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines(HashMap<u16, Line, BuildHasherDefault<SlotHasher>>);

/// Slots are hashes already, and nobody can choose many of one shard.
#[derive(Clone, Copy, Debug, Default)]
struct SlotHasher(u64);

/// The events of one slot.
#[derive(Debug, Default)]
struct Line {
    /// How many are in the store and not settled.
    stored: u64,
    /// How many rows are being removed from the store.
    leaving: usize,
    /// The recount that had begun when the count changed for the last time, or a turn ended.
    changed_in: u64,
    /// Whether one has its turn.
    is_taken: bool,
    /// Whether those behind it want it to be stored, and what tells it.
    is_urged: bool,
    urged: Option<Waker>,
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Gate {
    /// A gate with these events in the store.
    pub(crate) fn new(stored: &SlotCounts) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        let gate = Self { shards, recounts: Arc::default(), slots_stored: Arc::default(), is_shared: false };
        for (slot, count) in (0_u16..=u16::MAX).zip(stored.as_slice()).filter(|(_, count)| **count > 0) {
            let mut lines = gate.lines(slot);
            gate.set_stored(lines.0.entry(slot).or_default(), u64::from(*count));
        }
        gate
    }

    /// Sets whether other publishers store events in the same store.
    pub(crate) fn shared(self, is_shared: bool) -> Self {
        Self { is_shared, ..self }
    }

    /// Takes the next turn of a slot. The order is that of the calls.
    pub(crate) fn turn(&self, slot: u16) -> Turn<'_> {
        Self::turn_of(Cow::Borrowed(self), slot)
    }

    /// The same, for a turn that outlives this.
    pub(crate) fn turn_to_keep(&self, slot: u16) -> Turn<'static> {
        Self::turn_of(Cow::Owned(self.clone()), slot)
    }

    fn turn_of(gate: Cow<'_, Self>, slot: u16) -> Turn<'_> {
        let mut lines = gate.lines(slot);
        let line = lines.0.entry(slot).or_default();
        let comes = line.is_taken.then(|| {
            let (sender, receiver) = oneshot::channel();
            line.waiting.push_back(sender);
            receiver
        });
        line.is_taken = true;
        let is_first = comes.is_none() && line.stored == 0;
        drop(lines);
        Turn { gate, slot, comes, is_first }
    }

    /// Rows of these slots are about to be removed from the store. To be called before the store is asked.
    pub(crate) fn leaving(&self, slots: impl IntoIterator<Item = u16>) -> Leaving {
        let slots: Vec<u16> = slots.into_iter().collect();
        slots.iter().for_each(|slot| self.lines(*slot).0.entry(*slot).or_default().leaving += 1);
        Leaving { gate: self.clone(), slots }
    }

    /// The relay has settled an event, which may be that of another publisher.
    pub(crate) fn settled(&self, slot: u16) {
        if !self.is_shared {
            self.removed(slot);
        }
    }

    /// An event of this publisher is not in the store any more.
    pub(crate) fn removed(&self, slot: u16) {
        self.change(slot, |line| self.set_stored(line, line.stored.saturating_sub(1)));
    }

    /// Sets how many events of a line are in the store.
    fn set_stored(&self, line: &mut Line, stored: u64) {
        match (std::mem::replace(&mut line.stored, stored), stored) {
            (0, 1..) => _ = self.slots_stored.fetch_add(1, Relaxed),
            (1.., 0) => _ = self.slots_stored.fetch_sub(1, Relaxed),
            _ => {}
        }
    }

    /// Whether a slot has events in the store.
    pub(crate) fn has_stored_in(&self, slot: u16) -> bool {
        self.lines(slot).0.get(&slot).is_some_and(|line| line.stored > 0)
    }

    /// Whether any slot has events in the store.
    pub(crate) fn has_stored(&self) -> bool {
        self.slots_stored.load(Relaxed) > 0
    }

    /// Begins a recount. To be called before the store is asked for its counts.
    pub(crate) fn begin_recount(&self) -> u64 {
        self.recounts.fetch_add(1, Relaxed) + 1
    }

    /// Takes over the store's counts of all slots where nothing has changed since `recount` began.
    pub(crate) fn recount(&self, recount: u64, stored: &SlotCounts) {
        for shard in self.shards.iter() {
            shard.lines().0.retain(|slot, line| {
                if !line.is_taken && line.leaving == 0 && line.changed_in < recount {
                    self.set_stored(line, u64::from(stored.of(*slot)));
                }
                !line.is_free()
            });
        }
    }

    /// Changes a line, and forgets it if it has nothing to say.
    fn change(&self, slot: u16, change: impl FnOnce(&mut Line)) {
        let changed_in = self.recounts.load(Relaxed);
        let mut lines = self.lines(slot);
        let Some(line) = lines.0.get_mut(&slot) else { return };
        change(line);
        line.changed_in = changed_in;
        if line.is_free() {
            lines.0.remove(&slot);
        }
    }

    fn lines(&self, slot: u16) -> MutexGuard<'_, Lines> {
        self.shards[usize::from(slot) * SHARDS / SLOTS].lines()
    }
}

impl Shard {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hasher for SlotHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u16(u16::from(*byte)));
    }

    fn write_u16(&mut self, slot: u16) {
        self.0 = (self.0 ^ u64::from(slot)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Line {
    fn is_free(&self) -> bool {
        self.stored == 0 && self.leaving == 0 && !self.is_taken
    }
}

/// Rows that are being removed from the store, until it is dropped. Their slots are not recounted meanwhile.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub(crate) struct Leaving {
    gate: Gate,
    slots: Vec<u16>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        for slot in &self.slots {
            self.gate.change(*slot, |line| line.leaving = line.leaving.saturating_sub(1));
        }
    }
}

/// An event's turn in its slot. When it is dropped, the next one's comes.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    gate: Cow<'a, Gate>,
    slot: u16,
    /// Tells that it has come; `None` once it has.
    comes: Option<oneshot::Receiver<()>>,
    /// Whether it came at once, with nothing in the store. Nobody else stores an event of the slot until it ends.
    is_first: bool,
}

impl Turn<'_> {
    /// Whether the turn has come.
    pub(crate) fn has_come(&self) -> bool {
        self.comes.is_none()
    }

    /// Waits for the turn.
    ///
    /// # Cancel safety
    /// Cancel safe: the place is kept until the turn is dropped.
    pub(crate) async fn come(&mut self) {
        if let Some(comes) = &mut self.comes {
            // The sender is dropped with the gate only, which this holds.
            let _ = comes.await;
            self.comes = None;
        }
    }

    /// Whether older events of the slot are in the store. To be asked when the turn has come.
    pub(crate) fn is_behind_stored(&self) -> bool {
        !self.is_first && self.gate.has_stored_in(self.slot)
    }

    /// The event is about to be stored. To be called before the store is asked: it counts as stored even if nobody waits for the answer.
    pub(crate) fn storing(&self) {
        self.gate.change(self.slot, |line| self.gate.set_stored(line, line.stored + 1));
    }

    /// The event has certainly not been stored.
    pub(crate) fn not_stored(&self) {
        self.gate.removed(self.slot);
    }

    /// Asks the event whose turn it is to be stored, so that this one can be stored behind it.
    pub(crate) fn urge(&self) {
        let urged = self.gate.lines(self.slot).0.get_mut(&self.slot).and_then(|line| {
            line.is_urged = true;
            line.urged.take()
        });
        urged.into_iter().for_each(Waker::wake);
    }

    /// Waits until an event behind this one [urges](Self::urge).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn urged(&self) {
        poll_fn(|context| self.poll_urged(context)).await;
    }

    fn poll_urged(&self, context: &Context<'_>) -> Poll<()> {
        // A waker is dropped without the lock, because it may drop a task with a turn.
        let _old;
        let mut lines = self.gate.lines(self.slot);
        let Some(line) = lines.0.get_mut(&self.slot) else { return Poll::Pending };
        if line.is_urged {
            return Poll::Ready(());
        }
        if !line.urged.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            _old = line.urged.replace(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // One that is dropped while it waits has no turn, unless it came just now.
        if self.comes.as_mut().is_some_and(|comes| comes.try_recv().is_err()) {
            return;
        }
        let _waker;
        let mut lines = self.gate.lines(self.slot);
        let Some(line) = lines.0.get_mut(&self.slot) else { return };
        line.is_urged = false;
        _waker = line.urged.take();
        // A recount may have asked the store before the event was there.
        line.changed_in = self.gate.recounts.load(Relaxed);
        while let Some(next) = line.waiting.pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
        line.is_taken = false;
        if line.is_free() {
            lines.0.remove(&self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready(turn: &mut Turn<'_>) -> bool {
        use std::{
            future::Future,
            pin::pin,
            task::{Context, Poll, Waker},
        };
        matches!(pin!(turn.come()).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
    }

    fn gate() -> Gate {
        Gate::new(&SlotCounts::new())
    }

    #[test]
    fn turns_of_a_slot_come_in_the_order_of_the_calls() {
        let gate = gate();
        let (mut first, mut second, mut third, mut other) = (gate.turn(7), gate.turn(7), gate.turn(7), gate.turn(8));
        assert!(is_ready(&mut first) && is_ready(&mut other));
        assert!(!is_ready(&mut third) && !is_ready(&mut second));
        drop(first);
        assert!(!is_ready(&mut third) && is_ready(&mut second));
        drop(second);
        assert!(is_ready(&mut third));
    }

    #[test]
    fn a_turn_that_is_dropped_while_it_waits_is_passed_over() {
        let gate = gate();
        let (first, mut second, mut third) = (gate.turn(7), gate.turn(7), gate.turn(7));
        assert!(!is_ready(&mut second));
        drop(second);
        drop(first);
        assert!(is_ready(&mut third));
    }

    #[test]
    fn a_turn_that_came_and_was_dropped_before_it_was_seen_is_passed_on() {
        let gate = gate();
        let (first, second, mut third) = (gate.turn(7), gate.turn(7), gate.turn(7));
        drop(first);
        drop(second);
        assert!(is_ready(&mut third));
    }

    #[test]
    fn events_go_behind_those_in_the_store_until_they_are_settled() {
        let mut counts = SlotCounts::new();
        counts.add(7);
        let gate = Gate::new(&counts);
        let turn = gate.turn(7);
        assert!(turn.is_behind_stored() && !gate.turn(8).is_behind_stored());
        turn.storing();
        gate.settled(7);
        assert!(turn.is_behind_stored());
        gate.settled(7);
        assert!(!turn.is_behind_stored());
    }

    #[test]
    fn what_a_relay_settles_of_others_keeps_the_own_events_counted() {
        let gate = gate().shared(true);
        let turn = gate.turn(7);
        turn.storing();
        gate.settled(7);
        assert!(gate.has_stored_in(7), "it may have been the event of another publisher");
        drop(turn);
        gate.recount(gate.begin_recount(), &SlotCounts::new());
        assert!(!gate.turn(7).is_behind_stored());
    }

    #[test]
    fn a_slot_without_events_takes_no_memory() {
        let gate = gate();
        let turn = gate.turn(7);
        turn.storing();
        drop(turn);
        assert_eq!(gate.lines(7).0.len(), 1);
        gate.settled(7);
        gate.settled(7);
        assert_eq!(gate.lines(7).0.len(), 0);
        drop(gate.turn(7));
        assert_eq!(gate.lines(7).0.len(), 0);
    }

    #[tokio::test]
    async fn an_event_that_waits_can_urge_the_one_before_it() {
        let gate = gate();
        let (mut first, second, other) = (gate.turn(7), gate.turn(7), gate.turn(8));
        first.come().await;
        let urged = tokio::time::timeout(std::time::Duration::from_millis(1), first.urged()).await;
        assert!(urged.is_err(), "nobody has urged");
        second.urge();
        first.urged().await;
        let urged = tokio::time::timeout(std::time::Duration::from_millis(1), other.urged()).await;
        assert!(urged.is_err(), "another slot of the same shard");
    }

    #[tokio::test]
    async fn what_another_process_has_settled_is_known_after_a_recount() {
        let mut counts = SlotCounts::new();
        counts.add(7);
        counts.add(8);
        let gate = Gate::new(&counts);
        let mut left = SlotCounts::new();
        left.add(8);
        assert!(gate.has_stored());
        gate.recount(gate.begin_recount(), &left);
        assert!(!gate.turn(7).is_behind_stored() && gate.turn(8).is_behind_stored());
        gate.recount(gate.begin_recount(), &SlotCounts::new());
        assert!(!gate.has_stored());
    }

    #[test]
    fn a_recount_leaves_alone_an_event_that_was_stored_behind_its_back() {
        let gate = gate();
        let turn = gate.turn(7);
        turn.storing();
        let recount = gate.begin_recount();
        // The store is asked now, and has no event yet. Then it has.
        drop(turn);
        gate.recount(recount, &SlotCounts::new());
        assert!(gate.has_stored_in(7));
        gate.recount(gate.begin_recount(), &SlotCounts::new());
        assert!(!gate.has_stored_in(7));
    }

    #[test]
    fn a_recount_leaves_alone_what_has_changed_since_it_began() {
        let gate = gate();
        let before = gate.turn(6);
        before.storing();
        let recount = gate.begin_recount();
        let during = gate.turn(7);
        during.storing();
        drop(during);
        gate.recount(recount, &SlotCounts::new());
        assert!(gate.has_stored_in(6), "it may be under way to the store");
        assert!(gate.turn(7).is_behind_stored(), "it was stored after the count");
        let recount = gate.begin_recount();
        drop(before);
        gate.recount(recount, &SlotCounts::new());
        assert!(gate.turn(6).is_behind_stored(), "it may have been stored since");
    }

    #[test]
    fn a_row_that_is_being_removed_is_not_taken_off_twice() {
        let gate = gate();
        gate.turn(7).storing();
        gate.turn(7).storing();
        let leaving = gate.leaving([7]);
        let mut left = SlotCounts::new();
        left.add(7);
        gate.recount(gate.begin_recount(), &left);
        gate.settled(7);
        drop(leaving);
        assert!(gate.turn(7).is_behind_stored(), "one of two was removed");
        gate.settled(7);
        assert_eq!(gate.lines(7).0.len(), 0);
    }
}
