//! The answers that the producer reads.
//!
//! In: frames from a broker, which may hold anything. Out: plain values of our own, or why the frame is not an answer.
//! Pure. The shape of a frame is checked before it is decoded, so neither a count nor a length in it can make us allocate
//! more than the frame is long.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiVersionsResponse, InitProducerIdResponse, MetadataResponse, ProduceResponse,
    produce_response::BatchIndexAndErrorMessage,
};

use super::{
    errors::ErrorCode,
    shape,
    text::{is_host, printable},
    varint,
    versions::{Api, Versions},
};
use crate::cluster::{Broker, TopicId};

/// The first version of Metadata whose leader epochs can be relied on.
const RELIABLE_EPOCHS_FROM: i16 = 9;

/// Why a frame is not the answer it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{api} answer (version {version}) cannot be read: {reason}")]
pub(crate) struct BadAnswer {
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) reason: String,
}

/// The correlation id that every answer begins with.
pub(crate) fn correlation(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|id| i32::from_be_bytes(*id))
}

/// What a broker speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiVersionsAnswer {
    pub(crate) error: ErrorCode,
    pub(crate) versions: Versions,
}

/// A broker's view of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetadataAnswer {
    pub(crate) error: i16,
    pub(crate) throttle_ms: i32,
    pub(crate) cluster_id: Option<Arc<str>>,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) topics: Vec<TopicAnswer>,
}

/// One topic of a [`MetadataAnswer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicAnswer {
    pub(crate) error: ErrorCode,
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    /// `(partition, leader or -1, leader epoch or -1)`. Below Metadata 9 there is no epoch: brokers before 2.4 do not tell it
    /// reliably while a partition is being reassigned (`MetadataResponse.hasReliableLeaderEpochs`).
    pub(crate) partitions: Vec<(i32, i32, i32)>,
}

/// A producer's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InitProducerIdAnswer {
    pub(crate) error: ErrorCode,
    pub(crate) throttle_ms: i32,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// What became of the batches of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceAnswer {
    pub(crate) throttle_ms: i32,
    pub(crate) partitions: Vec<PartitionAnswer>,
    /// Addresses that go with the leader hints (KIP-951).
    pub(crate) brokers: Vec<Broker>,
}

/// What became of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionAnswer {
    pub(crate) topic: TopicRef,
    pub(crate) partition: i32,
    pub(crate) error: ErrorCode,
    pub(crate) base_offset: Option<i64>,
    pub(crate) append_time: Option<i64>,
    pub(crate) log_start: Option<i64>,
    /// Records that were refused by name, by index in the batch (KIP-467).
    pub(crate) record_errors: Vec<(u32, Option<String>)>,
    pub(crate) message: Option<String>,
    /// The partition's leader and its epoch, when the broker asked is not it (KIP-951).
    pub(crate) leader: Option<(i32, i32)>,
}

/// How an answer names a topic: by id from Produce 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicRef {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(TopicId),
}

/// Reads an ApiVersions answer. A broker that does not know the version asked for answers in version 0.
pub(crate) fn api_versions(frame: &Bytes, version: i16) -> Result<ApiVersionsAnswer, BadAnswer> {
    let body = body(frame, Api::ApiVersions, version)?;
    let unsupported =
        body.first_chunk::<2>().is_some_and(|code| i16::from_be_bytes(*code) == ErrorCode::UNSUPPORTED_VERSION.0);
    let version = if unsupported { 0 } else { version };
    let answer: ApiVersionsResponse = decode(Api::ApiVersions, version, &body)?;
    let ranges = answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version));
    Ok(ApiVersionsAnswer { error: ErrorCode(answer.error_code), versions: Versions::new(ranges) })
}

/// Reads a Metadata answer.
pub(crate) fn metadata(frame: &Bytes, version: i16) -> Result<MetadataAnswer, BadAnswer> {
    let answer: MetadataResponse = decode(Api::Metadata, version, &body(frame, Api::Metadata, version)?)?;
    contradiction(&answer).map_or(Ok(()), |reason| Err(BadAnswer { api: Api::Metadata, version, reason }))?;
    let epoch = |told| if version >= RELIABLE_EPOCHS_FROM { told } else { -1 };
    let topics = answer.topics.into_iter().filter_map(|topic| {
        let partitions = topic.partitions.iter().map(|p| (p.partition_index, p.leader_id.0, epoch(p.leader_epoch)));
        Some(TopicAnswer {
            error: ErrorCode(topic.error_code),
            name: Arc::from(topic.name?.0.as_str()),
            id: topic.topic_id,
            partitions: partitions.collect(),
        })
    });
    Ok(MetadataAnswer {
        error: answer.error_code,
        throttle_ms: answer.throttle_time_ms,
        cluster_id: answer.cluster_id.map(|id| Arc::from(id.as_str())),
        brokers: answer.brokers.iter().filter_map(|b| broker(b.node_id.0, b.host.as_str(), b.port)).collect(),
        topics: topics.collect(),
    })
}

/// What an answer says twice, where only one can be true: a topic, one of its partitions, a broker. Or a partition that
/// cannot be.
fn contradiction(answer: &MetadataResponse) -> Option<String> {
    let mut brokers = HashSet::new();
    if let Some(twice) = answer.brokers.iter().find(|broker| !brokers.insert(broker.node_id)) {
        return Some(format!("broker {} stands in it twice", twice.node_id.0));
    }
    let (mut topics, mut partitions) = (HashSet::new(), HashSet::new());
    answer.topics.iter().find_map(|topic| {
        let name = topic.name.as_ref().map_or_else(|| "without a name".into(), |name| printable(name));
        if topic.name.is_some() && !topics.insert(&topic.name) {
            return Some(format!("topic {name} stands in it twice"));
        }
        partitions.clear();
        let numbers = topic.partitions.iter().map(|partition| partition.partition_index);
        let wrong = numbers.into_iter().find(|number| *number < 0 || !partitions.insert(*number))?;
        let why = if wrong < 0 { "cannot be" } else { "stands in it twice" };
        Some(format!("partition {wrong} of topic {name} {why}"))
    })
}

/// Reads an InitProducerId answer.
pub(crate) fn init_producer_id(frame: &Bytes, version: i16) -> Result<InitProducerIdAnswer, BadAnswer> {
    let api = Api::InitProducerId;
    let answer: InitProducerIdResponse = decode(api, version, &body(frame, api, version)?)?;
    Ok(InitProducerIdAnswer {
        error: ErrorCode(answer.error_code),
        throttle_ms: answer.throttle_time_ms,
        producer_id: answer.producer_id.0,
        epoch: answer.producer_epoch,
    })
}

/// Reads a Produce answer.
pub(crate) fn produce(frame: &Bytes, version: i16) -> Result<ProduceAnswer, BadAnswer> {
    let answer: ProduceResponse = decode(Api::Produce, version, &body(frame, Api::Produce, version)?)?;
    let by_id = version >= super::produce::TOPIC_IDS_FROM;
    let mut partitions = Vec::new();
    for topic in answer.responses {
        let named = if by_id { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(Arc::from(topic.name.0.as_str())) };
        partitions.extend(topic.partition_responses.into_iter().map(|p| {
            PartitionAnswer {
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
    let brokers = answer.node_endpoints.iter().filter_map(|n| broker(n.node_id.0, n.host.as_str(), n.port)).collect();
    Ok(ProduceAnswer { throttle_ms: answer.throttle_time_ms, partitions, brokers })
}

/// A record that was refused, if the broker names one that can be.
fn record_error(refused: &BatchIndexAndErrorMessage) -> Option<(u32, Option<String>)> {
    let message = refused.batch_index_error_message.as_ref().map(|message| printable(message));
    Some((u32::try_from(refused.batch_index).ok()?, message))
}

/// Negative stands for "not told".
fn known(value: i64) -> Option<i64> {
    (value >= 0).then_some(value)
}

fn broker(id: i32, host: &str, port: i32) -> Option<Broker> {
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    (id >= 0 && is_host(host)).then(|| Broker { id, host: Arc::from(host), port })
}

/// The frame without its header.
fn body(frame: &Bytes, api: Api, version: i16) -> Result<Bytes, BadAnswer> {
    let rest = frame.get(4..).and_then(|rest| {
        let mut rest = rest;
        // The header of an ApiVersions answer never has tagged fields, so that any client can read it (KIP-511).
        if api != Api::ApiVersions && version >= api.flexible_from() {
            skip_tags(&mut rest)?;
        }
        Some(rest)
    });
    let rest = rest.ok_or_else(|| BadAnswer { api, version, reason: "header cut short".into() })?;
    Ok(frame.slice_ref(rest))
}

fn skip_tags(bytes: &mut &[u8]) -> Option<()> {
    for _ in 0..varint::take_u32(bytes)? {
        varint::take_u32(bytes)?;
        let len = usize::try_from(varint::take_u32(bytes)?).ok()?;
        *bytes = bytes.get(len..)?;
    }
    Some(())
}

fn decode<T: shape::Shaped>(api: Api, version: i16, body: &Bytes) -> Result<T, BadAnswer> {
    shape::decode(version, body.clone()).map_err(|reason| BadAnswer { api, version, reason: reason.to_string() })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{
        messages::{
            ResponseHeader,
            metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
            produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse},
        },
        protocol::{Encodable, StrBytes},
    };

    use super::*;
    use crate::wire::testing::{self, Says};

    const TOPIC: (&str, TopicId) = ("orders", TopicId::from_u128(7));

    /// A frame with tagged fields in its header, of which there are none yet.
    fn frame(header_version: i16, version: i16, body: &impl Encodable) -> Bytes {
        let mut out = bytes::BytesMut::new();
        let unknown = [(3, Bytes::from_static(b"new")), (9, Bytes::from_static(b"newer"))];
        let header = ResponseHeader::default().with_correlation_id(5);
        let header = if header_version > 0 { header.with_unknown_tagged_fields(unknown.into()) } else { header };
        header.encode(&mut out, header_version).unwrap();
        body.encode(&mut out, version).unwrap();
        out.freeze()
    }

    #[test]
    fn tagged_fields_in_a_header_are_passed_over() {
        let whole = frame(1, 5, &InitProducerIdResponse::default().with_producer_id(44.into()));
        assert_eq!(init_producer_id(&whole, 5).map(|answer| answer.producer_id), Ok(44));
        for len in 0..whole.len() {
            assert!(init_producer_id(&whole.slice(..len), 5).is_err(), "{len}");
        }
    }

    #[test]
    fn every_answer_to_produce_says_of_each_batch_where_it_is() {
        for version in 3..=13 {
            let says = [Says { partition: 2, base_offset: 40, append_time: Some(9), ..Says::default() }];
            let answer = produce(&testing::produce(version, 1, TOPIC, &says, &[]), version).unwrap();
            let [batch] = &answer.partitions[..] else { panic!("{answer:?}") };
            let named = if version >= 13 { TopicRef::Id(TOPIC.1) } else { TopicRef::Name("orders".into()) };
            assert_eq!((&batch.topic, batch.partition, batch.error), (&named, 2, ErrorCode::NONE), "{version}");
            assert_eq!((batch.base_offset, batch.append_time, batch.leader), (Some(40), Some(9), None));
        }
    }

    #[test]
    fn what_a_broker_does_not_tell_is_not_taken_for_a_number() {
        let says = [Says { base_offset: -1, leader: Some((-1, 4)), ..Says::default() }];
        let answer = produce(&testing::produce(12, 1, TOPIC, &says, &[]), 12).unwrap();
        let batch = &answer.partitions[0];
        assert_eq!((batch.base_offset, batch.append_time, batch.leader), (None, None, None));
        for (leader, expected) in [((0, 0), Some((0, 0))), ((3, -1), None), ((3, 6), Some((3, 6)))] {
            let says = [Says { base_offset: 0, leader: Some(leader), ..Says::default() }];
            let answer = produce(&testing::produce(12, 1, TOPIC, &says, &[]), 12).unwrap();
            assert_eq!((answer.partitions[0].base_offset, answer.partitions[0].leader), (Some(0), expected));
        }
    }

    #[test]
    fn refused_records_are_named_by_their_place_and_an_impossible_place_is_left_out() {
        let says = [Says { error: 87, refused: vec![(-1, "nobody"), (0, "first"), (3, "fourth")], ..Says::default() }];
        let answer = produce(&testing::produce(12, 1, TOPIC, &says, &[]), 12).unwrap();
        let expected = [(0, Some("first".to_owned())), (3, Some("fourth".to_owned()))];
        assert_eq!(answer.partitions[0].record_errors, expected);
    }

    #[test]
    fn a_brokers_words_are_made_short_and_printable() {
        let words = |text: &str| StrBytes::from_string(text.to_owned());
        let refused = BatchIndexAndErrorMessage::default().with_batch_index_error_message(Some(words("a\tb")));
        let partition = PartitionProduceResponse::default()
            .with_error_code(87)
            .with_error_message(Some(words(&("a\nb".to_owned() + &"é".repeat(400)))))
            .with_record_errors(vec![refused]);
        let topic = TopicProduceResponse::default().with_partition_responses(vec![partition]);
        let answer = produce(&frame(1, 12, &ProduceResponse::default().with_responses(vec![topic])), 12).unwrap();
        let message = answer.partitions[0].message.clone().unwrap();
        assert!(message.starts_with("a\u{fffd}bé"), "{message}");
        assert_eq!(message.chars().count(), 256);
        assert_eq!(answer.partitions[0].record_errors, [(0, Some("a\u{fffd}b".to_owned()))]);
    }

    #[test]
    fn a_broker_without_an_address_that_can_be_dialled_is_left_out() {
        let longest = "h".repeat(255);
        let too_long = "h".repeat(256);
        let table = [
            (0, "host", 9092, true),
            (0, "host", 1, true),
            (0, "host", 65_535, true),
            (0, &longest, 9092, true),
            (-1, "host", 9092, false),
            (0, "", 9092, false),
            (0, &too_long, 9092, false),
            (0, "host", 0, false),
            (0, "host", -1, false),
            (0, "host", 65_536, false),
        ];
        for (id, host, port, usable) in table {
            let broker = MetadataResponseBroker::default().with_node_id(id.into()).with_port(port);
            let broker = broker.with_host(StrBytes::from_string(host.to_owned()));
            let answer = metadata(&frame(1, 12, &MetadataResponse::default().with_brokers(vec![broker])), 12).unwrap();
            assert_eq!(answer.brokers.len(), usize::from(usable), "{id} {host}:{port}");
        }
    }

    /// A Metadata answer about these partitions of these topics, told by these brokers.
    fn told(topics: &[(&str, &[i32])], brokers: &[i32]) -> Result<MetadataAnswer, BadAnswer> {
        let partition = |index: &i32| MetadataResponsePartition::default().with_partition_index(*index);
        let topic = |(name, partitions): &(&str, &[i32])| {
            MetadataResponseTopic::default()
                .with_name(Some(StrBytes::from_string((*name).to_owned()).into()))
                .with_partitions(partitions.iter().map(partition).collect())
        };
        let broker = |id: &i32| {
            MetadataResponseBroker::default().with_node_id((*id).into()).with_host("h".into()).with_port(9092)
        };
        let answer = MetadataResponse::default().with_topics(topics.iter().map(topic).collect());
        metadata(&frame(1, 12, &answer.with_brokers(brokers.iter().map(broker).collect())), 12)
    }

    #[test]
    fn metadata_that_say_something_twice_or_name_a_partition_that_cannot_be_are_no_answer() {
        assert!(told(&[("a", &[1, 0]), ("b", &[0])], &[1, 2]).is_ok());
        let assert_refused = |topics: &[(&str, &[i32])], brokers: &[i32], reason: &str| {
            assert_eq!(told(topics, brokers).unwrap_err().reason, reason);
        };
        assert_refused(&[("a", &[0, 1, 0])], &[1], "partition 0 of topic a stands in it twice");
        assert_refused(&[("a", &[0, -1])], &[1], "partition -1 of topic a cannot be");
        assert_refused(&[("a", &[0]), ("a", &[0])], &[1], "topic a stands in it twice");
        assert_refused(&[("a", &[0])], &[1, 2, 1], "broker 1 stands in it twice");
    }

    #[test]
    fn a_topic_without_a_name_is_left_out() {
        let nameless = MetadataResponseTopic::default().with_name(None);
        let answer = metadata(&frame(1, 12, &MetadataResponse::default().with_topics(vec![nameless])), 12).unwrap();
        assert!(answer.topics.is_empty());
    }

    #[test]
    fn a_broker_that_does_not_know_the_version_asked_for_is_understood_in_version_0() {
        let frame = testing::api_versions(0, 1, 35, &[(18, 0, 2)]);
        let answer = api_versions(&frame, 4).unwrap();
        assert_eq!((answer.error, answer.versions.pick(Api::ApiVersions)), (ErrorCode::UNSUPPORTED_VERSION, Some(2)));
        let frame = testing::api_versions(4, 1, 0, &[(18, 0, 3)]);
        assert_eq!(api_versions(&frame, 4).unwrap().versions.pick(Api::ApiVersions), Some(3));
    }
}
