//! milena's encoding of the Produce request, read by another decoder.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::{
    messages::{ApiKey, ProduceRequest, RequestHeader},
    protocol::Decodable,
};

use super::input::Input;
use crate::{
    cluster::TopicId,
    wire::apis::produce::{Head, PartitionBatch, TOPIC_IDS_FROM, encode},
};

/// A partition's index and its bytes.
type Data = Vec<(i32, Bytes)>;

/// The target.
pub fn produce_request(data: &[u8]) {
    let mut input = Input::new(data);
    let version = 3 + i16::from(input.byte() % 11);
    let (correlation, acks, timeout_ms) = (input.i32(), input.i16(), input.i32());
    let client_id = String::from_utf8_lossy(input.bytes()).into_owned();
    let head = Head { version, correlation, client_id: &client_id, acks, timeout_ms };
    let topics = topics(&mut input);
    let parts: Vec<PartitionBatch> =
        topics.iter().flat_map(|(name, data)| data.iter().map(|data| part(name, data))).collect();
    let segments = encode(&head, &parts);
    let is_there = |part: &PartitionBatch| segments.iter().any(|segment| segment.as_ptr() == part.batch.as_ptr());
    assert!(parts.iter().all(|part| part.batch.is_empty() || is_there(part)), "batches are not copied");
    read(&head, &topics, segments.concat());
}

fn topics(input: &mut Input<'_>) -> BTreeMap<String, Data> {
    let mut topics: BTreeMap<String, Data> = BTreeMap::new();
    while !input.is_empty() {
        let name = String::from_utf8_lossy(input.bytes()).into_owned();
        let data = topics.entry(name).or_default();
        data.extend((0..=input.below(4)).map(|_| (input.i32(), Bytes::copy_from_slice(input.bytes()))));
    }
    topics
}

fn part(topic: &str, (partition, batch): &(i32, Bytes)) -> PartitionBatch {
    PartitionBatch { topic: topic.into(), topic_id: id(topic), partition: *partition, batch: batch.clone() }
}

/// A distinct id for each topic.
fn id(topic: &str) -> TopicId {
    let hash = topic
        .bytes()
        .fold(0x6c62_272e_07bb_0142_u128, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_01b3));
    TopicId::from_u128(hash)
}

fn read(head: &Head<'_>, topics: &BTreeMap<String, Data>, whole: Vec<u8>) {
    let mut bytes = Bytes::from(whole);
    let length = bytes.split_to(4);
    assert_eq!(length[..], u32::try_from(bytes.len()).unwrap().to_be_bytes());
    let header = RequestHeader::decode(&mut bytes, ApiKey::Produce.request_header_version(head.version)).unwrap();
    assert_eq!((header.request_api_key, header.request_api_version), (0, head.version));
    assert_eq!((header.correlation_id, header.client_id.as_deref()), (head.correlation, Some(head.client_id)));
    let request = ProduceRequest::decode(&mut bytes, head.version).unwrap();
    assert!(bytes.is_empty());
    assert_eq!((request.acks, request.timeout_ms, request.transactional_id), (head.acks, head.timeout_ms, None));
    assert_eq!(request.topic_data.len(), topics.len());
    for (read, (name, data)) in request.topic_data.into_iter().zip(topics) {
        if head.version >= TOPIC_IDS_FROM {
            assert_eq!(read.topic_id, id(name));
        } else {
            assert_eq!(read.name.as_str(), name);
        }
        let partitions = read.partition_data.into_iter().map(|data| (data.index, data.records.unwrap()));
        assert_eq!(partitions.collect::<Data>(), *data);
    }
}
