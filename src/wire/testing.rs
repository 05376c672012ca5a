//! The broker's side of the wire, for tests and benchmarks.
//!
//! In: requests as segments, and what a broker responds. Out: the content of the requests, and response frames. Pure.
//! All its input is trusted, so it may panic.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
#[cfg(feature = "bench-internals")]
use kafka_protocol::messages::MetadataRequest;
#[cfg(test)]
use kafka_protocol::messages::{SaslAuthenticateResponse, SaslHandshakeResponse};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsResponse, InitProducerIdResponse, MetadataResponse, ProduceRequest, ProduceResponse,
        RequestHeader, ResponseHeader,
        api_versions_response::ApiVersion,
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
        produce_request::PartitionProduceData,
        produce_response::{
            BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
        },
    },
    protocol::{Decodable, Encodable, StrBytes},
};

use super::{
    apis::Api,
    record_batch::{reader::Batch, writer::Stamp},
};
use crate::cluster::TopicId;

/// One batch of a Produce request, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentBatch {
    /// The topic's name; empty if the request has the id.
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) stamp: Stamp,
    pub(crate) values: Vec<Bytes>,
    pub(crate) bytes: Bytes,
}

/// Decodes the body of a request.
fn read<T: Decodable>(key: ApiKey, segments: &[Bytes]) -> T {
    let mut whole = Bytes::from(segments.concat()).split_off(4);
    let version = i16::from_be_bytes([whole[2], whole[3]]);
    RequestHeader::decode(&mut whole, key.request_header_version(version)).unwrap();
    T::decode(&mut whole, version).unwrap()
}

/// The topics that a Metadata request names.
#[cfg(feature = "bench-internals")]
pub(crate) fn read_metadata(segments: &[Bytes]) -> Vec<String> {
    let request = read::<MetadataRequest>(ApiKey::Metadata, segments);
    request.topics.unwrap().into_iter().map(|topic| topic.name.unwrap().to_string()).collect()
}

/// The batches of a Produce request, and its acks.
pub(crate) fn read_produce(segments: &[Bytes]) -> (i16, Vec<SentBatch>) {
    let request = read::<ProduceRequest>(ApiKey::Produce, segments);
    let mut batches = Vec::new();
    for topic in request.topic_data {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let read = |part: PartitionProduceData| read_batch(Arc::clone(&name), part.index, part.records.unwrap());
        batches.extend(topic.partition_data.into_iter().map(read));
    }
    (request.acks, batches)
}

fn read_batch(topic: Arc<str>, partition: i32, bytes: Bytes) -> SentBatch {
    let batch = Batch::parse(bytes.clone()).unwrap();
    batch.check_crc().unwrap();
    let header = batch.header();
    let stamp =
        Stamp { producer_id: header.producer_id, epoch: header.producer_epoch, base_sequence: header.base_sequence };
    let values = batch.records().unwrap().map(|record| record.unwrap().value.unwrap_or_default()).collect();
    SentBatch { topic, partition, stamp, values, bytes }
}

/// How one Metadata response is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(test)]
pub(crate) enum Lie {
    /// The topic has no partitions.
    NoPartitions,
    /// The second half of the partitions is missing.
    FewerPartitions,
    /// No partition has a leader.
    NoLeaders,
    /// The leader epochs are old.
    StaleEpochs,
    /// There are no brokers.
    NoBrokers,
}

/// A Metadata response without its length, in which `topic` is wrong.
#[cfg(test)]
pub(crate) fn lie(response: &Bytes, version: i16, topic: &str, lie: Lie) -> Bytes {
    let (mut rest, correlation) = (response.clone(), super::apis::correlation(response).unwrap());
    ResponseHeader::decode(&mut rest, ApiKey::Metadata.response_header_version(version)).unwrap();
    let mut body = MetadataResponse::decode(&mut rest, version).unwrap();
    let named = |of: &MetadataResponseTopic| of.name.as_ref().is_some_and(|name| name.as_str() == topic);
    for topic in body.topics.iter_mut().filter(|topic| named(topic)) {
        let half = topic.partitions.len().div_ceil(2);
        match lie {
            Lie::NoPartitions => topic.partitions.clear(),
            Lie::FewerPartitions => topic.partitions.truncate(half),
            Lie::NoLeaders => topic.partitions.iter_mut().for_each(|partition| partition.leader_id = (-1).into()),
            Lie::StaleEpochs => topic.partitions.iter_mut().for_each(|partition| {
                let stale = partition.replica_nodes.last().copied().unwrap_or_default();
                (partition.leader_id, partition.leader_epoch) = (stale, (partition.leader_epoch - 1).max(0));
            }),
            Lie::NoBrokers => {}
        }
    }
    if lie == Lie::NoBrokers {
        body.brokers.clear();
    }
    frame(Api::Metadata, version, correlation, &body)
}

fn frame(api: Api, version: i16, correlation: i32, body: &impl Encodable) -> Bytes {
    let header_version = ApiKey::try_from(api.key()).unwrap().response_header_version(version);
    let mut out = BytesMut::new();
    ResponseHeader::default().with_correlation_id(correlation).encode(&mut out, header_version).unwrap();
    body.encode(&mut out, version).unwrap();
    out.freeze()
}

/// An ApiVersions response with an error code and `(key, lowest, highest)`.
pub(crate) fn api_versions(version: i16, correlation: i32, error: i16, ranges: &[(i16, i16, i16)]) -> Bytes {
    let api = |&(key, min, max): &(i16, i16, i16)| {
        ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
    };
    let body = ApiVersionsResponse::default().with_error_code(error).with_api_keys(ranges.iter().map(api).collect());
    frame(Api::ApiVersions, version, correlation, &body)
}

/// A topic of a Metadata response: name, id, error code, and `(partition, leader, epoch)`.
pub(crate) type TopicSays<'a> = (&'a str, TopicId, i16, Vec<(i32, i32, i32)>);

/// A Metadata response with brokers `(id, port)` on one host.
pub(crate) fn metadata(version: i16, correlation: i32, brokers: &[(i32, u16)], topics: &[TopicSays<'_>]) -> Bytes {
    let broker = |&(id, port): &(i32, u16)| {
        let host = StrBytes::from_static_str("127.0.0.1");
        MetadataResponseBroker::default().with_node_id(id.into()).with_host(host).with_port(port.into())
    };
    let partition = |&(number, leader, epoch): &(i32, i32, i32)| {
        let epoch = if version >= 7 { epoch } else { -1 };
        MetadataResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(leader.into())
            .with_leader_epoch(epoch)
    };
    let topic = |(name, id, error, partitions): &TopicSays<'_>| {
        let topic = MetadataResponseTopic::default()
            .with_error_code(*error)
            .with_partitions(partitions.iter().map(partition).collect());
        let topic = topic.with_name(Some(StrBytes::from((*name).to_owned()).into()));
        if version >= 10 { topic.with_topic_id(*id) } else { topic }
    };
    let body = MetadataResponse::default()
        .with_brokers(brokers.iter().map(broker).collect())
        .with_topics(topics.iter().map(topic).collect());
    frame(Api::Metadata, version, correlation, &body)
}

/// A Metadata response that has only an error (from version 13 on).
#[cfg(test)]
pub(crate) fn metadata_error(version: i16, correlation: i32, error: i16) -> Bytes {
    frame(Api::Metadata, version, correlation, &MetadataResponse::default().with_error_code(error))
}

/// A SaslHandshake response with an error code and the mechanisms that are enabled.
#[cfg(test)]
pub(crate) fn sasl_handshake(version: i16, correlation: i32, error: i16, enabled: &[&str]) -> Bytes {
    let mechanisms = enabled.iter().map(|name| StrBytes::from((*name).to_owned())).collect();
    let body = SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(mechanisms);
    frame(Api::SaslHandshake, version, correlation, &body)
}

/// A SaslAuthenticate response without a message.
#[cfg(test)]
pub(crate) fn sasl_authenticate(version: i16, correlation: i32, error: i16, session_ms: i64) -> Bytes {
    let body = SaslAuthenticateResponse::default().with_error_code(error).with_session_lifetime_ms(session_ms);
    frame(Api::SaslAuthenticate, version, correlation, &body)
}

/// An InitProducerId response.
pub(crate) fn init_producer_id(version: i16, correlation: i32, error: i16, producer_id: i64) -> Bytes {
    let body = InitProducerIdResponse::default()
        .with_error_code(error)
        .with_producer_id(producer_id.into())
        .with_producer_epoch(0);
    frame(Api::InitProducerId, version, correlation, &body)
}

/// The response to one batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Says {
    pub(crate) partition: i32,
    pub(crate) error: i16,
    pub(crate) base_offset: i64,
    /// The time of the append, if the broker sends it.
    pub(crate) append_time: Option<i64>,
    /// The leader and its epoch.
    pub(crate) leader: Option<(i32, i32)>,
    /// The records that were refused, by index.
    pub(crate) refused: Vec<(i32, &'static str)>,
}

/// A Produce response `(correlation id, throttle_time_ms)` for partitions of one topic, as [`produce`] makes it.
#[cfg(test)]
pub(crate) fn throttled(
    version: i16,
    (correlation, throttle_ms): (i32, i32),
    topic: (&str, TopicId),
    says: &[Says],
) -> Bytes {
    let plain = produce(version, correlation, topic, says, &[]);
    // The throttle time is the last field before the tagged ones, of which there are none.
    let at = plain.len() - if version >= 9 { 5 } else { 4 };
    [&plain[..at], &throttle_ms.to_be_bytes(), &plain[at + 4..]].concat().into()
}

/// A Produce response for partitions of one topic, by name or by id as the version requires.
#[cfg(test)]
pub(crate) fn produce(
    version: i16,
    correlation: i32,
    topic: (&str, TopicId),
    says: &[Says],
    brokers: &[(i32, u16)],
) -> Bytes {
    produce_topics(version, correlation, &[(topic.0, topic.1, says)], brokers)
}

/// A Produce response for partitions of several topics.
pub(crate) fn produce_topics(
    version: i16,
    correlation: i32,
    topics: &[(&str, TopicId, &[Says])],
    brokers: &[(i32, u16)],
) -> Bytes {
    let refused = |&(record, message): &(i32, &'static str)| {
        let message = Some(StrBytes::from_static_str(message));
        BatchIndexAndErrorMessage::default().with_batch_index(record).with_batch_index_error_message(message)
    };
    let partition = |says: &Says| {
        let (leader, epoch) = says.leader.unwrap_or((-1, -1));
        PartitionProduceResponse::default()
            .with_index(says.partition)
            .with_error_code(says.error)
            .with_base_offset(says.base_offset)
            .with_log_append_time_ms(says.append_time.unwrap_or(-1))
            .with_record_errors(says.refused.iter().map(refused).collect())
            .with_current_leader(LeaderIdAndEpoch::default().with_leader_id(leader.into()).with_leader_epoch(epoch))
    };
    let topic = |&(name, id, says): &(&str, TopicId, &[Says])| {
        let topic = TopicProduceResponse::default().with_partition_responses(says.iter().map(partition).collect());
        if version >= 13 { topic.with_topic_id(id) } else { topic.with_name(StrBytes::from(name.to_owned()).into()) }
    };
    let endpoint = |&(id, port): &(i32, u16)| {
        let host = StrBytes::from_static_str("127.0.0.1");
        NodeEndpoint::default().with_node_id(id.into()).with_host(host).with_port(port.into())
    };
    let body = ProduceResponse::default()
        .with_responses(topics.iter().map(topic).collect())
        .with_node_endpoints(brokers.iter().map(endpoint).collect());
    frame(Api::Produce, version, correlation, &body)
}
