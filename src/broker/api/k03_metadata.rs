//! Metadata (3), v0–13. Pure.
//!
//! Behaviour:
//! * Lists the nodes that are up; the controller is the first of them.
//! * A topic that does not exist is created if both the broker (`auto.create.topics.enable`) and the request allow it.
//!   The response is `UNKNOWN_TOPIC_OR_PARTITION` all the same and the next request finds the topic, as with KRaft.
//! * An illegal name is `INVALID_TOPIC_EXCEPTION`, an unknown id `UNKNOWN_TOPIC_ID`.
//! * A topic that the client may not DESCRIBE is left out of a list of all topics, and else `TOPIC_AUTHORIZATION_FAILED`, whether it
//!   exists or not. So is one that does not exist and that the client may CREATE neither itself nor on the cluster, where the
//!   request would create it.
//! * A partition without leader has the error `LEADER_NOT_AVAILABLE` and the leader -1.
//!
//! Version notes:
//! * v0: an empty list of topics stands for all of them; from v1 on that is null
//! * v4: `allow_auto_topic_creation`; before, it is implied
//! * v8: what the client may do with a topic, if it asks (KIP-430). It is not told of the cluster.
//! * v10: topic ids in the response; v12: in the request

use kafka_protocol::{
    messages::{
        MetadataRequest, MetadataResponse,
        metadata_request::MetadataRequestTopic,
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::{Kind, Operation},
        faults::Target,
        kind::Api,
        state::State,
        topic::PartitionLog,
    },
    cluster::TopicId,
    error::ErrorCode,
    record::topic::check_topic_name,
};

/// The first version that tells what a client may do.
const RIGHTS_SINCE: i16 = 8;
/// The first version in which a request may name a topic by its id.
const IDS_SINCE: i16 = 12;

impl Handler for MetadataRequest {
    const API: Api = Api::Metadata;
    const SERVED: (i16, i16) = (0, 13);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let names = self.topics.iter().flatten().filter_map(|topic| topic.name.as_ref());
        names.map(|name| Target { topic: name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<MetadataResponse> {
        let all = self.topics.as_ref().is_none_or(|topics| call.version == 0 && topics.is_empty());
        let mut topics: Vec<_> = if all {
            let names: Vec<_> = state.topics.keys().cloned().collect();
            let names = names.iter().filter(|name| call.may(state, Operation::Describe, name)).collect::<Vec<_>>();
            names.into_iter().map(|name| by_name(state, call, name, false)).collect()
        } else {
            let may_create = self.allow_auto_topic_creation || call.version < 4;
            self.topics.iter().flatten().map(|topic| describe(state, call, topic, may_create)).collect()
        };
        if self.include_topic_authorized_operations && call.version >= RIGHTS_SINCE {
            topics.iter_mut().for_each(|topic| tell_rights(state, call, topic));
        }
        let nodes = state.nodes_up().map(|(id, node)| {
            let host = StrBytes::from_string(node.host.clone());
            MetadataResponseBroker::default()
                .with_node_id(id.into())
                .with_host(host)
                .with_port(node.port.into())
                .with_rack(state.settings.rack(id))
        });
        let response = MetadataResponse::default()
            .with_throttle_time_ms(call.plan.throttle_ms())
            .with_brokers(nodes.collect())
            .with_cluster_id(Some(StrBytes::from_string(state.settings.cluster_id.clone())))
            .with_controller_id(state.nodes_up().next().map_or(-1, |(id, _)| id).into())
            .with_topics(topics);
        Response::Reply(response)
    }
}

/// What the client may do with a topic that it may see, if it wants to know.
fn tell_rights(state: &State, call: &Call<'_>, topic: &mut MetadataResponseTopic) {
    let is_hidden = topic.error_code == ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
    if let Some(name) = topic.name.as_ref().filter(|_| !is_hidden) {
        topic.topic_authorized_operations = state.acls.operations(&call.session.requester(), Kind::Topic, name);
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
        _ if call.version < IDS_SINCE => failed(ErrorCode::INVALID_REQUEST),
        _ => match state.topic_by_id(wanted.topic_id).map(|(name, _)| name.clone()) {
            // Ids are no secret, as names are.
            Some(name) if !call.may(state, Operation::Describe, &name) => {
                failed(ErrorCode::TOPIC_AUTHORIZATION_FAILED).with_topic_id(wanted.topic_id).with_name(None)
            }
            Some(name) => by_name(state, call, &name, false),
            None => failed(ErrorCode::UNKNOWN_TOPIC_ID).with_topic_id(wanted.topic_id).with_name(None),
        },
    }
}

fn by_name(state: &mut State, call: &Call<'_>, name: &str, may_create: bool) -> MetadataResponseTopic {
    let named = |topic: MetadataResponseTopic| topic.with_name(Some(StrBytes::from_string(name.to_owned()).into()));
    if let Some(code) = call.plan.topic_refusal(name) {
        return named(failed(code));
    }
    if !call.may(state, Operation::Describe, name) {
        return named(failed(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    }
    let Some(topic) = state.topics.get(name) else { return named(failed(missing(state, call, name, may_create))) };
    let partitions = (0..).zip(&topic.partitions).map(|(index, partition)| {
        let injected = call.plan.refusal(name, Some(index));
        response_of(state, partition).with_partition_index(index).with_error_code(match (injected, partition.leader) {
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

/// The error for a topic that does not exist. The topic is created if it may be.
fn missing(state: &mut State, call: &Call<'_>, name: &str, may_create: bool) -> ErrorCode {
    let creates = may_create && state.settings.auto_create;
    let may =
        |state: &State| call.may_with_cluster(state, Operation::Create) || call.may(state, Operation::Create, name);
    if creates && !may(state) {
        return ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    }
    if check_topic_name(name).is_err() {
        return ErrorCode::INVALID_TOPIC_EXCEPTION;
    }
    if creates {
        let config = state.settings.topic_defaults.clone();
        if let Err(refusal) = state.create_topic(name, -1, -1, config) {
            return refusal.code;
        }
    }
    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
}

fn response_of(state: &State, partition: &PartitionLog) -> MetadataResponsePartition {
    let down = partition.replicas.iter().filter(|node| !state.is_up(**node));
    MetadataResponsePartition::default()
        .with_leader_id(partition.leader.unwrap_or(-1).into())
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(partition.replicas.iter().map(|node| (*node).into()).collect())
        .with_isr_nodes(partition.in_sync(|node| state.is_up(node)).into_iter().map(Into::into).collect())
        .with_offline_replicas(down.map(|node| (*node).into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        Builder, EmbeddedBroker, Fault,
        testing::{TestCluster, name},
    };

    fn cluster(builder: Builder) -> TestCluster {
        TestCluster::new(builder.topic("orders", 3), 3)
    }

    fn default_cluster() -> TestCluster {
        cluster(EmbeddedBroker::builder())
    }

    fn named(topic: &str) -> MetadataRequest {
        let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
        MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true)
    }

    fn topic(cluster: &mut TestCluster, version: i16, request: &MetadataRequest) -> MetadataResponseTopic {
        cluster.ask(1, version, request).topics.remove(0)
    }

    fn code(cluster: &mut TestCluster, topic_name: &str) -> ErrorCode {
        ErrorCode(topic(cluster, 12, &named(topic_name)).error_code)
    }

    #[test]
    fn every_version_tells_nodes_and_leaders() {
        for version in 0..=13 {
            let response = default_cluster().ask(1, version, &named("orders"));
            let ports: Vec<_> = response.brokers.iter().map(|broker| (broker.node_id.0, broker.port)).collect();
            assert_eq!(ports, [(1, 9001), (2, 9002), (3, 9003)]);
            let leaders: Vec<_> =
                response.topics[0].partitions.iter().map(|p| (p.partition_index, p.leader_id.0)).collect();
            assert_eq!(leaders, [(0, 1), (1, 2), (2, 3)]);
            assert_eq!(response.topics[0].topic_id.is_nil(), version < 10);
        }
    }

    #[test]
    fn all_topics_are_told_when_none_is_named() {
        let mut cluster = cluster(EmbeddedBroker::builder().topic("other", 1));
        let count = |cluster: &mut TestCluster, version, topics| {
            cluster.ask(1, version, &MetadataRequest::default().with_topics(topics)).topics.len()
        };
        assert_eq!(count(&mut cluster, 0, Some(vec![])), 2);
        assert_eq!(count(&mut cluster, 1, Some(vec![])), 0);
        assert_eq!(count(&mut cluster, 1, None), 2);
    }

    #[test]
    fn a_topic_is_created_on_demand_and_found_by_the_next_request() {
        let mut cluster = cluster(EmbeddedBroker::builder().default_partitions(2));
        assert_eq!(code(&mut cluster, "fresh"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(topic(&mut cluster, 12, &named("fresh")).partitions.len(), 2);
    }

    #[test]
    fn no_topic_is_created_unless_broker_and_request_allow_it() {
        let mut cluster = cluster(EmbeddedBroker::builder().auto_create(false));
        let mut open = default_cluster();
        for _attempt in 0..2 {
            assert_eq!(code(&mut cluster, "fresh"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let request = named("fresh").with_allow_auto_topic_creation(false);
            let refused = topic(&mut open, 4, &request);
            assert_eq!(ErrorCode(refused.error_code), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        assert!(!cluster.state.topics.contains_key("fresh") && !open.state.topics.contains_key("fresh"));
    }

    #[test]
    fn illegal_names_are_refused_and_create_nothing() {
        let mut cluster = default_cluster();
        let long = "x".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "ä", &long] {
            assert_eq!(code(&mut cluster, name), ErrorCode::INVALID_TOPIC_EXCEPTION, "{name:?}");
        }
        assert_eq!(cluster.state.topics.len(), 1);
    }

    #[test]
    fn a_topic_can_be_asked_for_by_its_id() {
        let mut cluster = default_cluster();
        let by_id = |id| {
            let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
            MetadataRequest::default().with_topics(Some(vec![topic]))
        };
        let id = cluster.state.topics["orders"].id;
        assert_eq!(topic(&mut cluster, 12, &by_id(id)).name, Some(name("orders")));
        let missing = topic(&mut cluster, 12, &by_id(TopicId::from_u128(1)));
        assert_eq!((ErrorCode(missing.error_code), missing.name), (ErrorCode::UNKNOWN_TOPIC_ID, None));
        let too_old = topic(&mut cluster, 11, &by_id(id));
        assert_eq!(ErrorCode(too_old.error_code), ErrorCode::INVALID_REQUEST);
    }

    #[test]
    fn a_topic_that_is_created_anew_has_another_id() {
        let mut cluster = default_cluster();
        let before = topic(&mut cluster, 12, &named("orders")).topic_id;
        cluster.state.remove_topic("orders");
        cluster.state.add_topic("orders", 1).unwrap();
        assert_ne!(topic(&mut cluster, 12, &named("orders")).topic_id, before);
    }

    #[test]
    fn nodes_that_are_down_are_left_out_and_their_partitions_have_other_leaders() {
        let mut cluster = default_cluster();
        cluster.state.stop(2);
        let response = cluster.ask(1, 12, &named("orders"));
        assert_eq!(response.brokers.iter().map(|broker| broker.node_id.0).collect::<Vec<_>>(), [1, 3]);
        let partition = &response.topics[0].partitions[1];
        assert_eq!((partition.leader_id.0, partition.leader_epoch), (3, 1));
        assert_eq!(partition.replica_nodes, [2, 3, 1]);
        assert_eq!(partition.isr_nodes, [3, 1]);
        assert_eq!(partition.offline_replicas, [2]);
    }

    #[test]
    fn a_partition_whose_only_replica_is_down_has_no_leader_until_it_is_back() {
        let mut cluster = cluster(EmbeddedBroker::builder().replication_factor(1));
        cluster.state.stop(2);
        let partition = topic(&mut cluster, 12, &named("orders")).partitions.remove(1);
        assert_eq!((ErrorCode(partition.error_code), partition.leader_id.0), (ErrorCode::LEADER_NOT_AVAILABLE, -1));
        cluster.state.restart(2);
        let partition = topic(&mut cluster, 12, &named("orders")).partitions.remove(1);
        assert_eq!((partition.error_code, partition.leader_id.0, partition.leader_epoch), (0, 2, 2));
    }

    #[test]
    fn injected_errors_stand_at_the_topic_or_at_one_partition() {
        let mut cluster = default_cluster();
        cluster.state.inject(Fault::error(ErrorCode::LEADER_NOT_AVAILABLE).on(Api::Metadata).at("orders", 2));
        let response = topic(&mut cluster, 12, &named("orders"));
        let codes: Vec<_> = response.partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!((response.error_code, codes), (0, vec![0, 0, 5]));
        cluster.state.inject(Fault::error(ErrorCode(29)).on(Api::Metadata).at_topic("orders"));
        let response = topic(&mut cluster, 12, &named("orders"));
        assert_eq!((response.error_code, response.partitions.len()), (29, 0));
    }
}
