//! A topic and its partitions: who leads, who is in sync, what is in the log.
//!
//! In: batches, and changes of leadership. Out: the offsets at which batches were appended, or a refusal. Pure. A partition has one
//! log, whichever node leads it. Replicas are always up to date, and only their number is simulated.

use super::{
    config::TopicConfig,
    epochs::Epochs,
    log::Log,
    producers::{Producers, SequenceCheck},
    validate::{self, Refusal},
};
use crate::{
    cluster::TopicId,
    error::ErrorCode,
    wire::record_batch::{
        reader::{Batch, BatchHeader},
        rewrite::recompress,
    },
};

/// One topic.
#[derive(Clone, Debug)]
pub(super) struct TopicLog {
    pub(super) id: TopicId,
    pub(super) config: TopicConfig,
    pub(super) partitions: Vec<PartitionLog>,
}

impl TopicLog {
    pub(super) fn partition(&self, index: i32) -> Option<&PartitionLog> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// How many replicas each partition has.
    pub(super) fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas.len())
    }

    pub(super) fn partition_mut(&mut self, index: i32) -> Option<&mut PartitionLog> {
        self.partitions.get_mut(usize::try_from(index).ok()?)
    }
}

/// One partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionLog {
    /// The nodes that hold it, the preferred leader first.
    pub(super) replicas: Vec<i32>,
    /// `None` while no replica is up.
    pub(super) leader: Option<i32>,
    pub(super) leader_epoch: i32,
    pub(super) epochs: Epochs,
    /// Whether a node that does not lead the partition tells which one does (KIP-951).
    pub(super) hints: bool,
    /// At most so many replicas count as in sync.
    pub(super) in_sync_limit: Option<usize>,
    pub(super) log: Log,
    pub(super) producers: Producers,
}

/// Where a batch stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AppendedBatch {
    pub(super) base_offset: i64,
    /// -1 if the records keep the timestamps that the producer gave them.
    pub(super) log_append_time_ms: i64,
}

impl PartitionLog {
    pub(super) fn new(replicas: Vec<i32>, leader: Option<i32>) -> Self {
        let mut epochs = Epochs::default();
        if leader.is_some() {
            epochs.begin(0, 0);
        }
        Self {
            replicas,
            leader,
            leader_epoch: 0,
            epochs,
            hints: true,
            in_sync_limit: None,
            log: Log::default(),
            producers: Producers::default(),
        }
    }

    /// Gives the partition another leader, in a new epoch.
    pub(super) fn elect(&mut self, leader: Option<i32>) {
        self.leader = leader;
        self.leader_epoch = self.leader_epoch.saturating_add(1);
        self.begin_epoch();
    }

    fn begin_epoch(&mut self) {
        if self.leader.is_some() {
            self.epochs.begin(self.leader_epoch, self.log.end_offset());
        }
    }

    /// The replicas that count as in sync: those that are up, the leader first.
    pub(super) fn in_sync(&self, is_up: impl Fn(i32) -> bool) -> Vec<i32> {
        let others = self.replicas.iter().copied().filter(|node| is_up(*node) && Some(*node) != self.leader);
        self.leader.into_iter().chain(others).take(self.in_sync_limit.unwrap_or(usize::MAX)).collect()
    }

    /// Checks that `node` leads the partition, in the epoch that the request names. -1 stands for any epoch.
    pub(super) fn check_leader(&self, node: i32, epoch: i32) -> Result<(), ErrorCode> {
        match epoch {
            _ if epoch >= 0 && epoch < self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            _ if epoch > self.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ if self.leader != Some(node) => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            _ => Ok(()),
        }
    }

    /// Checks that `acks=all` has `min.insync.replicas`, or all replicas if the partition has fewer.
    pub(super) fn check_in_sync(&self, config: &TopicConfig, is_up: impl Fn(i32) -> bool) -> Result<(), Refusal> {
        let wanted = usize::try_from(config.min_insync_replicas).unwrap_or(0).min(self.replicas.len());
        let got = self.in_sync(is_up).len();
        if got >= wanted {
            return Ok(());
        }
        let message = format!("{got} replicas are in sync, min.insync.replicas is {wanted}");
        Err(Refusal::new(ErrorCode::NOT_ENOUGH_REPLICAS, message))
    }

    /// Validates a batch and appends it. A batch that repeats one of the producer's last five is not appended again.
    pub(super) fn append(
        &mut self,
        batch: &Batch,
        config: &TopicConfig,
        now_ms: i64,
    ) -> Result<AppendedBatch, Refusal> {
        let max_timestamp = validate::check(batch, config, now_ms)?;
        let recompressed = config.method().map(|method| recompress(batch, method)).transpose()?;
        let batch = recompressed.as_ref().unwrap_or(batch);
        validate::check_batch_size(batch, config)?;
        let verdict = self.producers.check(batch.header());
        if let SequenceCheck::Duplicate(known) = verdict.map_err(|(code, message)| Refusal::new(code, message))? {
            return Ok(AppendedBatch { base_offset: known.base_offset, log_append_time_ms: known.timestamp });
        }
        let stored = batch.with_header(self.stamp(batch.header(), max_timestamp, config, now_ms));
        let base_offset = stored.header().base_offset;
        self.keep(stored, config);
        Ok(AppendedBatch { base_offset, log_append_time_ms: if config.log_append_time { now_ms } else { -1 } })
    }

    /// Adds a batch that the leader has stamped.
    pub(super) fn keep(&mut self, batch: Batch, config: &TopicConfig) {
        self.producers.remember(batch.header());
        self.log.append(batch, config);
    }

    /// The header with the fields that the leader sets.
    fn stamp(&self, header: &BatchHeader, max_timestamp: i64, config: &TopicConfig, now_ms: i64) -> BatchHeader {
        const LOG_APPEND_TIME: i16 = 0b1000;
        let (bit, max_timestamp) = if config.log_append_time { (LOG_APPEND_TIME, now_ms) } else { (0, max_timestamp) };
        BatchHeader {
            base_offset: self.log.end_offset(),
            partition_leader_epoch: self.leader_epoch,
            attributes: header.attributes & !LOG_APPEND_TIME | bit,
            max_timestamp,
            ..*header
        }
    }

    /// Lets the log begin at an offset of its own, or changes nothing if it begins later. Producers are known all the same (KIP-360).
    pub(super) fn start_at(&mut self, offset: i64) {
        self.log.start_at(offset);
        self.epochs.start_at(self.log.start_offset());
    }

    /// Removes the segments that the topic's retention does not keep. Returns how many records are gone.
    pub(super) fn expire(&mut self, config: &TopicConfig, now_ms: i64) -> u64 {
        let gone = self.log.expire(config, now_ms);
        self.epochs.start_at(self.log.start_offset());
        gone
    }

    /// Removes every batch that holds `offset` or a later one, and rebuilds the producer state from the rest.
    pub(super) fn truncate(&mut self, offset: i64) {
        self.log.truncate(offset);
        self.epochs.truncate_to(self.log.end_offset());
        self.begin_epoch();
        self.producers = Producers::default();
        self.log.headers().for_each(|header| self.producers.remember(header));
    }
}
