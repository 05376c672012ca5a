//! Metadata, for what it says of replicas: what DescribeTopicPartitions is for brokers before 3.8, and for topics by id.
//!
//! In: topics, or none for all of them. Out: the request, and topics with their partitions and replicas. Pure. Asked so, a broker creates no topic.

use bytes::Bytes;
use kafka_protocol::messages::{
    MetadataRequest, MetadataResponse, metadata_request::MetadataRequestTopic, metadata_response::MetadataResponseTopic,
};

use super::{
    api::Api,
    describe_topic_partitions::{PartitionReplicas, TopicReplicas, ids},
    envelope::{Caller, frame, read},
    request::{Request, Unusable, accept, topic_name},
};
use crate::{error::ErrorCode, wire::text::printable};

/// Requests topics with their replicas.
#[derive(Debug)]
pub(crate) struct AskReplicas<'a> {
    /// `None`: all that the client may see.
    pub(crate) topics: Option<&'a [&'a str]>,
}

impl Request for AskReplicas<'_> {
    const API: Api = Api::Metadata;
    type Response = Vec<TopicReplicas>;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let named = |topic: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let request = MetadataRequest::default()
            .with_topics(self.topics.map(|topics| topics.iter().map(named).collect()))
            .with_allow_auto_topic_creation(false);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<Vec<TopicReplicas>, Unusable> {
        let response: MetadataResponse = read(Self::API, version, frame)?;
        accept(ErrorCode(response.error_code), None)?;
        Ok(response.topics.iter().filter_map(told).collect())
    }
}

/// `None` for a topic without a name.
fn told(topic: &MetadataResponseTopic) -> Option<TopicReplicas> {
    let partitions = topic.partitions.iter().map(|partition| PartitionReplicas {
        partition: partition.partition_index,
        leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
        replicas: ids(&partition.replica_nodes),
        in_sync: ids(&partition.isr_nodes),
        eligible: None,
        last_eligible: None,
    });
    Some(TopicReplicas {
        error: ErrorCode(topic.error_code),
        name: printable(topic.name.as_ref()?),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions: partitions.collect(),
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::MetadataResponsePartition;

    use super::{
        super::{
            request::tests::{TOPIC, responses},
            tests::{CALLER, decoded},
        },
        *,
    };

    #[test]
    fn every_version_of_the_request_names_topics_or_all_of_them_and_creates_none() {
        for (topics, count) in [(None, None), (Some(&[TOPIC][..]), Some(1))] {
            for version in 4..=Api::Metadata.latest() {
                let frame = AskReplicas { topics }.encode(CALLER, version);
                let request: MetadataRequest = decoded(frame, Api::Metadata, version);
                assert_eq!(request.topics.map(|topics| topics.len()), count);
                assert!(!request.allow_auto_topic_creation);
            }
        }
    }

    #[test]
    fn topics_are_told_with_their_replicas() {
        let partition = |leader: i32| {
            MetadataResponsePartition::default()
                .with_leader_id(leader.into())
                .with_replica_nodes(vec![1.into(), 2.into()])
                .with_isr_nodes(vec![2.into()])
        };
        let topic = MetadataResponseTopic::default()
            .with_name(Some(topic_name(TOPIC)))
            .with_is_internal(true)
            .with_partitions(vec![partition(2), partition(-1)]);
        for topics in responses(&AskReplicas { topics: None }, &MetadataResponse::default().with_topics(vec![topic])) {
            let topic = topics.unwrap().remove(0);
            assert_eq!((topic.name.as_str(), topic.is_internal), (TOPIC, true));
            let told: Vec<_> =
                topic.partitions.iter().map(|p| (p.leader, p.replicas.clone(), p.in_sync.clone())).collect();
            assert_eq!(told, [(Some(2), vec![1, 2], vec![2]), (None, vec![1, 2], vec![2])]);
        }
    }
}
