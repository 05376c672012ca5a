//! The state of logs without records: next offsets, and the next sequence number of each producer.
//!
//! In: headers of batches. Out: a base offset or an error code. Pure.

use std::{collections::HashMap, fmt};

/// Bytes of a batch before its first record.
pub(crate) const HEADER_LEN: usize = 61;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const CORRUPT_MESSAGE: i16 = 2;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const UNKNOWN_TOPIC_ID: i16 = 100;

pub(crate) struct Logs {
    partitions: usize,
    numbers: HashMap<Vec<u8>, usize>,
    topics: Vec<Topic>,
    next_producer_id: i64,
    pub(crate) told: Told,
}

struct Topic {
    name: Vec<u8>,
    logs: Vec<Log>,
}

#[derive(Clone, Default)]
struct Log {
    next_offset: i64,
    producer: (i64, i16),
    next_sequence: i32,
}

/// What was written in all.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) requests: u64,
    records: u64,
    batches: u64,
    bytes: u64,
    refused: u64,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, records, batches, bytes, refused } = self;
        write!(f, "records={records} batches={batches} requests={requests} bytes={bytes} refused={refused}")
    }
}

impl Logs {
    pub(crate) fn new(partitions: i32) -> Self {
        let partitions = usize::try_from(partitions).unwrap_or(0);
        let (numbers, topics) = (HashMap::new(), Vec::new());
        Self { partitions, numbers, topics, next_producer_id: 1000, told: Told::default() }
    }

    pub(crate) fn producer_id(&mut self) -> i64 {
        self.next_producer_id += 1;
        self.next_producer_id
    }

    /// The number of a topic, which is made if it is new.
    pub(crate) fn number(&mut self, name: &[u8]) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let logs = vec![Log { producer: (-1, -1), ..Log::default() }; self.partitions];
        self.topics.push(Topic { name: name.to_vec(), logs });
        self.numbers.insert(name.to_vec(), self.topics.len() - 1);
        self.topics.len() - 1
    }

    pub(crate) fn names(&self) -> Vec<Vec<u8>> {
        self.topics.iter().map(|topic| topic.name.clone()).collect()
    }

    /// The name of the topic that has this id.
    pub(crate) fn name(&self, id: [u8; 16]) -> Option<&[u8]> {
        self.topics.get(number_of(id)?).map(|topic| &*topic.name)
    }

    /// The base offset of a batch, given its header and its length with it, or an error code.
    pub(crate) fn append(
        &mut self,
        topic: Option<usize>,
        partition: i32,
        header: &[u8; HEADER_LEN],
        length: usize,
    ) -> Result<i64, i16> {
        let appended = self.judge(topic, partition, header, length);
        self.told.refused += u64::from(appended.is_err());
        appended
    }

    fn judge(
        &mut self,
        topic: Option<usize>,
        partition: i32,
        header: &[u8; HEADER_LEN],
        length: usize,
    ) -> Result<i64, i16> {
        let topic = topic.and_then(|number| self.topics.get_mut(number)).ok_or(UNKNOWN_TOPIC_ID)?;
        let log = usize::try_from(partition).ok().and_then(|partition| topic.logs.get_mut(partition));
        let log = log.ok_or(UNKNOWN_TOPIC_OR_PARTITION)?;
        let i32_at = |at: usize| i32::from_be_bytes(std::array::from_fn(|i| header[at + i]));
        let records = i32_at(57);
        let whole = i64::from(i32_at(8)) + 12 == length as i64 && header[16] == 2 && i32_at(23) + 1 == records;
        if !whole {
            return Err(CORRUPT_MESSAGE);
        }
        let producer_id = i64::from_be_bytes(std::array::from_fn(|i| header[43 + i]));
        log.sequence((producer_id, i16::from_be_bytes([header[51], header[52]])), i32_at(53), records)?;
        let base_offset = log.next_offset;
        log.next_offset += i64::from(records);
        self.told.records += u64::from(records.unsigned_abs());
        self.told.batches += 1;
        self.told.bytes += length as u64;
        Ok(base_offset)
    }
}

impl Log {
    fn sequence(&mut self, producer: (i64, i16), first: i32, records: i32) -> Result<(), i16> {
        if producer.0 < 0 {
            return Ok(());
        }
        let expected = if self.producer == producer { self.next_sequence } else { 0 };
        if first != expected {
            return Err(OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        (self.producer, self.next_sequence) = (producer, first.wrapping_add(records) & i32::MAX);
        Ok(())
    }
}

/// The id of the topic with this number.
pub(crate) fn id_of(number: usize) -> [u8; 16] {
    (0x6d69_6c65_6e61_u128 << 64 | (number as u128 + 1)).to_be_bytes()
}

pub(crate) fn number_of(id: [u8; 16]) -> Option<usize> {
    let low = u64::try_from(u128::from_be_bytes(id) & u128::from(u64::MAX)).ok()?;
    usize::try_from(low.checked_sub(1)?).ok()
}
