//! DeleteRecords: a partition's log begins later.
//!
//! In: a partition and an offset. Out: the request, and where the log begins. Pure.

use bytes::Bytes;
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse,
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{Request, Unusable, check, missing, topic_name},
};

/// Deletes the records of a partition before an offset.
#[derive(Debug)]
pub(crate) struct DeleteRecords<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    /// -1: the log's end.
    pub(crate) before: i64,
    pub(crate) timeout_ms: i32,
}

impl Request for DeleteRecords<'_> {
    const API: Api = Api::DeleteRecords;
    type Response = i64;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let partition = DeleteRecordsPartition::default().with_partition_index(self.partition).with_offset(self.before);
        let topic = DeleteRecordsTopic::default().with_name(topic_name(self.topic)).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<i64, Unusable> {
        let response: DeleteRecordsResponse = read(Self::API, version, frame)?;
        let topic = response.topics.iter().find(|topic| topic.name.as_str() == self.topic);
        let partition = topic.and_then(|topic| topic.partitions.iter().find(|p| p.partition_index == self.partition));
        let partition = partition.ok_or_else(|| missing("partition", self.topic))?;
        check(partition.error_code, None)?;
        Ok(partition.low_watermark)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, refused, responses},
            tests::{CALLER, decoded},
        },
        *,
    };

    const ASK: DeleteRecords<'_> = DeleteRecords { topic: TOPIC, partition: 2, before: 40, timeout_ms: 7 };

    #[test]
    fn every_version_of_the_request_has_partition_and_offset() {
        for version in 0..=Api::DeleteRecords.latest() {
            let request: DeleteRecordsRequest = decoded(ASK.encode(CALLER, version), Api::DeleteRecords, version);
            let partition = &request.topics[0].partitions[0];
            assert_eq!((request.topics[0].name.as_str(), request.timeout_ms), (TOPIC, 7));
            assert_eq!((partition.partition_index, partition.offset), (2, 40));
        }
    }

    #[test]
    fn the_beginning_is_that_of_the_requested_partition() {
        let response = |partitions: &[(i32, i16, i64)]| {
            let partition = |&(index, code, start): &(i32, i16, i64)| {
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(code)
                    .with_low_watermark(start)
            };
            let partitions = partitions.iter().map(partition).collect();
            let topic = DeleteRecordsTopicResult::default().with_name(topic_name(TOPIC)).with_partitions(partitions);
            DeleteRecordsResponse::default().with_topics(vec![topic])
        };
        assert!(responses(&ASK, &response(&[(1, 0, 9), (2, 0, 40)])).into_iter().all(|start| start == Ok(40)));
        assert!(responses(&ASK, &response(&[(2, 1, -1)])).into_iter().all(|start| start == refused(1)));
        assert!(responses(&ASK, &response(&[(1, 0, 9)])).iter().all(is_malformed));
    }
}
