//! Metadata: the brokers, and the leader of each partition.
//!
//! In: names of topics, and the response. Out: the request, and plain values. Pure. A response that contradicts itself
//! is an error. A broker with an impossible address is left out, with the reason. Deliberately absent: how much of a
//! response is believed, which the sender decides.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        MetadataRequest, MetadataResponse, metadata_request::MetadataRequestTopic,
        metadata_response::MetadataResponseTopic,
    },
    protocol::StrBytes,
};

use super::{
    api::Api,
    envelope::{BadResponse, Caller, broker, frame, read},
};
use crate::{
    cluster::{Broker, TopicId},
    wire::{errors::ErrorCode, text::printable},
};

/// The first version with reliable leader epochs.
const RELIABLE_EPOCHS_FROM: i16 = 9;

/// The first version in which a broker tells what a client may do (KIP-430).
#[cfg(feature = "admin")]
const RIGHTS_FROM: i16 = 8;

/// A broker's view of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterView {
    /// From version 13 on.
    pub(crate) error: i16,
    pub(crate) throttle_ms: i32,
    pub(crate) cluster_id: Option<Arc<str>>,
    /// The broker that creates topics, if there is one. With KRaft it is any broker, which forwards the request.
    pub(crate) controller: Option<i32>,
    /// The brokers with an address that can be dialled.
    pub(crate) brokers: Vec<Broker>,
    /// Why the first other broker cannot be dialled.
    pub(crate) undialled: Option<String>,
    pub(crate) topics: Vec<TopicView>,
}

/// One topic of a [`ClusterView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicView {
    pub(crate) error: ErrorCode,
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    /// `(partition, leader or -1, leader epoch or -1)`. Below Metadata 9 there is no epoch: brokers before 2.4 do not
    /// send reliable ones while a partition is being reassigned (`MetadataResponse.hasReliableLeaderEpochs`).
    pub(crate) partitions: Vec<(i32, i32, i32)>,
    /// What the client may do with it, a bit for each `AclOperation`. `None` if the broker does not tell.
    pub(crate) rights: Option<u32>,
}

/// Encodes a request for the brokers and for `topics`. With `may_create`, a broker with `auto.create.topics.enable`
/// creates those that are missing.
pub(crate) fn encode<'t>(
    caller: Caller<'_>,
    version: i16,
    topics: impl Iterator<Item = &'t str>,
    may_create: bool,
) -> Bytes {
    let named = |topic: &str| MetadataRequestTopic::default().with_name(Some(StrBytes::from(topic.to_owned()).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(topics.map(named).collect()))
        .with_allow_auto_topic_creation(may_create);
    frame(caller, Api::Metadata, version, &request)
}

/// Encodes a request for the brokers, and for one topic with what the client may do with it (KIP-430, from version 8 on). Creates nothing.
#[cfg(feature = "admin")]
pub(crate) fn encode_with_rights(caller: Caller<'_>, version: i16, topic: Option<&str>) -> Bytes {
    let named = |topic: &str| MetadataRequestTopic::default().with_name(Some(StrBytes::from(topic.to_owned()).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(topic.map(named).into_iter().collect()))
        .with_allow_auto_topic_creation(false)
        .with_include_topic_authorized_operations(version >= RIGHTS_FROM);
    frame(caller, Api::Metadata, version, &request)
}

/// Encodes a request for the brokers and for every topic that the client may see.
#[cfg(feature = "admin")]
pub(crate) fn encode_all(caller: Caller<'_>, version: i16) -> Bytes {
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    frame(caller, Api::Metadata, version, &request)
}

/// Decodes the response.
pub(crate) fn decode(frame: &Bytes, version: i16) -> Result<ClusterView, BadResponse> {
    let response: MetadataResponse = read(Api::Metadata, version, frame)?;
    contradiction(&response).map_or(Ok(()), |reason| Err(BadResponse { api: Api::Metadata, version, reason }))?;
    let brokers: Vec<_> =
        response.brokers.iter().map(|b| broker(b.node_id.0, b.host.as_str(), b.port, b.rack.as_deref())).collect();
    let has_epochs = version >= RELIABLE_EPOCHS_FROM;
    Ok(ClusterView {
        error: response.error_code,
        throttle_ms: response.throttle_time_ms,
        cluster_id: response.cluster_id.map(|id| Arc::from(id.as_str())),
        controller: Some(response.controller_id.0).filter(|id| *id >= 0),
        undialled: brokers.iter().find_map(|broker| broker.as_ref().err().cloned()),
        brokers: brokers.into_iter().flatten().collect(),
        topics: response.topics.into_iter().filter_map(|topic| told(topic, has_epochs)).collect(),
    })
}

/// The metadata of a topic. `None` if it has no name.
fn told(topic: MetadataResponseTopic, has_epochs: bool) -> Option<TopicView> {
    let epoch = |told| if has_epochs { told } else { -1 };
    let partitions = topic.partitions.iter().map(|p| (p.partition_index, p.leader_id.0, epoch(p.leader_epoch)));
    Some(TopicView {
        error: ErrorCode(topic.error_code),
        name: Arc::from(topic.name?.0.as_str()),
        id: topic.topic_id,
        partitions: partitions.collect(),
        // The least number stands for none.
        rights: u32::try_from(topic.topic_authorized_operations).ok(),
    })
}

/// What a response contains twice although it must be unique (a topic, a partition of it, a broker), or an impossible
/// partition.
fn contradiction(response: &MetadataResponse) -> Option<String> {
    let mut brokers = HashSet::new();
    if let Some(twice) = response.brokers.iter().find(|broker| !brokers.insert(broker.node_id)) {
        return Some(format!("broker {} stands in it twice", twice.node_id.0));
    }
    let (mut topics, mut partitions) = (HashSet::new(), HashSet::new());
    response.topics.iter().find_map(|topic| {
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

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition};

    use super::{
        super::tests::{CALLER, answered, decoded},
        *,
    };

    #[cfg(feature = "admin")]
    #[test]
    fn no_topics_stand_for_all_of_them() {
        for version in 4..=Api::Metadata.latest() {
            let request: MetadataRequest = decoded(encode_all(CALLER, version), Api::Metadata, version);
            assert_eq!((request.topics, request.allow_auto_topic_creation), (None, false), "{version}");
        }
    }

    #[cfg(feature = "admin")]
    #[test]
    fn rights_are_asked_for_where_the_version_has_them() {
        for version in 4..=Api::Metadata.latest() {
            let frame = encode_with_rights(CALLER, version, Some("a"));
            let request: MetadataRequest = decoded(frame, Api::Metadata, version);
            assert_eq!(request.include_topic_authorized_operations, version >= 8);
            assert!(!request.allow_auto_topic_creation && request.topics.unwrap().len() == 1);
        }
    }

    #[test]
    fn every_version_of_the_request_can_be_encoded() {
        for version in 4..=Api::Metadata.latest() {
            for may_create in [true, false] {
                let frame = encode(CALLER, version, ["a", "b"].into_iter(), may_create);
                let request: MetadataRequest = decoded(frame, Api::Metadata, version);
                let names: Vec<_> =
                    request.topics.unwrap().into_iter().map(|t| t.name.unwrap().0.to_string()).collect();
                assert_eq!((names, request.allow_auto_topic_creation), (vec!["a".into(), "b".into()], may_create));
            }
        }
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
            let response =
                decode(&answered(Api::Metadata, 12, &MetadataResponse::default().with_brokers(vec![broker])), 12)
                    .unwrap();
            assert_eq!(response.brokers.len(), usize::from(usable), "{id} {host}:{port}");
        }
    }

    /// A Metadata response with these partitions of these topics, and these brokers.
    fn decoded_from(topics: &[(&str, &[i32])], brokers: &[i32]) -> Result<ClusterView, BadResponse> {
        let partition = |index: &i32| MetadataResponsePartition::default().with_partition_index(*index);
        let topic = |(name, partitions): &(&str, &[i32])| {
            MetadataResponseTopic::default()
                .with_name(Some(StrBytes::from_string((*name).to_owned()).into()))
                .with_partitions(partitions.iter().map(partition).collect())
        };
        let broker = |id: &i32| {
            MetadataResponseBroker::default().with_node_id((*id).into()).with_host("h".into()).with_port(9092)
        };
        let response = MetadataResponse::default().with_topics(topics.iter().map(topic).collect());
        decode(&answered(Api::Metadata, 12, &response.with_brokers(brokers.iter().map(broker).collect())), 12)
    }

    #[test]
    fn metadata_with_duplicates_or_an_impossible_partition_are_refused() {
        assert!(decoded_from(&[("a", &[1, 0]), ("b", &[0])], &[1, 2]).is_ok());
        let assert_refused = |topics: &[(&str, &[i32])], brokers: &[i32], reason: &str| {
            assert_eq!(decoded_from(topics, brokers).unwrap_err().reason, reason);
        };
        assert_refused(&[("a", &[0, 1, 0])], &[1], "partition 0 of topic a stands in it twice");
        assert_refused(&[("a", &[0, -1])], &[1], "partition -1 of topic a cannot be");
        assert_refused(&[("a", &[0]), ("a", &[0])], &[1], "topic a stands in it twice");
        assert_refused(&[("a", &[0])], &[1, 2, 1], "broker 1 stands in it twice");
    }

    #[test]
    fn every_version_names_the_controller_and_what_is_wrong_with_a_broker() {
        let broker = MetadataResponseBroker::default().with_node_id(1.into()).with_host("h".into()).with_port(65_536);
        for version in 4..=Api::Metadata.latest() {
            for (controller, expected) in [(1, Some(1)), (-1, None)] {
                let response = MetadataResponse::default().with_controller_id(controller.into());
                let frame = answered(Api::Metadata, version, &response.with_brokers(vec![broker.clone()]));
                let response = decode(&frame, version).unwrap();
                assert_eq!((response.controller, response.brokers.len()), (expected, 0), "{version}");
                assert_eq!(response.undialled.as_deref(), Some("broker 1 has port 65536"), "{version}");
            }
        }
    }

    #[test]
    fn every_truncated_response_is_malformed() {
        let partition = MetadataResponsePartition::default();
        let topic = MetadataResponseTopic::default()
            .with_name(Some(StrBytes::from_static_str("t").into()))
            .with_partitions(vec![partition; 1]);
        let whole = answered(Api::Metadata, 12, &MetadataResponse::default().with_topics(vec![topic]));
        assert!(decode(&whole, 12).is_ok());
        for len in 0..whole.len() {
            assert!(decode(&whole.slice(..len), 12).is_err(), "{len}");
        }
    }

    #[test]
    fn a_topic_without_a_name_is_left_out() {
        let nameless = MetadataResponseTopic::default().with_name(None);
        let response =
            decode(&answered(Api::Metadata, 12, &MetadataResponse::default().with_topics(vec![nameless])), 12).unwrap();
        assert!(response.topics.is_empty());
    }
}
