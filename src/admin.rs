//! Requests beside producing, for the labs, tests and the command line.
//!
//! In: names of topics, partitions, offsets. Out: their state, and records read back. Does I/O: one request at a time,
//! to one broker at a time. Deliberately absent: consumer groups, subscriptions, transactions, and speed: it is enough
//! to check a few hundred thousand records.

mod connection;
mod consumed;
mod consumer;
#[cfg(all(test, feature = "broker"))]
mod consumer_tests;
mod create;
mod describe;
mod error;
mod leaders;
pub(crate) mod metadata;
#[cfg(all(test, feature = "broker"))]
mod tests;

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    cluster::{Broker, Cluster},
    config::{ProducerBuilder, servers},
    dial::{Security, bootstrap},
    error::{ConfigError, ErrorCode},
    oauth::Tokens,
    wire::apis::{
        fetch::{Fetch, FetchedBytes},
        list_offsets::AskOffset,
        request::Request,
    },
};
use connection::{Access, Connection};
pub use consumed::{ConsumedRecord, Fetched, TimestampType};
pub use consumer::{Consumer, ConsumerBuilder, Start};
use describe::AskDescription;
pub use describe::{BrokerAddress, ClusterDescription, ConnectionDescription, TopicDescription};
pub use error::AdminError;
use metadata::{AskMetadata, AskTopics};

#[cfg(feature = "tls")]
pub use crate::dial::TlsHandshake;

const MAX_RETRIES: u32 = 9;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
const FETCH_BYTES: i32 = 4 * 1024 * 1024;
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// How many fetches in a row may have no records before the end of the log, until [`Admin::read_range`] gives up.
const EMPTY_FETCHES: u32 = 20;

/// A place in a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first offset that exists.
    Earliest,
    /// The offset of the next record.
    Latest,
    /// The first record whose timestamp is at least this, in milliseconds since the Unix epoch (KIP-79). -1 if there is none.
    AtTime(i64),
}

/// A client for requests beside producing.
///
/// Requests that change nothing are repeated up to ten times over about six seconds if a connection breaks or a leader
/// moves. [`create_topic`](Self::create_topic) has rules of its own.
///
/// ```no_run
/// # async fn example() -> Result<(), milena::admin::AdminError> {
/// use milena::admin::Admin;
/// let mut admin = Admin::connect("localhost:9092").await?;
/// admin.create_topic("orders", 3, 1, &[("retention.ms", "3600000")]).await?;
/// for record in admin.read_all("orders").await? {
///     println!("{}@{}", record.partition, record.offset);
/// }
/// # Ok(()) }
/// ```
///
/// # Cancel safety
/// Every method may be dropped at any await point. The connection that it used is closed, and the next call opens
/// another. The broker may still create a topic.
#[derive(Debug)]
pub struct Admin {
    bootstrap: Vec<(String, u16)>,
    access: Access,
    cluster: Cluster,
    any: Option<Connection>,
    by_node: BTreeMap<i32, Connection>,
    /// Whether records of transactions that are open or were aborted are left out.
    committed: bool,
}

impl Admin {
    /// Connects to the first of the `bootstrap` servers (`host:port,host:port`) that responds. Tries every IP address
    /// of every host, IPv4 first, each for at most 10 seconds.
    ///
    /// # Errors
    /// [`AdminError::InvalidBootstrap`]; [`AdminError::Unreachable`] with what happened at each address; the last
    /// server's error if one accepted the connection but is no Kafka broker.
    pub async fn connect(bootstrap: &str) -> Result<Self, AdminError> {
        Self::open(bootstrap_servers(bootstrap)?, Access::PLAIN).await
    }

    /// As [`connect`](Self::connect), with the properties of a producer, such as those of its file: `bootstrap.servers`, and what secures
    /// connections (`security.protocol`, `ssl.*`, `sasl.*`). Other properties of a producer are checked and have no effect.
    ///
    /// # Errors
    /// [`AdminError::InvalidConfig`] with every violation; [`AdminError::Unauthenticated`] if a broker does not let this client in; otherwise as
    /// [`connect`](Self::connect).
    pub async fn from_properties<N: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, AdminError> {
        Self::from_builder(ProducerBuilder::from_properties(properties)).await
    }

    /// As [`from_properties`](Self::from_properties), with the builder of a producer, which may have a source of tokens.
    ///
    /// # Errors
    /// As [`from_properties`](Self::from_properties).
    pub async fn from_builder(builder: ProducerBuilder) -> Result<Self, AdminError> {
        let (config, mut violations) = builder.read();
        match (Security::open(&config).await, Tokens::open(&config).await) {
            (Ok(security), Ok(tokens)) if violations.is_empty() => {
                let principal = config.principal().map(Into::into);
                let servers = bootstrap(&config).await;
                let needs = (config.idempotence, config.compression);
                let access = Access { security, credentials: config.credentials, tokens, principal, needs };
                Self::open(servers, access).await
            }
            (security, tokens) => {
                violations.extend(security.err().into_iter().chain(tokens.err()).flatten());
                Err(AdminError::InvalidConfig(ConfigError::new(violations)))
            }
        }
    }

    async fn open(bootstrap: Vec<(String, u16)>, access: Access) -> Result<Self, AdminError> {
        let any = Some(open_first(&bootstrap, &access).await?);
        Ok(Self { bootstrap, access, cluster: Cluster::default(), any, by_node: BTreeMap::new(), committed: false })
    }

    /// Connects to `server` (`host:port`) and shakes hands as `properties` have it, within ten seconds. `None` if they ask for no TLS. Nothing else
    /// is sent. A handshake that fails is no error: see [`TlsHandshake::outcome`].
    ///
    /// # Errors
    /// [`AdminError::InvalidConfig`] with every violation; [`AdminError::InvalidBootstrap`] if `server` is none; [`AdminError::Unreachable`] if
    /// it cannot be connected to, or does not answer.
    #[cfg(feature = "tls")]
    pub async fn tls_handshake<N: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (N, V)>,
        server: &str,
    ) -> Result<Option<TlsHandshake>, AdminError> {
        let (config, violations) = ProducerBuilder::new(server).properties(properties).read();
        let invalid = |violations| AdminError::InvalidConfig(ConfigError::new(violations));
        if !violations.is_empty() {
            return Err(invalid(violations));
        }
        let Some(settings) = &config.tls else { return Ok(None) };
        let (host, port) = bootstrap_servers(server)?.swap_remove(0);
        let shown = connection::handshake(&host, port, settings).await?;
        shown.map(Some).map_err(invalid)
    }

    /// What the broker supports whose connection serves requests to the cluster as a whole. `None` if there is no such connection now.
    pub fn connection(&self) -> Option<ConnectionDescription> {
        self.any.as_ref().map(|connection| connection.described(&self.access))
    }

    /// What a broker says of the cluster, and of a topic and this client's rights on it. Asks once. The topic is not created.
    ///
    /// # Errors
    /// No broker responds, or not with what was asked. A topic that does not exist is no error: see [`TopicDescription::error`].
    pub async fn describe(&mut self, topic: Option<&str>) -> Result<ClusterDescription, AdminError> {
        let principal = self.access.principal.clone();
        self.ask_any_once(&AskDescription { topic, principal: principal.as_deref() }, topic.unwrap_or("the cluster"))
            .await
    }

    /// Whether only records of committed transactions, and those without a transaction, are read from now on
    /// (`isolation.level=read_committed`). [`OffsetSpec::Latest`] is then the offset of the first open transaction, if there is one. At first all
    /// records are read.
    pub fn read_committed(&mut self, only: bool) {
        self.committed = only;
    }

    /// How many partitions `topic` has. Always requests fresh metadata.
    ///
    /// # Errors
    /// [`AdminError::UnknownTopic`] if it does not exist. The topic is not created.
    pub async fn partitions(&mut self, topic: &str) -> Result<i32, AdminError> {
        self.refresh(topic).await?;
        let count = self.cluster.topics.get(topic).map_or(0, |topic| topic.partitions.len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// The names of all topics that this client may see, sorted; also those that Kafka keeps for itself, such as `__consumer_offsets`.
    /// Asks once.
    ///
    /// # Errors
    /// No broker responds, or not with what was asked.
    pub async fn topics(&mut self) -> Result<Vec<String>, AdminError> {
        self.ask_any_once(&AskTopics, "all topics").await
    }

    /// The offset of a place in a partition's log.
    ///
    /// # Errors
    /// [`AdminError::UnknownTopic`], [`AdminError::UnknownPartition`], and the broker's errors.
    pub async fn offsets(&mut self, topic: &str, partition: i32, spec: OffsetSpec) -> Result<i64, AdminError> {
        let timestamp = match spec {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            // Negative numbers have other meanings.
            OffsetSpec::AtTime(timestamp) => timestamp.max(0),
        };
        self.ask_leader(topic, partition, &AskOffset { topic, partition, timestamp, committed: self.committed }).await
    }

    /// Fetches once: the records from `from_offset` on, up to about 4 MiB as they are in the log, or about 64 MiB
    /// decompressed. If there are none yet, the broker waits for one for `max_wait` (at most 25 seconds), and the
    /// result may be empty.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with `OFFSET_OUT_OF_RANGE` if the log does not contain the offset;
    /// [`AdminError::Unreadable`] if a batch is damaged, decompresses to more than 64 MiB, or is compressed with zstd
    /// without the feature `zstd`.
    pub async fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from_offset: i64,
        max_wait: Duration,
    ) -> Result<Fetched, AdminError> {
        let request = fetch(topic, partition, from_offset, max_wait, self.committed);
        opened(&request, &self.ask_leader(topic, partition, &request).await?)
    }

    /// As [`read`](Self::read), but sends only one request, for a caller that reads other partitions meanwhile. After
    /// an error the next call looks the leader up again.
    ///
    /// # Errors
    /// As [`read`](Self::read), and errors that a later call may not have: see [`AdminError::retriable`].
    pub async fn read_once(
        &mut self,
        topic: &str,
        partition: i32,
        from_offset: i64,
        max_wait: Duration,
    ) -> Result<Fetched, AdminError> {
        let request = fetch(topic, partition, from_offset, max_wait, self.committed);
        opened(&request, &self.ask_leader_once(topic, partition, &request).await?)
    }

    /// Calls `take` with every record of `topic` whose offset is in `offsets`, in order, until it returns
    /// [`ControlFlow::Break`]. Skips offsets without a record, which compaction and transactions leave.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`AdminError::Stalled`] if the log ends before the range does.
    pub async fn read_range(
        &mut self,
        topic: &str,
        partition: i32,
        offsets: Range<i64>,
        take: impl FnMut(ConsumedRecord) -> ControlFlow<()>,
    ) -> Result<(), AdminError> {
        self.read_range_patiently(topic, partition, offsets, FETCH_WAIT, take).await
    }

    async fn read_range_patiently(
        &mut self,
        topic: &str,
        partition: i32,
        offsets: Range<i64>,
        wait: Duration,
        mut take: impl FnMut(ConsumedRecord) -> ControlFlow<()>,
    ) -> Result<(), AdminError> {
        let (mut offset, end, mut empty) = (offsets.start, offsets.end, 0);
        while offset < end {
            let fetched = self.read(topic, partition, offset, wait).await?;
            empty = if fetched.next_offset > offset { 0 } else { empty + 1 };
            if empty == EMPTY_FETCHES {
                return Err(AdminError::Stalled { topic: topic.to_owned(), partition, offset, end });
            }
            offset = fetched.next_offset;
            let mut in_range = fetched.records.into_iter().filter(|record| record.offset < end);
            if in_range.try_for_each(&mut take).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Every record of `topic`, one partition after the other, each from its earliest offset to the end of the log when
    /// reading began. All records are in memory at once.
    ///
    /// # Errors
    /// As [`read_range`](Self::read_range).
    pub async fn read_all(&mut self, topic: &str) -> Result<Vec<ConsumedRecord>, AdminError> {
        let mut records = Vec::new();
        for partition in 0..self.partitions(topic).await? {
            let start = self.offsets(topic, partition, OffsetSpec::Earliest).await?;
            let end = self.offsets(topic, partition, OffsetSpec::Latest).await?;
            let push = |record| {
                records.push(record);
                ControlFlow::Continue(())
            };
            self.read_range(topic, partition, start..end, push).await?;
        }
        Ok(records)
    }

    async fn refresh(&mut self, topic: &str) -> Result<(), AdminError> {
        let mut retries = Retries::default();
        loop {
            match self.refresh_once(topic).await {
                Err(error) if error.retriable() && retries.wait().await => self.forget(),
                done => return done,
            }
        }
    }

    async fn ask_leader<R: Request>(
        &mut self,
        topic: &str,
        partition: i32,
        request: &R,
    ) -> Result<R::Response, AdminError> {
        let mut retries = Retries::default();
        loop {
            match self.ask_leader_once(topic, partition, request).await {
                Err(error) if error.retriable() && retries.wait().await => self.forget(),
                done => return done,
            }
        }
    }

    async fn refresh_once(&mut self, topic: &str) -> Result<(), AdminError> {
        match self.ask_any_once(&AskMetadata { topic }, topic).await {
            Ok(fresh) => {
                self.cluster.brokers = fresh.brokers;
                self.cluster.topics.extend(fresh.topics);
                Ok(())
            }
            Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                Err(AdminError::UnknownTopic { topic: topic.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    async fn ask_any_once<R: Request>(&mut self, request: &R, subject: &str) -> Result<R::Response, AdminError> {
        let connection = match self.any.take().filter(|connection| !connection.is_session_over()) {
            Some(connection) => connection,
            None => open_first(&self.bootstrap, &self.access).await?,
        };
        let (connection, response) = connection.call(request, subject).await?;
        self.any = Some(connection);
        Ok(response)
    }

    async fn ask_leader_once<R: Request>(
        &mut self,
        topic: &str,
        partition: i32,
        request: &R,
    ) -> Result<R::Response, AdminError> {
        if !self.cluster.topics.contains_key(topic) {
            self.refresh_once(topic).await?;
        }
        let asked = match leaders::of(&self.cluster, topic, partition).cloned() {
            Ok(leader) => self.ask_node_once(&leader, request, &format!("{topic}-{partition}")).await,
            Err(nobody) => Err(nobody),
        };
        if asked.is_err() {
            // The next request looks the leader up again.
            self.cluster.topics.remove(topic);
        }
        asked
    }

    async fn ask_node_once<R: Request>(
        &mut self,
        broker: &Broker,
        request: &R,
        subject: &str,
    ) -> Result<R::Response, AdminError> {
        let connection = match self.by_node.remove(&broker.id).filter(|connection| !connection.is_session_over()) {
            Some(connection) => connection,
            None => Connection::open(&broker.host, broker.port, &self.access).await?,
        };
        let (connection, response) = connection.call(request, subject).await?;
        self.by_node.insert(broker.id, connection);
        Ok(response)
    }

    /// Drops the metadata and all connections: leaders may have moved, and connections may be dead.
    fn forget(&mut self) {
        self.cluster = Cluster::default();
        self.by_node.clear();
        self.any = None;
    }
}

fn fetch(topic: &str, partition: i32, offset: i64, max_wait: Duration, committed: bool) -> Fetch<'_> {
    let max_wait_ms = i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX).min(25_000);
    Fetch { topic, partition, offset, max_wait_ms, max_bytes: FETCH_BYTES, committed }
}

fn opened(request: &Fetch<'_>, response: &FetchedBytes) -> Result<Fetched, AdminError> {
    let Fetch { topic, partition, offset, .. } = *request;
    let unreadable = |reason| AdminError::Unreadable { topic: topic.to_owned(), partition, offset, reason };
    consumed::fetched(response, partition, offset).map_err(unreadable)
}

/// How often a request was repeated.
#[derive(Default)]
struct Retries(u32);

impl Retries {
    /// Waits, longer each time. Returns false after the last repetition.
    async fn wait(&mut self) -> bool {
        if self.0 == MAX_RETRIES {
            return false;
        }
        sleep(backoff(self.0)).await;
        self.0 += 1;
        true
    }
}

/// How long to wait after `retries` repetitions.
fn backoff(retries: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(retries)).min(MAX_BACKOFF)
}

fn bootstrap_servers(text: &str) -> Result<Vec<(String, u16)>, AdminError> {
    let servers = servers::parse(text);
    let servers =
        servers.map_err(|wrong| AdminError::InvalidBootstrap { given: wrong.given, expected: wrong.expected })?;
    if servers.is_empty() {
        let expected = "at least one host:port".to_owned();
        return Err(AdminError::InvalidBootstrap { given: text.to_owned(), expected });
    }
    Ok(servers)
}

async fn open_first(bootstrap: &[(String, u16)], access: &Access) -> Result<Connection, AdminError> {
    let mut tried = Vec::new();
    for (host, port) in bootstrap {
        match Connection::open(host, *port, access).await {
            Ok(connection) => return Ok(connection),
            Err(AdminError::Unreachable { tried: here }) => tried.extend(here),
            Err(error) if bootstrap.len() == 1 => return Err(error),
            Err(error) => tried.push(error.to_string()),
        }
    }
    Err(AdminError::Unreachable { tried })
}
