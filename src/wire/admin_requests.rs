//! The requests beside producing: create a topic, ask for metadata and offsets, fetch records.
//!
//! In: plain values, and frames from a broker. Out: request frames with their length, and plain answers or why an answer
//! cannot be used. Pure. The only place where the admin client touches kafka-protocol. Deliberately absent: sockets,
//! retries, and everything that a producer needs.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse, FetchRequest,
        FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, RequestHeader,
        ResponseHeader, TopicName,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        metadata_response::{MetadataResponseBroker, MetadataResponseTopic},
    },
    protocol::{Encodable, HeaderVersion, StrBytes},
};

use crate::{
    cluster::{Broker, Cluster, Partition, Topic},
    error::ErrorCode,
    wire::{
        shape::{self, ShapeError, Shaped},
        text::{is_host, printable},
    },
};

/// A consumer's replica id: none.
const NO_REPLICA: BrokerId = BrokerId(-1);
const CLIENT_ID: &str = "milena-admin";
/// The first version of CreateTopics in which -1 stands for the broker's default.
const DEFAULTS_SINCE: i16 = 4;

/// One kind of request, and the versions of it that milena speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Api {
    pub(crate) key: i16,
    pub(crate) name: &'static str,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadAnswer {
    /// The broker said no.
    Refused { code: ErrorCode, message: Option<String> },
    /// The bytes are not an answer to the request.
    Malformed(String),
}

impl From<ShapeError> for BadAnswer {
    fn from(error: ShapeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A request, and how to read what comes back.
pub(crate) trait AdminRequest {
    const API: Api;
    type Answer;
    type Request: Encodable + HeaderVersion;
    type Response: Shaped + HeaderVersion;

    fn request(&self, version: i16) -> Self::Request;
    fn answer(&self, response: Self::Response) -> Result<Self::Answer, BadAnswer>;

    /// A refusal that has to be seen before the body is read, because it makes the body one of another version.
    fn early_refusal(_body: &[u8]) -> Option<ErrorCode> {
        None
    }
}

/// The frame of `request`, its length included.
pub(crate) fn encode<R: AdminRequest>(request: &R, version: i16, correlation_id: i32) -> Result<Bytes, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::API.key)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.encode(&mut frame, R::Request::header_version(version)).map_err(|e| e.to_string())?;
    request.request(version).encode(&mut frame, version).map_err(|e| e.to_string())?;
    let len = i32::try_from(frame.len().saturating_sub(4)).map_err(|_| "request is over 2 GiB")?;
    if let Some(prefix) = frame.first_chunk_mut::<4>() {
        *prefix = len.to_be_bytes();
    }
    Ok(frame.freeze())
}

/// The answer to `request` that `frame` (without its length) holds.
pub(crate) fn decode<R: AdminRequest>(
    request: &R,
    version: i16,
    correlation_id: i32,
    mut frame: Bytes,
) -> Result<R::Answer, BadAnswer> {
    let header_version = R::Response::header_version(version);
    let header: ResponseHeader = shape::take(header_version, &mut frame)?;
    if header.correlation_id != correlation_id {
        let got = header.correlation_id;
        return Err(BadAnswer::Malformed(format!("expected correlation id {correlation_id}, got {got}")));
    }
    if let Some(code) = R::early_refusal(&frame) {
        return Err(BadAnswer::Refused { code, message: None });
    }
    request.answer(shape::decode(version, frame)?)
}

fn check(code: i16, message: Option<StrBytes>) -> Result<(), BadAnswer> {
    let code = ErrorCode(code);
    if code == ErrorCode::NONE {
        return Ok(());
    }
    Err(BadAnswer::Refused { code, message: message.map(|m| printable(&m)) })
}

fn missing(what: &str, topic: &str) -> BadAnswer {
    BadAnswer::Malformed(format!("it does not hold the {what} of {topic} that was asked for"))
}

fn str_bytes(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(topic: &str) -> TopicName {
    TopicName(str_bytes(topic))
}

/// The versions that one broker speaks, by API key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    /// The highest version that both sides speak; else the broker's range, if it knows the API at all.
    pub(crate) fn pick(&self, api: Api) -> Result<i16, Option<(i16, i16)>> {
        let (min, max) = *self.0.get(&api.key).ok_or(None)?;
        let version = max.min(api.max);
        if version >= min.max(api.min) { Ok(version) } else { Err(Some((min, max))) }
    }
}

/// Asks for the versions a broker speaks. Version 3; a broker that does not know it says so in the form of version 0.
#[derive(Debug)]
pub(crate) struct AskVersions;

impl AdminRequest for AskVersions {
    const API: Api = Api { key: 18, name: "ApiVersions", min: 0, max: 3 };
    type Answer = Versions;
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;

    fn request(&self, _version: i16) -> ApiVersionsRequest {
        ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("milena"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")))
    }

    fn answer(&self, response: ApiVersionsResponse) -> Result<Versions, BadAnswer> {
        check(response.error_code, None)?;
        Ok(Versions(response.api_keys.iter().map(|a| (a.api_key, (a.min_version, a.max_version))).collect()))
    }

    fn early_refusal(mut body: &[u8]) -> Option<ErrorCode> {
        let code = body.try_get_i16().map(ErrorCode).ok()?;
        (code == ErrorCode::UNSUPPORTED_VERSION).then_some(code)
    }
}

/// Asks for the brokers, and for one topic's partitions and leaders. Never creates the topic.
#[derive(Debug)]
pub(crate) struct AskMetadata<'a> {
    pub(crate) topic: &'a str,
}

impl AdminRequest for AskMetadata<'_> {
    // Below version 4 there is no way to ask without creating the topic.
    const API: Api = Api { key: 3, name: "Metadata", min: 4, max: 12 };
    type Answer = Cluster;
    type Request = MetadataRequest;
    type Response = MetadataResponse;

    fn request(&self, _version: i16) -> MetadataRequest {
        metadata_of(self.topic)
    }

    fn answer(&self, response: MetadataResponse) -> Result<Cluster, BadAnswer> {
        let mut cluster = Cluster {
            cluster_id: response.cluster_id.map(|id| Arc::from(id.as_str())),
            brokers: response.brokers.iter().map(broker).collect::<Result<_, _>>()?,
            ..Cluster::default()
        };
        let topic = named(&response.topics, self.topic)?;
        check(topic.error_code, None)?;
        cluster.topics.insert(Arc::from(self.topic), partitions(topic)?);
        Ok(cluster)
    }
}

fn metadata_of(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
}

fn named<'a>(topics: &'a [MetadataResponseTopic], name: &str) -> Result<&'a MetadataResponseTopic, BadAnswer> {
    let found = topics.iter().find(|topic| topic.name.as_ref().is_some_and(|found| found.as_str() == name));
    found.ok_or_else(|| missing("metadata", name))
}

fn broker(broker: &MetadataResponseBroker) -> Result<(i32, Broker), BadAnswer> {
    let (id, port) = (broker.node_id.0, broker.port);
    let port = u16::try_from(port).map_err(|_| BadAnswer::Malformed(format!("broker {id} has port {port}")))?;
    let host = broker.host.as_str();
    if !is_host(host) {
        return Err(BadAnswer::Malformed(format!("broker {id} has {:?} for a host", printable(host))));
    }
    Ok((id, Broker { id, host: Arc::from(host), port }))
}

fn partitions(topic: &MetadataResponseTopic) -> Result<Topic, BadAnswer> {
    let mut listed: Vec<_> = topic.partitions.iter().collect();
    listed.sort_by_key(|p| p.partition_index);
    if !listed.iter().map(|p| p.partition_index).eq((0..).take(listed.len())) {
        return Err(BadAnswer::Malformed("a topic's partitions have gaps".into()));
    }
    let partitions = listed
        .iter()
        .map(|p| Partition { leader: (p.leader_id.0 >= 0).then_some(p.leader_id.0), leader_epoch: p.leader_epoch });
    Ok(Topic { id: topic.topic_id, partitions: partitions.collect() })
}

/// Asks who creates topics, and whether this one is there already. Never creates it.
#[derive(Debug)]
pub(crate) struct AskController<'a> {
    pub(crate) topic: &'a str,
}

/// Who creates topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    pub(crate) brokers: BTreeMap<i32, Broker>,
    /// The node that creates topics (with KRaft any node, which hands the request on). `None` while there is none.
    pub(crate) node: Option<i32>,
    /// Whether the broker that was asked knows the topic.
    pub(crate) has_topic: bool,
}

impl AdminRequest for AskController<'_> {
    const API: Api = AskMetadata::API;
    type Answer = Controller;
    type Request = MetadataRequest;
    type Response = MetadataResponse;

    fn request(&self, _version: i16) -> MetadataRequest {
        metadata_of(self.topic)
    }

    fn answer(&self, response: MetadataResponse) -> Result<Controller, BadAnswer> {
        let code = named(&response.topics, self.topic)?.error_code;
        let has_topic = match ErrorCode(code) {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => false,
            // It is there, and waits for its first leader.
            ErrorCode::LEADER_NOT_AVAILABLE => true,
            _ => check(code, None).map(|()| true)?,
        };
        let brokers: BTreeMap<_, _> = response.brokers.iter().map(broker).collect::<Result<_, _>>()?;
        let node = Some(response.controller_id.0).filter(|node| brokers.contains_key(node));
        Ok(Controller { brokers, node, has_topic })
    }
}

/// Creates one topic.
#[derive(Debug)]
pub(crate) struct CreateTopic<'a> {
    pub(crate) topic: &'a str,
    /// -1: the broker's default.
    pub(crate) partitions: i32,
    /// -1: the broker's default.
    pub(crate) replication: i16,
    /// How many brokers the cluster has.
    pub(crate) brokers: usize,
    pub(crate) configs: &'a [(&'a str, &'a str)],
    pub(crate) timeout_ms: i32,
}

impl AdminRequest for CreateTopic<'_> {
    const API: Api = Api { key: 19, name: "CreateTopics", min: 2, max: 7 };
    type Answer = ();
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;

    fn request(&self, version: i16) -> CreateTopicsRequest {
        let (partitions, replication) = self.counts(version);
        let config = |&(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(str_bytes(name)).with_value(Some(str_bytes(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(self.topic))
            .with_num_partitions(partitions)
            .with_replication_factor(replication)
            .with_configs(self.configs.iter().map(config).collect());
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms)
    }

    fn answer(&self, response: CreateTopicsResponse) -> Result<(), BadAnswer> {
        let result = response.topics.into_iter().find(|t| t.name.as_str() == self.topic);
        let result = result.ok_or_else(|| missing("result", self.topic))?;
        check(result.error_code, result.error_message)
    }
}

impl CreateTopic<'_> {
    /// Partitions and replicas. Brokers before Kafka 2.4 do not take -1 for their defaults (KIP-464).
    fn counts(&self, version: i16) -> (i32, i16) {
        if version >= DEFAULTS_SINCE {
            return (self.partitions, self.replication);
        }
        let replicas = i16::try_from(self.brokers.clamp(1, 3)).unwrap_or(1);
        let partitions = if self.partitions == -1 { 1 } else { self.partitions };
        (partitions, if self.replication == -1 { replicas } else { self.replication })
    }
}

/// Asks for one offset of a partition: -2 is the earliest, -1 the one that the next record will get.
#[derive(Debug)]
pub(crate) struct AskOffset<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) timestamp: i64,
}

impl AdminRequest for AskOffset<'_> {
    const API: Api = Api { key: 2, name: "ListOffsets", min: 1, max: 7 };
    type Answer = i64;
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;

    fn request(&self, _version: i16) -> ListOffsetsRequest {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(self.partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(self.timestamp);
        let topic = ListOffsetsTopic::default().with_name(topic_name(self.topic)).with_partitions(vec![partition]);
        ListOffsetsRequest::default().with_replica_id(NO_REPLICA).with_topics(vec![topic])
    }

    fn answer(&self, response: ListOffsetsResponse) -> Result<i64, BadAnswer> {
        let topic = response.topics.iter().find(|t| t.name.as_str() == self.topic);
        let partition = topic.and_then(|t| t.partitions.iter().find(|p| p.partition_index == self.partition));
        let partition = partition.ok_or_else(|| missing("partition", self.topic))?;
        check(partition.error_code, None)?;
        Ok(partition.offset)
    }
}

/// Fetches record batches of one partition, without a fetch session.
#[derive(Debug)]
pub(crate) struct Fetch<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) max_wait_ms: i32,
    pub(crate) max_bytes: i32,
}

/// What a partition's leader sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchedBytes {
    /// Record batches one after the other; the last one may be cut short.
    pub(crate) records: Bytes,
    /// The offset after the last record that every replica in sync has.
    pub(crate) high_watermark: i64,
}

impl AdminRequest for Fetch<'_> {
    // From version 13 on, topics go by id.
    const API: Api = Api { key: 1, name: "Fetch", min: 4, max: 12 };
    type Answer = FetchedBytes;
    type Request = FetchRequest;
    type Response = FetchResponse;

    fn request(&self, _version: i16) -> FetchRequest {
        let partition = FetchPartition::default()
            .with_partition(self.partition)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_fetch_offset(self.offset)
            .with_partition_max_bytes(self.max_bytes);
        let topic = FetchTopic::default().with_topic(topic_name(self.topic)).with_partitions(vec![partition]);
        FetchRequest::default()
            .with_replica_id(NO_REPLICA)
            .with_session_epoch(-1)
            .with_min_bytes(1)
            .with_max_wait_ms(self.max_wait_ms)
            .with_max_bytes(self.max_bytes)
            .with_topics(vec![topic])
    }

    fn answer(&self, response: FetchResponse) -> Result<FetchedBytes, BadAnswer> {
        check(response.error_code, None)?;
        let topic = response.responses.into_iter().find(|t| t.topic.as_str() == self.topic);
        let partition = topic.and_then(|t| t.partitions.into_iter().find(|p| p.partition_index == self.partition));
        let partition = partition.ok_or_else(|| missing("partition", self.topic))?;
        check(partition.error_code, None)?;
        Ok(FetchedBytes { records: partition.records.unwrap_or_default(), high_watermark: partition.high_watermark })
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{
        create_topics_response::CreatableTopicResult,
        fetch_response::{FetchableTopicResponse, PartitionData},
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        metadata_response::MetadataResponsePartition,
    };

    use super::*;

    const TOPIC: &str = "orders";

    /// What a broker would send as the answer number 7.
    fn frame<T: Encodable + HeaderVersion>(response: &T, version: i16) -> Bytes {
        let mut out = BytesMut::new();
        ResponseHeader::default().with_correlation_id(7).encode(&mut out, T::header_version(version)).unwrap();
        response.encode(&mut out, version).unwrap();
        out.freeze()
    }

    /// Sends `response` over the wire in every version that milena speaks; all must be understood alike.
    fn answers<R: AdminRequest>(request: &R, response: &R::Response) -> Vec<Result<R::Answer, BadAnswer>>
    where
        R::Response: Encodable,
    {
        (R::API.min..=R::API.max).map(|v| decode(request, v, 7, frame(response, v))).collect()
    }

    fn refused<T>(code: i16) -> Result<T, BadAnswer> {
        Err(BadAnswer::Refused { code: ErrorCode(code), message: None })
    }

    fn is_malformed<T>(answer: &Result<T, BadAnswer>) -> bool {
        matches!(answer, Err(BadAnswer::Malformed(_)))
    }

    #[test]
    fn the_highest_version_that_both_sides_speak_is_chosen() {
        let api = Api { key: 1, name: "Fetch", min: 4, max: 12 };
        for (theirs, expected) in [
            ((0, 17), Ok(12)),
            ((4, 11), Ok(11)),
            ((12, 20), Ok(12)),
            ((13, 20), Err(Some((13, 20)))),
            ((0, 3), Err(Some((0, 3)))),
        ] {
            assert_eq!(Versions([(1, theirs)].into()).pick(api), expected, "{theirs:?}");
        }
        assert_eq!(Versions::default().pick(api), Err(None));
    }

    #[test]
    fn every_request_can_be_written_in_every_version_that_milena_speaks() {
        fn check<R: AdminRequest>(request: &R) {
            for version in R::API.min..=R::API.max {
                let frame = encode(request, version, 258).unwrap();
                let len = i32::try_from(frame.len() - 4).unwrap();
                let start = [&len.to_be_bytes()[..], &R::API.key.to_be_bytes(), &version.to_be_bytes(), &[0, 0, 1, 2]];
                assert!(frame.starts_with(&start.concat()), "{} {version}", R::API.name);
            }
        }
        check(&AskVersions);
        check(&AskMetadata { topic: TOPIC });
        check(&AskController { topic: TOPIC });
        check(&create(3, 1, 1));
        check(&AskOffset { topic: TOPIC, partition: 0, timestamp: -1 });
        check(&Fetch { topic: TOPIC, partition: 0, offset: 5, max_wait_ms: 1, max_bytes: 9 });
    }

    #[test]
    fn whoever_reads_says_that_it_is_no_replica() {
        let request = Fetch { topic: TOPIC, partition: 0, offset: 5, max_wait_ms: 1, max_bytes: 9 }.request(12);
        let partition = &request.topics[0].partitions[0];
        assert_eq!((request.replica_id.0, request.session_epoch, partition.log_start_offset), (-1, -1, -1));
        assert_eq!((partition.current_leader_epoch, partition.last_fetched_epoch), (-1, -1), "nor knows of epochs");
        let request = AskOffset { topic: TOPIC, partition: 0, timestamp: -2 }.request(7);
        assert_eq!((request.replica_id.0, request.topics[0].partitions[0].current_leader_epoch), (-1, -1));
    }

    fn metadata(error_code: i16, indexes: &[i32]) -> MetadataResponse {
        let partition =
            |&i: &i32| MetadataResponsePartition::default().with_partition_index(i).with_leader_id(BrokerId(i - 1));
        let topic = MetadataResponseTopic::default()
            .with_name(Some(topic_name(TOPIC)))
            .with_error_code(error_code)
            .with_partitions(indexes.iter().map(partition).collect());
        let broker = MetadataResponseBroker::default().with_node_id(BrokerId(1)).with_host("h".into()).with_port(9092);
        let cluster = Some("cluster".into());
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic]).with_cluster_id(cluster)
    }

    #[test]
    fn metadata_tells_brokers_and_leaders_in_the_order_of_partitions() {
        for answer in answers(&AskMetadata { topic: TOPIC }, &metadata(0, &[1, 0, 2])) {
            let cluster = answer.unwrap();
            assert_eq!(cluster.cluster_id.as_deref(), Some("cluster"));
            assert_eq!(cluster.brokers[&1], Broker { id: 1, host: "h".into(), port: 9092 });
            let leaders: Vec<_> = cluster.topics[TOPIC].partitions.iter().map(|p| p.leader).collect();
            assert_eq!(leaders, [None, Some(0), Some(1)]);
        }
    }

    #[test]
    fn metadata_that_refuses_or_lacks_the_topic_or_some_of_its_partitions_is_no_answer() {
        let ask = AskMetadata { topic: TOPIC };
        assert!(answers(&ask, &metadata(3, &[])).into_iter().all(|answer| answer == refused(3)));
        assert!(answers(&ask, &metadata(0, &[0, 2])).iter().all(is_malformed));
        assert!(answers(&ask, &MetadataResponse::default()).iter().all(is_malformed));
        let wild_port = metadata(0, &[0]).brokers.remove(0).with_port(65_536);
        assert!(answers(&ask, &metadata(0, &[0]).with_brokers(vec![wild_port])).iter().all(is_malformed));
    }

    #[test]
    fn who_creates_topics_is_told_also_where_the_topic_is_missing() {
        for (code, has_topic) in [(0, true), (5, true), (3, false)] {
            for answer in answers(&AskController { topic: TOPIC }, &metadata(code, &[]).with_controller_id(BrokerId(1)))
            {
                let found = answer.unwrap();
                assert_eq!((found.node, found.brokers.len(), found.has_topic), (Some(1), 1, has_topic));
            }
        }
        for nobody in [-1, 9] {
            let response = metadata(3, &[]).with_controller_id(BrokerId(nobody));
            let nodes =
                answers(&AskController { topic: TOPIC }, &response).into_iter().map(|answer| answer.unwrap().node);
            assert!(nodes.into_iter().all(|node| node.is_none()), "{nobody}");
        }
        let unauthorized = answers(&AskController { topic: TOPIC }, &metadata(29, &[]));
        assert!(unauthorized.into_iter().all(|answer| answer == refused(29)));
    }

    fn create(partitions: i32, replication: i16, brokers: usize) -> CreateTopic<'static> {
        CreateTopic { topic: TOPIC, partitions, replication, brokers, configs: &[("a", "b")], timeout_ms: 1 }
    }

    #[test]
    fn brokers_that_do_not_take_minus_one_for_their_defaults_are_told_counts() {
        for (version, partitions, replication, brokers, expected) in [
            (4, -1, -1, 2, (-1, -1)),
            (4, 6, 2, 5, (6, 2)),
            (3, -1, -1, 1, (1, 1)),
            (3, -1, -1, 2, (1, 2)),
            (2, 6, -1, 9, (6, 3)),
            (2, -1, 1, 0, (1, 1)),
            (3, 0, 0, 3, (0, 0)),
        ] {
            let topic = create(partitions, replication, brokers).request(version).topics.remove(0);
            assert_eq!((topic.num_partitions, topic.replication_factor), expected, "{version}: {partitions}");
        }
    }

    #[test]
    fn creating_a_topic_tells_the_brokers_code_and_words() {
        let ask = create(3, 1, 1);
        let result = |code| CreatableTopicResult::default().with_name(topic_name(TOPIC)).with_error_code(code);
        let response = |result| CreateTopicsResponse::default().with_topics(vec![result]);
        assert!(answers(&ask, &response(result(0))).into_iter().all(|answer| answer == Ok(())));
        let said = result(36).with_error_message(Some("there it is".into()));
        for answer in answers(&ask, &response(said)) {
            let message = Some("there it is".into());
            assert_eq!(answer, Err(BadAnswer::Refused { code: ErrorCode(36), message }));
        }
        assert!(answers(&ask, &CreateTopicsResponse::default()).iter().all(is_malformed));
    }

    #[test]
    fn an_offset_is_that_of_the_asked_partition() {
        let partition = |index, code, offset| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(code)
                .with_offset(offset)
        };
        let response = |partitions| {
            let topic = ListOffsetsTopicResponse::default().with_name(topic_name(TOPIC)).with_partitions(partitions);
            ListOffsetsResponse::default().with_topics(vec![topic])
        };
        let ask = AskOffset { topic: TOPIC, partition: 2, timestamp: -1 };
        let two = response(vec![partition(1, 0, 10), partition(2, 0, 20)]);
        assert!(answers(&ask, &two).into_iter().all(|answer| answer == Ok(20)));
        let moved = response(vec![partition(2, 6, -1)]);
        assert!(answers(&ask, &moved).into_iter().all(|answer| answer == refused(6)));
        assert!(answers(&ask, &response(vec![partition(1, 0, 10)])).iter().all(is_malformed));
    }

    #[test]
    fn a_fetch_gives_the_bytes_of_the_asked_partition() {
        let response = |index, code| {
            let partition = PartitionData::default()
                .with_partition_index(index)
                .with_error_code(code)
                .with_high_watermark(42)
                .with_records(Some(Bytes::from_static(b"batches")));
            let topic =
                FetchableTopicResponse::default().with_topic(topic_name(TOPIC)).with_partitions(vec![partition]);
            FetchResponse::default().with_responses(vec![topic])
        };
        let ask = Fetch { topic: TOPIC, partition: 2, offset: 0, max_wait_ms: 0, max_bytes: 1 };
        let expected = FetchedBytes { records: Bytes::from_static(b"batches"), high_watermark: 42 };
        assert!(answers(&ask, &response(2, 0)).into_iter().all(|answer| answer == Ok(expected.clone())));
        assert!(answers(&ask, &response(2, 1)).into_iter().all(|answer| answer == refused(1)));
        assert!(answers(&ask, &response(1, 0)).iter().all(is_malformed));
        let top_level = (7..=12).map(|v| decode(&ask, v, 7, frame(&response(2, 0).with_error_code(71), v)));
        assert!(top_level.into_iter().all(|answer| answer == refused(71)));
    }

    /// Tansu sends the addresses of leaders in version 12, which are there from 16 on.
    #[test]
    fn a_fetch_answer_with_tagged_fields_of_a_later_version_is_read() {
        let partition = PartitionData::default()
            .with_high_watermark(42)
            .with_records(Some(Bytes::from_static(b"batches")))
            .with_unknown_tagged_field(7, Bytes::from_static(b"new"));
        let topic = FetchableTopicResponse::default().with_topic(topic_name(TOPIC)).with_partitions(vec![partition]);
        let whole = frame(&FetchResponse::default().with_responses(vec![topic]), 12);
        let (none, rest) = whole.split_last().unwrap();
        let endpoints = [2, 0, 0, 0, 1, 2, b'h', 0, 0, 0x23, 0x84, 0, 0];
        let tagged = Bytes::from([rest, &[1, 0, 13], &endpoints].concat());
        let ask = Fetch { topic: TOPIC, partition: 0, offset: 0, max_wait_ms: 0, max_bytes: 1 };
        let expected = FetchedBytes { records: Bytes::from_static(b"batches"), high_watermark: 42 };
        assert_eq!((*none, decode(&ask, 12, 7, tagged)), (0, Ok(expected)));
    }

    #[test]
    fn every_truncation_of_an_answer_is_malformed() {
        let whole = frame(&metadata(0, &[0, 1, 2]), 12);
        for len in 0..whole.len() {
            let answer = decode(&AskMetadata { topic: TOPIC }, 12, 7, whole.slice(..len));
            assert!(is_malformed(&answer), "{len}");
        }
    }
}
