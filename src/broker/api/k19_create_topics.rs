//! CreateTopics (19), v2–7. Pure.
//!
//! Behaviour, for each topic on its own and in the controller's order:
//! * a client that may CREATE neither the topic nor on the cluster: `TOPIC_AUTHORIZATION_FAILED`
//! * an illegal name, or one that differs from another only in '.' and '_': `INVALID_TOPIC_EXCEPTION`
//! * `TOPIC_ALREADY_EXISTS`; named twice in one request: `INVALID_REQUEST`, once
//! * a setting that does not exist or a value out of range: `INVALID_CONFIG`
//! * a manual assignment together with counts: `INVALID_REQUEST`; with gaps, unknown nodes or unequal replicas:
//!   `INVALID_REPLICA_ASSIGNMENT`
//! * `INVALID_REPLICATION_FACTOR` (0, or more than there are nodes up), then `INVALID_PARTITIONS`
//!
//! -1 stands for the broker's default. `validate_only` changes nothing. Any node takes the request, and the topic is
//! there when the response comes.
//!
//! Version notes:
//! * v5: flexible; counts and settings in the response (KIP-525), unless the client may not DESCRIBE_CONFIGS; v7: topic id

use std::collections::BTreeSet;

use kafka_protocol::{
    messages::{
        CreateTopicsRequest, CreateTopicsResponse,
        create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig},
        create_topics_response::{CreatableTopicConfigs, CreatableTopicResult},
    },
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::Operation, config::TopicConfig, faults::Target, kind::Api, state::State, topic::TopicLog,
        validate::Refusal,
    },
    error::ErrorCode,
};

impl Handler for CreateTopicsRequest {
    const API: Api = Api::CreateTopics;
    const SERVED: (i16, i16) = (2, 7);

    fn targets(&self, _state: &State) -> Vec<Target> {
        self.topics.iter().map(|topic| Target { topic: topic.name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<CreateTopicsResponse> {
        let mut names = BTreeSet::new();
        let distinct = self.topics.iter().filter(|topic| names.insert(topic.name.as_str()));
        let topics = distinct.map(|topic| respond(self, state, call, topic)).collect();
        let response = CreateTopicsResponse::default().with_topics(topics);
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn respond(
    request: &CreateTopicsRequest,
    state: &mut State,
    call: &Call<'_>,
    topic: &CreatableTopic,
) -> CreatableTopicResult {
    let twice = request.topics.iter().filter(|other| other.name == topic.name).count() > 1;
    let created = match call.plan.refusal(&topic.name, None) {
        Some(code) => Err(Refusal::new(code, "injected fault")),
        None if !may_create(state, call, &topic.name) => {
            Err(Refusal::new(ErrorCode::TOPIC_AUTHORIZATION_FAILED, "Authorization failed."))
        }
        None if twice => Err(Refusal::new(ErrorCode::INVALID_REQUEST, "the request names this topic twice")),
        None => {
            let may_see = call.may(state, Operation::DescribeConfigs, &topic.name);
            create(state, topic).map(|topic| success(topic, call, may_see))
        }
    };
    let created = match (created, call.plan.denial(&topic.name, None)) {
        (Ok(_), Some(code)) => Err(Refusal::new(code, "injected fault, after the topic was created")),
        (created, _) => created,
    };
    if request.validate_only && created.is_ok() {
        state.topics.remove(topic.name.as_str());
    }
    let failure = |refusal: Refusal| {
        let message = Some(StrBytes::from_string(refusal.message));
        CreatableTopicResult::default().with_error_code(refusal.code.0).with_error_message(message)
    };
    created.unwrap_or_else(failure).with_name(topic.name.clone())
}

fn create<'a>(state: &'a mut State, topic: &CreatableTopic) -> Result<&'a TopicLog, Refusal> {
    state.check_new_name(&topic.name)?;
    let config = configure(state, topic)?;
    if topic.assignments.is_empty() {
        return state.create_topic(&topic.name, topic.num_partitions, topic.replication_factor, config);
    }
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "a manual assignment needs a number of partitions and a replication factor of -1";
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    let replicas = assign(state, &topic.assignments)?;
    state.create_topic_at(&topic.name, replicas, config)
}

fn configure(state: &State, topic: &CreatableTopic) -> Result<TopicConfig, Refusal> {
    let invalid = |message| Refusal::new(ErrorCode::INVALID_CONFIG, message);
    let given = |setting: &CreatableTopicConfig| -> Result<_, Refusal> {
        let missing = || invalid(format!("{} has no value", setting.name.as_str()));
        let value = setting.value.as_ref().ok_or_else(missing)?;
        Ok((setting.name.to_string(), value.to_string()))
    };
    let settings: Vec<(String, String)> = topic.configs.iter().map(given).collect::<Result<_, _>>()?;
    let settings = settings.iter().map(|(name, value)| (&**name, &**value));
    state.settings.topic_defaults.for_topic_with(settings).map_err(invalid)
}

fn assign(state: &State, assignments: &[CreatableReplicaAssignment]) -> Result<Vec<Vec<i32>>, Refusal> {
    let refuse = |message: String| Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    let mut sorted: Vec<_> = assignments.iter().collect();
    sorted.sort_by_key(|assignment| assignment.partition_index);
    let mut all: Vec<Vec<i32>> = Vec::new();
    for (expected, assignment) in (0..).zip(sorted) {
        let index = assignment.partition_index;
        let replicas: Vec<i32> = assignment.broker_ids.iter().map(|id| id.0).collect();
        if index != expected {
            return Err(refuse(format!("partition {index} is assigned, expected {expected}: no gaps, none twice")));
        }
        state.check_replicas(&replicas, all.first().map(Vec::len))?;
        all.push(replicas);
    }
    Ok(all)
}

fn may_create(state: &State, call: &Call<'_>, topic: &str) -> bool {
    call.may_with_cluster(state, Operation::Create) || call.may(state, Operation::Create, topic)
}

fn success(topic: &TopicLog, call: &Call<'_>, may_see: bool) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_topic_id(topic.id);
    if call.version < 5 {
        return result;
    }
    if !may_see {
        return result.with_topic_config_error_code(ErrorCode::TOPIC_AUTHORIZATION_FAILED.0);
    }
    let settings = topic.config.settings().into_iter().map(|setting| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(setting.name))
            .with_value(Some(StrBytes::from_string(setting.value)))
            .with_config_source(setting.source as i8)
    });
    result
        .with_num_partitions(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
        .with_replication_factor(i16::try_from(topic.replication_factor()).unwrap_or(i16::MAX))
        .with_configs(Some(settings.collect()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;

    use super::*;
    use crate::{
        broker::{
            EmbeddedBroker, Fault,
            testing::{TestCluster, name},
        },
        error::ErrorCode,
    };

    fn cluster() -> TestCluster {
        TestCluster::new(EmbeddedBroker::builder().topic("orders_eu", 1).default_partitions(4), 3)
    }

    fn topic(topic: &str, partitions: i32, replicas: i16) -> CreatableTopic {
        CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
    }

    fn request(topics: impl Into<Vec<CreatableTopic>>) -> CreateTopicsRequest {
        CreateTopicsRequest::default().with_topics(topics.into())
    }

    fn code(topic: CreatableTopic) -> ErrorCode {
        let response = cluster().ask(1, 7, &request([topic]));
        assert_eq!(response.topics[0].error_message.is_some(), response.topics[0].error_code != 0);
        ErrorCode(response.topics[0].error_code)
    }

    fn with(name: &'static str, value: Option<&'static str>) -> CreatableTopic {
        let config = CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(value.map(StrBytes::from_static_str));
        topic("new", 1, 1).with_configs(vec![config])
    }

    fn assigned(replicas: &[(i32, &[i32])]) -> CreatableTopic {
        let assignment = |(index, nodes): &(i32, &[i32])| {
            let nodes = nodes.iter().map(|node| (*node).into()).collect();
            CreatableReplicaAssignment::default().with_partition_index(*index).with_broker_ids(nodes)
        };
        topic("new", -1, -1).with_assignments(replicas.iter().map(assignment).collect())
    }

    #[test]
    fn every_version_creates_the_topic_that_was_asked_for() {
        for version in 2..=7 {
            let mut cluster = cluster();
            let response = cluster.ask(2, version, &request([topic("new", 2, 2)]));
            assert_eq!(response.topics[0].error_code, 0);
            let replicas: Vec<_> = cluster.state.topics["new"].partitions.iter().map(|p| p.replicas.clone()).collect();
            assert_eq!(replicas, [[1, 2], [2, 3]]);
            assert_eq!(response.topics[0].num_partitions, if version < 5 { -1 } else { 2 });
        }
    }

    #[test]
    fn minus_one_stands_for_the_brokers_defaults() {
        let response = cluster().ask(1, 7, &request([topic("new", -1, -1)]));
        assert_eq!((response.topics[0].num_partitions, response.topics[0].replication_factor), (4, 3));
    }

    #[test]
    fn names_that_are_illegal_taken_or_alike_are_refused() {
        assert_eq!(code(topic("a b", 1, 1)), ErrorCode::INVALID_TOPIC_EXCEPTION);
        assert_eq!(code(topic("orders_eu", 1, 1)), ErrorCode::TOPIC_ALREADY_EXISTS);
        assert_eq!(code(topic("orders.eu", 1, 1)), ErrorCode::INVALID_TOPIC_EXCEPTION);
    }

    #[test]
    fn counts_out_of_range_are_refused_replicas_first() {
        assert_eq!(code(topic("new", 0, 0)), ErrorCode::INVALID_REPLICATION_FACTOR);
        assert_eq!(code(topic("new", 1, 4)), ErrorCode::INVALID_REPLICATION_FACTOR);
        assert_eq!(code(topic("new", 1, -2)), ErrorCode::INVALID_REPLICATION_FACTOR);
        assert_eq!(code(topic("new", 0, 1)), ErrorCode::INVALID_PARTITIONS);
        assert_eq!(code(topic("new", -2, 1)), ErrorCode::INVALID_PARTITIONS);
        assert_eq!(code(topic("new", i32::MAX, 1)), ErrorCode::INVALID_PARTITIONS);
    }

    #[test]
    fn settings_are_taken_over_told_and_refused_when_they_cannot_be() {
        assert_eq!(code(with("no.such.setting", Some("1"))), ErrorCode::INVALID_CONFIG);
        assert_eq!(code(with("max.message.bytes", Some("many"))), ErrorCode::INVALID_CONFIG);
        assert_eq!(code(with("max.message.bytes", None)), ErrorCode::INVALID_CONFIG);
        let mut cluster = cluster();
        let response = cluster.ask(1, 7, &request([with("max.message.bytes", Some("77"))]));
        let settings = response.topics[0].configs.as_ref().unwrap();
        let told = settings.iter().find(|setting| setting.name.as_str() == "max.message.bytes").unwrap();
        assert_eq!((told.value.as_deref().map(AsRef::as_ref), told.config_source), (Some("77"), 1));
        assert_eq!(cluster.state.topics["new"].config.max_message_bytes, 77);
    }

    #[test]
    fn a_manual_assignment_decides_replicas_and_leaders() {
        let mut cluster = cluster();
        let response = cluster.ask(1, 7, &request([assigned(&[(1, &[3, 1]), (0, &[2, 3])])]));
        assert_eq!((response.topics[0].error_code, response.topics[0].num_partitions), (0, 2));
        assert_eq!([cluster.state.leader("new", 0), cluster.state.leader("new", 1)], [Some(2), Some(3)]);
    }

    #[test]
    fn a_manual_assignment_with_gaps_unknown_nodes_or_counts_is_refused() {
        for bad in [
            &[(1, &[1][..])][..],
            &[(0, &[1]), (0, &[2])],
            &[(0, &[])],
            &[(0, &[1, 1])],
            &[(0, &[9])],
            &[(0, &[1]), (1, &[1, 2])],
        ] {
            assert_eq!(code(assigned(bad)), ErrorCode::INVALID_REPLICA_ASSIGNMENT, "{bad:?}");
        }
        assert_eq!(code(assigned(&[(0, &[1])]).with_num_partitions(1)), ErrorCode::INVALID_REQUEST);
    }

    #[test]
    fn one_request_may_create_many_topics_but_none_twice() {
        let response = cluster().ask(1, 7, &request([topic("a", 1, 1), topic("b", 1, 1), topic("b", 2, 1)]));
        let codes: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [0, 42]);
    }

    #[test]
    fn validating_only_creates_nothing() {
        let mut cluster = cluster();
        let response = cluster.ask(1, 7, &request([topic("new", 2, 1)]).with_validate_only(true));
        assert_eq!((response.topics[0].error_code, response.topics[0].num_partitions), (0, 2));
        assert!(!cluster.state.topics.contains_key("new"));
        let response = cluster.ask(1, 7, &request([topic("orders_eu", 2, 1)]).with_validate_only(true));
        assert_eq!(ErrorCode(response.topics[0].error_code), ErrorCode::TOPIC_ALREADY_EXISTS);
        assert!(cluster.state.topics.contains_key("orders_eu"));
    }

    #[test]
    fn an_injected_error_comes_with_or_without_the_topic() {
        let mut cluster = cluster();
        let busy = ErrorCode(41);
        cluster.state.inject(Fault::error(busy).on(Api::CreateTopics));
        assert_eq!(ErrorCode(cluster.ask(1, 7, &request([topic("new", 1, 1)])).topics[0].error_code), busy);
        assert!(!cluster.state.topics.contains_key("new"));
        cluster.state.inject(Fault::error_after_append(busy).on(Api::CreateTopics));
        assert_eq!(ErrorCode(cluster.ask(1, 7, &request([topic("new", 1, 1)])).topics[0].error_code), busy);
        assert!(cluster.state.topics.contains_key("new"));
    }
}
