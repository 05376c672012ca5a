//! The content of a broker's log, read by Apache's `DumpLogSegments`.
//!
//! In: segment files of a broker, running or not. Out: their batches and records. It checks sequence numbers, producer
//! ids and checksums independently of milena. Deliberately absent: the bytes of keys and values, which the tool prints
//! as text; the console consumer returns those.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::java;

/// One batch of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The partition it is in.
    pub partition: i32,
    /// The offset of its first record.
    pub base_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// How many records it has.
    pub count: i32,
    /// The sequence number of its first record; -1 from a producer that is not idempotent.
    pub base_sequence: i32,
    /// -1 from a producer that is not idempotent.
    pub producer_id: i64,
    /// -1 from a producer that is not idempotent.
    pub producer_epoch: i16,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub codec: String,
    /// Its size in bytes.
    pub size: usize,
    /// Whether its checksum is correct.
    pub valid: bool,
    /// Its records.
    pub records: Vec<Record>,
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// `CreateTime` or `LogAppendTime`.
    pub timestamp_type: String,
    /// In milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// In bytes; -1 is null.
    pub key_size: i32,
    /// In bytes; -1 is null.
    pub value_size: i32,
    /// Its sequence number; -1 from a producer that is not idempotent.
    pub sequence: i32,
    /// The names of its headers, in order.
    pub header_keys: Vec<String>,
}

/// Dumps segment files of one topic, in the order given.
///
/// # Panics
/// When there is no file to dump, or the tool fails.
#[must_use]
pub fn dump(segments: &[PathBuf]) -> Vec<Batch> {
    assert!(!segments.is_empty(), "no log segment to dump");
    let files: Vec<_> = segments.iter().map(|file| file.to_str().expect("a UTF-8 path")).collect();
    let arguments = ["--print-data-log", "--deep-iteration", "--files", &files.join(",")];
    parse(&java::run_class("kafka.tools.DumpLogSegments", &arguments, ""))
}

fn parse(printed: &str) -> Vec<Batch> {
    let (mut partition, mut batches) = (-1, Vec::<Batch>::new());
    for line in printed.lines() {
        if let Some(file) = line.strip_prefix("Dumping ") {
            partition = partition_of(Path::new(file));
        } else if line.starts_with("baseOffset: ") {
            batches.push(batch(&Fields::of(line), partition));
        } else if let Some(line) = line.strip_prefix("| offset: ") {
            let batch = batches.last_mut().expect("a record follows its batch");
            batch.records.push(record(&Fields::of(&format!("offset: {line}"))));
        }
    }
    batches
}

/// The partition of a segment, from its folder, which is named `topic-partition`.
fn partition_of(segment: &Path) -> i32 {
    let folder = segment.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let number = folder.and_then(|name| name.rsplit_once('-')).and_then(|(_, number)| number.parse().ok());
    number.unwrap_or_else(|| panic!("expected a folder topic-partition, got {}", segment.display()))
}

fn batch(fields: &Fields<'_>, partition: i32) -> Batch {
    Batch {
        partition,
        base_offset: fields.get("baseOffset"),
        last_offset: fields.get("lastOffset"),
        count: fields.get("count"),
        base_sequence: fields.get("baseSequence"),
        producer_id: fields.get("producerId"),
        producer_epoch: fields.get("producerEpoch"),
        codec: fields.get("compresscodec"),
        size: fields.get("size"),
        valid: fields.get("isvalid"),
        records: Vec::new(),
    }
}

fn record(fields: &Fields<'_>) -> Record {
    let timestamp_type = if fields.0.contains_key("LogAppendTime") { "LogAppendTime" } else { "CreateTime" };
    let names = fields.get::<String>("headerKeys");
    let names = names.trim_start_matches('[').trim_end_matches(']').split(',');
    Record {
        offset: fields.get("offset"),
        timestamp_type: timestamp_type.to_owned(),
        timestamp: fields.get(timestamp_type),
        key_size: fields.get("keySize"),
        value_size: fields.get("valueSize"),
        sequence: fields.get("sequence"),
        header_keys: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    }
}

/// The pairs `name: value` of one line.
struct Fields<'a>(HashMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    /// Parses a line. Of a repeated name the first value is used, because a record's content is printed last and may have any form.
    fn of(line: &'a str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let mut fields = HashMap::new();
        for pair in words.windows(2) {
            if let Some(name) = pair[0].strip_suffix(':') {
                fields.entry(name).or_insert(pair[1]);
            }
        }
        Self(fields)
    }

    fn get<T: FromStr>(&self, name: &str) -> T {
        let value = self.0.get(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("expected a valid {name} from DumpLogSegments, got {:?}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
Dumping /data/my-topic-3/00000000000000000000.log
Log starting offset: 0
baseOffset: 4 lastOffset: 5 count: 2 baseSequence: 7 lastSequence: 8 producerId: 9 producerEpoch: 1 partitionLeaderEpoch: 0 \
isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 12 size: 83 magic: 2 \
compresscodec: none crc: 2983544339 isvalid: true
| offset: 4 CreateTime: 11 keySize: 2 valueSize: -1 sequence: 7 headerKeys: [a,a] key: k1
| offset: 5 CreateTime: 12 keySize: -1 valueSize: 15 sequence: 8 headerKeys: [] payload: offset: 99 x: y
";

    #[test]
    fn batches_and_their_records_are_parsed() {
        let batches = parse(PRINTED);
        assert_eq!(batches.len(), 1);
        let batch = &batches[0];
        assert_eq!((batch.partition, batch.base_offset, batch.last_offset, batch.count), (3, 4, 5, 2));
        assert_eq!((batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.valid), (9, 1, 7, true));
        assert_eq!(batch.records[0].header_keys, ["a", "a"]);
        assert_eq!((batch.records[0].key_size, batch.records[0].value_size), (2, -1));
    }

    #[test]
    fn a_payload_that_looks_like_a_field_changes_nothing() {
        let last = &parse(PRINTED)[0].records[1];
        assert_eq!((last.offset, last.sequence, last.timestamp), (5, 8, 12));
    }
}
