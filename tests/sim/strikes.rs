//! Faults of the cluster, and the end of the producer.
//!
//! In: a fault of the plan. Out: the changed cluster, and which guarantees can no longer be checked.

use std::time::Duration;

#[cfg(feature = "oauth")]
use super::source::Source;
use super::{
    checker::{Harm, Place},
    judge::MAX_PARTITIONS,
    network::Connection,
    plan::{Ending, Fault, Kind, Network, TOPICS, USER},
    simulation::{Recovery, Scheduled, Simulation},
};
use crate::{
    broker::{Api, Fault as Injected},
    error::ErrorCode,
    sender::Chance,
    wire::{
        errors::{Class, TABLE, Written},
        testing::Lie,
    },
};

/// A code that no table has.
const UNKNOWN_CODE: i16 = 999;
/// Errors that brokers often send for a Produce request.
const USUAL: [i16; 12] = [2, 3, 5, 6, 10, 19, 45, 47, 56, 59, 74, 87];
/// Errors that a broker may send for Metadata, InitProducerId or ApiVersions.
const METADATA: [i16; 11] = [-1, 3, 5, 8, 9, 17, 29, 38, 72, 100, UNKNOWN_CODE];
const IDENTITY: [i16; 13] = [-1, 7, 14, 15, 16, 31, 41, 42, 47, 51, 53, 90, UNKNOWN_CODE];
const VERSIONS: [i16; 5] = [-1, 33, 35, 42, 58];
/// The ways in which a Metadata response may be false.
const LIES: [Lie; 5] = [Lie::NoPartitions, Lie::FewerPartitions, Lie::NoLeaders, Lie::StaleEpochs, Lie::NoBrokers];
/// The distance between the old and the new port of a broker that moves.
const PORTS: u16 = 100;

/// Any code that means that nothing was appended. `DUPLICATE_SEQUENCE_NUMBER` would be false, and `PRODUCER_FENCED` is a
/// separate fault.
fn refusal(chance: &mut Chance) -> i16 {
    if chance.below(2) == 0 {
        return USUAL[chance.below(USUAL.len())];
    }
    let row = &TABLE[chance.below(TABLE.len())];
    match row.class {
        Class::None | Class::Duplicate | Class::Fatal => UNKNOWN_CODE,
        _ => row.code.0,
    }
}

/// Any code that a broker may send for records that it appended.
fn doubt(chance: &mut Chance) -> i16 {
    let may: Vec<i16> = TABLE.iter().filter(|row| row.written != Written::No).map(|row| row.code.0).collect();
    match may[chance.below(may.len())] {
        0 => UNKNOWN_CODE,
        code => code,
    }
}

impl Simulation {
    pub(super) fn strike(&mut self, fault: Fault) {
        let Fault { kind, seed, .. } = fault;
        self.strike_counts(kind);
        let chance = &mut Chance::new(seed);
        let topic = chance.below(self.plan.topics.len());
        let place = Place { topic, partition: chance.below(self.plan.topics[topic]) };
        let node = 1 + chance.below(self.plan.nodes) as i32;
        let times = 1 + chance.below(3) as u64;
        let soon = Duration::from_millis(1 + chance.below(3_000) as u64);
        let (name, partition) = (TOPICS[topic], place.partition as i32);
        let produce = |fault: Injected| fault.on(Api::Produce).at(name, partition).times(times);
        let error = |code: i16| Injected::error(ErrorCode(code));
        let mut any = |codes: &[i16]| codes[chance.below(codes.len())];
        match kind {
            Kind::MoveWithHint => drop(self.cluster.move_leader(name, partition, node, true)),
            Kind::MoveSilently => drop(self.cluster.move_leader(name, partition, node, false)),
            Kind::Restart => self.stop(node, soon),
            Kind::Pause => {
                let _ = self.cluster.set_paused(node, true);
                self.later(soon, Scheduled::Recovers(Recovery::Resume(node)));
            }
            Kind::Error => {
                let code = self.possible_code(refusal(chance));
                self.object(place, code);
                self.inject(produce(error(code)));
            }
            Kind::ErrorAfterAppend => {
                let code = doubt(chance);
                self.object(place, code);
                self.inject(produce(Injected::error_after_append(ErrorCode(code))));
            }
            Kind::Fenced => self.inject(produce(Injected::error(ErrorCode::PRODUCER_FENCED))),
            Kind::MetadataError => self.inject(error(any(&METADATA)).on(Api::Metadata).at_topic(name).times(times)),
            Kind::IdentityError => self.inject(error(any(&IDENTITY)).on(Api::InitProducerId).times(times)),
            Kind::VersionsError => self.inject(error(any(&VERSIONS)).on(Api::ApiVersions).times(times)),
            Kind::Throttle => self.inject(Injected::throttle(soon * 2).on(Api::Produce).times(times)),
            Kind::Garbage => self.inject(garbage(chance).times(times)),
            Kind::FewReplicas => drop(self.cluster.limit_in_sync(name, partition, 1)),
            Kind::Forget => self.forget(node),
            Kind::Truncate => self.truncate(place, chance.below(20) as i64),
            Kind::Recreate => self.delete(topic, 1 + chance.below(5), soon),
            Kind::ClockJump => self.wall_ms += chance.below(20_000_000) as i64 - 10_000_000,
            Kind::Lie => self.lies.push((name, LIES[chance.below(LIES.len())])),
            Kind::Move => self.relocate(node, chance),
            Kind::Stop => self.stop_process(chance),
            Kind::KeepOut => self.keep_out(soon, chance.below(2) == 0),
            Kind::EndSessions => self.connections.values_mut().for_each(Connection::end_session),
            Kind::CutBefore
            | Kind::CutWithin
            | Kind::CutAfter
            | Kind::RequestLost
            | Kind::AnswerLost
            | Kind::HalfOpen
            | Kind::Slow => {}
        }
        self.poll_all();
        self.note_outages();
    }

    fn object(&mut self, place: Place, code: i16) {
        let now = self.now;
        self.objections.produce.entry(place).or_default().push((now, ErrorCode(code)));
    }

    /// Moves all nodes, or one, to another port. The old address refuses connections or swallows them.
    fn relocate(&mut self, node: i32, chance: &mut Chance) {
        let all = chance.below(3) > 0;
        self.swallows = chance.below(3) == 0;
        let moving: Vec<(u16, i32)> =
            self.ports.iter().filter(|(_, n)| all || **n == node).map(|(p, n)| (*p, *n)).collect();
        for (port, node) in moving {
            self.ports.remove(&port);
            self.ports.insert(port + PORTS, node);
            self.cluster.change_port(node, port + PORTS);
            self.end_connections(node);
        }
    }

    /// Gives the producer another password than it has. Connections that know it go on until their session ends.
    /// Where tokens say who it is, their source gives none for a while, or `wrong` ones.
    #[cfg_attr(not(feature = "oauth"), expect(unused_variables, reason = "only tokens can be wrong"))]
    fn keep_out(&mut self, soon: Duration, wrong: bool) {
        self.cluster.set_user(USER.0, "another one");
        #[cfg(feature = "oauth")]
        if let Some(keeper) = &mut self.keeper {
            keeper.source = if wrong { Source::Errs } else { Source::Fails };
        }
        let stretch = (self.now, self.now + soon);
        self.interruptions.everywhere.push(stretch);
        self.objections.kept_out.push(stretch);
        self.later(soon, Scheduled::Recovers(Recovery::LetIn));
    }

    /// Stops the producer's process, often for longer than `delivery.timeout.ms`.
    fn stop_process(&mut self, chance: &mut Chance) {
        let timeout = self.plan.number("delivery.timeout.ms").unwrap_or(0);
        let ms = [500, timeout + 500, timeout + 5_000][chance.below(3)];
        if self.stopped.is_none() {
            let until = self.now + Duration::from_millis(ms);
            self.stopped = Some(until);
            self.interruptions.everywhere.push((self.now, until));
            self.at(until, Scheduled::Resumes);
        }
    }

    fn inject(&mut self, fault: Injected) {
        self.cluster.inject(fault);
    }

    /// Two codes mean that the broker accepts nothing more from the old producer id and epoch. They would be false while a
    /// request with them is in transit and may be accepted.
    fn possible_code(&self, code: i16) -> i16 {
        let quiet = match &self.plan.network {
            Network::ByChance(rates) => rates.is_empty(),
            Network::Exactly(met) => met.is_empty(),
        };
        if [47, 49].contains(&code) && !quiet { 45 } else { code }
    }

    fn stop(&mut self, node: i32, soon: Duration) {
        self.cluster.stop(node);
        self.end_connections(node);
        self.later(soon, Scheduled::Recovers(Recovery::Start(node)));
    }

    fn end_connections(&mut self, node: i32) {
        let here = self.connections.iter().filter(|(_, c)| c.node == node && c.served).map(|(id, _)| *id);
        here.collect::<Vec<_>>().into_iter().for_each(|id| self.broker_closes(id));
    }

    fn forget(&mut self, node: i32) {
        self.cluster.forget_producers(node);
        for topic in 0..self.plan.topics.len() {
            for partition in 0..MAX_PARTITIONS {
                self.harm(Place { topic, partition }).forgot = true;
            }
        }
    }

    fn truncate(&mut self, place: Place, records: i64) {
        let (topic, partition) = (TOPICS[place.topic], place.partition as i32);
        let end = self.cluster.log(topic, partition).len() as i64;
        if self.cluster.truncate_log(topic, partition, end - records).is_ok() {
            // Lost records may be sent again, after records that were sent later.
            *self.harm(place) = Harm { truncated: true, forgot: true };
        }
    }

    /// Deletes a topic, and creates one of that name soon after. The judge keeps its logs.
    fn delete(&mut self, topic: usize, partitions: usize, soon: Duration) {
        for partition in 0..MAX_PARTITIONS {
            let place = Place { topic, partition };
            let log = self.log(place);
            if !log.is_empty() {
                self.deleted_logs.entry(place).or_default().push(log);
            }
        }
        if self.cluster.remove_topic(TOPICS[topic]) {
            self.later(soon, Scheduled::Recovers(Recovery::Create(topic, partitions)));
        }
    }

    fn harm(&mut self, place: Place) -> &mut Harm {
        self.harm.entry(place).or_default()
    }

    pub(super) fn recover(&mut self, recovery: &Recovery) {
        self.note(|| format!("recovery: {recovery:?}"));
        match *recovery {
            Recovery::Start(node) => self.cluster.restart(node),
            Recovery::Resume(node) => drop(self.cluster.set_paused(node, false)),
            Recovery::LetIn => {
                self.cluster.set_user(USER.0, USER.1);
                #[cfg(feature = "oauth")]
                self.keeper.iter_mut().for_each(|keeper| keeper.source = Source::Works);
            }
            Recovery::Create(topic, partitions) => {
                let count = i32::try_from(partitions).unwrap_or(1);
                if self.cluster.add_topic(TOPICS[topic], count).is_err() {
                    // All nodes are down.
                    let again = Recovery::Create(topic, partitions);
                    self.later(Duration::from_millis(100), Scheduled::Recovers(again));
                }
            }
        }
        self.disturb();
        self.poll_all();
        self.note_outages();
    }

    /// Ends the producer in the middle.
    pub(super) fn end(&mut self) {
        match self.plan.ending {
            Ending::Heal => {}
            Ending::Leave => self.begin_close(None),
            Ending::Close => {
                let limit = [0, 30, 1_000][(self.plan.seed % 3) as usize];
                self.begin_close(Some(Duration::from_millis(limit)));
            }
            Ending::Drop => {
                self.retire_all();
                self.flushes.clear();
                self.producer = None;
            }
        }
    }
}

/// A frame with bytes that are no response.
fn garbage(chance: &mut Chance) -> Injected {
    let garbage = (0..chance.below(40)).map(|_| chance.below(256) as u8).collect::<Vec<u8>>();
    let len = (garbage.len() as i32).to_be_bytes();
    Injected::garbage([&len[..], &garbage].concat())
}
