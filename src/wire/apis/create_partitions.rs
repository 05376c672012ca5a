//! CreatePartitions: a topic gets more partitions.
//!
//! In: a topic, how many partitions it shall have, and perhaps where. Out: the request, and whether the broker did it. Pure.

use bytes::Bytes;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse,
    create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{Request, Unusable, check, missing, topic_name},
};

/// Adds partitions to one topic.
#[derive(Debug)]
pub(crate) struct CreatePartitions<'a> {
    pub(crate) topic: &'a str,
    /// How many it shall have.
    pub(crate) count: i32,
    /// The brokers of each partition that is added. `None` leaves it to the cluster.
    pub(crate) replicas: Option<&'a [Vec<i32>]>,
    pub(crate) timeout_ms: i32,
}

impl Request for CreatePartitions<'_> {
    const API: Api = Api::CreatePartitions;
    type Response = ();

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let assignment = |replicas: &Vec<i32>| {
            let ids = replicas.iter().map(|id| (*id).into());
            CreatePartitionsAssignment::default().with_broker_ids(ids.collect())
        };
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(self.topic))
            .with_count(self.count)
            .with_assignments(self.replicas.map(|replicas| replicas.iter().map(assignment).collect()));
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<(), Unusable> {
        let response: CreatePartitionsResponse = read(Self::API, version, frame)?;
        let result = response.results.into_iter().find(|one| one.name.as_str() == self.topic);
        let result = result.ok_or_else(|| missing("result", self.topic))?;
        check(result.error_code, result.error_message)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, responses},
            tests::{CALLER, decoded},
        },
        *,
    };
    use crate::error::ErrorCode;

    #[test]
    fn every_version_of_the_request_has_the_count_and_where_they_are() {
        let two = [vec![1, 2], vec![2, 3]];
        for replicas in [None, Some(&two[..])] {
            let ask = CreatePartitions { topic: TOPIC, count: 5, replicas, timeout_ms: 7 };
            for version in 0..=Api::CreatePartitions.latest() {
                let request: CreatePartitionsRequest =
                    decoded(ask.encode(CALLER, version), Api::CreatePartitions, version);
                let topic = &request.topics[0];
                assert_eq!((topic.name.as_str(), topic.count, request.timeout_ms), (TOPIC, 5, 7));
                let told = topic.assignments.as_ref().map(|all| all.iter().map(|one| one.broker_ids.len()).collect());
                assert_eq!(told, replicas.map(|_| vec![2, 2]));
            }
        }
    }

    #[test]
    fn an_error_has_the_brokers_code_and_message() {
        let ask = CreatePartitions { topic: TOPIC, count: 5, replicas: None, timeout_ms: 7 };
        let response = |code, said: Option<&'static str>| {
            let result = CreatePartitionsTopicResult::default().with_name(topic_name(TOPIC)).with_error_code(code);
            CreatePartitionsResponse::default().with_results(vec![result.with_error_message(said.map(Into::into))])
        };
        assert!(responses(&ask, &response(0, None)).into_iter().all(|response| response == Ok(())));
        for response in responses(&ask, &response(37, Some("no increase"))) {
            let message = Some("no increase".into());
            assert_eq!(response, Err(Unusable::Refused { code: ErrorCode(37), message }));
        }
        assert!(responses(&ask, &CreatePartitionsResponse::default()).iter().all(is_malformed));
    }
}
