//! Reads a topic with several independent readers.
//!
//! In: a cluster and a topic. Out: its records. One reader is milena's. On real Kafka the console consumer and
//! `DumpLogSegments` read, too, and all must agree on every record. Text only, because the tools print text.

use std::collections::BTreeMap;

use milena::{
    Ack,
    admin::{ConsumedRecord, TimestampType},
};
use milena_test_support::{
    console::{self, Consumed},
    dump::{self, Batch},
};
use tokio::task::block_in_place;

use crate::cluster::Cluster;

/// A topic's content.
pub(crate) struct Log {
    /// By partition and offset.
    pub(crate) records: Vec<Consumed>,
    /// The batches of the records; `None` for the embedded broker, which has no files.
    pub(crate) batches: Option<Vec<Batch>>,
}

impl Log {
    /// Reads a topic with every reader.
    pub(crate) async fn read(cluster: &Cluster, topic: &str) -> Self {
        let records = cluster.admin().await.read_all(topic).await.expect("the topic can be read");
        let mut records: Vec<_> = records.into_iter().map(text).collect();
        records.sort();
        let batches = cluster.segments(topic).map(|segments| {
            block_in_place(|| {
                assert_eq!(console::consume(&cluster.bootstrap_servers(), topic, records.len()), records);
                let mut batches = dump::dump(&segments);
                batches.sort_by_key(|batch| (batch.partition, batch.base_offset));
                check_dump(&batches, &records);
                batches
            })
        });
        Self { records, batches }
    }

    /// Asserts that each record is at its acknowledged offset, with the value that was sent.
    pub(crate) fn assert_holds(&self, acks: &[(String, Ack)]) {
        let by_place: BTreeMap<_, _> = self.records.iter().map(|r| ((r.partition, r.offset), r)).collect();
        for (value, ack) in acks {
            let place = (ack.partition(), ack.offset().expect("the acknowledgement has an offset"));
            let record =
                by_place.get(&place).unwrap_or_else(|| panic!("acknowledged at {place:?}, not in the log: {value}"));
            assert_eq!(record.value.as_ref(), Some(value), "another record stands at {place:?}");
            assert_eq!(record.timestamp, ack.timestamp(), "the timestamp of the record at {place:?}");
        }
        assert_eq!(self.records.len(), acks.len(), "every record once");
    }

    /// The values of one partition, in order.
    pub(crate) fn values(&self, partition: i32) -> Vec<&str> {
        let records = self.records.iter().filter(|record| record.partition == partition);
        records.map(|record| record.value.as_deref().expect("no null value")).collect()
    }

    /// The producer ids in the log, if the batches are known; -1 is a producer without idempotence.
    pub(crate) fn producer_ids(&self) -> Option<Vec<i64>> {
        let mut ids: Vec<_> = self.batches.as_ref()?.iter().map(|batch| batch.producer_id).collect();
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }
}

/// Converts a record to what the console consumer prints.
fn text(record: ConsumedRecord) -> Consumed {
    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.into()).expect("the scenarios send text");
    let timestamp_type = match record.timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    Consumed {
        partition: record.partition,
        offset: record.offset,
        timestamp_type: timestamp_type.to_owned(),
        timestamp: record.timestamp,
        headers: record.headers.into_iter().map(|(name, value)| (name, value.map(text))).collect(),
        key: record.key.map(text),
        value: record.value.map(text),
    }
}

fn check_dump(batches: &[Batch], records: &[Consumed]) {
    let dumped: Vec<_> = batches.iter().flat_map(|b| b.records.iter().map(|r| (b.partition, r))).collect();
    assert_eq!(dumped.len(), records.len(), "as many records in the files as were read");
    for ((partition, dumped), record) in dumped.into_iter().zip(records) {
        let size = |field: &Option<String>| field.as_ref().map_or(-1, |text| i32::try_from(text.len()).unwrap());
        let names: Vec<_> = record.headers.iter().map(|(name, _)| name).collect();
        let expected = (record.partition, record.offset, size(&record.key), size(&record.value), record.timestamp);
        assert_eq!((partition, dumped.offset, dumped.key_size, dumped.value_size, dumped.timestamp), expected);
        assert_eq!(dumped.timestamp_type, record.timestamp_type);
        assert_eq!(dumped.header_keys.iter().collect::<Vec<_>>(), names);
    }
    check_sequences(batches);
}

/// Checks that every batch is valid, and that each idempotent producer's sequence numbers have no gap between batches.
fn check_sequences(batches: &[Batch]) {
    let mut next = BTreeMap::new();
    for batch in batches {
        assert!(batch.valid && batch.last_offset - batch.base_offset + 1 == i64::from(batch.count), "{batch:?}");
        if batch.producer_id >= 0 {
            let identity = (batch.partition, batch.producer_id, batch.producer_epoch);
            let expected = next.insert(identity, batch.base_sequence + batch.count).unwrap_or(0);
            assert_eq!(batch.base_sequence, expected, "sequence numbers of producer and partition {identity:?}");
        }
    }
}
