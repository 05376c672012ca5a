//! Metadata: who the brokers are, and who leads which partition.
//!
//! In: names of topics, and the answer. Out: the request, and plain values. Pure. An answer that contradicts itself is none, and of a
//! broker that cannot be dialled only the reason is told. Deliberately absent: what is believed of an answer, which is the sender's.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        MetadataRequest, MetadataResponse, metadata_request::MetadataRequestTopic,
        metadata_response::MetadataResponseTopic,
    },
    protocol::StrBytes,
};

use super::{Api, BadAnswer, Caller, Facts, broker, frame, read};
use crate::{
    cluster::{Broker, TopicId},
    wire::{errors::ErrorCode, text::printable},
};

/// Below version 4 a broker creates what is asked for and missing, and cannot be told not to. Every broker that speaks Produce 3
/// speaks that.
pub(super) const FACTS: Facts = Facts { name: "Metadata", key: 3, versions: (4, 13), flexible_from: 9 };
/// The first version whose leader epochs can be relied on.
const RELIABLE_EPOCHS_FROM: i16 = 9;

/// A broker's view of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetadataAnswer {
    /// From version 13 on.
    pub(crate) error: i16,
    pub(crate) throttle_ms: i32,
    pub(crate) cluster_id: Option<Arc<str>>,
    /// The node that creates topics (with KRaft any node, which hands the request on), if there is one.
    pub(crate) controller: Option<i32>,
    /// Those that can be dialled.
    pub(crate) brokers: Vec<Broker>,
    /// What is wrong with the first one that cannot.
    pub(crate) undialled: Option<String>,
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

/// Asks for the brokers and for `topics`; if `may_create`, a broker that is set up so creates those that are missing.
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

/// Reads the answer.
pub(crate) fn decode(frame: &Bytes, version: i16) -> Result<MetadataAnswer, BadAnswer> {
    let answer: MetadataResponse = read(Api::Metadata, version, frame)?;
    contradiction(&answer).map_or(Ok(()), |reason| Err(BadAnswer { api: Api::Metadata, version, reason }))?;
    let brokers = answer.brokers.iter().map(|b| broker(b.node_id.0, b.host.as_str(), b.port));
    let brokers: Vec<_> = brokers.collect();
    let has_epochs = version >= RELIABLE_EPOCHS_FROM;
    Ok(MetadataAnswer {
        error: answer.error_code,
        throttle_ms: answer.throttle_time_ms,
        cluster_id: answer.cluster_id.map(|id| Arc::from(id.as_str())),
        controller: Some(answer.controller_id.0).filter(|id| *id >= 0),
        undialled: brokers.iter().find_map(|broker| broker.as_ref().err().cloned()),
        brokers: brokers.into_iter().flatten().collect(),
        topics: answer.topics.into_iter().filter_map(|topic| told(topic, has_epochs)).collect(),
    })
}

/// What an answer tells of a topic; nothing of one without a name.
fn told(topic: MetadataResponseTopic, has_epochs: bool) -> Option<TopicAnswer> {
    let epoch = |told| if has_epochs { told } else { -1 };
    let partitions = topic.partitions.iter().map(|p| (p.partition_index, p.leader_id.0, epoch(p.leader_epoch)));
    Some(TopicAnswer {
        error: ErrorCode(topic.error_code),
        name: Arc::from(topic.name?.0.as_str()),
        id: topic.topic_id,
        partitions: partitions.collect(),
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

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition};

    use super::{
        super::tests::{CALLER, answered, decoded},
        *,
    };

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
            let answer =
                decode(&answered(Api::Metadata, 12, &MetadataResponse::default().with_brokers(vec![broker])), 12)
                    .unwrap();
            assert_eq!(answer.brokers.len(), usize::from(usable), "{id} {host}:{port}");
        }
    }

    /// A Metadata answer about these partitions of these topics, told by these brokers.
    fn decoded_from(topics: &[(&str, &[i32])], brokers: &[i32]) -> Result<MetadataAnswer, BadAnswer> {
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
        decode(&answered(Api::Metadata, 12, &answer.with_brokers(brokers.iter().map(broker).collect())), 12)
    }

    #[test]
    fn metadata_that_say_something_twice_or_name_a_partition_that_cannot_be_are_no_answer() {
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
    fn every_version_tells_who_creates_topics_and_what_is_wrong_with_a_broker() {
        let broker = MetadataResponseBroker::default().with_node_id(1.into()).with_host("h".into()).with_port(65_536);
        for version in 4..=Api::Metadata.latest() {
            for (controller, expected) in [(1, Some(1)), (-1, None)] {
                let answer = MetadataResponse::default().with_controller_id(controller.into());
                let frame = answered(Api::Metadata, version, &answer.with_brokers(vec![broker.clone()]));
                let answer = decode(&frame, version).unwrap();
                assert_eq!((answer.controller, answer.brokers.len()), (expected, 0), "{version}");
                assert_eq!(answer.undialled.as_deref(), Some("broker 1 has port 65536"), "{version}");
            }
        }
    }

    #[test]
    fn every_truncation_of_an_answer_is_malformed() {
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
        let answer =
            decode(&answered(Api::Metadata, 12, &MetadataResponse::default().with_topics(vec![nameless])), 12).unwrap();
        assert!(answer.topics.is_empty());
    }
}
