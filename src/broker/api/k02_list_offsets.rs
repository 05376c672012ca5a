//! ListOffsets (2), v1–10. Pure.
//!
//! Behaviour, by timestamp:
//! * -1: the log's end. -2 and -4 (earliest local): its start. -3: the first record with the largest timestamp.
//!   -5 (latest tiered): none, as without tiered storage.
//! * Otherwise: the first record whose timestamp is at least that. None: offset and timestamp -1.
//!
//! A client that may not DESCRIBE a topic: `TOPIC_AUTHORIZATION_FAILED`.
//!
//! Version notes:
//! * v2: isolation level, disregarded; v4: leader epoch; v6: flexible; v7: -3; v8: -4; v9: -5; v10: timeout,
//!   disregarded

use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, faults::Target, kind::Api, log::Found, state::State, topic::PartitionLog},
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

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<ListOffsetsResponse> {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| respond(state, call, &topic.name, wanted));
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        let response = ListOffsetsResponse::default().with_topics(topics.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn respond(state: &State, call: &Call<'_>, topic: &str, wanted: &ListOffsetsPartition) -> ListOffsetsPartitionResponse {
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
    if !call.may(state, Operation::Describe, topic) {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let topic = state.topics.get(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(wanted.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    partition.check_leader(call.node, wanted.current_leader_epoch)?;
    Ok(find(partition, wanted.timestamp))
}

fn find(partition: &PartitionLog, timestamp: i64) -> Option<Found> {
    let edge = |offset, leader_epoch| Some(Found { offset, timestamp: -1, leader_epoch });
    match timestamp {
        LATEST => edge(partition.log.end_offset(), partition.leader_epoch),
        EARLIEST | EARLIEST_LOCAL => edge(partition.log.start_offset(), partition.epochs.earliest().unwrap_or(-1)),
        MAX_TIMESTAMP => partition.log.at_max_timestamp(),
        0.. => partition.log.at_or_after(timestamp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        EmbeddedBroker, Fault,
        testing::{BatchOf, NOW, TestCluster, name},
    };

    /// `orders-0` with records at these milliseconds from now.
    fn cluster(timestamps: &[i64]) -> TestCluster {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 2), 2);
        for timestamp in timestamps {
            let batch = BatchOf { base_timestamp: NOW + timestamp, ..BatchOf::values(&["a"]) };
            assert_eq!(cluster.produce(batch.encode()).error_code, 0);
        }
        cluster
    }

    fn request(partition: i32, timestamp: i64, epoch: i32) -> ListOffsetsRequest {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_timestamp(timestamp)
            .with_current_leader_epoch(epoch);
        let topic = ListOffsetsTopic::default().with_name(name("orders")).with_partitions(vec![partition]);
        ListOffsetsRequest::default().with_topics(vec![topic])
    }

    fn find(cluster: &mut TestCluster, version: i16, timestamp: i64) -> (i64, i64) {
        let response = cluster.ask(1, version, &request(0, timestamp, -1));
        let partition = &response.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        (partition.offset, partition.timestamp)
    }

    #[test]
    fn every_version_finds_both_ends() {
        let mut cluster = cluster(&[0, 1]);
        for version in 1..=10 {
            assert_eq!(find(&mut cluster, version, LATEST), (2, -1));
            assert_eq!(find(&mut cluster, version, EARLIEST), (0, -1));
        }
        assert_eq!(find(&mut cluster, 10, EARLIEST_LOCAL), (0, -1));
        assert_eq!(find(&mut cluster, 10, -5), (-1, -1));
    }

    #[test]
    fn a_timestamp_finds_the_first_record_that_is_not_older() {
        let mut cluster = cluster(&[0, 20, 10]);
        assert_eq!(find(&mut cluster, 7, NOW - 5), (0, NOW));
        assert_eq!(find(&mut cluster, 7, NOW + 1), (1, NOW + 20));
        assert_eq!(find(&mut cluster, 7, NOW + 21), (-1, -1));
        assert_eq!(find(&mut cluster, 7, MAX_TIMESTAMP), (1, NOW + 20));
        assert_eq!(find(&mut self::cluster(&[]), 7, MAX_TIMESTAMP), (-1, -1));
    }

    #[test]
    fn errors_stand_at_their_partition() {
        let mut cluster = cluster(&[0]);
        let mut code = |request: &ListOffsetsRequest| {
            let response = cluster.ask(1, 7, request);
            ErrorCode(response.topics[0].partitions[0].error_code)
        };
        assert_eq!(code(&request(9, LATEST, -1)), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(code(&request(1, LATEST, -1)), ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(code(&request(0, LATEST, 3)), ErrorCode::UNKNOWN_LEADER_EPOCH);
        cluster.state.inject(Fault::error(ErrorCode::LEADER_NOT_AVAILABLE).on(Api::ListOffsets));
        let response = cluster.ask(1, 7, &request(0, LATEST, -1));
        assert_eq!(ErrorCode(response.topics[0].partitions[0].error_code), ErrorCode::LEADER_NOT_AVAILABLE);
    }

    #[test]
    fn the_leader_epoch_is_told_from_version_4_on() {
        let mut cluster = cluster(&[0]);
        cluster.state.move_leader("orders", 0, 1, true).unwrap();
        let mut epoch = |version| cluster.ask(1, version, &request(0, LATEST, -1)).topics[0].partitions[0].leader_epoch;
        assert_eq!([epoch(3), epoch(4)], [-1, 1]);
        let first = cluster.ask(1, 4, &request(0, EARLIEST, -1)).topics[0].partitions[0].leader_epoch;
        assert_eq!(first, 0, "the log begins with a record of the first leader");
    }
}
