//! A broker inside this process that speaks the real protocol.
//!
//! In: connections from any Kafka client, and faults from a test. Out: what Apache Kafka would answer, within the APIs
//! listed below. The module's pure half is `State`, which the simulator drives as well; [`EmbeddedBroker`] puts it
//! behind TCP listeners on the loopback interface.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use milena::{ErrorCode, broker::{Api, EmbeddedBroker, Fault}};
//!
//! let broker = EmbeddedBroker::builder().nodes(3).topic("orders", 3).start().await?;
//! println!("connect to {}", broker.bootstrap_servers());
//! let fault = broker.inject(Fault::error(ErrorCode::NOT_LEADER_OR_FOLLOWER).on(Api::Produce).times(2));
//! // … produce …
//! assert_eq!(broker.struck(fault), 2);
//! let records = broker.log("orders", 0);
//! # Ok(()) }
//! ```
//!
//! # What it does
//! Produce 3–13, Fetch 4–12, ListOffsets 1–10, Metadata 0–13, ApiVersions 0–4, CreateTopics 2–7, InitProducerId 0–5 and
//! DescribeConfigs 1–4. Batches are validated in Apache Kafka's order and refused with its codes; idempotent producers
//! have its window of five batches and its epoch rules.
//!
//! What a client may send beside that is tolerated as by Apache Kafka: bytes behind a request, tagged fields of any version.
//! What cannot be answered closes the connection, as there; a warning names client, request and reason, once a client.
//!
//! Java 4.2 works with it: the console producer, `kafka-topics` (but for `--delete`), `kafka-get-offsets`,
//! `kafka-configs --describe`, and the console consumer if it is told where to read (`--partition 0 --offset earliest`).
//! So do librdkafka, kafka-python, aiokafka, franz-go, sarama and kafka-go: topics, produce, read by partition, offsets and
//! settings (`tests/clients`).
//!
//! # What it does not do
//! Consumer groups, so a consumer has to name its partitions itself; transactions, TLS and SASL, retention
//! and compaction, zstd without the feature `zstd`. **Logs live in memory** and grow until the broker is dropped.
//!
//! # Replication
//! A partition has one log, whichever node leads it, so every replica is always up to date and a leader that moves takes
//! log and producers with it. The number of replicas in sync is the number of those that are up; see
//! [`EmbeddedBroker::limit_in_sync`].

mod api;
mod builder;
mod config;
mod control;
mod faults;
mod listener;
mod log;
mod producers;
mod refusals;
mod requests;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topic;
mod validate;

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use self::listener::Shared;
#[cfg(any(test, fuzzing))]
pub(crate) use self::requests::{Outcome, Pending};
pub(crate) use self::state::State;
pub use self::{
    api::Api,
    builder::Builder,
    control::BrokerError,
    faults::{Fault, FaultId},
    log::StoredRecord,
};

/// One to many brokers in this process. Dropping it stops its tasks and closes its ports.
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    running: Mutex<BTreeMap<i32, Running>>,
}

/// A node's listener. It stops when `stop` is sent or dropped.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker").field("bootstrap_servers", &self.bootstrap_servers()).finish_non_exhaustive()
    }
}

impl EmbeddedBroker {
    fn start(state: State, listeners: Vec<TcpListener>) -> Self {
        let broker = Self { shared: Arc::new(Shared::new(state)), running: Mutex::default() };
        for (node, listener) in (1..).zip(listeners) {
            broker.run(node, listener);
        }
        broker
    }

    fn run(&self, node: i32, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(listener::serve(listener, Arc::clone(&self.shared), node, stopped));
        self.running().insert(node, Running { stop, task });
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<i32, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of all nodes, as `bootstrap.servers` takes them.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.shared.read(|state| {
            let addresses: Vec<_> = state.nodes.values().map(|node| format!("{}:{}", node.host, node.port)).collect();
            addresses.join(",")
        })
    }

    /// The ids of all nodes: 1, 2, 3, …
    #[must_use]
    pub fn nodes(&self) -> Vec<i32> {
        self.shared.read(|state| state.nodes.keys().copied().collect())
    }

    /// The port of a node. It keeps it when it is stopped and started again.
    #[must_use]
    pub fn port(&self, node: i32) -> Option<u16> {
        self.shared.read(|state| Some(state.nodes.get(&node)?.port))
    }

    /// Creates a topic with default settings and the default replication factor.
    pub fn create_topic(&self, name: &str, partitions: usize) -> Result<(), BrokerError> {
        self.shared.change(|state| state.add_topic(name, state::partition_count(partitions)))
    }

    /// Gives a topic more partitions, so that it has `count`; one that has as many is left as it is.
    pub fn add_partitions(&self, topic: &str, count: usize) -> Result<(), BrokerError> {
        self.shared.change(|state| state.add_partitions(topic, count))
    }

    /// Deletes a topic with everything in it. Returns whether it was there. A topic of the same name that is created
    /// later has another id.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.shared.change(|state| state.remove_topic(name))
    }

    /// What is in a partition's log, by rising offset; empty for a partition that does not exist.
    #[must_use]
    pub fn log(&self, topic: &str, partition: i32) -> Vec<StoredRecord> {
        self.shared.read(|state| state.log(topic, partition))
    }

    /// The node that leads a partition.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.shared.read(|state| state.leader(topic, partition))
    }

    /// How many requests of that kind have arrived.
    #[must_use]
    pub fn requests(&self, api: Api) -> u64 {
        self.shared.read(|state| state.requests(api))
    }

    /// Makes something go wrong with the requests to come.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.shared.change(|state| state.inject(fault))
    }

    /// How many requests that fault has struck.
    #[must_use]
    pub fn struck(&self, fault: FaultId) -> u64 {
        self.shared.read(|state| state.struck(fault))
    }

    /// Ends every fault that was injected, resumes every node that is paused and counts every replica as in sync that is
    /// up. Nodes that are stopped stay so.
    pub fn heal(&self) {
        self.shared.change(State::heal);
    }

    /// Gives a partition another leader, in a new epoch. The old one answers `NOT_LEADER_OR_FOLLOWER` and, to clients
    /// that speak Produce v10, who leads instead (KIP-951).
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.move_leader(topic, partition, node, true))
    }

    /// As [`Self::move_leader`], but the old leader does not tell who leads instead.
    pub fn move_leader_silently(&self, topic: &str, partition: i32, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.move_leader(topic, partition, node, false))
    }

    /// Counts at most so many replicas of a partition as in sync, so that `acks=all` may fail with
    /// `NOT_ENOUGH_REPLICAS`.
    pub fn limit_in_sync(&self, topic: &str, partition: i32, replicas: usize) -> Result<(), BrokerError> {
        self.shared.change(|state| state.limit_in_sync(topic, partition, replicas))
    }

    /// Removes every batch that holds `offset` or a later one, as an unclean leader election may. What the partition
    /// knows of producers follows its log.
    pub fn truncate_log(&self, topic: &str, partition: i32, offset: i64) -> Result<(), BrokerError> {
        self.shared.change(|state| state.truncate_log(topic, partition, offset))
    }

    /// Makes a node take connections and requests and answer none of them, as SIGSTOP does. What it got meanwhile it
    /// handles when it is resumed, even if the client has gone away.
    pub fn pause(&self, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.set_paused(node, true))
    }

    /// Ends [`Self::pause`].
    pub fn resume(&self, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.set_paused(node, false))
    }

    /// Closes a node's port and its connections; requests that it holds are lost. The partitions that it led go to
    /// their next replica, in a new epoch, or are left without leader. Does nothing if the node does not run.
    ///
    /// # Cancel safety
    /// Once it has been polled the node is stopped even if the future is dropped; only the wait for its tasks ends.
    pub async fn stop_node(&self, node: i32) {
        let Some(running) = self.running().remove(&node) else { return };
        self.shared.change(|state| state.stop(node));
        drop(running.stop);
        // an error would be a panic of the listener, and a listener that panicked has stopped as well
        let _ = running.task.await;
    }

    /// Starts a node again at its old port; one that runs is stopped first. It takes the lead of partitions that have
    /// none, and no others, and knows its producers as before.
    ///
    /// Fails if there is no such node, or if its port has been taken meanwhile.
    pub async fn restart_node(&self, node: i32) -> io::Result<()> {
        let address = self.shared.read(|state| state.nodes.get(&node).map(|node| (node.host.clone(), node.port)));
        let unknown = || io::Error::new(io::ErrorKind::NotFound, BrokerError::UnknownNode { node });
        let (host, port) = address.ok_or_else(unknown)?;
        self.stop_node(node).await;
        for listener in listener::bind(&host, &[port]).await? {
            self.shared.change(|state| state.restart(node));
            self.run(node, listener);
        }
        Ok(())
    }

    /// Makes the partitions that a node holds forget their producers, as after `producer.id.expiration.ms`: any sequence
    /// number is accepted next.
    pub fn forget_producers(&self, node: i32) {
        self.shared.change(|state| state.forget_producers(node));
    }

    /// Stops every node and waits until its ports are closed.
    pub async fn shutdown(self) {
        for node in self.nodes() {
            self.stop_node(node).await;
        }
    }
}
