//! Metadata (3), v0–13 [P]
//!
//! Behaviour:
//! * Lists the nodes that are up; the controller is the first of them.
//! * A topic that does not exist is created if both the broker (`auto.create.topics.enable`) and the request allow it.
//!   The answer is `UNKNOWN_TOPIC_OR_PARTITION` all the same and the next request finds the topic, as with KRaft.
//! * An illegal name is `INVALID_TOPIC_EXCEPTION`, an unknown id `UNKNOWN_TOPIC_ID`.
//! * A partition without leader has the error `LEADER_NOT_AVAILABLE` and the leader -1.
//!
//! Version notes:
//! * v0: an empty list of topics stands for all of them; from v1 on that is null
//! * v4: `allow_auto_topic_creation`; before, it is implied
//! * v10: topic ids in the response; v12: in the request

use kafka_protocol::{
    messages::{
        MetadataRequest, MetadataResponse,
        metadata_request::MetadataRequestTopic,
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::StrBytes,
};

use super::{Answer, Api, Call, Handler};
use crate::{
    broker::{
        codes,
        faults::Target,
        state::State,
        topic::{self, Partition},
    },
    cluster::TopicId,
    error::ErrorCode,
};

impl Handler for MetadataRequest {
    const API: Api = Api::Metadata;
    const SERVED: (i16, i16) = (0, 13);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let names = self.topics.iter().flatten().filter_map(|topic| topic.name.as_ref());
        names.map(|name| Target { topic: name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<MetadataResponse> {
        let all = self.topics.as_ref().is_none_or(|topics| call.version == 0 && topics.is_empty());
        let topics = if all {
            let names: Vec<_> = state.topics.keys().cloned().collect();
            names.iter().map(|name| by_name(state, call, name, false)).collect()
        } else {
            let may_create = self.allow_auto_topic_creation || call.version < 4;
            self.topics.iter().flatten().map(|topic| describe(state, call, topic, may_create)).collect()
        };
        let nodes = state.nodes_up().map(|(id, node)| {
            let host = StrBytes::from_string(node.host.clone());
            MetadataResponseBroker::default().with_node_id(id.into()).with_host(host).with_port(node.port.into())
        });
        let response = MetadataResponse::default()
            .with_throttle_time_ms(call.plan.throttle_ms())
            .with_brokers(nodes.collect())
            .with_cluster_id(Some(StrBytes::from_string(state.settings.cluster_id.clone())))
            .with_controller_id(state.nodes_up().next().map_or(-1, |(id, _)| id).into())
            .with_topics(topics);
        Answer::Reply(response)
    }
}

fn describe(
    state: &mut State,
    call: &Call<'_>,
    wanted: &MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    match &wanted.name {
        Some(name) if wanted.topic_id.is_nil() => by_name(state, call, name, may_create),
        _ => match state.topic_by_id(wanted.topic_id).map(|(name, _)| name.clone()) {
            Some(name) => by_name(state, call, &name, false),
            None => failed(codes::UNKNOWN_TOPIC_ID).with_topic_id(wanted.topic_id),
        },
    }
}

fn by_name(state: &mut State, call: &Call<'_>, name: &str, may_create: bool) -> MetadataResponseTopic {
    let named = |topic: MetadataResponseTopic| topic.with_name(Some(StrBytes::from_string(name.to_owned()).into()));
    if let Some(code) = call.plan.refusal(name, None).filter(|_| !state.topics.contains_key(name)) {
        return named(failed(code));
    }
    let Some(topic) = state.topics.get(name) else { return named(failed(missing(state, name, may_create))) };
    let partitions = (0..).zip(&topic.partitions).map(|(index, partition)| {
        let injected = call.plan.refusal(name, Some(index));
        tell(state, partition).with_partition_index(index).with_error_code(match (injected, partition.leader) {
            (Some(code), _) => code.0,
            (None, None) => ErrorCode::LEADER_NOT_AVAILABLE.0,
            (None, Some(_)) => 0,
        })
    });
    named(failed(ErrorCode::NONE)).with_topic_id(topic.id).with_partitions(partitions.collect())
}

fn failed(code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(code.0).with_topic_id(TopicId::nil())
}

/// The error for a topic that is not there, which it may be from now on.
fn missing(state: &mut State, name: &str, may_create: bool) -> ErrorCode {
    if topic::name_error(name).is_some() {
        return ErrorCode::INVALID_TOPIC_EXCEPTION;
    }
    if may_create && state.settings.auto_create {
        let config = state.settings.topic_defaults.clone();
        if let Err(refusal) = state.create_topic(name, -1, -1, config) {
            return refusal.code;
        }
    }
    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
}

fn tell(state: &State, partition: &Partition) -> MetadataResponsePartition {
    let down = partition.replicas.iter().filter(|node| !state.is_up(**node));
    MetadataResponsePartition::default()
        .with_leader_id(partition.leader.unwrap_or(-1).into())
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(partition.replicas.iter().map(|node| (*node).into()).collect())
        .with_isr_nodes(partition.in_sync(|node| state.is_up(node)).into_iter().map(Into::into).collect())
        .with_offline_replicas(down.map(|node| (*node).into()).collect())
}
