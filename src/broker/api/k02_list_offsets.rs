//! ListOffsets (2), v1–10 [P]
//!
//! Behaviour, by timestamp:
//! * -1: the log's end. -2 and -4 (earliest local): its start. -3: the first record with the largest timestamp.
//!   -5 (latest tiered): none, as without tiered storage.
//! * Otherwise: the first record whose timestamp is at least that. None: offset and timestamp -1.
//!
//! Version notes:
//! * v2: isolation level, disregarded; v4: leader epoch; v6: flexible; v7: -3; v8: -4; v9: -5; v10: timeout,
//!   disregarded

use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
};

use super::{Answer, Api, Call, Handler};
use crate::{
    broker::{faults::Target, log::Found, state::State, topic::Partition},
    error::ErrorCode,
};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;

impl Handler for ListOffsetsRequest {
    const API: Api = Api::ListOffsets;
    const SERVED: (i16, i16) = (1, 10);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let partitions = |topic: &ListOffsetsTopic| {
            let name = topic.name.to_string();
            let target =
                move |p: &ListOffsetsPartition| Target { topic: name.clone(), partition: Some(p.partition_index) };
            topic.partitions.iter().map(target).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(partitions).collect()
    }

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<ListOffsetsResponse> {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| answer(state, call, &topic.name, wanted));
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        let response = ListOffsetsResponse::default().with_topics(topics.collect());
        Answer::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn answer(state: &State, call: &Call<'_>, topic: &str, wanted: &ListOffsetsPartition) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(wanted.partition_index)
        .with_offset(-1)
        .with_timestamp(-1);
    match look_up(state, call, topic, wanted) {
        Err(code) => response.with_error_code(code.0),
        Ok(None) => response,
        Ok(Some(found)) => {
            let response = response.with_offset(found.offset).with_timestamp(found.timestamp);
            if call.version >= 4 { response.with_leader_epoch(found.leader_epoch) } else { response }
        }
    }
}

fn look_up(
    state: &State,
    call: &Call<'_>,
    topic: &str,
    wanted: &ListOffsetsPartition,
) -> Result<Option<Found>, ErrorCode> {
    if let Some(code) = call.plan.refusal(topic, Some(wanted.partition_index)) {
        return Err(code);
    }
    let topic = state.topics.get(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(wanted.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    partition.check_leader(call.node, wanted.current_leader_epoch)?;
    Ok(find(partition, wanted.timestamp))
}

fn find(partition: &Partition, timestamp: i64) -> Option<Found> {
    let leader_epoch = partition.leader_epoch;
    let edge = |offset| Some(Found { offset, timestamp: -1, leader_epoch });
    match timestamp {
        LATEST => edge(partition.log.end_offset()),
        EARLIEST | EARLIEST_LOCAL => edge(partition.log.start_offset()),
        MAX_TIMESTAMP => partition.log.at_max_timestamp(),
        0.. => partition.log.at_or_after(timestamp),
        _ => None,
    }
}
