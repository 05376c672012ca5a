//! The faults, and the proof that each had an effect.
//!
//! In: a cluster under load. Out: what was done and observed. All nodes are running again after each fault.
//! Deliberately absent: the effect on the records, which the oracle judges.

use std::{
    fmt,
    net::TcpStream,
    time::{Duration, Instant},
};

use milena_test_support::{
    kafka::RealKafka,
    overseer::{Overseer, Partition},
    proxy::Cuts,
};
use tokio::{task::block_in_place, time::sleep};

use super::load::History;

/// How long a connection passes no responses before it is reset, and the time between two cuts.
const DEAF: Duration = Duration::from_millis(150);
const BETWEEN_CUTS: Duration = Duration::from_secs(1);
/// One of this many Produce requests through a proxy loses its response.
const LOSE_EVERY: usize = 50;

/// A fault that strikes while records are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGSTOP of the leader of partition 0 for so many seconds.
    Freeze(u64),
    /// SIGKILL of the leader of partition 0, which is restarted at once.
    Kill,
    /// Every node is shut down and restarted, one after the other, each once all replicas are in sync.
    RollingRestart,
    /// Every second, all connections pass no responses for 150 ms and are then reset.
    Cut,
    /// The same for a producer without idempotence: the control.
    CutPlain,
    /// A connection is cut after a Produce request was written, so its response is lost: every 50th request at each broker.
    LoseResponses,
    /// All leaders are moved by reassignment, and back into the replicas.
    MoveLeaders,
    /// SIGKILL of the client, after which another continues.
    KillClient,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze(seconds) => write!(f, "freeze-{seconds}s"),
            Self::Kill => f.write_str("kill"),
            Self::RollingRestart => f.write_str("rolling-restart"),
            Self::Cut => f.write_str("cut"),
            Self::CutPlain => f.write_str("cut-without-idempotence"),
            Self::LoseResponses => f.write_str("lose-responses"),
            Self::MoveLeaders => f.write_str("move-leaders"),
            Self::KillClient => f.write_str("kill-client"),
        }
    }
}

impl Fault {
    /// Whether the client connects through the proxies.
    pub(crate) fn is_proxied(self) -> bool {
        matches!(self, Self::Cut | Self::CutPlain | Self::LoseResponses)
    }
}

/// A cluster, and an admin client that observes it.
pub(crate) struct Stage {
    pub(crate) kafka: RealKafka,
    pub(crate) overseer: Overseer,
}

/// The controller role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The active controller. Another must be elected before the cluster notices that the node is down.
    Controller,
    /// A standby controller.
    Broker,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Controller { "controller" } else { "broker" })
    }
}

/// The observations of a fault.
#[derive(Debug)]
pub(crate) struct Seen {
    /// A description for the report.
    pub(crate) what: String,
    /// The role of the node: the time until the cluster recovers depends on it.
    pub(crate) role: Option<Role>,
    /// Whether the fault had an effect.
    pub(crate) effective: bool,
    /// The time in which a frozen leader sent no response.
    pub(crate) frozen: Option<(Instant, Instant)>,
}

impl Seen {
    fn new(effective: bool, what: String) -> Self {
        Self { what, role: None, effective, frozen: None }
    }
}

impl Stage {
    /// Causes the fault, and returns when it is over: for cuts, when all records are sent. It strikes the first topic's leaders,
    /// which are also those of the other topics.
    pub(crate) async fn strike(&self, fault: Fault, topics: &[String], has_sent_all: &dyn Fn() -> bool) -> Seen {
        match fault {
            Fault::Freeze(seconds) => self.freeze(topics, Duration::from_secs(seconds)).await,
            Fault::Kill => block_in_place(|| self.kill(topics)),
            Fault::RollingRestart => block_in_place(|| self.restart_all(topics)),
            Fault::Cut | Fault::CutPlain => self.cut(has_sent_all).await,
            Fault::LoseResponses => self.lose_responses(has_sent_all).await,
            Fault::MoveLeaders => block_in_place(|| self.move_leaders(&topics[0])),
            Fault::KillClient => unreachable!("the client is no part of the cluster"),
        }
    }

    /// Waits until every replica of these topics is in sync. Returns the partitions of the first topic.
    pub(crate) fn heal(&self, topics: &[String]) -> Vec<Partition> {
        let healed: Vec<_> =
            topics.iter().map(|topic| self.overseer.await_in_sync(topic, self.kafka.nodes())).collect();
        healed.into_iter().next().expect("there is a topic")
    }

    async fn freeze(&self, topics: &[String], time: Duration) -> Seen {
        let (leader, role) = block_in_place(|| self.leader(&topics[0]));
        block_in_place(|| self.kafka.freeze_node(leader - 1));
        let since = Instant::now();
        sleep(time).await;
        let until = Instant::now();
        block_in_place(|| self.kafka.thaw_node(leader - 1));
        let seen = block_in_place(|| self.seen_moving(topics, leader, &format!("node {leader} frozen")));
        Seen { role: Some(role), frozen: Some((since, until)), ..seen }
    }

    fn kill(&self, topics: &[String]) -> Seen {
        let (leader, role) = self.leader(&topics[0]);
        self.kafka.kill_node(leader - 1);
        let address = self.kafka.bootstrap_servers().split(',').nth(leader - 1).expect("a node").to_owned();
        let gone = TcpStream::connect(&address).is_err();
        self.kafka.start_node(leader - 1);
        let seen = self.seen_moving(topics, leader, &format!("node {leader} killed"));
        Seen { role: Some(role), effective: seen.effective && gone, ..seen }
    }

    /// Waits until all replicas are in sync, and checks whether partition 0 has another leader now.
    fn seen_moving(&self, topics: &[String], from: usize, what: &str) -> Seen {
        let now = self.heal(topics)[0].leader;
        Seen::new(now != Some(from), format!("{what}, {} leads", now.unwrap_or_default()))
    }

    fn restart_all(&self, topics: &[String]) -> Seen {
        let mut moved = 0;
        for node in 0..self.kafka.nodes() {
            let led = led_by(&self.overseer.describe(&topics[0]), node + 1);
            self.kafka.stop_node(node);
            let left = led_by(&self.overseer.describe(&topics[0]), node + 1);
            moved += led.saturating_sub(left);
            self.kafka.start_node(node);
            self.heal(topics);
        }
        Seen::new(moved > 0, format!("{} nodes restarted, {moved} leaders moved", self.kafka.nodes()))
    }

    async fn cut(&self, has_sent_all: &dyn Fn() -> bool) -> Seen {
        let before = self.cuts();
        while !has_sent_all() {
            sleep(BETWEEN_CUTS).await;
            self.kafka.proxies().for_each(|proxy| proxy.cut(DEAF));
        }
        self.seen_cuts(before)
    }

    async fn lose_responses(&self, has_sent_all: &dyn Fn() -> bool) -> Seen {
        let before = self.cuts();
        self.kafka.proxies().for_each(|proxy| proxy.lose_responses(LOSE_EVERY));
        while !has_sent_all() {
            sleep(Duration::from_millis(10)).await;
        }
        self.kafka.proxies().for_each(|proxy| proxy.lose_responses(0));
        self.seen_cuts(before)
    }

    fn cuts(&self) -> Cuts {
        self.kafka.proxies().map(|proxy| proxy.cuts()).fold(Cuts::default(), |sum, cuts| Cuts {
            connections: sum.connections + cuts.connections,
            responses: sum.responses + cuts.responses,
        })
    }

    fn seen_cuts(&self, before: Cuts) -> Seen {
        let now = self.cuts();
        let (connections, responses) = (now.connections - before.connections, now.responses - before.responses);
        Seen::new(
            connections > 0 && responses > 0,
            format!("{connections} connections reset, {responses} responses lost"),
        )
    }

    fn move_leaders(&self, topic: &str) -> Seen {
        let before = self.overseer.describe(topic);
        let after = self.overseer.move_leaders(topic);
        let moved = before.iter().zip(&after).filter(|(before, after)| before.leader != after.leader).count();
        Seen::new(moved == before.len(), format!("{moved} leaders moved"))
    }

    /// The leader of partition 0, and its role.
    fn leader(&self, topic: &str) -> (usize, Role) {
        let leader = self.overseer.describe(topic)[0].leader.expect("the topic is healthy");
        (leader, if self.overseer.controller() == leader { Role::Controller } else { Role::Broker })
    }
}

fn led_by(partitions: &[Partition], node: usize) -> usize {
    partitions.iter().filter(|partition| partition.leader == Some(node)).count()
}

/// Whether the first record of partition 0 that was sent while its leader was frozen was completed only after that.
pub(crate) fn waited(history: &History, (since, until): (Instant, Instant)) -> bool {
    let of_leader = history.values().filter(|sent| sent.partition == 0 && sent.sent_at > since);
    of_leader.min_by_key(|sent| sent.sent_at).is_some_and(|first| first.completed_at > until)
}
