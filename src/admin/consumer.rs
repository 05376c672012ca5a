//! Reads a topic's partitions on and on, without a consumer group.
//!
//! In: a topic, where to begin. Out: records, one after the other. Does I/O, by [`Admin`], one partition at a time. A position moves only past
//! records that were handed out, so an outage neither loses nor repeats one. Deliberately absent: groups, committed offsets, and speed.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Admin, AdminError, ConsumedRecord, OffsetSpec};
use crate::config::ProducerBuilder;

/// How long the fetches of one round over all partitions may wait for records, in total.
const ROUND: Duration = Duration::from_millis(500);
/// The pause after a round in which every fetch failed.
const PAUSE: Duration = Duration::from_millis(250);
/// How long after the time that [`Consumer::next_within`] was given a broker may still answer.
const SLACK: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_secs(3);

/// Where a [`Consumer`] begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// At the first record of each partition (`auto.offset.reset=earliest`).
    Beginning,
    /// Behind the last record that there is when the consumer is built (`latest`).
    End,
    /// At this offset of each partition.
    Offset(i64),
    /// At the first record whose timestamp is at least this, in milliseconds since the Unix epoch (KIP-79); at the end if there is none.
    Time(i64),
}

/// Configures a [`Consumer`] and builds it. Every setter takes the builder and returns it.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ConsumerBuilder {
    connection: ProducerBuilder,
    topic: String,
    partitions: Option<Vec<i32>>,
    positions: Vec<(i32, i64)>,
    start: Start,
    committed: bool,
    refresh: Duration,
}

impl ConsumerBuilder {
    /// Reads these partitions only. By default all are read, also those that are added later.
    pub fn partitions(self, partitions: impl IntoIterator<Item = i32>) -> Self {
        Self { partitions: Some(partitions.into_iter().collect()), ..self }
    }

    /// Where to begin in partitions without a [`position`](Self::position) of their own. Defaults to [`Start::Beginning`]. Partitions that are
    /// added later are read from their beginning in any case.
    pub fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Begins at this offset in one partition, such as one of [`Consumer::positions`] that the program has kept.
    pub fn position(mut self, partition: i32, offset: i64) -> Self {
        self.positions.push((partition, offset));
        self
    }

    /// Whether only records of committed transactions, and those without a transaction, are read (`isolation.level=read_committed`). Defaults to
    /// false, as in Java.
    pub fn read_committed(self, only: bool) -> Self {
        Self { committed: only, ..self }
    }

    /// How often to look for partitions that were added. Defaults to three seconds.
    pub fn refresh(self, every: Duration) -> Self {
        Self { refresh: every, ..self }
    }

    /// Connects, and finds out where to begin.
    ///
    /// # Errors
    /// As [`Admin::from_builder`]; [`AdminError::UnknownTopic`] and [`AdminError::UnknownPartition`]; what a broker refuses.
    pub async fn build(self) -> Result<Consumer, AdminError> {
        let mut admin = Admin::from_builder(self.connection).await?;
        admin.read_committed(self.committed);
        let count = admin.partitions(&self.topic).await?;
        let follows_added = self.partitions.is_none();
        let mut wanted = self.partitions.unwrap_or_else(|| (0..count).collect());
        wanted.sort_unstable();
        wanted.dedup();
        let mut positions = Vec::with_capacity(wanted.len());
        for partition in wanted {
            let own = self.positions.iter().rev().find(|(of, _)| *of == partition);
            let next = match own {
                Some((_, offset)) => *offset,
                None => place(&mut admin, &self.topic, partition, self.start).await?,
            };
            positions.push(Position { partition, next });
        }
        Ok(Consumer {
            admin,
            topic: self.topic,
            positions,
            follows_added,
            refresh: self.refresh,
            refresh_at: Instant::now() + self.refresh,
            turn: 0,
            fetched: VecDeque::new(),
            failures: 0,
            trouble: None,
        })
    }
}

async fn place(admin: &mut Admin, topic: &str, partition: i32, start: Start) -> Result<i64, AdminError> {
    match start {
        Start::Beginning => admin.offsets(topic, partition, OffsetSpec::Earliest).await,
        Start::End => admin.offsets(topic, partition, OffsetSpec::Latest).await,
        Start::Offset(offset) => Ok(offset),
        Start::Time(timestamp) => match admin.offsets(topic, partition, OffsetSpec::AtTime(timestamp)).await? {
            // No record is as young.
            ..0 => admin.offsets(topic, partition, OffsetSpec::Latest).await,
            offset => Ok(offset),
        },
    }
}

#[derive(Clone, Copy, Debug)]
struct Position {
    partition: i32,
    /// The offset to fetch next.
    next: i64,
}

/// Reads partitions of a topic on and on: to verify, to take replies, to send dead letters again.
///
/// It belongs to no consumer group: nothing is committed, and no other consumer is affected. A program that is to go on where it was keeps
/// [`positions`](Self::positions) and hands them to [`ConsumerBuilder::position`]. One partition is asked after the other, so where several are
/// read a record may be half a second old when it is handed out. Brokers that restart and leaders that move are waited for, for as long as it takes;
/// [`trouble`](Self::trouble) says whether that is so.
///
/// ```no_run
/// # async fn example() -> Result<(), milena::admin::AdminError> {
/// use milena::admin::{Consumer, Start};
///
/// let mut consumer = Consumer::builder("localhost:9092", "orders").start(Start::End).build().await?;
/// loop {
///     let record = consumer.next().await?;
///     println!("{}@{}", record.partition, record.offset);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    admin: Admin,
    topic: String,
    positions: Vec<Position>,
    follows_added: bool,
    refresh: Duration,
    refresh_at: Instant,
    /// Which position is fetched next.
    turn: usize,
    /// Records of one partition that were not handed out yet.
    fetched: VecDeque<ConsumedRecord>,
    /// How many fetches in a row failed.
    failures: usize,
    trouble: Option<AdminError>,
}

impl Consumer {
    /// Starts a builder for a topic. `bootstrap` is a list `host:port,host:port`.
    pub fn builder(bootstrap: &str, topic: &str) -> ConsumerBuilder {
        Self::of(ProducerBuilder::new(bootstrap), topic)
    }

    /// As [`builder`](Self::builder), with the settings of a producer, which say where the brokers are and how connections are secured.
    pub fn of(connection: ProducerBuilder, topic: &str) -> ConsumerBuilder {
        ConsumerBuilder {
            connection,
            topic: topic.to_owned(),
            partitions: None,
            positions: Vec::new(),
            start: Start::Beginning,
            committed: false,
            refresh: REFRESH,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The next record. Waits until there is one.
    ///
    /// # Errors
    /// Those that waiting does not heal, such as [`AdminError::Refused`] with `OFFSET_OUT_OF_RANGE` where retention has deleted the record at a
    /// position: see [`seek`](Self::seek). The next call asks again.
    ///
    /// # Cancel safety
    /// If the future is dropped, no record is lost.
    pub async fn next(&mut self) -> Result<ConsumedRecord, AdminError> {
        loop {
            if let Some(record) = self.next_by(None).await? {
                return Ok(record);
            }
        }
    }

    /// The next record, or `None` if there is none within this time. It may take a second longer if a broker does not answer.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As [`next`](Self::next).
    pub async fn next_within(&mut self, wait: Duration) -> Result<Option<ConsumedRecord>, AdminError> {
        self.next_by(Some(Instant::now() + wait)).await
    }

    /// Each partition, and the offset of the record that is handed out next, or a smaller one if there is none at it.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        let waiting = self.fetched.front().map(|record| (record.partition, record.offset));
        self.positions.iter().map(move |position| match waiting {
            Some((partition, offset)) if partition == position.partition => (partition, offset),
            _ => (position.partition, position.next),
        })
    }

    /// Goes on at this offset in a partition. A partition that is not read is left alone.
    pub fn seek(&mut self, partition: i32, offset: i64) {
        self.fetched.retain(|record| record.partition != partition);
        let of = self.positions.iter_mut().filter(|position| position.partition == partition);
        of.for_each(|position| position.next = offset);
    }

    /// Why not everything can be read at the moment. `None` if the last fetch succeeded.
    pub fn trouble(&self) -> Option<&AdminError> {
        self.trouble.as_ref()
    }

    /// The next record, or `None` at the deadline.
    async fn next_by(&mut self, deadline: Option<Instant>) -> Result<Option<ConsumedRecord>, AdminError> {
        loop {
            if let Some(record) = self.fetched.pop_front() {
                return Ok(Some(record));
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(None);
            }
            if self.failures > 0 && self.failures >= self.positions.len() {
                // Counting starts again only when the pause is over, so that a caller who gives up meanwhile does not shorten it.
                sleep_until(deadline.map_or(now + PAUSE, |deadline| deadline.min(now + PAUSE))).await;
                self.failures = 0;
                continue;
            }
            let asked = match deadline {
                None => self.ask(ROUND).await,
                Some(deadline) => match timeout_at(deadline + SLACK, self.ask(deadline - now)).await {
                    Ok(asked) => asked,
                    Err(_) => return Ok(None),
                },
            };
            match asked {
                Ok(()) => (self.failures, self.trouble) = (0, None),
                Err(error) if error.may_pass() => {
                    self.failures += 1;
                    self.trouble = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks for partitions that were added, if it is time, or else fetches from the partition whose turn it is.
    async fn ask(&mut self, wait: Duration) -> Result<(), AdminError> {
        if self.follows_added && self.refresh_at <= Instant::now() {
            self.refresh_at = Instant::now() + self.refresh;
            return self.add_new().await;
        }
        let count = self.positions.len();
        let share = ROUND.min(wait) / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let turn = self.turn.checked_rem(count).unwrap_or(0);
        self.turn = turn + 1;
        let Some(position) = self.positions.get_mut(turn) else {
            sleep_until(self.refresh_at.min(Instant::now() + wait)).await;
            return Ok(());
        };
        let fetched = self.admin.read_once(&self.topic, position.partition, position.next, share).await?;
        position.next = fetched.next_offset;
        self.fetched.extend(fetched.records);
        Ok(())
    }

    async fn add_new(&mut self) -> Result<(), AdminError> {
        let known = self.positions.last().map_or(0, |position| position.partition + 1);
        for partition in known..self.admin.partitions(&self.topic).await? {
            let next = self.admin.offsets(&self.topic, partition, OffsetSpec::Earliest).await?;
            self.positions.push(Position { partition, next });
        }
        Ok(())
    }
}
