//! A broker inside this process that speaks the real protocol.
//!
//! In: connections from any Kafka client, and commands and faults from a test. Out: the responses that Apache Kafka would send, within
//! the APIs listed below. The module's pure half is `State`, which the simulator drives as well. [`EmbeddedBroker`] puts it behind TCP
//! listeners on the loopback interface.
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
//! Produce 3–13, Fetch 4–12, ListOffsets 1–10, Metadata 0–13, OffsetCommit 2–9, OffsetFetch 1–9, FindCoordinator 0–6, JoinGroup 0–9,
//! Heartbeat 0–4, LeaveGroup 0–5, SyncGroup 0–5, DescribeGroups 0–6, ListGroups 0–5, SaslHandshake 1, ApiVersions 0–4, CreateTopics 2–7, DeleteTopics
//! 1–6, DeleteRecords 0–2, InitProducerId 0–5, OffsetForLeaderEpoch 2–4, DescribeConfigs 1–4, AlterConfigs 0–2, SaslAuthenticate 0–2,
//! CreatePartitions 0–3, DeleteGroups 0–2, IncrementalAlterConfigs 0–1, OffsetDelete 0, DescribeCluster 0–2, ConsumerGroupHeartbeat 0–1 (refused:
//! groups are classic) and DescribeTopicPartitions 0. The broker validates batches in Apache Kafka's order and refuses them with its codes. Idempotent producers
//! have Apache Kafka's window of five batches and its epoch rules.
//!
//! As Apache Kafka does, the broker ignores bytes that follow a request and tagged fields that it does not know. A request that it
//! cannot handle closes the connection. A warning names client, request and reason, once for each client.
//!
//! Java's tools of Kafka 4.2 work with it: the console producer, `kafka-topics`, `kafka-get-offsets`, `kafka-delete-records`,
//! `kafka-configs` for topics, `kafka-consumer-groups` and the console consumer, with a group or with a partition and an offset.
//! So do librdkafka, kafka-python, aiokafka, franz-go, sarama, kafka-go and kafkajs, which `tests/clients` runs.
//!
//! Consumer groups are Apache Kafka's of the classic protocol, with static members. Committed offsets do not expire. The protocol of
//! KIP-848 (`group.protocol=consumer`) is not among the APIs that it serves, so clients that can fall back do so, and others say that the cluster
//! does not support it. Coordinators of all nodes share the groups, so those of a node that stops are not lost.
//!
//! With users ([`Builder::user`]) its listeners are `SASL_PLAINTEXT` or `SASL_SSL`: clients authenticate by PLAIN or SCRAM, and again before their session
//! ends ([`Builder::session_lifetime`]). Only ApiVersions is served before. Users can change while it runs.
//!
//! With the feature `broker-tls` its listeners can speak TLS (`Builder::tls`), with and without certificates of clients.
//!
//! With rules ([`Builder::acl`], [`Builder::authorize`]) users may do only what these allow, as with Apache Kafka's `StandardAuthorizer`, from everywhere or
//! from one host. Rules can change while it runs.
//!
//! # What it does not do
//! Transactions. zstd without
//! the feature `zstd`. **Logs are in memory**, and with [`Builder::data_dir`] in a folder as well, so that they survive the process. They grow until their
//! records are deleted (DeleteRecords); a topic is compacted, and its retention applied, only on command ([`EmbeddedBroker::compact`],
//! [`EmbeddedBroker::apply_retention`]).
//!
//! # Replication
//! A partition has one log, whichever node leads it. So every replica is always up to date, and a new leader has the same log and the
//! same producer state. The replicas in sync are those that are up; see [`EmbeddedBroker::limit_in_sync`].

mod acls;
mod api;
mod builder;
mod compact;
mod config;
mod control;
mod data;
mod epochs;
mod faults;
mod groups;
mod kind;
mod listener;
mod log;
mod producers;
mod refusals;
mod requests;
mod security;
mod session;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(feature = "broker-tls")]
mod tls;
mod topic;
mod touched;
mod validate;

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use self::listener::Shared;
pub(crate) use self::state::State;
#[cfg(feature = "broker-tls")]
pub use self::tls::{ClientAuth, Tls};
pub use self::{
    acls::{Acl, AclError, Operation, Resource},
    builder::Builder,
    control::BrokerError,
    faults::{Fault, FaultId},
    kind::Api,
    log::StoredRecord,
};
#[cfg(any(test, fuzzing))]
pub(crate) use self::{
    requests::{Pending, Polled},
    session::Session,
};

/// A cluster of one or more brokers in this process. Dropping it stops its tasks and closes its ports.
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
    fn start(shared: Shared, listeners: Vec<TcpListener>) -> Self {
        let broker = Self { shared: Arc::new(shared), running: Mutex::default() };
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

    /// The port of a node. The node keeps it when it is restarted.
    #[must_use]
    pub fn port(&self, node: i32) -> Option<u16> {
        self.shared.read(|state| Some(state.nodes.get(&node)?.port))
    }

    /// Creates a topic with default settings and the default replication factor.
    pub fn create_topic(&self, name: &str, partitions: usize) -> Result<(), BrokerError> {
        self.shared.change(|state| state.add_topic(name, state::partition_count(partitions)))
    }

    /// Adds partitions to a topic until it has `count`. A topic that has as many or more is not changed.
    pub fn add_partitions(&self, topic: &str, count: usize) -> Result<(), BrokerError> {
        self.shared.change(|state| state.add_partitions(topic, count))
    }

    /// Deletes a topic with its records. Returns whether it existed. A topic of the same name that is created later has another
    /// id.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.shared.change(|state| state.remove_topic(name))
    }

    /// The records of a partition's log, by rising offset. Empty for a partition that does not exist.
    #[must_use]
    pub fn log(&self, topic: &str, partition: i32) -> Vec<StoredRecord> {
        self.shared.read(|state| state.log(topic, partition))
    }

    /// The node that leads a partition.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.shared.read(|state| state.leader(topic, partition))
    }

    /// Adds a user, or changes the password of one. It counts from the next authentication on. Clients authenticate only if the broker
    /// was started with [`Builder::user`] or [`Builder::sasl`].
    pub fn set_user(&self, name: &str, password: &str) {
        self.shared.change(|state| state.set_user(name, password));
    }

    /// Removes a user, who cannot authenticate any more. Connections that have are served until their session ends. Returns whether the
    /// user existed.
    pub fn remove_user(&self, name: &str) -> bool {
        self.shared.change(|state| state.remove_user(name))
    }

    /// The certificate of the broker's own CA as PEM, for the client's `ssl.truststore.certificates`. `None` if it speaks no TLS, or this processor
    /// cannot make keys.
    #[cfg(feature = "broker-tls")]
    #[must_use]
    pub fn ca_pem(&self) -> Option<String> {
        self.shared.certificates.as_ref().and_then(|certificates| certificates.ca_pem().map(str::to_owned))
    }

    /// A private key and a certificate for a client in one text, as PEM, for `ssl.keystore.location`. The broker's own CA issues it, and its
    /// subject is `CN=` and the name.
    ///
    /// # Errors
    /// The broker speaks no TLS, or this processor cannot make keys.
    #[cfg(feature = "broker-tls")]
    pub fn client_keystore(&self, name: &str) -> io::Result<String> {
        self.certificates()?.client_keystore(name).map_err(io::Error::other)
    }

    /// From the next connection on the broker shows another certificate: that of a keystore as for [`Tls::keystore`], or without one a new
    /// certificate of its own CA. Connections that there are go on.
    ///
    /// # Errors
    /// The broker speaks no TLS, or the keystore cannot be used. Then the last certificate stays.
    #[cfg(feature = "broker-tls")]
    pub fn rotate_certificate(&self, keystore: Option<&str>) -> io::Result<()> {
        self.certificates()?.rotate(keystore).map_err(io::Error::other)
    }

    #[cfg(feature = "broker-tls")]
    fn certificates(&self) -> io::Result<&tls::Certificates> {
        let none = || io::Error::other("the embedded broker speaks no TLS: start it with Builder::tls");
        self.shared.certificates.as_ref().ok_or_else(none)
    }

    /// Adds a rule of what users may do. It counts from the next request on. Rules count only if the broker was started with
    /// [`Builder::acl`] or [`Builder::authorize`].
    pub fn add_acl(&self, rule: Acl) {
        self.shared.change(|state| state.add_acl(rule));
    }

    /// Removes a rule of what users may do. Returns whether it was there.
    pub fn remove_acl(&self, rule: &Acl) -> bool {
        self.shared.change(|state| state.remove_acl(rule))
    }

    /// Accepts a token as this user's, from the next authentication on, as [`Builder::token`] does.
    #[cfg(feature = "oauth")]
    pub fn set_token(&self, name: &str, token: &str) {
        self.shared.change(|state| state.set_token(name, token));
    }

    /// Accepts a token no more, from the next authentication on. Returns whether it was accepted by [`set_token`](Self::set_token) or
    /// [`Builder::token`].
    #[cfg(feature = "oauth")]
    pub fn remove_token(&self, token: &str) -> bool {
        self.shared.change(|state| state.remove_token(token))
    }

    /// How many requests of this kind have arrived.
    #[must_use]
    pub fn requests(&self, api: Api) -> u64 {
        self.shared.read(|state| state.requests(api))
    }

    /// Injects a fault, which strikes requests that arrive from now on.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.shared.change(|state| state.inject(fault))
    }

    /// How many requests the fault has struck.
    #[must_use]
    pub fn struck(&self, fault: FaultId) -> u64 {
        self.shared.read(|state| state.struck(fault))
    }

    /// Ends every fault, resumes every paused node and ends every limit on replicas in sync. Nodes that are stopped stay
    /// stopped.
    pub fn heal(&self) {
        self.shared.change(State::heal);
    }

    /// Gives a partition another leader, in a new epoch. The old leader responds with `NOT_LEADER_OR_FOLLOWER`, and from Produce
    /// v10 on with the new leader (KIP-951).
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.move_leader(topic, partition, node, true))
    }

    /// As [`Self::move_leader`], but the old leader's responses do not name the new leader.
    pub fn move_leader_silently(&self, topic: &str, partition: i32, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.move_leader(topic, partition, node, false))
    }

    /// Counts at most `replicas` replicas of a partition as in sync, so that `acks=all` may fail with
    /// `NOT_ENOUGH_REPLICAS`.
    pub fn limit_in_sync(&self, topic: &str, partition: i32, replicas: usize) -> Result<(), BrokerError> {
        self.shared.change(|state| state.limit_in_sync(topic, partition, replicas))
    }

    /// Removes every batch that holds `offset` or a later one, as an unclean leader election may. The producer state is rebuilt
    /// from the rest of the log.
    pub fn truncate_log(&self, topic: &str, partition: i32, offset: i64) -> Result<(), BrokerError> {
        self.shared.change(|state| state.truncate_log(topic, partition, offset))
    }

    /// Compacts a topic now: of each key the last record remains, at its offset, and a tombstone for `delete.retention.ms` after the first
    /// compaction that met it. Returns how many records are gone; 0 for a topic whose `cleanup.policy` does not say `compact`.
    ///
    /// As in Apache Kafka the active segment is not compacted: a partition's last record always remains. Another segment begins with
    /// the first batch that is later than `segment.ms`, or does not fit into `segment.bytes`.
    pub fn compact(&self, topic: &str) -> Result<u64, BrokerError> {
        self.shared.change(|state| state.compact(topic, listener::now_ms()))
    }

    /// Removes from a topic now what its `retention.ms` and `retention.bytes` do not keep: whole segments, the oldest first, if its `cleanup.policy` says
    /// `delete`. The logs begin later then. Returns how many records are gone.
    ///
    /// As in Apache Kafka a segment is as old as its newest record, and the active one goes as well. Another segment begins with the first batch that
    /// is later than `segment.ms`, or does not fit into `segment.bytes`.
    pub fn apply_retention(&self, topic: &str) -> Result<u64, BrokerError> {
        self.shared.change(|state| state.apply_retention(topic, listener::now_ms()))
    }

    /// Applies retention to every topic, and compacts those whose `cleanup.policy` says so, as Apache Kafka does by itself every few minutes. Returns
    /// how many records are gone. The embedded broker never does it unasked, so that a test knows what there is.
    pub fn clean(&self) -> u64 {
        self.shared.change(|state| state.clean_all(listener::now_ms()))
    }

    /// Pauses a node, as SIGSTOP does. It accepts connections and requests, and sends no responses. When it is resumed it handles
    /// the requests that arrived meanwhile, even if the client has closed the connection.
    pub fn pause(&self, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.set_paused(node, true))
    }

    /// Resumes a node that was paused.
    pub fn resume(&self, node: i32) -> Result<(), BrokerError> {
        self.shared.change(|state| state.set_paused(node, false))
    }

    /// Stops a node: closes its port and its connections, and drops the requests that it holds. The partitions that it led get their
    /// next replica as leader, in a new epoch, or have no leader. Does nothing if the node is stopped.
    ///
    /// # Cancel safety
    /// The first poll stops the node. A future that is dropped later only stops waiting for the node's tasks.
    pub async fn stop_node(&self, node: i32) {
        let Some(running) = self.running().remove(&node) else { return };
        self.shared.change(|state| state.stop(node));
        drop(running.stop);
        // An error means that the listener panicked, which stopped it as well.
        let _ = running.task.await;
    }

    /// Starts a node again at its port. A node that runs is stopped first. The node becomes the leader of its partitions that have
    /// none. Its producer state is as before.
    ///
    /// # Errors
    /// The node does not exist, or another process has taken its port.
    ///
    /// # Cancel safety
    /// A future that is dropped may leave the node stopped. Call it again to start the node.
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

    /// Clears the producer state of the partitions that a node holds, as after `producer.id.expiration.ms`. Any sequence number is
    /// accepted next.
    pub fn forget_producers(&self, node: i32) {
        self.shared.change(|state| state.forget_producers(node));
    }

    /// Stops every node and waits until all ports are closed.
    ///
    /// # Cancel safety
    /// Dropping the future drops the broker, which stops every node.
    pub async fn shutdown(self) {
        for node in self.nodes() {
            self.stop_node(node).await;
        }
    }
}
