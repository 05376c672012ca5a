//! Random calls of a store, from a seed.

use std::{fmt::Debug, time::Duration};

use super::setup::{LEASE, TestClock, event, failed, stuck};
use crate::store::{
    Change, Filter, Lease, NewEvent, Outcome, PageLimits, Position, Published, Seq, Status, Store, StoreError, slot_of,
};

/// One call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Insert(Vec<NewEvent>),
    Acknowledge(Vec<Published>),
    Acquire(u16),
    Renew(Lease),
    Release(Lease),
    Sending(Lease, Seq),
    Settle(Lease, Vec<Outcome>),
    Page(Lease, Seq, PageLimits),
    Replay(Filter),
    Purge(Filter),
    Sweep,
    Look,
}

/// Draws calls.
pub(crate) struct Script {
    state: u64,
    inserted: u128,
    leases: Vec<Lease>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, inserted: 0, leases: Vec::new() }
    }

    /// A number below `limit` (SplitMix64).
    fn draw(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// The next call; time goes on before it.
    pub(crate) fn next(&mut self, clock: &TestClock) -> Call {
        let jumps = [0, 0, 1, 500, 10_000, 31_000, -700, -31_000];
        clock.jump(jumps[self.draw(8) as usize]);
        match self.draw(16) {
            0..=3 => Call::Insert((0..self.draw(5)).map(|_| self.event()).collect()),
            4 => Call::Acknowledge(
                (0..self.draw(3)).map(|_| Published { seq: self.seq(), position: self.position() }).collect(),
            ),
            5..=6 => Call::Acquire(self.draw(3) as u16 + 1),
            7 => Call::Look,
            8 => Call::Sweep,
            9 => self.with_lease(|_, lease| Call::Renew(lease)),
            10 => self.with_lease(|this, lease| if this.draw(3) == 0 { Call::Release(lease) } else { Call::Look }),
            11 => self.with_lease(|this, lease| Call::Sending(lease, this.seq())),
            12..=13 => self.with_lease(|this, lease| {
                let outcomes = (0..this.draw(6)).map(|_| this.outcome()).collect();
                Call::Settle(lease, outcomes)
            }),
            14 => self.with_lease(|this, lease| {
                let limits = PageLimits { rows: this.draw(9) as usize, bytes: this.draw(4_000) };
                Call::Page(lease, Seq(this.draw(20) as i64), limits)
            }),
            _ => {
                let filter = self.filter();
                if self.draw(2) == 0 { Call::Replay(filter) } else { Call::Purge(filter) }
            }
        }
    }

    fn with_lease(&mut self, call: impl FnOnce(&mut Self, Lease) -> Call) -> Call {
        if self.leases.is_empty() {
            return Call::Acquire(1);
        }
        let at = self.draw(self.leases.len() as u64) as usize;
        let lease = self.leases[at].clone();
        call(self, lease)
    }

    fn event(&mut self) -> NewEvent {
        self.inserted += 1;
        let event = event(self.inserted);
        let event = if self.draw(4) == 0 { event.hold(Duration::from_secs(20)) } else { event };
        if self.draw(4) == 0 { event.maybe_sent() } else { event }
    }

    fn seq(&mut self) -> Seq {
        Seq(self.draw(self.inserted as u64 + 2) as i64)
    }

    /// Of an event that may be there; as events are numbered like their rows, its slot is known.
    fn outcome(&mut self) -> Outcome {
        let seq = self.seq();
        let change = match self.draw(4) {
            0 => Change::Resolved,
            1 => Change::DeadLettered,
            2 => failed(self.draw(5) as u32, Duration::from_secs(self.draw(60))),
            _ => stuck(),
        };
        let of = event(seq.0 as u128);
        let position = if change == Change::Resolved { self.position() } else { None };
        Outcome { seq, slot: slot_of(&of.topic, of.key.as_deref(), &of.event_id), change, position }
    }

    fn position(&mut self) -> Option<Position> {
        let (partition, offset) = (self.draw(9) as i32, self.draw(1_000) as i64);
        (self.draw(2) == 0).then_some(Position { partition, offset })
    }

    fn filter(&mut self) -> Filter {
        let status = Status::ALL[self.draw(5) as usize];
        let filter = Filter::new().status(status).older_than(Duration::from_secs(self.draw(40)));
        if self.draw(2) == 0 { filter.key(format!("key-{}", self.seq())) } else { filter }
    }

    /// What a store answers, and its counts.
    pub(crate) async fn perform(&self, call: &Call, store: &dyn Store) -> Answer {
        let (mut given, mut is_refused) = (None, false);
        let answer = match call.clone() {
            Call::Insert(events) => {
                let end = store.insert(events).await;
                is_refused = end.is_err();
                told(end)
            }
            Call::Acknowledge(rows) => told(store.acknowledge(rows).await),
            Call::Acquire(want) => {
                let lease = store.acquire("relay", LEASE, want).await;
                given = lease.as_ref().ok().cloned().flatten();
                told(lease)
            }
            Call::Renew(lease) => told(store.renew(&lease, LEASE).await),
            Call::Release(lease) => told(store.release(&lease).await),
            Call::Sending(lease, up_to) => told(store.sending(&lease, up_to).await),
            Call::Settle(lease, outcomes) => told(store.settle(&lease, outcomes).await),
            Call::Page(lease, after, limits) => told(store.page(&lease, after, limits).await),
            Call::Replay(filter) => told(store.replay(filter).await),
            Call::Purge(filter) => told(store.purge(filter).await),
            Call::Sweep => told(store.sweep().await),
            Call::Look => {
                let slots = told(store.slots().await);
                slots + &told(store.list(Filter::new(), Seq::START, 99).await)
            }
        };
        Answer { text: answer + &told(store.stats().await), is_refused, lease: given }
    }

    /// Keeps a lease, for later calls, and takes the numbers of events back that were not stored.
    pub(crate) fn learn(&mut self, call: &Call, answer: Answer) {
        if let (Call::Insert(events), true) = (call, answer.is_refused) {
            self.inserted -= events.len() as u128;
        }
        self.leases.extend(answer.lease);
    }
}

/// What a store answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    text: String,
    is_refused: bool,
    lease: Option<Lease>,
}

fn told<T: Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}\n"),
        Err(error) => format!("{:?}: {error}\n", error.kind()),
    }
}
