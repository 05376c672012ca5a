//! Reads a dead-letter topic, partition after partition.
//!
//! In: a topic and where to begin. Out: records in batches, and how far they were handled. Awaits brokers. A position moves only past
//! records that were handled.

use std::{collections::HashMap, ops::ControlFlow};

use milena::admin::{Admin, AdminError, ConsumedRecord, OffsetSpec};

use super::{
    args::Letters,
    start::{self, Position, Start},
};
use crate::exit::CliError;

/// How much is in memory at once.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// A topic that is read.
pub(super) struct Reading {
    admin: Admin,
    topic: String,
    positions: Vec<Position>,
    /// Topics that were asked for, and whether they are there.
    known: HashMap<String, Result<(), String>>,
}

impl Reading {
    /// Finds out where to begin.
    pub(super) async fn start(letters: &Letters) -> Result<Self, CliError> {
        let mut admin = Admin::from_properties(letters.connection.settings()?).await?;
        let mut wanted = letters.partitions.clone();
        if wanted.is_empty() {
            wanted = (0..admin.partitions(&letters.topic).await?).collect();
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut logs = Vec::new();
        for partition in wanted {
            let first = admin.offsets(&letters.topic, partition, OffsetSpec::Earliest).await?;
            let end = admin.offsets(&letters.topic, partition, OffsetSpec::Latest).await?;
            logs.push((partition, first, end));
        }
        let start = letters.from_offset.as_ref().unwrap_or(&Start::Beginning);
        let positions = start::positions(start, &letters.topic, &logs).map_err(CliError::Usage)?;
        Ok(Self { admin, topic: letters.topic.clone(), positions, known: HashMap::new() })
    }

    /// The next records; `None` at the end. The same again if none of them was handled.
    pub(super) async fn batch(&mut self) -> Result<Option<Vec<ConsumedRecord>>, AdminError> {
        while let Some(position) = self.positions.iter_mut().find(|position| position.next < position.end) {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            let take = |record: ConsumedRecord| {
                bytes += record.value.as_ref().map_or(0, bytes::Bytes::len);
                batch.push(record);
                if batch.len() < BATCH && bytes < BATCH_BYTES {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            };
            self.admin.read_range(&self.topic, position.partition, position.next..position.end, take).await?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            // The rest has no records: compaction and transactions leave such offsets.
            position.next = position.end;
        }
        Ok(None)
    }

    /// Moves the position past a record.
    pub(super) fn handled(&mut self, record: &ConsumedRecord) {
        let position = self.positions.iter_mut().find(|position| position.partition == record.partition);
        if let Some(position) = position {
            position.next = record.offset.saturating_add(1);
        }
    }

    /// How to go on.
    pub(super) fn goes_on(&self) -> String {
        format!("--from-offset {}", start::text(&self.positions))
    }

    /// Whether a topic can be written to, as far as its metadata tell. Each topic is asked for once.
    ///
    /// # Errors
    /// Brokers cannot say.
    pub(super) async fn has(&mut self, topic: &str) -> Result<Result<(), String>, AdminError> {
        if let Some(known) = self.known.get(topic) {
            return Ok(known.clone());
        }
        let found = match self.admin.partitions(topic).await {
            Ok(_) => Ok(()),
            Err(AdminError::UnknownTopic { .. }) => Err(format!("its original topic {topic} does not exist")),
            Err(error @ AdminError::Refused { .. }) if !error.retriable() => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        self.known.insert(topic.to_owned(), found.clone());
        Ok(found)
    }
}
