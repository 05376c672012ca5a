//! The part of a [`MockProducer`](super::MockProducer) that its clones share: its replies, and the records without an
//! outcome.
//!
//! In: records with their scripted outcomes. Out: outcomes, in cells like those of a producer. Pure but for the
//! callback thread.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Reply, SentRecord};
use crate::{
    accumulator::{Outstanding, Token},
    cluster,
    delivery::{Callbacks, Completer, Origin, Outcome},
    error::{DeliveryError, FailureKind, FlushError, Persisted, SendError},
    producer::{TimeLimits, check_topic, not_in_callback},
    record::{
        Record,
        partition::{Partitioner, Partitions, ask, fixed},
    },
};

pub(super) struct Inner {
    state: Mutex<MockState>,
    pub(super) callbacks: Callbacks,
    pub(super) limits: TimeLimits,
    /// The records whose callbacks have not run yet.
    undelivered: Arc<Outstanding>,
}

#[derive(Default)]
pub(super) struct MockState {
    /// How many partitions each topic has; 0 stands for 1.
    pub(super) partitions: usize,
    pub(super) partitioner: Option<Arc<dyn Partitioner>>,
    pub(super) replies: Replies,
    pub(super) closed: bool,
    /// How a request for metadata fails, if it does.
    pub(super) metadata: Option<SendError>,
    pub(super) history: Vec<SentRecord>,
    /// Records without an outcome, in the order of sending.
    pub(super) pending: BTreeMap<u64, PendingRecord>,
    /// The number of the next record.
    serial: u64,
    offsets: HashMap<Origin, i64>,
    /// How many records of each topic were placed in turn.
    turns: HashMap<String, usize>,
}

/// The replies: those for the next records, then the rule's, then the default.
#[derive(Default)]
pub(super) struct Replies {
    pub(super) next: VecDeque<Reply>,
    #[expect(clippy::type_complexity, reason = "an alias would hide what it is")]
    pub(super) rule: Option<Arc<dyn Fn(&Record<'_>) -> Option<Reply> + Send + Sync>>,
    pub(super) usual: Reply,
}

/// An accepted record without an outcome.
pub(super) struct PendingRecord {
    pub(super) origin: Origin,
    pub(super) completer: Completer,
    pub(super) outcome: Outcome,
    pub(super) held: bool,
    /// Dropped when the record's callback has run.
    pub(super) undelivered: Token,
}

impl Default for Inner {
    fn default() -> Self {
        let (callbacks, limits) = (Callbacks::threaded(Vec::new()), TimeLimits::anywhere());
        Self { state: Mutex::default(), callbacks, limits, undelivered: Arc::default() }
    }
}

impl Inner {
    /// No user code runs while it is locked.
    pub(super) fn state(&self) -> MutexGuard<'_, MockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check(&self, topic: &str) -> Result<(), SendError> {
        check_topic(topic)?;
        if self.state().closed { Err(SendError::Closed { topic: topic.into() }) } else { Ok(()) }
    }

    /// The record's partition. `None` if it is placed in turn.
    pub(super) fn place(&self, record: &Record<'_>) -> Result<Option<i32>, SendError> {
        let (count, partitioner) = {
            let state = self.state();
            (state.partitions(), state.partitioner.clone())
        };
        let mut record = record.clone();
        if let (Some(partitioner), None) = (partitioner, record.explicit_partition()) {
            let all = vec![cluster::PartitionMetadata { leader: Some(0), leader_epoch: 0 }; count];
            record.place(ask(&*partitioner, &record, &Partitions::new(&all))?);
        }
        fixed(&record, count, false)
    }

    pub(super) fn reply_to(&self, record: &Record<'_>) -> Reply {
        let (rule, usual) = {
            let Replies { next, rule, usual } = &mut self.state().replies;
            if let Some(reply) = next.pop_front() {
                return reply;
            }
            (rule.clone(), usual.clone())
        };
        rule.and_then(|rule| rule(record)).unwrap_or(usual)
    }

    pub(super) fn keep(&self, record: SentRecord, pending: impl FnOnce(&mut MockState, Token) -> PendingRecord) -> u64 {
        let mut state = self.state();
        let (serial, pending) = (state.serial, pending(&mut state, self.undelivered.enter()));
        state.serial += 1;
        state.history.push(record);
        state.pending.insert(serial, pending);
        serial
    }

    /// Completes a record, if it has no outcome yet.
    pub(super) fn settle(&self, serial: u64) {
        let pending = self.state().pending.remove(&serial);
        if let Some(PendingRecord { completer, outcome, undelivered, .. }) = pending {
            completer.complete(outcome, Box::new(undelivered));
        }
    }

    pub(super) async fn flush(&self) -> Result<(), FlushError> {
        not_in_callback()?;
        self.undelivered.settled(self.undelivered.start_generation()).await;
        Ok(())
    }

    pub(super) async fn flush_within(&self, limit: Duration) -> Result<(), FlushError> {
        let timed_out = || Err(FlushError::Timeout { pending: self.undelivered.count(), waited: limit });
        self.limits.within(limit, self.flush()).await.unwrap_or_else(timed_out)
    }

    /// Fails all records without an outcome.
    pub(super) fn end(&self) {
        let pending = std::mem::take(&mut self.state().pending);
        for PendingRecord { origin, completer, undelivered, .. } in pending.into_values() {
            let error = DeliveryError::of(FailureKind::Closed, &origin.topic, origin.partition);
            let outcome = Outcome::Failed(error.with_persisted(Persisted::Unknown));
            completer.complete(outcome, Box::new(undelivered));
        }
    }
}

impl MockState {
    /// How many partitions every topic has.
    pub(super) fn partitions(&self) -> usize {
        self.partitions.max(1)
    }

    pub(super) fn in_turn(&mut self, topic: &str) -> i32 {
        let partitions = self.partitions();
        let turn = self.turns.entry(topic.to_owned()).or_default();
        *turn += 1;
        i32::try_from((*turn - 1) % partitions).unwrap_or(0)
    }

    pub(super) fn written(&mut self, origin: &Origin) -> Outcome {
        let next = self.offsets.entry(origin.clone()).or_default();
        *next += 1;
        Outcome::Acked { base_offset: Some(*next - 1), append_time: None, confirmed: true }
    }
}

pub(super) fn failed(error: DeliveryError, origin: &Origin) -> Outcome {
    Outcome::Failed(error.with_place(&origin.topic, origin.partition))
}
