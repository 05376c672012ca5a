//! OffsetFetch (9), v1–9. Pure.
//!
//! Behaviour:
//! * Tells what a group has committed for some partitions, or without topics for all of them. What was not committed has offset -1, and so has everything
//!   of a group that does not exist.
//! * A client that may not DESCRIBE the group: `GROUP_AUTHORIZATION_FAILED`; that may not DESCRIBE a topic: `TOPIC_AUTHORIZATION_FAILED`, and where all are
//!   asked for, the topic is left out.
//!
//! Version notes:
//! * v2: an error of the group, which is one of its partitions before; all partitions; v5: leader epoch; v6: flexible; v7: stable offsets, as all
//!   are; v8: many groups at once; v9: member and epoch, which mean nothing to a group of the classic protocol

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        OffsetFetchRequest, OffsetFetchResponse, TopicName,
        offset_fetch_request::{OffsetFetchRequestTopic, OffsetFetchRequestTopics},
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    protocol::StrBytes,
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{
        acls::Operation,
        groups::{Committed, Offsets},
        kind::Api,
        state::State,
    },
    error::ErrorCode,
};

/// The first version that asks for many groups.
const BATCHED: i16 = 8;
/// The first version in which a group can have an error.
const GROUP_ERROR: i16 = 2;

impl Handler for OffsetFetchRequest {
    const API: Api = Api::OffsetFetch;
    const SERVED: (i16, i16) = (1, 9);

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<OffsetFetchResponse> {
        let response = OffsetFetchResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        if call.version >= BATCHED {
            let groups = self.groups.iter().map(|group| fetch(state, call, &group.group_id, group.topics.as_deref()));
            return Response::Reply(response.with_groups(groups.collect()));
        }
        let topics: Option<Vec<_>> = self.topics.as_ref().map(|topics| topics.iter().map(as_batched).collect());
        let group = fetch(state, call, &self.group_id, topics.as_deref());
        let response = response.with_topics(group.topics.into_iter().map(as_single).collect());
        Response::Reply(response.with_error_code(if call.version < GROUP_ERROR { 0 } else { group.error_code }))
    }
}

fn as_batched(topic: &OffsetFetchRequestTopic) -> OffsetFetchRequestTopics {
    OffsetFetchRequestTopics::default()
        .with_name(topic.name.clone())
        .with_partition_indexes(topic.partition_indexes.clone())
}

fn as_single(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|one| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(one.partition_index)
            .with_committed_offset(one.committed_offset)
            .with_committed_leader_epoch(one.committed_leader_epoch)
            .with_metadata(one.metadata)
            .with_error_code(one.error_code)
    });
    OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
}

fn fetch(
    state: &State,
    call: &Call<'_>,
    group: &StrBytes,
    topics: Option<&[OffsetFetchRequestTopics]>,
) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(group.clone().into());
    if let Err(code) = check(state, call, group) {
        let failed = |topic: &OffsetFetchRequestTopics| failed(topic, code);
        // Before there were errors of groups, each partition had it.
        let topics = topics.filter(|_| call.version < GROUP_ERROR).unwrap_or_default();
        return response.with_error_code(code.0).with_topics(topics.iter().map(failed).collect());
    }
    let offsets = state.groups.offsets(group);
    match topics {
        Some(topics) => response.with_topics(some(state, call, offsets, topics)),
        None => response.with_topics(offsets.map(|offsets| all(state, call, offsets)).unwrap_or_default()),
    }
}

fn check(state: &State, call: &Call<'_>, group: &str) -> Result<(), ErrorCode> {
    if let Some(code) = call.plan.top_error() {
        return Err(code);
    }
    if !call.may_with_group(state, Operation::Describe, group) {
        return Err(ErrorCode::GROUP_AUTHORIZATION_FAILED);
    }
    call.check_coordinator(state, group)
}

/// As in Apache Kafka, topics that may not be seen come last.
fn some(
    state: &State,
    call: &Call<'_>,
    offsets: Option<&Offsets>,
    topics: &[OffsetFetchRequestTopics],
) -> Vec<OffsetFetchResponseTopics> {
    let (seen, hidden): (Vec<_>, Vec<_>) =
        topics.iter().partition(|topic| call.may(state, Operation::Describe, &topic.name));
    let tell = |topic: &&OffsetFetchRequestTopics| {
        let committed = |partition: i32| offsets.and_then(|offsets| offsets.get(&topic.name, partition));
        let partitions = topic.partition_indexes.iter().map(|partition| tell(*partition, committed(*partition)));
        of_topic(topic.name.clone(), partitions)
    };
    let hidden = hidden.into_iter().map(|topic| failed(topic, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    seen.iter().map(tell).chain(hidden).collect()
}

fn all(state: &State, call: &Call<'_>, offsets: &Offsets) -> Vec<OffsetFetchResponseTopics> {
    let seen = offsets.topics().filter(|(topic, _)| call.may(state, Operation::Describe, topic));
    let tell = |(topic, partitions): (&String, &BTreeMap<i32, Committed>)| {
        let partitions = partitions.iter().map(|(partition, committed)| tell(*partition, Some(committed)));
        of_topic(StrBytes::from_string(topic.clone()).into(), partitions)
    };
    seen.map(tell).collect()
}

fn of_topic(
    name: TopicName,
    partitions: impl Iterator<Item = OffsetFetchResponsePartitions>,
) -> OffsetFetchResponseTopics {
    OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
}

fn tell(partition: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    let none = OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::default()));
    match committed {
        None => none,
        Some(committed) => none
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(StrBytes::from_string(committed.metadata.clone()))),
    }
}

fn failed(topic: &OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|partition| tell(*partition, None).with_error_code(code.0));
    of_topic(topic.name.clone(), partitions)
}
