//! What the world notes for the judge of availability while it runs: when something was in the way, and what became of records.
//!
//! In: the cluster as it is, records with an outcome, a process that goes on. Out: weather and fates.

use std::time::Duration;

use bytes::Bytes;

use super::{
    availability::{End, Fate, Neglect},
    checker::Place,
    judge::MOST_PARTITIONS,
    plan::TOPICS,
    tasks::Waiting,
    world::{Happening, World},
};
use crate::{
    ErrorCode, FailureKind,
    config::Acks,
    wire::{apis::produce, testing::read_produce},
};

impl World {
    /// The process goes on. The runtime finds timers that are over and sockets that can be read at once. The driver's task may be
    /// polled before those of the connections have read anything: then it hears of the time first.
    pub(super) fn resume(&mut self) {
        self.stopped = None;
        let unread = self.unread();
        let now = self.instant();
        self.sender.iter_mut().for_each(|sender| sender.handle_timeout(now));
        self.drive();
        self.look();
        let expired = |waiting: &Waiting| {
            let outcome = waiting.delivery.outcome().and_then(Result::err);
            outcome.is_some_and(|error| error.kind() == FailureKind::Expired)
        };
        let lost = unread.into_iter().filter(|record| self.history.get(*record).is_some_and(expired));
        let lost: Vec<Neglect> = lost.map(|record| Neglect::ExpiredUnread(self.history[record].id)).collect();
        self.neglects.extend(lost);
    }

    /// Records whose acknowledgement has come to the machine, where nobody has read it yet.
    fn unread(&self) -> Vec<usize> {
        let answers = self.happenings.values().filter_map(|happening| match happening {
            Happening::Answers(id, frame) => self.request_of(*id, frame).filter(|request| acknowledges(frame, request)),
            _ => None,
        });
        let batches = answers.flat_map(|request| read_produce(&[request]).1);
        let values: Vec<Bytes> = batches.flat_map(|batch| batch.values).collect();
        let named = |waiting: &Waiting| values.iter().any(|value| self.name(value, waiting.place) == Some(waiting.id));
        let written = |waiting: &Waiting| self.log(waiting.place).iter().any(|(_, id)| *id == waiting.id);
        let waits = |record: &usize| self.history.get(*record).is_some_and(|w| named(w) && written(w));
        self.open.iter().copied().filter(waits).collect()
    }

    /// Something goes wrong for everybody, for a moment.
    pub(super) fn gust(&mut self) {
        let now = self.now;
        if self.weather.everywhere.last() != Some(&(now, now)) {
            self.weather.everywhere.push((now, now));
        }
    }

    /// The partitions that a node leads cannot be written to for a while.
    pub(super) fn outage_at(&mut self, node: i32, stretch: (Duration, Duration)) {
        for place in self.places() {
            if self.cluster.leader(TOPICS[place.topic], place.partition as i32) == Some(node) {
                self.weather.outages.entry(place).or_default().push(stretch);
            }
        }
    }

    /// Takes note of which partitions nobody could write to.
    pub(super) fn survey(&mut self) {
        let (now, all) = (self.now, self.config.acks == Acks::All);
        for place in self.places() {
            let writable = self.cluster.is_writable(TOPICS[place.topic], place.partition as i32, all);
            match (writable, self.out.get(&place).copied()) {
                (false, None) => drop(self.out.insert(place, now)),
                (true, Some(since)) => {
                    self.out.remove(&place);
                    self.weather.outages.entry(place).or_default().push((since, now));
                }
                _ => {}
            }
        }
    }

    /// Every partition that there is or may be.
    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let topics = 0..self.plan.topics.len();
        topics.flat_map(|topic| (0..MOST_PARTITIONS).map(move |partition| Place { topic, partition }))
    }

    /// Takes note of records that have their outcome now.
    pub(super) fn note_fates(&mut self) {
        let (now, sent) = (self.now, self.history.len());
        let (history, fates, mut rejects) = (&self.history, &mut self.fates, false);
        self.open.retain(|record| {
            let Some(waiting) = history.get(*record) else { return false };
            let Some(outcome) = waiting.delivery.outcome() else { return true };
            let end = match outcome {
                Ok(_) => Some(End::Acked),
                Err(error) => match error.kind() {
                    FailureKind::Expired => Some(End::Expired),
                    FailureKind::Rejected => Some(End::Rejected(error.code())),
                    FailureKind::Closed | FailureKind::Abandoned | FailureKind::Fatal => None,
                },
            };
            // Those that were sent behind a record that is rejected were sent for nothing.
            rejects |= matches!(end, Some(End::Rejected(_)));
            let company = waiting.company + (sent - record);
            let Waiting { id, place, since, alone, .. } = *waiting;
            fates.extend(end.map(|end| Fate { id, place, since, until: now, end, alone, company }));
            false
        });
        if rejects {
            self.gust();
        }
    }
}

/// Whether an answer says of everything in its Produce request that it is written.
fn acknowledges(answer: &Bytes, request: &Bytes) -> bool {
    let version = request.get(6..8).and_then(|version| version.first_chunk().copied()).map_or(0, i16::from_be_bytes);
    let written = |error: ErrorCode| [ErrorCode::NONE, ErrorCode::DUPLICATE_SEQUENCE_NUMBER].contains(&error);
    produce::decode(answer, version).is_ok_and(|answer| answer.partitions.iter().all(|part| written(part.error)))
}
