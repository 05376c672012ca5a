//! Fetch (1), v4–12. Pure.
//!
//! Behaviour:
//! * Whole batches from the one that holds the offset on, within `partition_max_bytes` and `max_bytes`; the first batch
//!   of a response comes even if it is larger (KIP-74).
//! * A partition has batches of one segment at a time.
//! * Waits until `min_bytes` are there or `max_wait_ms` are over; an error ends the wait, and so does an offset before the active segment.
//! * `OFFSET_OUT_OF_RANGE` before the start and behind the end; `FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`.
//! * A client that may not READ a topic: `TOPIC_AUTHORIZATION_FAILED`.
//! * Never opens a session (KIP-227): it answers session 0, so that a client names all partitions every time.
//! * The high watermark and the last stable offset are the log's end: replicas never lag, and there are no
//!   transactions.
//!
//! Version notes:
//! * v7: sessions; v9: leader epoch; v11: rack, disregarded; v12: flexible. v13 would need topic ids.

use bytes::Bytes;
use kafka_protocol::messages::{
    FetchRequest, FetchResponse,
    fetch_request::{FetchPartition, FetchTopic},
    fetch_response::{FetchableTopicResponse, PartitionData},
};

use super::handler::{Call, Handler, Response};
use crate::{
    broker::{acls::Operation, faults::Target, kind::Api, state::State},
    error::ErrorCode,
};

impl Handler for FetchRequest {
    const API: Api = Api::Fetch;
    const SERVED: (i16, i16) = (4, 12);

    fn targets(&self, _state: &State) -> Vec<Target> {
        let partitions = |topic: &FetchTopic| {
            let name = topic.topic.to_string();
            let target = move |p: &FetchPartition| Target { topic: name.clone(), partition: Some(p.partition) };
            topic.partitions.iter().map(target).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(partitions).collect()
    }

    fn handle(&self, state: &mut State, call: &mut Call<'_>) -> Response<FetchResponse> {
        let response = FetchResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        if self.session_id != 0 {
            return Response::Reply(response.with_error_code(ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0));
        }
        let mut reader =
            Reader { left: usize::try_from(self.max_bytes).unwrap_or(0), bytes: 0, failed: false, is_behind: false };
        let topics: Vec<_> = self.topics.iter().map(|topic| reader.topic(state, call, topic)).collect();
        let until_ms = call.arrived_ms.saturating_add(self.max_wait_ms.max(0).into());
        let is_over = reader.failed || reader.is_behind;
        let enough = is_over || i64::try_from(reader.bytes).is_ok_and(|bytes| bytes >= self.min_bytes.into());
        if enough || self.topics.is_empty() || call.now_ms >= until_ms {
            return Response::Reply(response.with_responses(topics));
        }
        Response::Hold { until_ms }
    }
}

/// The rest of the request's limits while its partitions are read.
struct Reader {
    left: usize,
    bytes: usize,
    failed: bool,
    /// There is more than one segment to be read.
    is_behind: bool,
}

impl Reader {
    fn topic(&mut self, state: &State, call: &Call<'_>, topic: &FetchTopic) -> FetchableTopicResponse {
        let partitions = topic.partitions.iter().map(|partition| {
            let read = self.partition(state, call, &topic.topic, partition);
            self.failed |= read.is_err();
            let failed = |code: ErrorCode| {
                PartitionData::default()
                    .with_error_code(code.0)
                    .with_high_watermark(-1)
                    .with_last_stable_offset(-1)
                    .with_records(Some(Bytes::new()))
            };
            read.unwrap_or_else(failed).with_partition_index(partition.partition)
        });
        let partitions = partitions.collect();
        FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions)
    }

    fn partition(
        &mut self,
        state: &State,
        call: &Call<'_>,
        topic: &str,
        wanted: &FetchPartition,
    ) -> Result<PartitionData, ErrorCode> {
        if let Some(code) = call.plan.refusal(topic, Some(wanted.partition)) {
            return Err(code);
        }
        if !call.may(state, Operation::Read, topic) {
            return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        }
        let topic = state.topics.get(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let partition = topic.partition(wanted.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        partition.check_leader(call.node, wanted.current_leader_epoch)?;
        let limit = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(self.left);
        let records = partition.log.read(wanted.fetch_offset, limit, self.bytes == 0);
        let records = records.map_err(|_| ErrorCode::OFFSET_OUT_OF_RANGE)?;
        self.is_behind |= partition.log.is_before_active(wanted.fetch_offset);
        self.bytes = self.bytes.saturating_add(records.len());
        self.left = self.left.saturating_sub(records.len());
        let end = partition.log.end_offset();
        Ok(PartitionData::default()
            .with_high_watermark(end)
            .with_last_stable_offset(end)
            .with_log_start_offset(partition.log.start_offset())
            .with_aborted_transactions(Some(Vec::new()))
            .with_records(Some(records)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{
        EmbeddedBroker, Fault,
        requests::Polled,
        session::Session,
        testing::{BatchOf, NOW, TestCluster, name, read},
    };

    /// `orders-0` with two batches of one record each.
    fn cluster() -> TestCluster {
        let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 2), 2);
        (0..2).for_each(|_| assert_eq!(cluster.produce(BatchOf::values(&["a"]).encode()).error_code, 0));
        cluster
    }

    fn partition(offset: i64) -> FetchPartition {
        FetchPartition::default()
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20)
            .with_current_leader_epoch(-1)
    }

    fn fetch(partition: FetchPartition) -> FetchRequest {
        let topic = FetchTopic::default().with_topic(name("orders")).with_partitions(vec![partition]);
        FetchRequest::default().with_max_bytes(1 << 20).with_min_bytes(1).with_topics(vec![topic])
    }

    fn ask(request: &FetchRequest) -> PartitionData {
        cluster().ask(1, 12, request).responses.remove(0).partitions.remove(0)
    }

    fn code(request: FetchPartition) -> ErrorCode {
        ErrorCode(ask(&fetch(request)).error_code)
    }

    #[test]
    fn every_version_reads_batches_and_the_high_watermark() {
        for version in 4..=12 {
            let response = cluster().ask(1, version, &fetch(partition(1)));
            let partition = &response.responses[0].partitions[0];
            assert_eq!((partition.error_code, partition.high_watermark, partition.last_stable_offset), (0, 2, 2));
            assert_eq!(partition.records.as_ref().unwrap().len(), BatchOf::values(&["a"]).encode().len());
        }
    }

    #[test]
    fn offsets_outside_the_log_and_partitions_that_are_not_here_are_errors() {
        assert_eq!(code(partition(3)), ErrorCode::OFFSET_OUT_OF_RANGE);
        assert_eq!(code(partition(-1)), ErrorCode::OFFSET_OUT_OF_RANGE);
        assert_eq!(code(partition(0).with_partition(9)), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(code(partition(0).with_partition(1)), ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }

    /// Null would be a third way to say so, which Apache Kafka does not use.
    #[test]
    fn a_partition_that_cannot_be_read_has_empty_records_and_not_null() {
        let failed = ask(&fetch(partition(99)));
        assert_eq!(
            (ErrorCode(failed.error_code), failed.records),
            (ErrorCode::OFFSET_OUT_OF_RANGE, Some(Bytes::new()))
        );
    }

    #[test]
    fn a_leader_epoch_that_is_not_the_current_one_is_fenced_or_unknown() {
        let mut cluster = cluster();
        cluster.state.move_leader("orders", 0, 1, true).unwrap();
        let mut code = |epoch| {
            let response = cluster.ask(1, 12, &fetch(partition(0).with_current_leader_epoch(epoch)));
            ErrorCode(response.responses[0].partitions[0].error_code)
        };
        let fenced = ErrorCode::FENCED_LEADER_EPOCH;
        assert_eq!(
            [code(-1), code(0), code(1), code(2)],
            [ErrorCode::NONE, fenced, ErrorCode::NONE, ErrorCode::UNKNOWN_LEADER_EPOCH]
        );
    }

    #[test]
    fn limits_hold_for_the_partition_and_for_the_answer_but_the_first_batch_always_comes() {
        let size = BatchOf::values(&["a"]).encode().len();
        let got = |partition_max: usize, max: usize| {
            let partition = partition(0).with_partition_max_bytes(i32::try_from(partition_max).unwrap());
            let request = fetch(partition).with_max_bytes(i32::try_from(max).unwrap());
            ask(&request).records.unwrap().len() / size
        };
        assert_eq!([got(1, 10_000), got(10_000, 1), got(size * 2, 10_000), got(size * 2 - 1, 10_000)], [1, 1, 2, 1]);
    }

    #[test]
    fn a_fetch_at_the_end_waits_until_something_comes_or_its_time_is_over() {
        let mut cluster = cluster();
        let held = cluster.arrive(1, 11, &fetch(partition(2)).with_max_wait_ms(500));
        assert_eq!(cluster.poll(&held), Polled::Hold { until_ms: NOW + 500 });
        cluster.now_ms += 499;
        assert_eq!(cluster.poll(&held), Polled::Hold { until_ms: NOW + 500 });
        let mut late = TestCluster { state: cluster.state.clone(), session: Session::default(), now_ms: NOW + 500 };
        cluster.produce(BatchOf::values(&["b"]).encode());
        for (cluster, watermark) in [(&mut cluster, 3), (&mut late, 2)] {
            let Polled::Done(reply) = cluster.poll(&held) else { panic!("still held") };
            let response = read::<FetchRequest>(11, reply.bytes);
            assert_eq!(response.responses[0].partitions[0].high_watermark, watermark);
        }
    }

    #[test]
    fn min_bytes_are_waited_for_and_an_error_ends_the_wait() {
        let mut cluster = cluster();
        let waiting = fetch(partition(0)).with_max_wait_ms(500);
        let held = cluster.arrive(1, 11, &waiting.with_min_bytes(100_000));
        assert!(matches!(cluster.poll(&held), Polled::Hold { .. }));
        let held = cluster.arrive(1, 11, &fetch(partition(77)).with_max_wait_ms(500));
        assert!(matches!(cluster.poll(&held), Polled::Done(_)));
    }

    #[test]
    fn whoever_is_behind_the_active_segment_gets_another_one_without_waiting() {
        let builder = EmbeddedBroker::builder().topic_with("orders", 1, [("segment.ms", "1")]);
        let mut cluster = TestCluster::new(builder, 1);
        for at in [0, 1000] {
            let batch = BatchOf { base_timestamp: NOW + at, ..BatchOf::values(&["a"]) };
            assert_eq!(cluster.produce(batch.encode()).error_code, 0);
        }
        let waiting = |offset| fetch(partition(offset)).with_max_wait_ms(500).with_min_bytes(100_000);
        let behind = cluster.ask(1, 11, &waiting(0)).responses.remove(0).partitions.remove(0);
        assert_eq!(behind.records.unwrap().len(), BatchOf::values(&["a"]).encode().len());
        let held = cluster.arrive(1, 11, &waiting(1));
        assert!(matches!(cluster.poll(&held), Polled::Hold { .. }));
    }

    #[test]
    fn sessions_are_never_opened_and_one_that_is_named_is_unknown() {
        let response = cluster().ask(1, 12, &fetch(partition(0)).with_session_epoch(0));
        assert_eq!((response.error_code, response.session_id), (0, 0));
        let response = cluster().ask(1, 12, &fetch(partition(0)).with_session_id(7));
        assert_eq!(ErrorCode(response.error_code), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    }

    #[test]
    fn an_injected_error_stands_at_its_partition() {
        let mut cluster = cluster();
        cluster.state.inject(Fault::error(ErrorCode::OFFSET_OUT_OF_RANGE).at("orders", 0));
        let response = cluster.ask(1, 12, &fetch(partition(0)));
        assert_eq!(ErrorCode(response.responses[0].partitions[0].error_code), ErrorCode::OFFSET_OUT_OF_RANGE);
    }
}
