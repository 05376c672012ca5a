//! Validation of a batch before it is appended, in Apache Kafka's order.
//!
//! In: the bytes of one partition of a Produce request, the topic's configuration and the time. Out: the batch, or a
//! [`Refusal`] with Kafka's code for the case. Pure. Sources: `ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`. This broker is stricter than Kafka in two points. A record's
//! offset delta must be its index in the batch, which Kafka does not check for uncompressed batches. The records of a
//! compressed batch may have 64 MiB at most. Deliberately absent: sequence numbers, which are in
//! [`super::producers`].

use bytes::Bytes;

use super::config::TopicConfig;
use crate::{
    error::ErrorCode,
    wire::{
        compression::DecompressError,
        record_batch::reader::{Batch, BatchError, BatchHeader, Batches},
    },
};

/// Why a batch is not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    /// The indexes of the records that caused it (KIP-467).
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
    /// The refusal that corresponds to the exceptions of `ByteBufferLogInputStream`, `DefaultRecordBatch` and `LogValidator`.
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::Length { .. } | BatchError::Crc { .. } => ErrorCode::CORRUPT_MESSAGE,
            BatchError::Magic { got: 0 | 1 } => ErrorCode::INVALID_RECORD,
            BatchError::Magic { .. } => ErrorCode::CORRUPT_MESSAGE,
            BatchError::Compressed(DecompressError::NotBuiltIn(_)) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            _ => ErrorCode::INVALID_RECORD,
        };
        Self::new(code, error.to_string())
    }
}

/// Reads the one batch that the records of a partition must consist of. Bytes that follow and are no whole batch are ignored.
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

/// Checks everything that does not depend on the producer state. Returns the batch's largest timestamp.
pub(super) fn check(batch: &Batch, config: &TopicConfig, now_ms: i64) -> Result<i64, Refusal> {
    let header = batch.header();
    if header.base_offset != 0 {
        return Err(Refusal::invalid(format!("base offset is {}, expected 0", header.base_offset)));
    }
    check_batch_size(batch, config)?;
    batch.check_crc()?;
    check_header(header)?;
    let max_timestamp = check_records(batch, config, now_ms)?;
    check_size(batch, config.segment_bytes, "segment.bytes", ErrorCode::RECORD_LIST_TOO_LARGE)?;
    Ok(max_timestamp)
}

/// Checks `max.message.bytes`, also of a batch that was compressed anew.
pub(super) fn check_batch_size(batch: &Batch, config: &TopicConfig) -> Result<(), Refusal> {
    check_size(batch, config.max_message_bytes, "max.message.bytes", ErrorCode::MESSAGE_TOO_LARGE)
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
    header.codec()?;
    Ok(())
}

fn check_records(batch: &Batch, config: &TopicConfig, now_ms: i64) -> Result<i64, Refusal> {
    let header = batch.header();
    let (mut max_timestamp, mut index) = (-1, 0_i32);
    let mut refused = Vec::new();
    batch.records()?.view_each(|record| {
        if record.offset_delta != index {
            return Err(Refusal::invalid(format!("record {index} has offset delta {}", record.offset_delta)));
        }
        let timestamp = header.timestamp_at(record.timestamp_delta);
        max_timestamp = max_timestamp.max(timestamp);
        if let Err((code, message)) = check_record(header, record.key, timestamp, config, now_ms) {
            refused.push((code, index, message));
        }
        index = index.saturating_add(1);
        Ok(())
    })?;
    if refused.is_empty() { Ok(max_timestamp) } else { Err(refuse_records(refused)) }
}

fn check_record(
    header: &BatchHeader,
    key: Option<&[u8]>,
    timestamp: i64,
    config: &TopicConfig,
    now_ms: i64,
) -> Result<(), (ErrorCode, String)> {
    if config.compact && key.is_none() {
        return Err((ErrorCode::INVALID_RECORD, "a compacted topic takes no record without key".to_owned()));
    }
    check_timestamp(header, timestamp, config, now_ms).map_err(|message| (ErrorCode::INVALID_TIMESTAMP, message))
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

/// A single record with an invalid timestamp decides the code of the whole batch.
fn refuse_records(refused: Vec<(ErrorCode, i32, String)>) -> Refusal {
    let timestamp = refused.iter().any(|(code, ..)| *code == ErrorCode::INVALID_TIMESTAMP);
    Refusal {
        code: if timestamp { ErrorCode::INVALID_TIMESTAMP } else { ErrorCode::INVALID_RECORD },
        message: format!("{} of the batch's records were refused", refused.len()),
        records: refused.into_iter().map(|(_, index, message)| (index, message)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{BatchOf, NOW},
        *,
    };

    fn config(settings: &[(&str, &str)]) -> TopicConfig {
        let mut config = TopicConfig::default();
        settings.iter().for_each(|(name, value)| config.set(name, value).unwrap());
        config
    }

    fn validate(bytes: Bytes, config: &TopicConfig) -> Result<i64, Refusal> {
        check(&one_batch(Some(&bytes))?, config, NOW)
    }

    fn refused(bytes: Bytes) -> ErrorCode {
        validate(bytes, &TopicConfig::default()).unwrap_err().code
    }

    fn one() -> BatchOf {
        BatchOf::values(&["one"])
    }

    #[test]
    fn a_batch_as_producers_write_it_is_accepted_with_its_largest_timestamp() {
        let records = vec![(None, "a", 5), (Some("k"), "b", 9), (None, "c", -3)];
        let batch = BatchOf { records, ..one() }.by_producer(1, 0, 0).encode();
        assert_eq!(validate(batch, &TopicConfig::default()), Ok(NOW + 9));
    }

    #[test]
    fn exactly_one_batch_is_wanted() {
        let batch = one().encode();
        let twice = Bytes::from([&batch[..], &batch[..]].concat());
        for records in [None, Some(Bytes::new()), Some(batch.slice(..16)), Some(batch.slice(..70)), Some(twice)] {
            assert_eq!(one_batch(records.as_ref()).unwrap_err().code, ErrorCode::INVALID_RECORD);
        }
        let with_rest = Bytes::from([&batch[..], &batch[..60]].concat());
        assert!(one_batch(Some(&with_rest)).is_ok());
    }

    #[test]
    fn old_formats_are_invalid_and_formats_that_never_were_are_corrupt() {
        let code = |magic| refused(BatchOf { magic, ..one() }.encode());
        assert_eq!([code(0), code(1)], [ErrorCode::INVALID_RECORD; 2]);
        assert_eq!([code(-1), code(3)], [ErrorCode::CORRUPT_MESSAGE; 2]);
    }

    #[test]
    fn a_length_that_cannot_be_is_corrupt() {
        let mut bytes = one().encode().to_vec();
        bytes[8..12].copy_from_slice(&48_i32.to_be_bytes());
        assert_eq!(refused(bytes.into()), ErrorCode::CORRUPT_MESSAGE);
    }

    #[test]
    fn the_base_offset_is_asked_for_before_anything_else() {
        let mut bytes = BatchOf { base_offset: 1, ..one() }.encode().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(refused(bytes.into()), ErrorCode::INVALID_RECORD);
    }

    #[test]
    fn the_size_is_asked_for_before_the_checksum() {
        let mut bytes = one().encode().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let size = bytes.len();
        let code = |max: usize| {
            let config = config(&[("max.message.bytes", &max.to_string())]);
            validate(bytes.clone().into(), &config).unwrap_err().code
        };
        assert_eq!(code(size - 1), ErrorCode::MESSAGE_TOO_LARGE);
        assert_eq!(code(size), ErrorCode::CORRUPT_MESSAGE);
    }

    #[test]
    fn a_batch_larger_than_a_segment_is_refused_last() {
        let records = vec![(None, "x", 0); 200_000];
        let bytes = BatchOf { records, ..one() }.encode();
        let config = config(&[("segment.bytes", "1048576"), ("max.message.bytes", "10000000")]);
        assert_eq!(validate(bytes, &config).unwrap_err().code, ErrorCode::RECORD_LIST_TOO_LARGE);
    }

    #[test]
    fn counts_and_offsets_that_contradict_each_other_are_invalid() {
        for (last_offset_delta, count) in [(Some(1), None), (Some(-1), None), (None, Some(0)), (Some(1), Some(2))] {
            let batch = BatchOf { last_offset_delta, count, ..one() };
            assert_eq!(refused(batch.encode()), ErrorCode::INVALID_RECORD, "{last_offset_delta:?} {count:?}");
        }
    }

    #[test]
    fn control_batches_missing_sequences_and_unknown_codecs_are_invalid() {
        assert_eq!(refused(BatchOf { attributes: 0b10_0000, ..one() }.encode()), ErrorCode::INVALID_RECORD);
        assert_eq!(refused(one().by_producer(1, 0, -1).encode()), ErrorCode::INVALID_RECORD);
        assert_eq!(refused(BatchOf { attributes: 7, ..one() }.encode()), ErrorCode::INVALID_RECORD);
    }

    #[cfg(not(any(feature = "zstd", feature = "zstd-rust")))]
    #[test]
    fn a_codec_that_is_not_built_in_is_refused_by_name() {
        let refusal = validate(BatchOf { attributes: 4, ..one() }.encode(), &TopicConfig::default()).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        assert!(refusal.message.contains("zstd"));
    }

    #[test]
    fn a_compacted_topic_names_every_record_without_key() {
        let records = vec![(Some("k"), "a", 0), (None, "b", 0), (None, "c", 0)];
        let bytes = BatchOf { records, ..one() }.encode();
        let refusal = validate(bytes, &config(&[("cleanup.policy", "compact")])).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::INVALID_RECORD);
        assert_eq!(refusal.records.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn timestamps_have_to_be_within_the_topics_range_if_they_are_set() {
        let config = config(&[("message.timestamp.before.max.ms", "10"), ("message.timestamp.after.max.ms", "5")]);
        let code = |base_timestamp| {
            validate(BatchOf { base_timestamp, ..one() }.encode(), &config).err().map(|refusal| refusal.code)
        };
        assert_eq!([code(NOW - 10), code(NOW + 5), code(-1)], [None; 3]);
        assert_eq!([code(NOW - 11), code(NOW + 6)], [Some(ErrorCode::INVALID_TIMESTAMP); 2]);
    }

    #[test]
    fn one_wrong_timestamp_decides_the_code_of_a_batch_with_several_faults() {
        let config = config(&[("cleanup.policy", "compact"), ("message.timestamp.after.max.ms", "5")]);
        let records = vec![(None, "no key", 0), (Some("k"), "late", 6)];
        let refusal = validate(BatchOf { records, ..one() }.encode(), &config).unwrap_err();
        assert_eq!((refusal.code, refusal.records.len()), (ErrorCode::INVALID_TIMESTAMP, 2));
    }

    #[test]
    fn with_log_append_time_any_timestamp_will_do_but_the_producer_may_not_claim_its_type() {
        let config = config(&[("message.timestamp.type", "LogAppendTime")]);
        assert!(validate(BatchOf { base_timestamp: 0, ..one() }.encode(), &config).is_ok());
        let claimed = validate(BatchOf { attributes: 0b1000, ..one() }.encode(), &config);
        assert_eq!(claimed.unwrap_err().code, ErrorCode::INVALID_TIMESTAMP);
    }
}
