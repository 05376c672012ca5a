//! Fetch (1), v4–12 [P]
//!
//! Behaviour:
//! * Whole batches from the one that holds the offset on, within `partition_max_bytes` and `max_bytes`; the first batch
//!   of an answer comes even if it is larger (KIP-74).
//! * Waits until `min_bytes` are there or `max_wait_ms` are over; an error ends the wait.
//! * `OFFSET_OUT_OF_RANGE` before the start and behind the end; `FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`.
//! * Never opens a session (KIP-227): it answers session 0, so that a client names all partitions every time.
//! * The high watermark and the last stable offset are the log's end: replicas never lag, and there are no
//!   transactions.
//!
//! Version notes:
//! * v7: sessions; v9: leader epoch; v11: rack, disregarded; v12: flexible. v13 would need topic ids.

use kafka_protocol::messages::{
    FetchRequest, FetchResponse,
    fetch_request::{FetchPartition, FetchTopic},
    fetch_response::{FetchableTopicResponse, PartitionData},
};

use super::{Answer, Api, Call, Handler};
use crate::{
    broker::{codes, faults::Target, state::State},
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

    fn handle(&self, state: &mut State, call: &Call<'_>) -> Answer<FetchResponse> {
        let response = FetchResponse::default().with_throttle_time_ms(call.plan.throttle_ms());
        if self.session_id != 0 {
            return Answer::Reply(response.with_error_code(codes::FETCH_SESSION_ID_NOT_FOUND.0));
        }
        let mut reader = Reader { left: usize::try_from(self.max_bytes).unwrap_or(0), bytes: 0, failed: false };
        let topics: Vec<_> = self.topics.iter().map(|topic| reader.topic(state, call, topic)).collect();
        let until_ms = call.arrived_ms.saturating_add(self.max_wait_ms.max(0).into());
        let enough = reader.failed || i64::try_from(reader.bytes).is_ok_and(|bytes| bytes >= self.min_bytes.into());
        if enough || self.topics.is_empty() || call.now_ms >= until_ms {
            return Answer::Reply(response.with_responses(topics));
        }
        Answer::Hold { until_ms }
    }
}

/// What is left of the request's limits while its partitions are read.
struct Reader {
    left: usize,
    bytes: usize,
    failed: bool,
}

impl Reader {
    fn topic(&mut self, state: &State, call: &Call<'_>, topic: &FetchTopic) -> FetchableTopicResponse {
        let partitions = topic.partitions.iter().map(|partition| {
            let read = self.partition(state, call, &topic.topic, partition);
            self.failed |= read.is_err();
            let failed = |code: ErrorCode| {
                PartitionData::default().with_error_code(code.0).with_high_watermark(-1).with_last_stable_offset(-1)
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
        let topic = state.topics.get(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let partition = topic.partition(wanted.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        partition.check_leader(call.node, wanted.current_leader_epoch)?;
        let limit = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(self.left);
        let records = partition.log.read(wanted.fetch_offset, limit, self.bytes == 0);
        let records = records.map_err(|_| codes::OFFSET_OUT_OF_RANGE)?;
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
