//! DescribeTopicPartitions (75), v0. Pure.
//!
//! Behaviour (KIP-966):
//! * Tells of topics by rising name, of all of them if the request names none, and of at most as many partitions as the request wants, but never more
//!   than 2,000. What is left begins at the cursor of the response, which the next request brings along.
//! * A topic that does not exist: `UNKNOWN_TOPIC_OR_PARTITION`, or `INVALID_TOPIC_EXCEPTION`. One that the client may not DESCRIBE is left out of all
//!   topics, and else `TOPIC_AUTHORIZATION_FAILED`, at the end of the response and whether it exists or not.
//! * A cursor at a topic that the request does not name, or below partition 0: `INVALID_REQUEST` for every topic that it names.
//! * What the client may do with a topic is always told.
//! * An empty name is `INVALID_TOPIC_EXCEPTION`, where Apache Kafka has `UNKNOWN_SERVER_ERROR` for all topics that are named with it.
//! * Replicas that may be elected although they are not in sync are never told: there are none.

use std::collections::BTreeSet;

use kafka_protocol::{
    messages::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        describe_topic_partitions_response::{
            Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
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

/// `max.request.partition.size.limit`
const MOST: usize = 2_000;

impl Handler for DescribeTopicPartitionsRequest {
    const API: Api = Api::DescribeTopicPartitions;
    const SERVED: (i16, i16) = (0, 0);

    fn targets(&self, _state: &State) -> Vec<Target> {
        self.topics.iter().map(|topic| Target { topic: topic.name.to_string(), partition: None }).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<DescribeTopicPartitionsResponse> {
        let response = if has_valid_cursor(self) { describe(self, state, call) } else { refuse(self) };
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn has_valid_cursor(request: &DescribeTopicPartitionsRequest) -> bool {
    let Some(cursor) = &request.cursor else { return true };
    let is_named = request.topics.is_empty() || request.topics.iter().any(|topic| topic.name == cursor.topic_name);
    is_named && cursor.partition_index >= 0
}

/// The first topic, and its first partition.
fn start(request: &DescribeTopicPartitionsRequest) -> (&str, usize) {
    let Some(cursor) = &request.cursor else { return ("", 0) };
    (cursor.topic_name.as_str(), usize::try_from(cursor.partition_index).unwrap_or(0))
}

fn refuse(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = request.topics.iter().map(|topic| named(&topic.name, ErrorCode::INVALID_REQUEST));
    DescribeTopicPartitionsResponse::default().with_topics(refused.collect())
}

fn describe(
    request: &DescribeTopicPartitionsRequest,
    state: &State,
    call: &Call<'_>,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let (first_topic, first_partition) = start(request);
    let named_topics = request.topics.iter().map(|topic| topic.name.as_str());
    let names: BTreeSet<&str> =
        if all { state.topics.keys().map(String::as_str).collect() } else { named_topics.collect() };
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, MOST);
    let (mut topics, mut hidden, mut next) = (Vec::new(), Vec::new(), None);
    for name in names.range(first_topic..).copied() {
        if !call.may(state, Operation::Describe, name) {
            hidden.push(named(name, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
            continue;
        }
        if left == 0 {
            next = Some(cursor(name, 0));
            break;
        }
        let start = if name == first_topic { first_partition } else { 0 };
        let (topic, rest) = describe_topic(state, call, name, start, left);
        left = left.saturating_sub(topic.partitions.len());
        let rights = state.acls.operations(&call.session.requester(), Kind::Topic, name);
        topics.push(topic.with_topic_authorized_operations(rights));
        if let Some(partition) = rest {
            next = Some(cursor(name, partition));
            break;
        }
    }
    if !all {
        topics.append(&mut hidden);
    }
    DescribeTopicPartitionsResponse::default().with_topics(topics).with_next_cursor(next)
}

/// A topic with at most so many partitions, and the first partition that is left out.
fn describe_topic(
    state: &State,
    call: &Call<'_>,
    name: &str,
    start: usize,
    most: usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<usize>) {
    if let Some(code) = call.plan.topic_refusal(name) {
        return (named(name, code), None);
    }
    let Some(topic) = state.topics.get(name) else {
        let is_legal = check_topic_name(name).is_ok();
        let code = if is_legal { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION };
        return (named(name, code), None);
    };
    let wanted = (0..).zip(&topic.partitions).skip(start).take(most);
    let partitions = wanted.map(|(index, partition)| {
        let injected = call.plan.refusal(name, Some(index)).unwrap_or(ErrorCode::NONE);
        response_of(state, partition).with_partition_index(index).with_error_code(injected.0)
    });
    let end = start.saturating_add(most);
    let told = named(name, ErrorCode::NONE).with_topic_id(topic.id).with_partitions(partitions.collect());
    (told, (end < topic.partitions.len()).then_some(end))
}

fn named(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(StrBytes::from_string(name.to_owned()).into()))
        .with_error_code(code.0)
        .with_topic_id(TopicId::nil())
}

fn cursor(topic: &str, partition: usize) -> Cursor {
    Cursor::default()
        .with_topic_name(StrBytes::from_string(topic.to_owned()).into())
        .with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX))
}

fn response_of(state: &State, partition: &PartitionLog) -> DescribeTopicPartitionsResponsePartition {
    let down = partition.replicas.iter().filter(|node| !state.is_up(**node));
    DescribeTopicPartitionsResponsePartition::default()
        .with_leader_id(partition.leader.unwrap_or(-1).into())
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(partition.replicas.iter().map(|node| (*node).into()).collect())
        .with_isr_nodes(partition.in_sync(|node| state.is_up(node)).into_iter().map(Into::into).collect())
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(down.map(|node| (*node).into()).collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as Wanted, TopicRequest};

    use super::*;
    use crate::broker::{
        Builder, EmbeddedBroker, Fault,
        testing::{TestCluster, name},
    };

    fn cluster(builder: Builder) -> TestCluster {
        TestCluster::new(builder.topic("a", 3).topic("b", 2).topic("c", 1), 3)
    }

    fn request(topics: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        let topics = topics.iter().map(|topic| TopicRequest::default().with_name(name(topic)));
        let cursor = cursor
            .map(|(topic, partition)| Wanted::default().with_topic_name(name(topic)).with_partition_index(partition));
        DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor)
    }

    /// Each topic with its partitions, and where the next response begins.
    fn told(cluster: &mut TestCluster, request: &DescribeTopicPartitionsRequest) -> String {
        let response = cluster.ask(1, 0, request);
        let topics = response.topics.iter().map(|topic| {
            let partitions: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
            format!("{} {} {partitions:?}", topic.name.as_ref().unwrap().as_str(), topic.error_code)
        });
        let topics: Vec<_> = topics.collect();
        let next =
            response.next_cursor.map(|next| format!(" next {} {}", next.topic_name.as_str(), next.partition_index));
        format!("{}{}", topics.join(", "), next.unwrap_or_default())
    }

    #[test]
    fn a_topic_is_told_with_leaders_and_replicas() {
        let mut cluster = cluster(EmbeddedBroker::builder());
        cluster.state.stop(2);
        let topic = cluster.ask(1, 0, &request(&["a"], 9, None)).topics.remove(0);
        assert_eq!(topic.topic_id, cluster.state.topics["a"].id);
        let partition = &topic.partitions[1];
        assert_eq!((partition.leader_id.0, partition.leader_epoch, partition.error_code), (3, 1, 0));
        assert_eq!(partition.replica_nodes, [2, 3, 1]);
        assert_eq!(
            (&partition.isr_nodes[..], &partition.offline_replicas[..]),
            (&[3.into(), 1.into()][..], &[2.into()][..])
        );
        assert_eq!(partition.eligible_leader_replicas.as_deref(), Some(&[][..]));
    }

    #[test]
    fn partitions_are_told_in_pages_by_rising_name() {
        let mut cluster = cluster(EmbeddedBroker::builder());
        for (topics, limit, cursor, expected) in [
            (&[][..], 9, None, "a 0 [0, 1, 2], b 0 [0, 1], c 0 [0]"),
            (&["c", "a", "c"], 9, None, "a 0 [0, 1, 2], c 0 [0]"),
            (&[], 2, None, "a 0 [0, 1] next a 2"),
            (&[], 2, Some(("a", 2)), "a 0 [2], b 0 [0] next b 1"),
            (&[], 2, Some(("b", 1)), "b 0 [1], c 0 [0]"),
            (&[], 3, None, "a 0 [0, 1, 2] next b 0"),
            (&[], 0, None, "a 0 [0] next a 1"),
            (&[], -5, None, "a 0 [0] next a 1"),
            (&[], i32::MAX, Some(("aa", 7)), "b 0 [0, 1], c 0 [0]"),
            (&[], 9, Some(("b", i32::MAX)), "b 0 [], c 0 [0]"),
            (&["a", "b"], 9, Some(("b", 0)), "b 0 [0, 1]"),
            (&[], 9, Some(("z", 0)), ""),
        ] {
            assert_eq!(told(&mut cluster, &request(topics, limit, cursor)), expected, "{topics:?} {limit} {cursor:?}");
        }
    }

    #[test]
    fn topics_and_cursors_that_are_not_here_are_refused() {
        let mut cluster = cluster(EmbeddedBroker::builder());
        assert_eq!(told(&mut cluster, &request(&["nothing", "a b", "c"], 9, None)), "a b 17 [], c 0 [0], nothing 3 []");
        assert_eq!(told(&mut cluster, &request(&["a", "c"], 9, Some(("b", 0)))), "a 42 [], c 42 []");
        assert_eq!(told(&mut cluster, &request(&["a"], 9, Some(("a", -1)))), "a 42 []");
        assert_eq!(told(&mut cluster, &request(&[], 9, Some(("a", -1)))), "");
        cluster.state.inject(Fault::error(ErrorCode::UNKNOWN_SERVER_ERROR).at_topic("a"));
        assert_eq!(told(&mut cluster, &request(&["a", "c"], 9, None)), "a -1 [], c 0 [0]");
    }

    #[test]
    fn no_more_than_the_most_are_told_whatever_the_request_wants() {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("wide", MOST + 1), 1);
        let response = cluster.ask(1, 0, &request(&[], i32::MAX, None));
        let next = response.next_cursor.map(|next| next.partition_index);
        assert_eq!((response.topics[0].partitions.len(), next), (MOST, Some(2_000)));
    }

    #[test]
    fn who_may_not_see_a_topic_does_not_learn_whether_it_exists() {
        let rule = "User:ANONYMOUS DESCRIBE topic b".parse().unwrap();
        let mut cluster = cluster(EmbeddedBroker::builder().acl(rule));
        assert_eq!(told(&mut cluster, &request(&[], 9, None)), "b 0 [0, 1]");
        assert_eq!(told(&mut cluster, &request(&["nothing", "a", "b"], 9, None)), "b 0 [0, 1], a 29 [], nothing 29 []");
        let response = cluster.ask(1, 0, &request(&["a", "b"], 9, None));
        let rights: Vec<_> = response.topics.iter().map(|topic| topic.topic_authorized_operations).collect();
        assert_eq!(rights, [1 << Operation::Describe.code(), i32::MIN]);
        assert!(response.topics[1].topic_id.is_nil());
    }
}
