//! ListOffsets: the first and the last offset of a partition's log, or that of a time.
//!
//! In: a partition and a place in it. Out: the request, and the offset. Pure.

use bytes::Bytes;
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{NO_REPLICA, Request, Unusable, check, missing, topic_name},
};

/// The first version in which transactions are told apart.
const ISOLATION_FROM: i16 = 2;

/// Requests one offset of a partition: -2 is the earliest, -1 that of the next record, from 0 on the first that is not
/// older.
#[derive(Debug)]
pub(crate) struct AskOffset<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) timestamp: i64,
    /// Whether the next record's offset is that of the first open transaction, if there is one.
    pub(crate) committed: bool,
}

impl Request for AskOffset<'_> {
    const API: Api = Api::ListOffsets;
    type Response = i64;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(self.partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(self.timestamp);
        let topic = ListOffsetsTopic::default().with_name(topic_name(self.topic)).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(NO_REPLICA)
            .with_isolation_level(if version >= ISOLATION_FROM { self.committed.into() } else { 0 })
            .with_topics(vec![topic]);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<i64, Unusable> {
        let response: ListOffsetsResponse = read(Self::API, version, frame)?;
        let topic = response.topics.iter().find(|t| t.name.as_str() == self.topic);
        let partition = topic.and_then(|t| t.partitions.iter().find(|p| p.partition_index == self.partition));
        let partition = partition.ok_or_else(|| missing("partition", self.topic))?;
        check(partition.error_code, None)?;
        Ok(partition.offset)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, refused, responses},
            tests::{CALLER, decoded},
        },
        *,
    };

    #[test]
    fn every_version_of_the_request_is_that_of_a_consumer() {
        let ask = AskOffset { topic: TOPIC, partition: 3, timestamp: -2, committed: true };
        for version in 1..=Api::ListOffsets.latest() {
            let request: ListOffsetsRequest = decoded(ask.encode(CALLER, version), Api::ListOffsets, version);
            let partition = &request.topics[0].partitions[0];
            assert_eq!((request.replica_id.0, partition.current_leader_epoch), (-1, -1));
            assert_eq!((partition.partition_index, partition.timestamp), (3, -2));
            assert_eq!(request.isolation_level, i8::from(version >= 2));
        }
    }

    #[test]
    fn the_offset_is_that_of_the_requested_partition() {
        let partition = |index, code, offset| {
            ListOffsetsPartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(code)
                .with_offset(offset)
        };
        let response = |partitions| {
            let topic = ListOffsetsTopicResponse::default().with_name(topic_name(TOPIC)).with_partitions(partitions);
            ListOffsetsResponse::default().with_topics(vec![topic])
        };
        let ask = AskOffset { topic: TOPIC, partition: 2, timestamp: -1, committed: false };
        let two = response(vec![partition(1, 0, 10), partition(2, 0, 20)]);
        assert!(responses(&ask, &two).into_iter().all(|response| response == Ok(20)));
        let moved = response(vec![partition(2, 6, -1)]);
        assert!(responses(&ask, &moved).into_iter().all(|response| response == refused(6)));
        assert!(responses(&ask, &response(vec![partition(1, 0, 10)])).iter().all(is_malformed));
    }
}
