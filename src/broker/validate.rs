//! Whether a batch may be appended, asked in the order in which Apache Kafka asks.
//!
//! In: the bytes of one partition of a Produce request, the topic's configuration and the time. Out: the batch, or a
//! [`Refusal`] with Kafka's code for the case. Pure. Sources: `ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`. In two points this broker is stricter than Kafka: a record's
//! offset delta must be its place in the batch (Kafka does not look at it when nothing is compressed), and compressed
//! batches are refused because they cannot be looked into yet. Deliberately absent: sequence numbers, which are in
//! [`super::producers`].

use bytes::Bytes;

use super::{codes, config::TopicConfig};
use crate::{
    error::ErrorCode,
    wire::record_batch::reader::{Batch, BatchError, BatchHeader, BatchRecord, Batches, Codec},
};

/// Why a batch is not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    /// The records that are to blame, by their place in the batch (KIP-467).
    pub(super) records: Vec<(i32, String)>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), records: Vec::new() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::INVALID_RECORD, message)
    }
}

impl From<BatchError> for Refusal {
    /// As `ByteBufferLogInputStream`, `DefaultRecordBatch` and `LogValidator` throw.
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::Length { .. } | BatchError::Crc { .. } => ErrorCode::CORRUPT_MESSAGE,
            BatchError::Magic { got: 0 | 1 } => ErrorCode::INVALID_RECORD,
            BatchError::Magic { .. } => ErrorCode::CORRUPT_MESSAGE,
            BatchError::Compressed { .. } => codes::UNSUPPORTED_COMPRESSION_TYPE,
            _ => ErrorCode::INVALID_RECORD,
        };
        Self::new(code, error.to_string())
    }
}

/// The one batch that a partition's records must be. Bytes behind it that are not a whole batch are disregarded.
pub(super) fn one_batch(records: Option<&Bytes>) -> Result<Batch, Refusal> {
    let mut batches = Batches::new(records.cloned().unwrap_or_default());
    let Some(batch) = batches.next().transpose()? else {
        return Err(Refusal::invalid("a produce request must have one record batch for each partition, got none"));
    };
    match batches.next() {
        None => Ok(batch),
        Some(_) => Err(Refusal::invalid("a produce request must have one record batch for each partition, got more")),
    }
}

/// Everything that can be said of a batch without knowing the partition's producers. Returns its largest timestamp.
pub(super) fn check(batch: &Batch, config: &TopicConfig, now_ms: i64) -> Result<i64, Refusal> {
    let header = batch.header();
    if header.base_offset != 0 {
        return Err(Refusal::invalid(format!("base offset is {}, expected 0", header.base_offset)));
    }
    check_size(batch, config.max_message_bytes, "max.message.bytes", ErrorCode::MESSAGE_TOO_LARGE)?;
    batch.check_crc()?;
    check_header(header)?;
    let max_timestamp = check_records(batch, config, now_ms)?;
    check_size(batch, config.segment_bytes, "segment.bytes", codes::RECORD_LIST_TOO_LARGE)?;
    Ok(max_timestamp)
}

fn check_size(batch: &Batch, max: i32, setting: &str, code: ErrorCode) -> Result<(), Refusal> {
    let size = batch.bytes().len();
    if usize::try_from(max).is_ok_and(|max| size <= max) {
        return Ok(());
    }
    Err(Refusal::new(code, format!("record batch of {size} bytes is over {setting}={max}")))
}

fn check_header(header: &BatchHeader) -> Result<(), Refusal> {
    header.check_gapless()?;
    if header.is_control() {
        return Err(Refusal::invalid("clients may not write control records"));
    }
    if header.producer_id >= 0 && header.base_sequence < 0 {
        let (sequence, id) = (header.base_sequence, header.producer_id);
        return Err(Refusal::invalid(format!("base sequence is {sequence} for producer {id}, expected at least 0")));
    }
    match header.codec()? {
        Codec::None => Ok(()),
        codec => Err(BatchError::Compressed { codec }.into()),
    }
}

fn check_records(batch: &Batch, config: &TopicConfig, now_ms: i64) -> Result<i64, Refusal> {
    let header = batch.header();
    let mut max_timestamp = -1;
    let mut refused = Vec::new();
    for (index, record) in (0_i32..).zip(batch.records()?) {
        let record = record?;
        if record.offset_delta != index {
            return Err(Refusal::invalid(format!("record {index} has offset delta {}", record.offset_delta)));
        }
        max_timestamp = max_timestamp.max(header.timestamp_of(&record));
        if let Err((code, message)) = check_record(header, &record, config, now_ms) {
            refused.push((code, index, message));
        }
    }
    if refused.is_empty() { Ok(max_timestamp) } else { Err(refuse_records(refused)) }
}

fn check_record(
    header: &BatchHeader,
    record: &BatchRecord,
    config: &TopicConfig,
    now_ms: i64,
) -> Result<(), (ErrorCode, String)> {
    if config.compact && record.key.is_none() {
        return Err((ErrorCode::INVALID_RECORD, "a compacted topic takes no record without key".to_owned()));
    }
    check_timestamp(header, header.timestamp_of(record), config, now_ms)
        .map_err(|message| (codes::INVALID_TIMESTAMP, message))
}

fn check_timestamp(header: &BatchHeader, timestamp: i64, config: &TopicConfig, now_ms: i64) -> Result<(), String> {
    if config.log_append_time || timestamp == -1 {
        return if header.is_log_append_time() {
            Err("producers may not set the timestamp type LogAppendTime".to_owned())
        } else {
            Ok(())
        };
    }
    let (least, most) = (now_ms.saturating_sub(config.before_max_ms), now_ms.saturating_add(config.after_max_ms));
    if (least..=most).contains(&timestamp) {
        return Ok(());
    }
    Err(format!("timestamp {timestamp} is out of range, expected {least} to {most}"))
}

/// One record with a wrong timestamp decides the code of the whole batch.
fn refuse_records(refused: Vec<(ErrorCode, i32, String)>) -> Refusal {
    let timestamp = refused.iter().any(|(code, ..)| *code == codes::INVALID_TIMESTAMP);
    Refusal {
        code: if timestamp { codes::INVALID_TIMESTAMP } else { ErrorCode::INVALID_RECORD },
        message: format!("{} of the batch's records were refused", refused.len()),
        records: refused.into_iter().map(|(_, index, message)| (index, message)).collect(),
    }
}
