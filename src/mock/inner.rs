//! The part of a [`MockProducer`](super::MockProducer) that its clones share: its replies, and the records without an
//! outcome.
//!
//! In: records with their scripted outcomes. Out: outcomes, in cells like those of a producer. Pure but for the
//! callback thread.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{Reply, SentRecord};
use crate::{
    cluster,
    delivery::{Callbacks, Completer, Origin, Outcome},
    error::{DeliveryError, FailureKind, FlushError, Persisted, SendError},
    producer::TimeLimits,
    record::{
        Record,
        partition::{Partitioner, Partitions, ask, fixed},
        topic::check_topic_name,
    },
};

pub(super) struct Inner {
    state: Mutex<MockState>,
    pub(super) callbacks: Callbacks,
    limits: TimeLimits,
    /// The records whose callbacks have not run yet.
    undelivered: watch::Sender<BTreeSet<u64>>,
}

#[derive(Default)]
pub(super) struct MockState {
    /// How many partitions each topic has; 0 stands for 1.
    pub(super) partitions: usize,
    pub(super) partitioner: Option<Arc<dyn Partitioner>>,
    pub(super) replies: Replies,
    pub(super) closed: bool,
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
}

impl Default for Inner {
    fn default() -> Self {
        let (callbacks, undelivered) = (Callbacks::threaded(Vec::new()), watch::Sender::default());
        Self { state: Mutex::default(), callbacks, limits: TimeLimits::anywhere(), undelivered }
    }
}

impl Inner {
    /// No user code runs while it is locked.
    pub(super) fn state(&self) -> MutexGuard<'_, MockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check(&self, topic: &str) -> Result<(), SendError> {
        if let Err(reason) = check_topic_name(topic) {
            return Err(SendError::InvalidTopic { topic: topic.chars().take(256).collect::<String>().into(), reason });
        }
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

    pub(super) fn keep(&self, record: SentRecord, pending: impl FnOnce(&mut MockState) -> PendingRecord) -> u64 {
        let mut state = self.state();
        let (serial, pending) = (state.serial, pending(&mut state));
        state.serial += 1;
        state.history.push(record);
        state.pending.insert(serial, pending);
        self.undelivered.send_modify(|undelivered| {
            undelivered.insert(serial);
        });
        serial
    }

    /// Completes a record, if it has no outcome yet.
    pub(super) fn settle(&self, serial: u64) {
        let pending = self.state().pending.remove(&serial);
        if let Some(PendingRecord { completer, outcome, .. }) = pending {
            completer.complete(outcome, Box::new(PendingCallback { serial, undelivered: self.undelivered.clone() }));
        }
    }

    pub(super) async fn flush(&self) {
        let later = self.state().serial;
        let mut undelivered = self.undelivered.subscribe();
        let callbacks_ran = undelivered.wait_for(|open| open.first().is_none_or(|first| *first >= later));
        // The sender cannot be dropped here, because this mock owns it.
        let _ = callbacks_ran.await;
    }

    pub(super) async fn flush_within(&self, limit: Duration) -> Result<(), FlushError> {
        let flushed = self.limits.within(limit, self.flush()).await;
        flushed.ok_or_else(|| FlushError::Timeout { pending: self.undelivered.borrow().len(), waited: limit })
    }

    /// Fails all records without an outcome.
    pub(super) fn end(&self) {
        let pending = std::mem::take(&mut self.state().pending);
        for (serial, PendingRecord { origin, completer, .. }) in pending {
            let error = DeliveryError::of(FailureKind::Closed, &origin.topic, origin.partition);
            let outcome = Outcome::Failed(error.with_persisted(Persisted::Unknown));
            completer.complete(outcome, Box::new(PendingCallback { serial, undelivered: self.undelivered.clone() }));
        }
    }
}

impl MockState {
    /// How many partitions every topic has.
    pub(super) fn partitions(&self) -> usize {
        self.partitions.max(1)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "a partition's number is under 2^31"
    )]
    pub(super) fn in_turn(&mut self, topic: &str) -> i32 {
        let partitions = self.partitions();
        let turn = self.turns.entry(topic.to_owned()).or_default();
        *turn += 1;
        ((*turn - 1) % partitions) as i32
    }

    pub(super) fn written(&mut self, origin: &Origin) -> Outcome {
        let next = self.offsets.entry(origin.clone()).or_default();
        *next += 1;
        Outcome::Acked { base_offset: Some(*next - 1), append_time: None, confirmed: true }
    }
}

/// Dropped when a record's callback has run.
struct PendingCallback {
    serial: u64,
    undelivered: watch::Sender<BTreeSet<u64>>,
}

impl Drop for PendingCallback {
    fn drop(&mut self) {
        self.undelivered.send_modify(|undelivered| {
            undelivered.remove(&self.serial);
        });
    }
}

pub(super) fn failed(error: DeliveryError, origin: &Origin) -> Outcome {
    Outcome::Failed(error.with_place(&origin.topic, origin.partition))
}
