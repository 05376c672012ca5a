//! DeleteRecords (21), v0–2. Pure.
//!
//! Behaviour, for each partition:
//! * The log begins at the offset from now on; -1 stands for its end. An offset before its beginning changes nothing. The response tells where the log
//!   begins.
//! * A client that may not DELETE the topic: `TOPIC_AUTHORIZATION_FAILED`. No such partition: `UNKNOWN_TOPIC_OR_PARTITION`.
//! * `NOT_LEADER_OR_FOLLOWER`; a topic that is only compacted: `POLICY_VIOLATION`; an offset below -1 or behind the end:
//!   `OFFSET_OUT_OF_RANGE`.
//!
//! Replicas are always up to date, so nothing is waited for.
//!
//! Version notes:
//! * v2: flexible

use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse,
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, faults::Target, kind::Api, state::State},
    error::ErrorCode,
};

/// Stands for the log's end.
const END: i64 = -1;

impl Handler for DeleteRecordsRequest {
    const API: Api = Api::DeleteRecords;
    const SERVED: (i16, i16) = (0, 2);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let partitions = |topic: &DeleteRecordsTopic| {
            let name = topic.name.to_string();
            let target =
                move |p: &DeleteRecordsPartition| Target { topic: name.clone(), partition: Some(p.partition_index) };
            topic.partitions.iter().map(target).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(partitions).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<DeleteRecordsResponse> {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| respond(state, call, &topic.name, wanted));
            DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        let response = DeleteRecordsResponse::default().with_topics(topics.collect());
        Response::Reply(response.with_throttle_time_ms(call.plan.throttle_ms()))
    }
}

fn respond(
    state: &mut State,
    call: &Call<'_>,
    topic: &str,
    wanted: &DeleteRecordsPartition,
) -> DeleteRecordsPartitionResult {
    let deleted = delete(state, call, topic, wanted);
    let denial = call.plan.denial(topic, Some(wanted.partition_index));
    let deleted = deleted.and_then(|start| denial.map_or(Ok(start), Err));
    let result = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
    match deleted {
        Ok(start) => result.with_low_watermark(start),
        Err(code) => result.with_low_watermark(-1).with_error_code(code.0),
    }
}

fn delete(state: &mut State, call: &Call<'_>, topic: &str, wanted: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    if let Some(code) = call.plan.refusal(topic, Some(wanted.partition_index)) {
        return Err(code);
    }
    if !call.may(state, Operation::Delete, topic) {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let name = topic;
    let topic = state.topics.get_mut(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let is_only_compacted = topic.config.compact && !topic.config.delete;
    let partition = topic.partition_mut(wanted.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    partition.check_leader(call.node, -1)?;
    if is_only_compacted {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let end = partition.log.end_offset();
    let offset = if wanted.offset == END { end } else { wanted.offset };
    if !(0..=end).contains(&offset) {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    partition.start_at(offset);
    let start = partition.log.start_offset();
    state.touched.log(name, wanted.partition_index);
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        Builder, EmbeddedBroker, Fault,
        testing::{BatchOf, TestCluster, name},
    };

    /// `orders-0` with two batches of three records each.
    fn cluster(builder: Builder) -> TestCluster {
        let mut cluster = TestCluster::new(builder, 2);
        for sequence in [0, 3] {
            let records = ["a", "b", "c"].map(|value| (Some("key"), value, 0)).to_vec();
            let batch = BatchOf { records, ..BatchOf::values(&[]) }.by_producer(5, 0, sequence);
            assert_eq!(cluster.produce(batch.encode()).error_code, 0);
        }
        cluster
    }

    fn orders() -> Builder {
        EmbeddedBroker::builder().topic("orders", 2)
    }

    fn request(partition: i32, offset: i64) -> DeleteRecordsRequest {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name("orders")).with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic])
    }

    /// Where the log begins, or the error.
    fn delete(cluster: &mut TestCluster, partition: i32, offset: i64) -> Result<i64, ErrorCode> {
        let result = cluster.ask(1, 2, &request(partition, offset)).topics.remove(0).partitions.remove(0);
        assert_eq!((result.partition_index, result.low_watermark < 0), (partition, result.error_code != 0));
        if result.error_code == 0 { Ok(result.low_watermark) } else { Err(ErrorCode(result.error_code)) }
    }

    fn offsets(cluster: &TestCluster) -> Vec<i64> {
        cluster.state.log("orders", 0).iter().map(|record| record.offset).collect()
    }

    #[test]
    fn every_version_deletes_what_is_before_the_offset_also_inside_of_a_batch() {
        for version in 0..=2 {
            let mut cluster = cluster(orders());
            let response = cluster.ask(1, version, &request(0, 4));
            assert_eq!(response.topics[0].partitions[0].low_watermark, 4);
            assert_eq!(offsets(&cluster), [4, 5]);
        }
    }

    #[test]
    fn the_beginning_never_moves_back_and_minus_one_stands_for_the_end() {
        let mut cluster = cluster(orders());
        assert_eq!([4, 2, 0, -1, 6].map(|offset| delete(&mut cluster, 0, offset)), [4, 4, 4, 6, 6].map(Ok));
        assert!(offsets(&cluster).is_empty());
        let next = BatchOf::values(&["d"]).by_producer(5, 0, 6);
        assert_eq!(
            cluster.produce(next.encode()).base_offset,
            6,
            "producers are known although their batches are gone"
        );
        assert_eq!(offsets(&cluster), [6]);
    }

    #[test]
    fn offsets_and_partitions_that_are_not_here_are_errors() {
        let mut cluster = cluster(orders());
        for (partition, offset, code) in [
            (0, 7, ErrorCode::OFFSET_OUT_OF_RANGE),
            (0, -2, ErrorCode::OFFSET_OUT_OF_RANGE),
            (0, i64::MAX, ErrorCode::OFFSET_OUT_OF_RANGE),
            (0, i64::MIN, ErrorCode::OFFSET_OUT_OF_RANGE),
            (1, 99, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (2, 0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (-1, 0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ] {
            assert_eq!(delete(&mut cluster, partition, offset), Err(code), "{partition} {offset}");
        }
        assert_eq!(offsets(&cluster).len(), 6);
    }

    #[test]
    fn a_topic_that_is_only_compacted_keeps_its_records() {
        for (policy, expected) in
            [("compact", Err(ErrorCode::POLICY_VIOLATION)), ("compact,delete", Ok(3)), ("delete", Ok(3)), ("", Ok(3))]
        {
            let topic = EmbeddedBroker::builder().topic_with("orders", 1, [("cleanup.policy", policy)]);
            assert_eq!(delete(&mut cluster(topic), 0, 3), expected, "{policy}");
        }
    }

    #[test]
    fn only_those_who_may_delete_a_topic_delete_its_records() {
        let writer = "User:ANONYMOUS WRITE topic orders".parse().unwrap();
        let mut cluster = cluster(orders().acl(writer));
        assert_eq!(delete(&mut cluster, 0, 3), Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
        assert_eq!(delete(&mut cluster, 9, 3), Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
        cluster.state.add_acl("User:ANONYMOUS DELETE topic orders".parse().unwrap());
        assert_eq!(delete(&mut cluster, 0, 3), Ok(3));
    }

    #[test]
    fn an_injected_error_comes_with_or_without_the_deletion() {
        let mut cluster = cluster(orders());
        let late = ErrorCode::REQUEST_TIMED_OUT;
        cluster.state.inject(Fault::error(late).on(Api::DeleteRecords).at("orders", 0));
        assert_eq!((delete(&mut cluster, 0, 3), offsets(&cluster).len()), (Err(late), 6));
        cluster.state.inject(Fault::error_after_append(late).on(Api::DeleteRecords));
        assert_eq!((delete(&mut cluster, 0, 3), offsets(&cluster).len()), (Err(late), 3));
    }
}
