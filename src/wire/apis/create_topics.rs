//! CreateTopics.
//!
//! In: one topic with its settings. Out: the request, and whether the broker created the topic. Pure.

use bytes::Bytes;
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse,
    create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig},
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{Request, Unusable, check, missing, str_bytes, topic_name},
};

/// The first version in which -1 stands for the broker's default.
const DEFAULTS_SINCE: i16 = 4;

/// Creates one topic.
#[derive(Debug)]
pub(crate) struct CreateTopic<'a> {
    pub(crate) topic: &'a str,
    /// -1: the broker's default.
    pub(crate) partitions: i32,
    /// -1: the broker's default.
    pub(crate) replication: i16,
    /// In place of both, the brokers of each partition.
    pub(crate) replicas: Option<&'a [Vec<i32>]>,
    /// How many brokers the cluster has.
    pub(crate) brokers: usize,
    pub(crate) configs: &'a [(&'a str, &'a str)],
    pub(crate) timeout_ms: i32,
}

impl Request for CreateTopic<'_> {
    const API: Api = Api::CreateTopics;
    type Response = ();

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        frame(caller, Self::API, version, &self.request(version))
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<(), Unusable> {
        let response: CreateTopicsResponse = read(Self::API, version, frame)?;
        let result = response.topics.into_iter().find(|t| t.name.as_str() == self.topic);
        let result = result.ok_or_else(|| missing("result", self.topic))?;
        check(result.error_code, result.error_message)
    }
}

impl CreateTopic<'_> {
    fn request(&self, version: i16) -> CreateTopicsRequest {
        let (partitions, replication) = self.counts(version);
        let config = |&(name, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(str_bytes(name)).with_value(Some(str_bytes(value)))
        };
        let assignment = |(partition, replicas): (i32, &Vec<i32>)| {
            let ids = replicas.iter().map(|id| (*id).into()).collect();
            CreatableReplicaAssignment::default().with_partition_index(partition).with_broker_ids(ids)
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(self.topic))
            .with_num_partitions(partitions)
            .with_replication_factor(replication)
            .with_assignments((0..).zip(self.replicas.into_iter().flatten()).map(assignment).collect())
            .with_configs(self.configs.iter().map(config).collect());
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms)
    }

    /// The counts to send. Brokers before Kafka 2.4 do not accept -1 for their defaults (KIP-464).
    fn counts(&self, version: i16) -> (i32, i16) {
        if version >= DEFAULTS_SINCE || self.replicas.is_some() {
            return (self.partitions, self.replication);
        }
        let replicas = i16::try_from(self.brokers.clamp(1, 3)).unwrap_or(1);
        let partitions = if self.partitions == -1 { 1 } else { self.partitions };
        (partitions, if self.replication == -1 { replicas } else { self.replication })
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_topics_response::CreatableTopicResult;

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, responses},
            tests::{CALLER, decoded},
        },
        *,
    };
    use crate::error::ErrorCode;

    fn create(partitions: i32, replication: i16, brokers: usize) -> CreateTopic<'static> {
        CreateTopic {
            topic: TOPIC,
            partitions,
            replication,
            replicas: None,
            brokers,
            configs: &[("a", "b")],
            timeout_ms: 1,
        }
    }

    #[test]
    fn every_version_of_the_request_can_be_encoded() {
        for version in 2..=Api::CreateTopics.latest() {
            let frame = create(3, 1, 1).encode(CALLER, version);
            let request: CreateTopicsRequest = decoded(frame, Api::CreateTopics, version);
            assert_eq!((request.topics[0].name.as_str(), request.timeout_ms), (TOPIC, 1));
        }
    }

    #[test]
    fn in_place_of_counts_there_can_be_brokers() {
        let ask = CreateTopic { replicas: Some(&[vec![3, 1], vec![2, 3]]), ..create(-1, -1, 3) };
        for version in 2..=Api::CreateTopics.latest() {
            let request: CreateTopicsRequest = decoded(ask.encode(CALLER, version), Api::CreateTopics, version);
            let topic = &request.topics[0];
            let told: Vec<_> =
                topic.assignments.iter().map(|one| (one.partition_index, one.broker_ids.len())).collect();
            assert_eq!((told, topic.num_partitions, topic.replication_factor), (vec![(0, 2), (1, 2)], -1, -1));
        }
    }

    #[test]
    fn brokers_that_do_not_accept_minus_one_get_counts() {
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
    fn an_error_has_the_brokers_code_and_message() {
        let ask = create(3, 1, 1);
        let result = |code| CreatableTopicResult::default().with_name(topic_name(TOPIC)).with_error_code(code);
        let response = |result| CreateTopicsResponse::default().with_topics(vec![result]);
        assert!(responses(&ask, &response(result(0))).into_iter().all(|response| response == Ok(())));
        let said = result(36).with_error_message(Some("there it is".into()));
        for response in responses(&ask, &response(said)) {
            let message = Some("there it is".into());
            assert_eq!(response, Err(Unusable::Refused { code: ErrorCode(36), message }));
        }
        assert!(responses(&ask, &CreateTopicsResponse::default()).iter().all(is_malformed));
    }
}
