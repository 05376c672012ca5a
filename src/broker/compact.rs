//! Compaction: of each key the last record remains.
//!
//! In: the batches of a log, where its active segment begins, and the time. Out: the batches that remain. Pure. As in Apache Kafka: offsets
//! do not change; a record in the active segment is neither removed nor does it supersede another one; a tombstone (a record without a
//! value) remains for `delete.retention.ms` after the first compaction that met it (KIP-534), so that readers see it. Deliberately absent: when
//! to compact, which is a command; the compression of what is written anew; batches without records, because the producers' state is kept apart.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::config::TopicConfig;
use crate::wire::record_batch::{
    reader::{Batch, BatchRecord},
    rewrite::rewrite,
};

/// The batches that remain. `active` is the first offset of the active segment.
pub(super) fn compact(batches: &[Batch], active: i64, config: &TopicConfig, now_ms: i64) -> Vec<Batch> {
    let (closed, rest) = batches.split_at(batches.partition_point(|batch| batch.header().base_offset < active));
    let last = last_offsets(closed);
    let horizon = now_ms.saturating_add(config.delete_retention_ms);
    let remaining = closed.iter().filter_map(|batch| {
        let over = batch.header().delete_horizon().is_some_and(|horizon| horizon <= now_ms);
        let is_last = |record: &BatchRecord| {
            let offset = batch.header().offset_of(record);
            record.key.as_ref().is_some_and(|key| last.get(key) == Some(&offset))
        };
        let keep = |record: &BatchRecord| is_last(record) && (record.value.is_some() || !over);
        let records: Vec<_> = records(batch).collect();
        let kept: Vec<_> = records.iter().filter(|record| keep(record)).cloned().collect();
        let is_marked = batch.header().delete_horizon().is_some();
        let marks = !is_marked && kept.iter().any(|record| record.value.is_none());
        match kept.len() {
            0 => None,
            len if len == records.len() && !marks => Some(batch.clone()),
            _ => Some(rewrite(batch, &kept, marks.then_some(horizon))),
        }
    });
    remaining.chain(rest.iter().cloned()).collect()
}

/// The offset of the last record of each key.
fn last_offsets(batches: &[Batch]) -> BTreeMap<Bytes, i64> {
    let mut last = BTreeMap::new();
    for batch in batches {
        last.extend(records(batch).filter_map(|record| Some((record.key.clone()?, batch.header().offset_of(&record)))));
    }
    last
}

/// Batches are validated before they are appended, so reading none of them fails.
fn records(batch: &Batch) -> impl Iterator<Item = BatchRecord> {
    batch.records().into_iter().flatten().map_while(Result::ok)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{log::Log, testing::NOW},
        *,
    };
    use crate::{
        sender::Chance,
        wire::record_batch::{
            reader::BatchHeader,
            writer::{Payload, Writer},
        },
    };

    const RETENTION: i64 = 1_000;

    fn config() -> TopicConfig {
        let mut config = TopicConfig::default();
        config.set("segment.ms", "1000").unwrap();
        config.set("delete.retention.ms", &RETENTION.to_string()).unwrap();
        config
    }

    /// A key, and a value or none.
    type Pair<'a> = (&'a str, Option<&'a str>);

    /// A log of these batches, each with its time.
    fn log(batches: &[(i64, &[Pair<'_>])]) -> Log {
        let mut log = Log::default();
        batches.iter().for_each(|(at, records)| append(&mut log, *at, records));
        log
    }

    fn append(log: &mut Log, at: i64, records: &[Pair<'_>]) {
        let mut writer = Writer::new(Vec::new());
        for (key, value) in records {
            writer.append(at, &Payload::new(Some(key.as_bytes()), value.map(str::as_bytes), &[]));
        }
        let batch = Batch::parse(writer.finish().unwrap().into()).unwrap();
        let header = BatchHeader { base_offset: log.end_offset(), producer_id: -1, ..*batch.header() };
        log.append(batch.with_header(header), &config());
    }

    /// Its records as text, by offset.
    fn told(log: &Log) -> Vec<String> {
        let text = |bytes: Option<Bytes>| match bytes {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => "-".to_owned(),
        };
        let records = log.records().into_iter();
        records.map(|record| format!("{} {}={}", record.offset, text(record.key), text(record.value))).collect()
    }

    #[test]
    fn of_each_key_the_last_record_remains_at_its_offset() {
        let mut log = log(&[
            (0, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]),
            (1, &[("b", Some("2")), ("c", Some("1"))]),
            (2, &[("b", Some("3"))]),
            (2_000, &[("roll", Some("x"))]),
        ]);
        assert_eq!(log.compact(&config(), NOW), Some(3));
        assert_eq!(told(&log), ["2 a=2", "4 c=1", "5 b=3", "6 roll=x"]);
        assert_eq!((log.start_offset(), log.end_offset()), (0, 7));
        assert_eq!(log.compact(&config(), NOW), None, "nothing is left to remove");
    }

    #[test]
    fn a_record_of_the_active_segment_is_not_removed_and_supersedes_none() {
        let mut log = log(&[(0, &[("a", Some("1"))]), (1_000, &[("a", Some("2"))]), (1_001, &[("a", Some("3"))])]);
        assert_eq!(log.compact(&config(), NOW), Some(1), "the third record began a segment, the second did not");
        assert_eq!(told(&log), ["1 a=2", "2 a=3"]);
    }

    #[test]
    fn a_tombstone_remains_for_its_time_after_the_first_compaction_that_met_it() {
        let mut log = log(&[
            (0, &[("a", Some("1")), ("b", Some("1"))]),
            (1, &[("a", None), ("c", Some("1"))]),
            (2_000, &[("roll", Some("x"))]),
        ]);
        let left = |log: &mut Log, now| {
            log.compact(&config(), now);
            told(log)
        };
        for now in [NOW, NOW + RETENTION - 1] {
            assert_eq!(left(&mut log, now), ["1 b=1", "2 a=-", "3 c=1", "4 roll=x"], "{now}");
        }
        assert_eq!(left(&mut log, NOW + RETENTION), ["1 b=1", "3 c=1", "4 roll=x"]);
    }

    #[test]
    fn a_log_that_is_compacted_again_and_again_is_what_compacting_it_whole_leaves() {
        let mut chance = Chance::new(7);
        let (mut log, mut now, mut left_alone) = (Log::default(), NOW, 0);
        for step in 0..6_000 {
            now += chance.below(900) as i64;
            match chance.below(20) {
                0..14 => {
                    let key = ["a", "b", "c", "d"][chance.below(4)];
                    append(&mut log, now, &[(key, [Some("x"), None][chance.below(2)]), ("e", Some("y"))]);
                }
                14..16 => log.truncate(log.end_offset() - chance.below(12) as i64),
                _ => {
                    let active = log.segments().last().copied().unwrap_or(0);
                    let expected = compact(log.batches(), active, &config(), now);
                    left_alone += u32::from(log.compact(&config(), now).is_none());
                    let bytes =
                        |batches: &[Batch]| batches.iter().map(|batch| batch.bytes().clone()).collect::<Vec<_>>();
                    assert_eq!(bytes(log.batches()), bytes(&expected), "step {step}");
                }
            }
        }
        assert!((50..500).contains(&left_alone), "{left_alone}");
    }

    #[test]
    fn what_is_written_anew_keeps_timestamps_and_can_be_found_by_them() {
        let mut log = log(&[
            (100, &[("a", Some("1")), ("b", None)]),
            (200, &[("a", Some("2"))]),
            (2_000, &[("roll", Some("x"))]),
        ]);
        log.compact(&config(), NOW);
        let times: Vec<_> = log.records().iter().map(|record| (record.offset, record.timestamp)).collect();
        assert_eq!(times, [(1, 100), (2, 200), (3, 2_000)]);
        assert_eq!(log.at_or_after(150).map(|found| found.offset), Some(2));
        for header in log.headers() {
            assert!(header.max_timestamp <= 2_000, "{header:?}");
        }
    }

    #[test]
    fn reading_from_a_removed_record_begins_with_the_next_one() {
        let mut log = log(&[
            (0, &[("a", Some("1"))]),
            (0, &[("a", Some("2"))]),
            (0, &[("a", Some("3"))]),
            (2_000, &[("r", None)]),
        ]);
        log.compact(&config(), NOW);
        let batch = Batch::parse(log.read(0, 1, true).unwrap()).unwrap();
        assert_eq!((batch.header().base_offset, batch.check_crc()), (2, Ok(())));
    }
}
