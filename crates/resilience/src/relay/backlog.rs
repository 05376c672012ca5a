//! The stored events that are in memory: which are read next, and which may be sent.
//!
//! In: pages of stored events in their order, and what became of those that were sent. Out: what to read, up to where to mark events as
//! sent, which event to send. Pure: no store, no producer, no clock. Deliberately absent: why a delivery failed and how long the event
//! waits then, which is the [schedule](super::schedule)'s.
//!
//! # Order
//!
//! Events with the same topic and key form a lane. One event of a lane at a time is on its way, and the next one follows when it is
//! delivered. While the oldest event of a lane waits for its next attempt, the lane is blocked ([`Poison::Block`]): its later events stay in
//! the store and are read again afterwards. An event without a key has no lane.
//!
//! # Bounds
//!
//! Events are read in passes, each from the oldest that is not settled to the newest. Settled events are gone from the store, so a
//! later pass reads only what an earlier one skipped. In memory are at most [`Limits::rows`] events, a quarter of them of one lane, and ten
//! times as many lanes that are blocked; then nothing is read until one of them is due.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

/// How many lanes may be blocked, for each event that may be in memory.
const BLOCKED: usize = 10;

/// How much is in memory at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most events.
    pub(crate) rows: usize,
    /// The most bytes of events, except that one event is always taken.
    pub(crate) bytes: usize,
}

/// What becomes of the later events of a key while an event of it waits for its next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poison {
    /// They wait as well, so that the order per key is kept.
    #[default]
    Block,
    /// They are sent, and the event that failed comes after them.
    Skip,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row<T> {
    /// Its place in the order of acceptance.
    pub(crate) seq: i64,
    /// A hash of its topic and key. `None` if it has no order with others.
    pub(crate) lane: Option<u64>,
    pub(crate) bytes: usize,
    /// How long it has to wait, from the time of the page.
    pub(crate) due_in: Duration,
    pub(crate) event: T,
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Events behind this place.
    pub(crate) after: i64,
    /// At most so many.
    pub(crate) rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Sending,
    Settling,
}

#[derive(Debug)]
struct Entry<T> {
    lane: Option<u64>,
    bytes: usize,
    state: State,
    event: T,
}

/// A lane whose events are not read: from `head` on they are only in the store.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    head: i64,
    /// When the head is due; `None` if the lane waits for its own events that are in memory.
    until: Option<Instant>,
    /// Whether the store said so. What it says of the head later counts then.
    by_store: bool,
}

/// The stored events that are in memory.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    limits: Limits,
    poison: Poison,
    entries: BTreeMap<i64, Entry<T>>,
    bytes: usize,
    /// The events of each lane that wait or are being sent, the oldest first.
    lanes: HashMap<u64, VecDeque<i64>>,
    /// Events that nothing keeps from being sent.
    ready: BTreeSet<i64>,
    blocked: HashMap<u64, Blocked>,
    /// The last event that was read.
    cursor: i64,
    /// The last event that any pass has read.
    read_to: i64,
    /// Whether the pass has come to the end of the store.
    ended: bool,
    reading: bool,
    /// Events that were settled while a page was being read, which may hold them still.
    settled_since: HashSet<i64>,
    /// The oldest event that a pass has skipped, and when the next pass is to begin for the skipped ones.
    skipped: Option<i64>,
    next_pass: Option<Instant>,
    /// Up to here the store knows that events may have been sent.
    marked: i64,
    marking: Option<i64>,
}

impl<T> Backlog<T> {
    /// None yet. The store knows that events up to `marked` may have been sent.
    pub(crate) fn new(limits: Limits, poison: Poison, marked: i64) -> Self {
        Self {
            limits,
            poison,
            entries: BTreeMap::new(),
            bytes: 0,
            lanes: HashMap::new(),
            ready: BTreeSet::new(),
            blocked: HashMap::new(),
            cursor: 0,
            read_to: 0,
            ended: false,
            reading: false,
            settled_since: HashSet::new(),
            skipped: None,
            next_pass: None,
            marked,
            marking: None,
        }
    }

    /// How many events are in memory.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// An event that is in memory.
    pub(crate) fn event(&self, seq: i64) -> Option<&T> {
        self.entries.get(&seq).map(|entry| &entry.event)
    }

    /// Events have been stored behind those that are known.
    pub(crate) fn wake(&mut self) {
        self.ended = false;
    }

    /// Begins a pass from the oldest event: some may have changed, or all may be due.
    pub(crate) fn rescan(&mut self) {
        (self.cursor, self.ended, self.next_pass) = (0, false, None);
    }

    /// When the next pass is to begin for events that were skipped.
    pub(crate) fn next_pass(&self) -> Option<Instant> {
        self.next_pass
    }

    /// What to read now. A page is read at a time, and answered with [`page`](Self::page) or [`unread`](Self::unread).
    pub(crate) fn next_read(&mut self, now: Instant) -> Option<Read> {
        if self.reading {
            return None;
        }
        if self.next_pass.is_some_and(|at| at <= now) {
            self.next_pass = None;
            self.ended = false;
            self.cursor = self.skipped.take().map_or(self.cursor, |skipped| self.cursor.min(skipped - 1));
        }
        let has_room = self.entries.len() * 2 <= self.limits.rows && self.bytes * 2 <= self.limits.bytes;
        // What was read before may be read again; it blocks no further lanes.
        let is_clogged = self.blocked.len() >= BLOCKED * self.limits.rows && self.cursor >= self.read_to;
        if self.ended || !has_room || is_clogged {
            return None;
        }
        self.reading = true;
        Some(Read { after: self.cursor, rows: self.limits.rows - self.entries.len() })
    }

    /// The page could not be read.
    pub(crate) fn unread(&mut self) {
        self.reading = false;
        self.settled_since.clear();
    }

    /// A page was read: events in their order, and whether there are none behind them.
    pub(crate) fn page(&mut self, rows: Vec<Row<T>>, is_last: bool, now: Instant) {
        self.reading = false;
        let settled = std::mem::take(&mut self.settled_since);
        self.ended = is_last;
        for row in rows {
            self.cursor = self.cursor.max(row.seq);
            self.read_to = self.read_to.max(row.seq);
            if !settled.contains(&row.seq) && !self.entries.contains_key(&row.seq) {
                self.take(row, now);
            }
        }
        if is_last {
            self.forget_vanished(now);
        }
    }

    /// Takes an event into memory, unless it has to wait.
    fn take(&mut self, row: Row<T>, now: Instant) {
        let due = (!row.due_in.is_zero()).then(|| now + row.due_in);
        let Some(lane) = row.lane else {
            match due {
                Some(due) => self.skip(row.seq, Some(due)),
                None => self.insert(row),
            }
            return;
        };
        if let Some(blocked) = self.blocked.get(&lane).copied() {
            let is_over = blocked.until.map_or_else(|| !self.lanes.contains_key(&lane), |until| until <= now);
            let is_over = is_over || (blocked.by_store && due.is_none());
            if row.seq != blocked.head || !is_over {
                return self.skip(row.seq, blocked.until);
            }
            self.blocked.remove(&lane);
        }
        match due {
            Some(due) if self.poison == Poison::Block => self.block(lane, row.seq, Some(due), true),
            Some(due) => self.skip(row.seq, Some(due)),
            None if self.lanes.get(&lane).is_some_and(|lane| lane.len() >= self.widest_lane()) => {
                self.block(lane, row.seq, None, false);
            }
            None => self.insert(row),
        }
    }

    /// The most events of one lane.
    fn widest_lane(&self) -> usize {
        (self.limits.rows / 4).max(1)
    }

    fn insert(&mut self, row: Row<T>) {
        let Row { seq, lane, bytes, event, .. } = row;
        self.bytes += bytes;
        self.entries.insert(seq, Entry { lane, bytes, state: State::Waiting, event });
        let Some(lane) = lane else {
            self.ready.insert(seq);
            return;
        };
        let events = self.lanes.entry(lane).or_default();
        events.push_back(seq);
        if events.len() == 1 {
            self.ready.insert(seq);
        }
    }

    fn block(&mut self, lane: u64, head: i64, until: Option<Instant>, by_store: bool) {
        self.blocked.insert(lane, Blocked { head, until, by_store });
        self.skip(head, until);
    }

    /// An event stays in the store until a later pass, which begins at `due` if that is known.
    fn skip(&mut self, seq: i64, due: Option<Instant>) {
        self.skipped = Some(self.skipped.map_or(seq, |skipped| skipped.min(seq)));
        if let Some(due) = due {
            self.pass_at(due);
        }
    }

    fn pass_at(&mut self, at: Instant) {
        self.next_pass = Some(self.next_pass.map_or(at, |next| next.min(at)));
    }

    /// A whole pass has not met the heads of lanes that were due: they were removed from the store.
    fn forget_vanished(&mut self, now: Instant) {
        let is_over = |lane: &u64, blocked: &Blocked| match blocked.until {
            Some(until) => until <= now,
            None => !self.lanes.contains_key(lane),
        };
        let before = self.blocked.len();
        let kept = self.blocked.iter().filter(|(lane, blocked)| !is_over(lane, blocked));
        let kept: HashMap<u64, Blocked> = kept.map(|(lane, blocked)| (*lane, *blocked)).collect();
        if kept.len() < before {
            self.pass_at(now);
        }
        self.blocked = kept;
    }

    /// Up to which event the store is to know that events may have been sent, before any of them is. Answered with
    /// [`marked`](Self::marked).
    pub(crate) fn next_mark(&mut self) -> Option<i64> {
        let wanted = self.ready.last().is_some_and(|seq| *seq > self.marked);
        if self.marking.is_some() || !wanted {
            return None;
        }
        self.marking = self.entries.last_key_value().map(|(seq, _)| *seq);
        self.marking
    }

    /// The store knows it, or could not be told.
    pub(crate) fn marked(&mut self, is_stored: bool) {
        if let Some(up_to) = self.marking.take().filter(|_| is_stored) {
            self.marked = self.marked.max(up_to);
        }
    }

    /// The next event to be sent. It is on its way until its outcome is told.
    pub(crate) fn next_send(&mut self) -> Option<i64> {
        let seq = *self.ready.first().filter(|seq| **seq <= self.marked)?;
        self.ready.remove(&seq);
        self.set_state(seq, State::Sending);
        Some(seq)
    }

    /// The event was not sent: it is the next one of its lane again.
    pub(crate) fn unsent(&mut self, seq: i64) {
        self.set_state(seq, State::Waiting);
        self.ready.insert(seq);
    }

    /// The event was delivered, or became a dead letter. The next one of its lane may be sent. It is in memory until it is
    /// [`settled`](Self::settled).
    pub(crate) fn delivered(&mut self, seq: i64, now: Instant) {
        self.set_state(seq, State::Settling);
        self.leave_lane(seq, now);
    }

    /// Events have been removed from the store.
    pub(crate) fn settled(&mut self, seqs: &[i64]) {
        for seq in seqs {
            self.forget(*seq);
            if self.reading {
                self.settled_since.insert(*seq);
            }
        }
    }

    /// The event waits in the store until `until`.
    pub(crate) fn retry(&mut self, seq: i64, until: Instant, now: Instant) {
        let Some(entry) = self.entries.get(&seq) else { return };
        match entry.lane {
            Some(lane) if self.poison == Poison::Block => {
                for waiting in self.lanes.remove(&lane).unwrap_or_default() {
                    self.forget(waiting);
                }
                self.block(lane, seq, Some(until), false);
            }
            _ => {
                self.leave_lane(seq, now);
                self.forget(seq);
                self.skip(seq, Some(until));
            }
        }
    }

    fn set_state(&mut self, seq: i64, state: State) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.state = state;
        }
    }

    /// The first event of a lane leaves it, and the next one may be sent.
    fn leave_lane(&mut self, seq: i64, now: Instant) {
        let Some(lane) = self.entries.get(&seq).and_then(|entry| entry.lane) else { return };
        let Some(events) = self.lanes.get_mut(&lane) else { return };
        events.retain(|waiting| *waiting != seq);
        match events.front() {
            Some(next) => {
                self.ready.insert(*next);
            }
            None => {
                self.lanes.remove(&lane);
                if self.blocked.get(&lane).is_some_and(|blocked| blocked.until.is_none()) {
                    self.pass_at(now);
                }
            }
        }
    }

    fn forget(&mut self, seq: i64) {
        self.ready.remove(&seq);
        if let Some(entry) = self.entries.remove(&seq) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rows: 8, bytes: 1_000 };

    fn row(seq: i64, lane: u64) -> Row<()> {
        Row { seq, lane: Some(lane), bytes: 10, due_in: Duration::ZERO, event: () }
    }

    fn backlog(poison: Poison) -> Backlog<()> {
        Backlog::new(LIMITS, poison, 0)
    }

    /// Reads `rows` as the last page, and marks them.
    fn read(backlog: &mut Backlog<()>, rows: Vec<Row<()>>, now: Instant) {
        backlog.wake();
        assert!(backlog.next_read(now).is_some());
        backlog.page(rows, true, now);
        mark(backlog);
    }

    fn mark(backlog: &mut Backlog<()>) {
        if backlog.next_mark().is_some() {
            backlog.marked(true);
        }
    }

    fn sends(backlog: &mut Backlog<()>) -> Vec<i64> {
        std::iter::from_fn(|| backlog.next_send()).collect()
    }

    #[test]
    fn one_event_of_a_key_at_a_time_is_on_its_way() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        read(&mut backlog, vec![row(1, 7), row(2, 8), row(3, 7), row(4, 7)], now);
        assert_eq!(sends(&mut backlog), [1, 2]);
        backlog.delivered(1, now);
        assert_eq!(sends(&mut backlog), [3]);
        backlog.delivered(2, now);
        assert_eq!(sends(&mut backlog), [0; 0], "the other key has nothing left");
        backlog.unsent(3);
        assert_eq!(sends(&mut backlog), [3], "what was not sent is next again");
    }

    #[test]
    fn events_without_a_key_do_not_wait_for_each_other() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        read(&mut backlog, (1..4).map(|seq| Row { lane: None, ..row(seq, 0) }).collect(), now);
        assert_eq!(sends(&mut backlog), [1, 2, 3]);
    }

    #[test]
    fn nothing_is_sent_before_the_store_knows_that_it_may_have_been() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        assert!(backlog.next_read(now).is_some());
        backlog.page(vec![row(1, 7), row(2, 8)], true, now);
        assert_eq!(backlog.next_send(), None);
        assert_eq!((backlog.next_mark(), backlog.next_mark()), (Some(2), None), "one at a time");
        backlog.marked(false);
        assert_eq!(backlog.next_send(), None, "the store did not take it");
        assert_eq!(backlog.next_mark(), Some(2));
        backlog.marked(true);
        assert_eq!(sends(&mut backlog), [1, 2]);
        assert_eq!(backlog.next_mark(), None);
    }

    #[test]
    fn a_failed_event_blocks_its_key_and_no_other_until_it_is_due() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        let later = now + Duration::from_secs(60);
        read(&mut backlog, vec![row(1, 7), row(2, 7), row(3, 8)], now);
        assert_eq!(sends(&mut backlog), [1, 3]);
        backlog.retry(1, later, now);
        assert_eq!((backlog.len(), backlog.next_pass()), (1, Some(later)), "its later events are in the store only");
        read(&mut backlog, vec![row(4, 7), row(5, 9)], now);
        assert_eq!(sends(&mut backlog), [5]);
        assert_eq!(backlog.next_read(later), Some(Read { after: 0, rows: 6 }), "from the one that failed");
        backlog.page(vec![row(1, 7), row(2, 7), row(4, 7)], true, later);
        mark(&mut backlog);
        assert_eq!(sends(&mut backlog), [1]);
        backlog.delivered(1, later);
        assert_eq!(sends(&mut backlog), [2]);
    }

    #[test]
    fn with_skip_the_later_events_of_a_key_pass_the_one_that_failed() {
        let (mut backlog, now) = (backlog(Poison::Skip), Instant::now());
        read(&mut backlog, vec![row(1, 7), row(2, 7)], now);
        assert_eq!(sends(&mut backlog), [1]);
        backlog.retry(1, now + Duration::from_secs(60), now);
        assert_eq!(sends(&mut backlog), [2]);
    }

    #[test]
    fn an_event_that_is_read_before_it_is_due_blocks_its_key() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        let waits = Row { due_in: Duration::from_secs(5), ..row(1, 7) };
        read(&mut backlog, vec![waits, row(2, 7), row(3, 8)], now);
        assert_eq!(sends(&mut backlog), [3]);
        let due = now + Duration::from_secs(5);
        assert_eq!(backlog.next_pass(), Some(due));
        assert!(backlog.next_read(due).is_some());
        backlog.page(vec![row(1, 7), row(2, 7)], true, due);
        mark(&mut backlog);
        assert_eq!(sends(&mut backlog), [1]);
    }

    #[test]
    fn an_event_that_the_store_holds_no_more_is_sent_before_its_time() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        let held = Row { due_in: Duration::from_secs(180), ..row(1, 7) };
        read(&mut backlog, vec![held, row(2, 7)], now);
        assert_eq!(sends(&mut backlog), [0; 0]);
        backlog.rescan();
        read(&mut backlog, vec![row(1, 7), row(2, 7)], now);
        assert_eq!(sends(&mut backlog), [1]);
        backlog.retry(1, now + Duration::from_secs(60), now);
        backlog.rescan();
        read(&mut backlog, vec![row(1, 7), row(2, 7)], now);
        assert_eq!(sends(&mut backlog), [0; 0], "the store has not been told yet that it failed");
    }

    #[test]
    fn a_blocked_key_goes_on_when_its_event_was_removed_by_somebody_else() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        let due = now + Duration::from_secs(60);
        read(&mut backlog, vec![row(1, 7), row(2, 7)], now);
        assert_eq!(sends(&mut backlog), [1]);
        backlog.retry(1, due, now);
        assert!(backlog.next_read(due).is_some());
        backlog.page(vec![row(2, 7)], true, due);
        assert_eq!(sends(&mut backlog), [0; 0], "its place is not known to be free yet");
        assert!(backlog.next_read(due).is_some(), "another pass");
        backlog.page(vec![row(2, 7)], true, due);
        mark(&mut backlog);
        assert_eq!(sends(&mut backlog), [2]);
    }

    #[test]
    fn an_event_that_is_settled_while_its_page_is_read_is_not_sent_again() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        read(&mut backlog, vec![row(1, 7)], now);
        assert_eq!(sends(&mut backlog), [1]);
        backlog.delivered(1, now);
        backlog.rescan();
        assert!(backlog.next_read(now).is_some());
        backlog.settled(&[1]);
        backlog.page(vec![row(1, 7)], true, now);
        mark(&mut backlog);
        assert_eq!((sends(&mut backlog), backlog.len()), (vec![], 0));
    }

    #[test]
    fn one_key_takes_a_quarter_of_the_memory_and_is_read_again_when_that_is_sent() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        read(&mut backlog, vec![row(1, 7), row(2, 7), row(3, 7), row(4, 7), row(5, 8)], now);
        assert_eq!((sends(&mut backlog), backlog.len()), (vec![1, 5], 3));
        backlog.delivered(1, now);
        assert_eq!((sends(&mut backlog), backlog.next_pass()), (vec![2], None));
        backlog.delivered(2, now);
        backlog.settled(&[1, 2]);
        assert_eq!(backlog.next_read(now), Some(Read { after: 2, rows: 7 }));
        backlog.page(vec![row(3, 7), row(4, 7), row(5, 8)], true, now);
        mark(&mut backlog);
        assert_eq!(sends(&mut backlog), [3]);
    }

    #[test]
    fn no_page_is_read_while_too_many_keys_are_blocked() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        let due = now + Duration::from_secs(60);
        let held = |seq: i64| Row { due_in: Duration::from_secs(60), ..row(seq, seq.unsigned_abs()) };
        read(&mut backlog, (1..80).map(held).collect(), now);
        backlog.wake();
        assert!(backlog.next_read(now).is_some());
        backlog.page(vec![held(80)], false, now);
        assert_eq!(backlog.next_read(now), None, "eighty keys for eight events");
        assert_eq!(backlog.next_pass(), Some(due));
        assert_eq!(backlog.next_read(due), Some(Read { after: 0, rows: 8 }), "they are due");
        backlog.page((1..9).map(|seq| row(seq, seq.unsigned_abs())).collect(), false, due);
        mark(&mut backlog);
        assert_eq!(sends(&mut backlog), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn no_page_is_read_while_memory_is_more_than_half_full() {
        let (mut backlog, now) = (backlog(Poison::Block), Instant::now());
        read(&mut backlog, (1..=5).map(|seq| row(seq, seq.unsigned_abs())).collect(), now);
        backlog.wake();
        assert_eq!(backlog.next_read(now), None);
        assert_eq!(sends(&mut backlog).len(), 5);
        backlog.delivered(1, now);
        backlog.settled(&[1]);
        assert_eq!(backlog.next_read(now), Some(Read { after: 5, rows: 4 }));
        assert_eq!(backlog.next_read(now), None, "one at a time");
        backlog.unread();
        assert!(backlog.next_read(now).is_some(), "what could not be read is read again");
        let mut bytes = Backlog::new(Limits { rows: 8, bytes: 30 }, Poison::Block, 0);
        read(&mut bytes, vec![row(1, 1), row(2, 2)], now);
        bytes.wake();
        assert_eq!(bytes.next_read(now), None);
    }
}
