//! The simulation's notes for the judge of availability: outages, disturbances, and the fates of records.
//!
//! In: the cluster, records with an outcome, a process that resumes. Out: interruptions and fates.

use std::time::Duration;

use bytes::Bytes;

use super::{
    availability::{End, Fate, Neglect},
    checker::Place,
    judge::MAX_PARTITIONS,
    plan::TOPICS,
    simulation::{Scheduled, Simulation},
    tasks::Waiting,
};
use crate::{
    ErrorCode, FailureKind,
    config::Acks,
    wire::{apis::produce, testing::read_produce},
};

impl Simulation {
    /// The process resumes. The runtime then finds expired timers and readable sockets at once. It may poll the
    /// driver's task before the connections' tasks have read anything, so the driver sees the time first.
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

    /// The records whose acknowledgement has arrived but was not read.
    fn unread(&self) -> Vec<usize> {
        let responses = self.scheduled.values().filter_map(|event| match event {
            Scheduled::Responses(id, frame) => {
                self.request_of(*id, frame).filter(|request| acknowledges(frame, request))
            }
            _ => None,
        });
        let batches = responses.flat_map(|request| read_produce(&[request]).1);
        let values: Vec<Bytes> = batches.flat_map(|batch| batch.values).collect();
        let named = |waiting: &Waiting| values.iter().any(|value| self.name(value, waiting.place) == Some(waiting.id));
        let written = |waiting: &Waiting| self.log(waiting.place).iter().any(|(_, id)| *id == waiting.id);
        let waits = |record: &usize| self.history.get(*record).is_some_and(|w| named(w) && written(w));
        self.open.iter().copied().filter(waits).collect()
    }

    /// Notes a disturbance.
    pub(super) fn disturb(&mut self) {
        let now = self.now;
        if self.interruptions.everywhere.last() != Some(&(now, now)) {
            self.interruptions.everywhere.push((now, now));
        }
    }

    /// Notes an outage of all partitions that a node leads.
    pub(super) fn outage_at(&mut self, node: i32, stretch: (Duration, Duration)) {
        self.mutes.push((node, stretch));
        self.note_mutes();
    }

    /// Notes the partitions that a throttling node leads, among them those that it leads only since a moment ago.
    fn note_mutes(&mut self) {
        let now = self.now;
        self.mutes.retain(|(_, (_, until))| *until > now);
        for place in self.places() {
            let leader = self.cluster.leader(TOPICS[place.topic], place.partition as i32);
            let here = self
                .mutes
                .iter()
                .filter(|(node, _)| leader == Some(*node))
                .map(|(_, (from, until))| (now.max(*from), *until));
            let here: Vec<_> = here.collect();
            if !here.is_empty() {
                self.interruptions.outages.entry(place).or_default().extend(here);
            }
        }
    }

    /// Notes the partitions that cannot be written to.
    pub(super) fn note_outages(&mut self) {
        self.note_mutes();
        let (now, all) = (self.now, self.config.acks == Acks::All);
        for place in self.places() {
            let writable = self.cluster.is_writable(TOPICS[place.topic], place.partition as i32, all);
            match (writable, self.out.get(&place).copied()) {
                (false, None) => drop(self.out.insert(place, now)),
                (true, Some(since)) => {
                    self.out.remove(&place);
                    self.interruptions.outages.entry(place).or_default().push((since, now));
                }
                _ => {}
            }
        }
    }

    /// Every partition that exists or may exist.
    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let topics = 0..self.plan.topics.len();
        topics.flat_map(|topic| (0..MAX_PARTITIONS).map(move |partition| Place { topic, partition }))
    }

    /// Notes the records that have their outcome now.
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
            // The records that were sent after a rejected record have to be sent again.
            rejects |= matches!(end, Some(End::Rejected(_)));
            let incomplete = waiting.incomplete + (sent - record);
            let Waiting { id, place, since, alone, .. } = *waiting;
            fates.extend(end.map(|end| Fate { id, place, since, until: now, end, alone, incomplete }));
            false
        });
        if rejects {
            self.disturb();
        }
    }
}

/// Whether a response acknowledges all batches of its Produce request.
fn acknowledges(response: &Bytes, request: &Bytes) -> bool {
    let version = request.get(6..8).and_then(|version| version.first_chunk().copied()).map_or(0, i16::from_be_bytes);
    let written = |error: ErrorCode| [ErrorCode::NONE, ErrorCode::DUPLICATE_SEQUENCE_NUMBER].contains(&error);
    produce::decode(response, version).is_ok_and(|response| response.partitions.iter().all(|part| written(part.error)))
}
