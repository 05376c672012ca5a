//! The end of a run and its result.
//!
//! In: a simulation that has ended, or that does not end. Out: a [`Report`].

use std::{collections::BTreeMap, time::Duration};

use super::{
    availability::{self, Allowance, Neglect},
    checker::{Log, Place, Promise, Sent, UNKNOWN_ID, Violation, check},
    plan::{Kind, Plan, TOPICS},
    simulation::Simulation,
    tasks::{Waiting, reported},
};

/// The most partitions of a topic.
pub(super) const MAX_PARTITIONS: usize = 8;

/// A record of all events: as a hash, and as text if a reader wants it.
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(kept: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: kept.then(Vec::new) }
    }

    pub(super) fn note(&mut self, now: Duration, what: &str) {
        let line = format!("{:>12.6} {what}", now.as_secs_f64());
        // FNV-1a gives the same hash on every machine and with every compiler.
        let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        self.hash = line.as_bytes().iter().fold(self.hash, add);
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }
}

/// The result of a run.
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    /// Records that failed or were late without need.
    pub(crate) neglects: Vec<Neglect>,
    /// Faults that struck, by kind.
    pub(crate) struck: BTreeMap<Kind, u64>,
    /// The requests that met a fault of the network.
    pub(crate) met: BTreeMap<u64, Kind>,
    pub(crate) records: usize,
    /// Records that are in a log more than once, or out of order.
    pub(crate) anomalies: usize,
    pub(crate) hash: u64,
    pub(crate) trace: Vec<String>,
}

impl Simulation {
    /// Runs a plan to its end and judges it.
    pub(crate) fn judge(plan: &Plan, traced: bool) -> Report {
        let mut simulation = Self::new(plan.clone(), traced);
        let rests = simulation.run();
        simulation.report(rests)
    }

    fn report(mut self, rests: bool) -> Report {
        self.look();
        let neglects = self.neglects();
        let promise = Promise { idempotent: self.plan.idempotent, acks_0: self.plan.acks_0 };
        let (sent, logs) = (self.sent(), self.logs());
        let mut violations = std::mem::take(&mut self.violations);
        violations.extend(check(&sent, &logs, &self.harm, promise));
        if !rests {
            violations.push(Violation::Restless);
        }
        if self.widest_window > if promise.idempotent { 5 } else { 1 } {
            violations.push(Violation::Window { batches: self.widest_window });
        }
        violations.extend(self.history.iter().filter_map(|waiting| self.late(waiting)));
        let strict = Promise { idempotent: true, acks_0: promise.acks_0 };
        let anomalous =
            |violation: &Violation| matches!(violation, Violation::Duplicated { .. } | Violation::Reordered { .. });
        let anomalies = check(&sent, &logs, &self.harm, strict).iter().filter(|v| anomalous(v)).count();
        self.trace_outcomes();
        violations.extend(self.dismantle());
        Report {
            violations,
            neglects,
            struck: self.struck,
            met: self.met,
            records: sent.len(),
            anomalies,
            hash: self.trace.hash,
            trace: self.trace.lines.unwrap_or_default(),
        }
    }

    /// The result of the judge of availability. Outages that are not over last until now.
    fn neglects(&mut self) -> Vec<Neglect> {
        let now = self.now;
        for (place, since) in std::mem::take(&mut self.out) {
            self.interruptions.outages.entry(place).or_default().push((since, now + Duration::from_secs(1)));
        }
        let way = Duration::from_micros(self.plan.delay_us + 1);
        let splits = self.plan.number("batch.size").is_some_and(|bytes| bytes > self.plan.max_message_bytes as u64);
        let swallows = self.plan.has(Kind::Move);
        let allowance = Allowance::of(&self.config, way, self.plan.nodes, swallows, splits, self.plan.silent_addresses);
        let allowance = if self.plan.session_ms.is_some() { allowance.with_sasl(way) } else { allowance };
        let allowance = if self.plan.token_life_s.is_some() { allowance.with_tokens(way) } else { allowance };
        let mut neglects = std::mem::take(&mut self.neglects);
        // Without responses a producer cannot know what a broker did.
        if !self.plan.acks_0 {
            neglects.extend(availability::judge(&self.fates, &self.interruptions, &self.objections, allowance));
        }
        neglects
    }

    /// Ends the producer. Afterwards no memory may be charged, and no call may be pending.
    fn dismantle(&mut self) -> Vec<Violation> {
        self.producer = None;
        drop(self.sender.take());
        let hanging = self.hanging();
        self.violations.extend(hanging);
        self.tasks.clear();
        self.look();
        let mut violations = std::mem::take(&mut self.violations);
        let hang = self.flushes.iter().map(|flush| Violation::FlushHangs { records: flush.records });
        violations.extend(hang);
        let silent = self.history.iter().filter(|waiting| waiting.called == Some(0));
        violations.extend(silent.map(|waiting| Violation::CalledBack { id: waiting.id, times: 0 }));
        let memory = self.accumulator.memory();
        if memory.free() != memory.limit() || self.accumulator.undelivered() != 0 {
            violations.push(Violation::MemoryKept { bytes: memory.limit() - memory.free() });
        }
        violations
    }

    fn sent(&self) -> Vec<Sent> {
        let sent = |waiting: &Waiting| Sent {
            id: waiting.id,
            place: waiting.place,
            reported: reported(waiting.delivery.outcome()),
        };
        self.history.iter().map(sent).collect()
    }

    /// All logs: for each partition those that were deleted, and the present one.
    fn logs(&self) -> BTreeMap<Place, Vec<Log>> {
        let mut logs = self.deleted_logs.clone();
        for topic in 0..self.plan.topics.len() {
            for partition in 0..MAX_PARTITIONS {
                let place = Place { topic, partition };
                logs.entry(place).or_default().push(self.log(place));
            }
        }
        logs
    }

    pub(super) fn log(&self, place: Place) -> Log {
        let records = self.cluster.log(TOPICS[place.topic], place.partition as i32).into_iter();
        let named = |value: Option<bytes::Bytes>| self.name(&value.unwrap_or_default(), place).unwrap_or(UNKNOWN_ID);
        records.map(|record| (record.offset, named(record.value))).collect()
    }

    /// A violation, if a record failed too late. A producer whose process is stopped cannot report anything.
    fn late(&self, waiting: &Waiting) -> Option<Violation> {
        let timeout = self.plan.number("delivery.timeout.ms").filter(|_| !self.plan.has(Kind::Stop))?;
        let elapsed = waiting.delivery.outcome()?.err()?.elapsed();
        (elapsed > Duration::from_millis(timeout))
            .then_some(Violation::Late { id: waiting.id, ms: elapsed.as_millis() })
    }

    /// Adds outcomes and logs to the trace, for its reader. They count for the hash, too.
    fn trace_outcomes(&mut self) {
        for index in 0..self.history.len() {
            let Waiting { id, place, delivery, .. } = &self.history[index];
            let outcome = match delivery.outcome() {
                None => "no outcome".to_owned(),
                Some(Ok(ack)) => format!("offset {:?}", ack.offset()),
                Some(Err(error)) => format!("{} ({:?})", error.code(), error.persisted()),
            };
            let line = format!("{id} for {place}: {outcome}");
            self.note(|| line);
        }
        if self.trace.lines.is_none() {
            return;
        }
        for place in self.logs().into_keys() {
            for record in self.cluster.log(TOPICS[place.topic], place.partition as i32) {
                let id = self.name(record.value.as_deref().unwrap_or_default(), place).unwrap_or(UNKNOWN_ID);
                let (producer, epoch, sequence) = (record.producer_id, record.producer_epoch, record.sequence);
                let from = format!("producer {producer} epoch {epoch} sequence {sequence}");
                let line = format!("{place} offset {}: {id} from {from}", record.offset);
                self.trace.lines.iter_mut().for_each(|lines| lines.push(line.clone()));
            }
        }
    }
}
