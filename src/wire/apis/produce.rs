//! Produce: writes batches. The request is encoded by hand, so that batches are not copied.
//!
//! In: stamped batches with their partitions, and the response. Out: the request as segments for one vectored write
//! (small ones that are encoded here, and the batches themselves), and the result of each batch. Pure. Deliberately
//! absent: transactional ids.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ProduceRequest, ProduceResponse, produce_response::BatchIndexAndErrorMessage},
    protocol::HeaderVersion,
};

use super::{
    api::Api,
    envelope::{BadResponse, broker, read},
};
use crate::{
    cluster::{Broker, TopicId},
    wire::{errors::ErrorCode, text::printable, varint::put_unsigned},
};

/// The first version whose batches may be compressed with zstd (KIP-110).
pub(crate) const ZSTD_FROM: i16 = 7;
/// The first version that names topics by id (KIP-516).
pub(crate) const TOPIC_IDS_FROM: i16 = 13;

/// The batch of one partition.
#[derive(Clone, Debug)]
pub(crate) struct PartitionBatch {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    pub(crate) batch: Bytes,
}

/// The rest of the request, beside its batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) client_id: &'a str,
    pub(crate) acks: i16,
    pub(crate) timeout_ms: i32,
}

/// The results of the batches of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceResults {
    pub(crate) throttle_ms: i32,
    pub(crate) partitions: Vec<PartitionResult>,
    /// The addresses of the leaders that the response names (KIP-951).
    pub(crate) brokers: Vec<Broker>,
}

/// The result of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionResult {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) error: ErrorCode,
    pub(crate) base_offset: Option<i64>,
    pub(crate) append_time: Option<i64>,
    pub(crate) log_start: Option<i64>,
    /// The records that were refused, by index in the batch (KIP-467).
    pub(crate) record_errors: Vec<(u32, Option<String>)>,
    pub(crate) message: Option<String>,
    /// The partition's leader and its epoch, if this broker is not the leader (KIP-951).
    pub(crate) leader: Option<(i32, i32)>,
}

/// How a response names a topic: by id from Produce 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicRef {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(TopicId),
}

/// Encodes the request with its length in front. The `parts` of one topic must be adjacent.
pub(crate) fn encode(head: &Head<'_>, parts: &[PartitionBatch]) -> Vec<Bytes> {
    let flexible = ProduceRequest::header_version(head.version) > 1;
    let mut out = Segments { flexible, small: BytesMut::with_capacity(256), batches: Vec::new() };
    out.small.put_i32(0);
    out.small.put_i16(Api::Produce.key());
    out.small.put_i16(head.version);
    out.small.put_i32(head.correlation);
    put_string(&mut out.small, head.client_id);
    out.tags();
    out.null_string();
    out.small.put_i16(head.acks);
    out.small.put_i32(head.timeout_ms);
    out.count(parts.chunk_by(same_topic).count());
    for topic in parts.chunk_by(same_topic) {
        out.topic(head.version, topic);
    }
    out.tags();
    out.finish()
}

fn same_topic(a: &PartitionBatch, b: &PartitionBatch) -> bool {
    a.topic == b.topic
}

/// The small fields in one buffer, and where the batches go between them.
struct Segments {
    flexible: bool,
    small: BytesMut,
    batches: Vec<(usize, Bytes)>,
}

impl Segments {
    fn topic(&mut self, version: i16, parts: &[PartitionBatch]) {
        let Some(first) = parts.first() else { return };
        if version >= TOPIC_IDS_FROM {
            self.small.put_slice(first.topic_id.as_bytes());
        } else if self.flexible {
            self.count(first.topic.len());
            self.small.put_slice(first.topic.as_bytes());
        } else {
            put_string(&mut self.small, &first.topic);
        }
        self.count(parts.len());
        for part in parts {
            self.small.put_i32(part.partition);
            self.count(part.batch.len());
            self.batches.push((self.small.len(), part.batch.clone()));
            self.tags();
        }
        self.tags();
    }

    /// A count, or the length of a batch.
    fn count(&mut self, count: usize) {
        if self.flexible {
            put_unsigned(&mut self.small, count as u64 + 1);
        } else {
            self.small.put_i32(i32_len(count));
        }
    }

    fn null_string(&mut self) {
        if self.flexible { self.small.put_u8(0) } else { self.small.put_i16(-1) }
    }

    /// No tagged fields.
    fn tags(&mut self) {
        if self.flexible {
            self.small.put_u8(0);
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        let total = self.small.len() - 4 + self.batches.iter().map(|(_, batch)| batch.len()).sum::<usize>();
        self.small[..4].copy_from_slice(&i32_len(total).to_be_bytes());
        let small = self.small.freeze();
        let mut segments = Vec::with_capacity(2 * self.batches.len() + 1);
        let mut from = 0;
        for (at, batch) in self.batches {
            segments.extend([small.slice(from..at), batch]);
            from = at;
        }
        segments.push(small.slice(from..));
        segments.retain(|segment| !segment.is_empty());
        segments
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    out.put_slice(&text.as_bytes()[..text.len().min(i16::MAX as usize)]);
}

/// A length or count on the wire. `max.request.size` keeps requests far below `i32::MAX`.
fn i32_len(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// Decodes the response.
pub(crate) fn decode(frame: &Bytes, version: i16) -> Result<ProduceResults, BadResponse> {
    let response: ProduceResponse = read(Api::Produce, version, frame)?;
    let by_id = version >= TOPIC_IDS_FROM;
    let mut partitions = Vec::new();
    for topic in response.responses {
        let named = if by_id { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(Arc::from(topic.name.0.as_str())) };
        partitions.extend(topic.partition_responses.into_iter().map(|p| {
            PartitionResult {
                topic: named.clone(),
                partition: p.index,
                error: ErrorCode(p.error_code),
                base_offset: known(p.base_offset),
                append_time: known(p.log_append_time_ms),
                log_start: known(p.log_start_offset),
                record_errors: p.record_errors.iter().filter_map(record_error).collect(),
                message: p.error_message.map(|m| printable(&m)),
                leader: (p.current_leader.leader_id.0 >= 0 && p.current_leader.leader_epoch >= 0)
                    .then_some((p.current_leader.leader_id.0, p.current_leader.leader_epoch)),
            }
        }));
    }
    let brokers = response
        .node_endpoints
        .iter()
        .filter_map(|n| broker(n.node_id.0, n.host.as_str(), n.port, n.rack.as_deref()).ok())
        .collect();
    Ok(ProduceResults { throttle_ms: response.throttle_time_ms, partitions, brokers })
}

/// A refused record, if its index is possible.
fn record_error(refused: &BatchIndexAndErrorMessage) -> Option<(u32, Option<String>)> {
    let message = refused.batch_index_error_message.as_ref().map(|message| printable(message));
    Some((u32::try_from(refused.batch_index).ok()?, message))
}

/// A negative value means that the broker did not send one.
fn known(value: i64) -> Option<i64> {
    (value >= 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{
        messages::{
            ApiKey, ProduceRequest, RequestHeader,
            produce_response::{PartitionProduceResponse, TopicProduceResponse},
        },
        protocol::{Decodable, StrBytes},
    };

    use super::{super::tests::answered, *};
    use crate::wire::testing::{self, Says};

    const TOPIC: (&str, TopicId) = ("orders", TopicId::from_u128(7));

    fn part(topic: &str, id: u128, partition: i32, batch: &'static [u8]) -> PartitionBatch {
        PartitionBatch {
            topic: topic.into(),
            topic_id: TopicId::from_u128(id),
            partition,
            batch: Bytes::from_static(batch),
        }
    }

    fn parts() -> Vec<PartitionBatch> {
        vec![part("orders", 1, 0, b"first"), part("orders", 1, 2, &[9; 200]), part("refunds", 2, 1, b"third")]
    }

    fn encoded(version: i16) -> Vec<Bytes> {
        encode(&Head { version, correlation: 77, client_id: "shop", acks: -1, timeout_ms: 30_000 }, &parts())
    }

    #[test]
    fn another_decoder_reads_every_version_with_the_same_values() {
        for version in 3..=13 {
            let whole = encoded(version).concat();
            let (len, body) = whole.split_at(4);
            assert_eq!(i32::from_be_bytes(len.try_into().unwrap()) as usize, body.len());
            let mut body = Bytes::copy_from_slice(body);
            let header = RequestHeader::decode(&mut body, ApiKey::Produce.request_header_version(version)).unwrap();
            assert_eq!((header.request_api_key, header.request_api_version, header.correlation_id), (0, version, 77));
            assert_eq!(header.client_id.as_deref(), Some("shop"));
            let request = ProduceRequest::decode(&mut body, version).unwrap();
            assert!(body.is_empty(), "version {version}");
            assert_eq!((request.acks, request.timeout_ms, request.transactional_id), (-1, 30_000, None));
            let seen: Vec<_> = request
                .topic_data
                .iter()
                .flat_map(|t| t.partition_data.iter().map(move |p| (t.name.0.to_string(), t.topic_id, p)))
                .map(|(name, id, p)| (name, id.as_u128(), p.index, p.records.clone().unwrap()))
                .collect();
            let sent = parts().into_iter().map(|p| {
                let by_id = version >= TOPIC_IDS_FROM;
                let name = if by_id { String::new() } else { p.topic.to_string() };
                (name, if by_id { p.topic_id.as_u128() } else { 0 }, p.partition, p.batch)
            });
            assert_eq!(seen, sent.collect::<Vec<_>>(), "version {version}");
        }
    }

    #[test]
    fn batches_are_not_copied() {
        let batch = Bytes::from(vec![1; 64]);
        let part = PartitionBatch { batch: batch.clone(), ..part("t", 1, 0, b"") };
        let head = Head { version: 9, correlation: 1, client_id: "", acks: 1, timeout_ms: 1 };
        assert!(encode(&head, &[part]).iter().any(|segment| segment.as_ptr() == batch.as_ptr()));
    }

    #[test]
    fn every_version_of_the_response_has_the_offset_of_each_batch() {
        for version in 3..=13 {
            let says = [Says { partition: 2, base_offset: 40, append_time: Some(9), ..Says::default() }];
            let response = decode(&testing::produce(version, 1, TOPIC, &says, &[]), version).unwrap();
            let [batch] = &response.partitions[..] else { panic!("{response:?}") };
            let named = if version >= 13 { TopicRef::Id(TOPIC.1) } else { TopicRef::Name("orders".into()) };
            assert_eq!((&batch.topic, batch.partition, batch.error), (&named, 2, ErrorCode::NONE), "{version}");
            assert_eq!((batch.base_offset, batch.append_time, batch.leader), (Some(40), Some(9), None));
        }
    }

    #[test]
    fn a_value_that_a_broker_does_not_send_is_not_taken_for_a_number() {
        let says = [Says { base_offset: -1, leader: Some((-1, 4)), ..Says::default() }];
        let response = decode(&testing::produce(12, 1, TOPIC, &says, &[]), 12).unwrap();
        let batch = &response.partitions[0];
        assert_eq!((batch.base_offset, batch.append_time, batch.leader), (None, None, None));
        for (leader, expected) in [((0, 0), Some((0, 0))), ((3, -1), None), ((3, 6), Some((3, 6)))] {
            let says = [Says { base_offset: 0, leader: Some(leader), ..Says::default() }];
            let response = decode(&testing::produce(12, 1, TOPIC, &says, &[]), 12).unwrap();
            assert_eq!((response.partitions[0].base_offset, response.partitions[0].leader), (Some(0), expected));
        }
    }

    #[test]
    fn refused_records_are_named_by_index_and_an_impossible_index_is_left_out() {
        let says = [Says { error: 87, refused: vec![(-1, "nobody"), (0, "first"), (3, "fourth")], ..Says::default() }];
        let response = decode(&testing::produce(12, 1, TOPIC, &says, &[]), 12).unwrap();
        let expected = [(0, Some("first".to_owned())), (3, Some("fourth".to_owned()))];
        assert_eq!(response.partitions[0].record_errors, expected);
    }

    #[test]
    fn a_brokers_message_is_shortened_and_made_printable() {
        let words = |text: &str| StrBytes::from_string(text.to_owned());
        let refused = BatchIndexAndErrorMessage::default().with_batch_index_error_message(Some(words("a\tb")));
        let partition = PartitionProduceResponse::default()
            .with_error_code(87)
            .with_error_message(Some(words(&("a\nb".to_owned() + &"é".repeat(400)))))
            .with_record_errors(vec![refused]);
        let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
        let response =
            decode(&answered(Api::Produce, 12, &ProduceResponse::default().with_responses(vec![topic])), 12).unwrap();
        let message = response.partitions[0].message.clone().unwrap();
        assert!(message.starts_with("a\u{fffd}bé"), "{message}");
        assert_eq!(message.chars().count(), 256);
        assert_eq!(response.partitions[0].record_errors, [(0, Some("a\u{fffd}b".to_owned()))]);
    }
}
