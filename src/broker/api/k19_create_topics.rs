//! CreateTopics (19), v2–7 [P]
//!
//! Behaviour, for each topic on its own and in the controller's order:
//! * an illegal name, or one that differs from another only in '.' and '_': `INVALID_TOPIC_EXCEPTION`
//! * `TOPIC_ALREADY_EXISTS`; named twice in one request: `INVALID_REQUEST`
//! * a setting that does not exist or a value out of range: `INVALID_CONFIG`
//! * a manual assignment together with counts: `INVALID_REQUEST`; with gaps, unknown nodes or unequal replicas:
//!   `INVALID_REPLICA_ASSIGNMENT`
//! * `INVALID_REPLICATION_FACTOR` (0, or more than there are nodes up), then `INVALID_PARTITIONS`
//!
//! -1 stands for the broker's default. `validate_only` changes nothing. Any node takes the request, and the topic is
//! there when the answer comes.
//!
//! Version notes:
//! * v5: flexible; counts and settings in the response (KIP-525); v7: topic id

use std::collections::BTreeSet;

use kafka_protocol::{
    messages::{
        CreateTopicsRequest, CreateTopicsResponse,
        create_topics_request::{CreatableReplicaAssignment, CreatableTopic},
        create_topics_response::{CreatableTopicConfigs, CreatableTopicResult},
    },
    protocol::StrBytes,
};

use super::{Answer, Api, Call, Handler};
use crate::broker::{codes, config::TopicConfig, faults::Target, state::State, topic::Topic, validate::Refusal};

impl Handler for CreateTopicsRequest {
    const API: Api = Api::CreateTopics;
    const SERVED: (i16, i16) = (2, 7);

    fn targets(&self, _state: &State) -> Vec<Target> {
        self.topics.iter().map(|topic| Target { topic: topic.name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<CreateTopicsResponse> {
        let topics = self.topics.iter().map(|topic| answer(self, state, call, topic)).collect();
        let response = CreateTopicsResponse::default().with_topics(topics);
        Answer::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn answer(
    request: &CreateTopicsRequest,
    state: &mut State,
    call: &Call<'_>,
    topic: &CreatableTopic,
) -> CreatableTopicResult {
    let twice = request.topics.iter().filter(|other| other.name == topic.name).count() > 1;
    let created = match call.plan.refusal(&topic.name, None) {
        Some(code) => Err(Refusal::new(code, "injected fault")),
        None if twice => Err(Refusal::new(codes::INVALID_REQUEST, "the request names this topic twice")),
        None => create(state, topic).map(|topic| success(topic, call)),
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

fn create<'a>(state: &'a mut State, topic: &CreatableTopic) -> Result<&'a Topic, Refusal> {
    state.check_new_name(&topic.name)?;
    let config = configure(state, topic)?;
    if topic.assignments.is_empty() {
        return state.create_topic(&topic.name, topic.num_partitions, topic.replication_factor, config);
    }
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "a manual assignment needs a number of partitions and a replication factor of -1";
        return Err(Refusal::new(codes::INVALID_REQUEST, message));
    }
    let replicas = assign(state, &topic.assignments)?;
    state.create_topic_at(&topic.name, replicas, config)
}

fn configure(state: &State, topic: &CreatableTopic) -> Result<TopicConfig, Refusal> {
    let mut config = state.settings.topic_defaults.clone();
    for setting in &topic.configs {
        let missing = || format!("{} has no value", setting.name.as_str());
        let set = setting.value.as_ref().ok_or_else(missing).and_then(|value| config.set(&setting.name, value));
        set.map_err(|message| Refusal::new(codes::INVALID_CONFIG, message))?;
    }
    Ok(config)
}

fn assign(state: &State, assignments: &[CreatableReplicaAssignment]) -> Result<Vec<Vec<i32>>, Refusal> {
    let refuse = |message: String| Refusal::new(codes::INVALID_REPLICA_ASSIGNMENT, message);
    let mut sorted: Vec<_> = assignments.iter().collect();
    sorted.sort_by_key(|assignment| assignment.partition_index);
    let mut all = Vec::new();
    for (expected, assignment) in (0..).zip(sorted) {
        let index = assignment.partition_index;
        let replicas: Vec<i32> = assignment.broker_ids.iter().map(|id| id.0).collect();
        let distinct: BTreeSet<_> = replicas.iter().copied().collect();
        if index != expected {
            return Err(refuse(format!("partition {index} is assigned, expected {expected}: no gaps, none twice")));
        }
        if replicas.is_empty() || distinct.len() != replicas.len() || !distinct.iter().all(|id| state.is_up(*id)) {
            return Err(refuse(format!("partition {index} is assigned to {replicas:?}, expected nodes that are up")));
        }
        if all.first().is_some_and(|first: &Vec<i32>| first.len() != replicas.len()) {
            return Err(refuse(format!("partition {index} has another number of replicas than partition 0")));
        }
        all.push(replicas);
    }
    Ok(all)
}

fn success(topic: &Topic, call: &Call<'_>) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_topic_id(topic.id);
    if call.version < 5 {
        return result;
    }
    let settings = topic.config.settings().into_iter().map(|setting| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(setting.name))
            .with_value(Some(StrBytes::from_string(setting.value)))
            .with_config_source(if setting.is_default { 5 } else { 1 })
    });
    let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    result
        .with_num_partitions(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
        .with_replication_factor(i16::try_from(replicas).unwrap_or(i16::MAX))
        .with_configs(Some(settings.collect()))
}
