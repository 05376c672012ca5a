//! The race: milena and other producers under one fault at the same time, to compare how long each is silent.
//!
//! In: a healthy cluster, a fault. Out: each client's longest silence after the fault, and milena's violations. Every
//! client is a process that prints in the same format and has its own topic. All topics have the same leaders and
//! replicas. If a fault cuts connections, all clients use the same proxies, so one fault strikes all of them at the
//! same moment. Deliberately absent: judging the records of the other producers.

use std::{collections::BTreeMap, env, path::PathBuf, time::Instant};

use milena::admin::Admin;
use tokio::task::block_in_place;

use super::{
    CLIENT_TEST, NODES, PARTITIONS,
    client::Client,
    load::{self, History, Order},
    oracle::{self, Violation},
    scenario,
    standings::{Lap, Silence},
    strike::{self, Fault, Stage},
};
use crate::cluster::unique;

/// One run of the race.
pub(crate) struct Heat {
    pub(crate) lap: Lap,
    /// Whether the fault had an effect.
    pub(crate) effective: bool,
    /// The violations of milena's records.
    pub(crate) violations: Vec<Violation>,
}

/// A producer in the race.
#[derive(Clone, Debug)]
enum Racer {
    Milena,
    Java,
    Program(PathBuf),
}

impl Racer {
    /// All producers. The command `tests/kafka/race` builds the programs.
    fn all() -> Vec<Self> {
        let programs = env::var_os("MILENA_RACE_PEERS").unwrap_or_default();
        let programs: Vec<_> = env::split_paths(&programs).filter(|path| path.is_file()).map(Self::Program).collect();
        [Self::Milena, Self::Java].into_iter().chain(programs).collect()
    }

    fn name(&self) -> String {
        match self {
            Self::Milena => "milena".to_owned(),
            Self::Java => "Java".to_owned(),
            Self::Program(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    fn start(&self, servers: &str, order: &Order) -> Client {
        match self {
            Self::Milena => Client::start(CLIENT_TEST, servers, order),
            Self::Java => Client::start_java(servers, order),
            Self::Program(path) => Client::start_program(path, servers, order),
        }
    }
}

/// One run. `number` rotates the layout, so that each node is hit in turn.
pub(crate) async fn run(stage: &Stage, fault: Fault, number: usize, records: u32) -> Heat {
    let racers = Racer::all();
    let topics = block_in_place(|| create_topics(stage, &racers, number));
    let mut clients = start(stage, fault, &racers, &topics, records);
    block_in_place(|| clients.iter_mut().for_each(|client| client.await_acked(records as usize / 4)));
    let since = Instant::now();
    let has_sent_all = || clients.iter().all(|client| client.sent() >= records as usize);
    let mut seen = stage.strike(fault, &topics, &has_sent_all).await;
    clients.iter_mut().for_each(Client::end);
    let histories: Vec<_> = block_in_place(|| clients.into_iter().map(Client::finish).collect());
    seen.effective |= seen.frozen.is_some_and(|frozen| strike::waited(&histories[0], frozen));
    let role = seen.role.map(|role| format!(" of a {role}")).unwrap_or_default();
    let silences = racers.iter().zip(&histories).map(|(racer, history)| (racer.name(), silence(history, since)));
    let lap = Lap { fault: format!("{fault}{role}"), silences: silences.collect(), seen: seen.what };
    Heat { lap, effective: seen.effective, violations: judge(stage, &topics[0], &histories[0]).await }
}

/// Creates a topic for each racer. A partition has the same leader in every topic.
fn create_topics(stage: &Stage, racers: &[Racer], number: usize) -> Vec<String> {
    let replicas = layout(number);
    let topics: Vec<_> = racers.iter().map(|racer| unique(&format!("race-{}", racer.name()))).collect();
    topics.iter().for_each(|topic| stage.overseer.create(topic, &replicas));
    stage.heal(&topics);
    topics
}

fn start(stage: &Stage, fault: Fault, racers: &[Racer], topics: &[String], at_least: u32) -> Vec<Client> {
    let servers = if fault.is_proxied() { stage.kafka.proxied_servers() } else { stage.kafka.bootstrap_servers() };
    let order = |topic: &String| Order { topic: topic.clone(), client: 0, first: 0, at_least };
    racers.iter().zip(topics).map(|(racer, topic)| racer.start(&servers, &order(topic))).collect()
}

/// The replicas of each partition, the leader first.
fn layout(number: usize) -> Vec<Vec<usize>> {
    let nodes = |partition: usize| (0..NODES).map(|at| (number + partition + at) % NODES + 1).collect();
    (0..PARTITIONS as usize).map(nodes).collect()
}

/// The longest time without an acknowledgement since the strike: of all partitions, and of the partition with the longest.
fn silence(history: &History, since: Instant) -> Silence {
    let longest = |chosen: &dyn Fn(i32) -> bool| {
        scenario::silence(history, |sent| sent.completed_at >= since && chosen(sent.partition))
    };
    let of_one = (0..PARTITIONS).map(|one| longest(&|partition| partition == one)).max().unwrap_or_default();
    Silence { of_all: longest(&|_| true), of_one }
}

async fn judge(stage: &Stage, topic: &str, history: &History) -> Vec<Violation> {
    let mut admin = Admin::connect(&stage.kafka.bootstrap_servers()).await.expect("the cluster responds");
    let log = load::entries(admin.read_all(topic).await.expect("the topic can be read"));
    let reported: BTreeMap<_, _> = history.iter().map(|(id, sent)| (*id, sent.reported)).collect();
    oracle::judge(&reported, &log).violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_leads_one_partition_and_the_first_in_its_turn() {
        assert_eq!(layout(0), [[1, 2, 3], [2, 3, 1], [3, 1, 2]]);
        assert_eq!(layout(1), [[2, 3, 1], [3, 1, 2], [1, 2, 3]]);
    }
}
