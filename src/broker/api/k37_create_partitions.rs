//! CreatePartitions (37), v0–3. Pure.
//!
//! Behaviour, for each topic on its own and in Apache Kafka's order:
//! * named twice in one request: `INVALID_REQUEST`, once
//! * a client that may not ALTER the topic: `TOPIC_AUTHORIZATION_FAILED`, whether it exists or not
//! * `UNKNOWN_TOPIC_OR_PARTITION`
//! * a count that is not larger than before, or more than a topic may have: `INVALID_PARTITIONS`
//! * an assignment of another number of partitions, with unknown nodes, or with other than the topic's number of replicas:
//!   `INVALID_REPLICA_ASSIGNMENT`
//!
//! `validate_only` changes nothing. Any node takes the request, and the partitions are there when the response comes.
//!
//! Version notes:
//! * v2: flexible; v3: a quota, which this broker does not have

use std::collections::BTreeSet;

use kafka_protocol::{
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse,
        create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
        create_partitions_response::CreatePartitionsTopicResult,
    },
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, faults::Target, kind::Api, state::State, validate::Refusal},
    error::ErrorCode,
};

impl Handler for CreatePartitionsRequest {
    const API: Api = Api::CreatePartitions;
    const SERVED: (i16, i16) = (0, 3);

    fn targets(&self, _state: &State) -> Vec<Target> {
        self.topics.iter().map(|topic| Target { topic: topic.name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<CreatePartitionsResponse> {
        let (mut names, mut twice) = (BTreeSet::new(), BTreeSet::new());
        for topic in &self.topics {
            if !names.insert(topic.name.as_str()) {
                twice.insert(topic.name.as_str());
            }
        }
        let distinct = self.topics.iter().filter(|topic| names.remove(topic.name.as_str()));
        let results = distinct.map(|topic| {
            let is_twice = twice.contains(topic.name.as_str());
            respond(state, call, topic, is_twice, self.validate_only)
        });
        let response = CreatePartitionsResponse::default().with_results(results.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn respond(
    state: &mut State,
    call: &Call<'_>,
    topic: &CreatePartitionsTopic,
    is_twice: bool,
    validate_only: bool,
) -> CreatePartitionsTopicResult {
    let grown = check(state, call, topic, is_twice).and_then(|()| place(state, topic));
    let grown = grown.and_then(|replicas| {
        if !validate_only {
            state.extend_topic(&topic.name, replicas);
        }
        let denial = call.plan.denial(&topic.name, None);
        let refuse = |code| Err(Refusal::new(code, "injected fault, after the partitions were created"));
        denial.map_or(Ok(()), refuse)
    });
    let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
    match grown {
        Ok(()) => result.with_error_message(None),
        Err(refusal) => {
            result.with_error_code(refusal.code.0).with_error_message(Some(StrBytes::from_string(refusal.message)))
        }
    }
}

fn check(state: &State, call: &Call<'_>, topic: &CreatePartitionsTopic, is_twice: bool) -> Result<(), Refusal> {
    match call.plan.refusal(&topic.name, None) {
        Some(code) => Err(Refusal::new(code, "injected fault")),
        None if is_twice => Err(Refusal::new(ErrorCode::INVALID_REQUEST, "the request names this topic twice")),
        None if !call.may(state, Operation::Alter, &topic.name) => {
            Err(Refusal::new(ErrorCode::TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed."))
        }
        None => Ok(()),
    }
}

/// The replicas of each partition that is to be added.
fn place(state: &State, wanted: &CreatePartitionsTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    let placed = state.place_more(&wanted.name, wanted.count)?;
    let Some(assignments) = &wanted.assignments else { return Ok(placed) };
    if assignments.len() != placed.len() {
        let message = format!("{} partitions are assigned, {} would be added", assignments.len(), placed.len());
        return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    }
    let assigned = |(placed, assignment): (&Vec<i32>, &CreatePartitionsAssignment)| {
        let replicas: Vec<i32> = assignment.broker_ids.iter().map(|id| id.0).collect();
        state.check_replicas(&replicas, Some(placed.len())).map(|()| replicas)
    };
    placed.iter().zip(assignments).map(assigned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        Builder, EmbeddedBroker, Fault,
        testing::{TestCluster, name},
    };

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder().topic("orders", 2).replication_factor(2), 3)
    }

    fn topic(topic: &str, count: i32) -> CreatePartitionsTopic {
        CreatePartitionsTopic::default().with_name(name(topic)).with_count(count).with_assignments(None)
    }

    fn assigned(count: i32, replicas: &[&[i32]]) -> CreatePartitionsTopic {
        let assignment = |nodes: &&[i32]| {
            CreatePartitionsAssignment::default().with_broker_ids(nodes.iter().map(|node| (*node).into()).collect())
        };
        topic("orders", count).with_assignments(Some(replicas.iter().map(assignment).collect()))
    }

    fn request(topics: impl Into<Vec<CreatePartitionsTopic>>) -> CreatePartitionsRequest {
        CreatePartitionsRequest::default().with_topics(topics.into())
    }

    fn codes(cluster: &mut TestCluster, request: &CreatePartitionsRequest) -> Vec<ErrorCode> {
        let results = cluster.ask(1, 3, request).results;
        assert!(results.iter().all(|one| one.error_message.is_some() == (one.error_code != 0)), "{results:?}");
        results.iter().map(|one| ErrorCode(one.error_code)).collect()
    }

    fn replicas(cluster: &TestCluster) -> Vec<Vec<i32>> {
        cluster.state.topics["orders"].partitions.iter().map(|partition| partition.replicas.clone()).collect()
    }

    #[test]
    fn every_version_adds_partitions_behind_those_that_are_there() {
        for version in 0..=3 {
            let mut cluster = cluster();
            let result = cluster.ask(2, version, &request([topic("orders", 4)])).results.remove(0);
            assert_eq!((result.error_code, result.name.as_str()), (0, "orders"));
            assert_eq!(replicas(&cluster), [[1, 2], [2, 3], [3, 1], [1, 2]]);
            assert_eq!(cluster.state.leader("orders", 2), Some(3));
        }
    }

    #[test]
    fn an_assignment_decides_replicas_and_leaders() {
        let mut cluster = cluster();
        assert_eq!(codes(&mut cluster, &request([assigned(4, &[&[3, 2], &[1, 3]])])), [ErrorCode::NONE]);
        assert_eq!(replicas(&cluster)[2..], [[3, 2], [1, 3]]);
        assert_eq!(cluster.state.leader("orders", 2), Some(3));
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let (partitions, replicas_) = (ErrorCode::INVALID_PARTITIONS, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
        for (wanted, code) in [
            (topic("nothing", 4), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (topic("", 4), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (topic("orders", 2), partitions),
            (topic("orders", 1), partitions),
            (topic("orders", -1), partitions),
            (topic("orders", i32::MIN), partitions),
            (topic("orders", i32::MAX), partitions),
            (assigned(2, &[]), partitions),
            (assigned(3, &[]), replicas_),
            (assigned(3, &[&[1, 2], &[2, 3]]), replicas_),
            (assigned(3, &[&[]]), replicas_),
            (assigned(3, &[&[1]]), replicas_),
            (assigned(3, &[&[1, 1]]), replicas_),
            (assigned(3, &[&[1, 9]]), replicas_),
            (assigned(3, &[&[1, 2, 3]]), replicas_),
        ] {
            let mut cluster = cluster();
            assert_eq!(codes(&mut cluster, &request([wanted.clone()])), [code], "{wanted:?}");
            assert_eq!(replicas(&cluster).len(), 2);
        }
    }

    #[test]
    fn a_topic_that_is_named_twice_is_refused_once() {
        let mut cluster = cluster();
        let twice = request([topic("orders", 3), topic("nothing", 3), topic("orders", 4)]);
        assert_eq!(codes(&mut cluster, &twice), [ErrorCode::INVALID_REQUEST, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
        assert_eq!(replicas(&cluster).len(), 2);
    }

    #[test]
    fn validating_only_adds_nothing() {
        let mut cluster = cluster();
        let dry = |count| request([topic("orders", count)]).with_validate_only(true);
        assert_eq!(codes(&mut cluster, &dry(3)), [ErrorCode::NONE]);
        assert_eq!(codes(&mut cluster, &dry(1)), [ErrorCode::INVALID_PARTITIONS]);
        assert_eq!(replicas(&cluster).len(), 2);
    }

    #[test]
    fn only_those_who_may_alter_a_topic_add_partitions_and_others_do_not_learn_whether_it_exists() {
        let denied = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        for (rules, code, unknown) in [
            (&[][..], denied, denied),
            (&["ALTER topic orders"], ErrorCode::NONE, denied),
            (&["ALTER cluster", "DESCRIBE topic *", "CREATE topic *"], denied, denied),
            (&["ALL topic *"], ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ] {
            let rules = rules.iter().map(|rule| format!("User:ANONYMOUS {rule}").parse().unwrap());
            let builder = EmbeddedBroker::builder().topic("orders", 1).authorize();
            let mut cluster = TestCluster::new(rules.fold(builder, Builder::acl), 1);
            let request = request([topic("orders", 2), topic("nothing", 2)]);
            assert_eq!(codes(&mut cluster, &request), [code, unknown]);
        }
    }

    #[test]
    fn an_injected_error_comes_with_or_without_the_partitions() {
        let mut cluster = cluster();
        let busy = ErrorCode(41);
        cluster.state.inject(Fault::error(busy).on(Api::CreatePartitions).at_topic("orders"));
        assert_eq!(codes(&mut cluster, &request([topic("orders", 3)])), [busy]);
        assert_eq!(replicas(&cluster).len(), 2);
        cluster.state.inject(Fault::error_after_append(busy).on(Api::CreatePartitions));
        assert_eq!(codes(&mut cluster, &request([topic("orders", 3)])), [busy]);
        assert_eq!(replicas(&cluster).len(), 3);
    }
}
