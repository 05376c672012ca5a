//! Fetch: record batches of one partition, without a fetch session.
//!
//! In: a partition and an offset. Out: the request, and the bytes of batches as they are in the log. Pure. Deliberately
//! absent: decoding the batches.

use bytes::Bytes;
use kafka_protocol::messages::{
    FetchRequest, FetchResponse,
    fetch_request::{FetchPartition, FetchTopic},
};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{NO_REPLICA, Request, Unusable, check, missing, topic_name},
};

/// Fetches record batches of one partition, without a fetch session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) max_wait_ms: i32,
    pub(crate) max_bytes: i32,
    /// Whether the broker sends nothing from the first open transaction on, and tells which ones were aborted.
    pub(crate) committed: bool,
}

/// The response of a partition's leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchedBytes {
    /// Record batches one after the other. The last one may be cut short.
    pub(crate) records: Bytes,
    /// The offset after the last record that every replica in sync has.
    pub(crate) high_watermark: i64,
    /// Aborted transactions among the records, if only committed ones were asked for: the producer's id, and the first offset.
    pub(crate) aborted: Vec<(i64, i64)>,
}

impl Request for Fetch<'_> {
    const API: Api = Api::Fetch;
    type Response = FetchedBytes;

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let partition = FetchPartition::default()
            .with_partition(self.partition)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_fetch_offset(self.offset)
            .with_partition_max_bytes(self.max_bytes);
        let topic = FetchTopic::default().with_topic(topic_name(self.topic)).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(NO_REPLICA)
            .with_session_epoch(-1)
            .with_min_bytes(1)
            .with_max_wait_ms(self.max_wait_ms)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(self.committed.into())
            .with_topics(vec![topic]);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<FetchedBytes, Unusable> {
        let response: FetchResponse = read(Self::API, version, frame)?;
        check(response.error_code, None)?;
        let topic = response.responses.into_iter().find(|t| t.topic.as_str() == self.topic);
        let partition = topic.and_then(|t| t.partitions.into_iter().find(|p| p.partition_index == self.partition));
        let partition = partition.ok_or_else(|| missing("partition", self.topic))?;
        check(partition.error_code, None)?;
        let aborted = partition.aborted_transactions.unwrap_or_default();
        Ok(FetchedBytes {
            records: partition.records.unwrap_or_default(),
            high_watermark: partition.high_watermark,
            aborted: aborted.iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, refused, responses},
            tests::{CALLER, answered, decoded},
        },
        *,
    };

    #[test]
    fn every_version_of_the_request_is_that_of_a_consumer() {
        let fetch = Fetch { topic: TOPIC, partition: 0, offset: 5, max_wait_ms: 1, max_bytes: 9, committed: false };
        for version in 4..=Api::Fetch.latest() {
            let request: FetchRequest = decoded(fetch.encode(CALLER, version), Api::Fetch, version);
            let partition = &request.topics[0].partitions[0];
            assert_eq!((request.replica_id.0, request.session_epoch, partition.log_start_offset), (-1, -1, -1));
            assert_eq!((partition.current_leader_epoch, partition.last_fetched_epoch), (-1, -1), "nor knows of epochs");
            assert_eq!((partition.fetch_offset, partition.partition_max_bytes, request.max_wait_ms), (5, 9, 1));
            let committed = Fetch { committed: true, ..fetch }.encode(CALLER, version);
            let committed: FetchRequest = decoded(committed, Api::Fetch, version);
            assert_eq!((request.isolation_level, committed.isolation_level), (0, 1));
        }
    }

    #[test]
    fn a_fetch_returns_the_bytes_of_the_requested_partition() {
        let aborted = AbortedTransaction::default().with_producer_id(7.into()).with_first_offset(3);
        let response = |index, code| {
            let partition = PartitionData::default()
                .with_partition_index(index)
                .with_error_code(code)
                .with_high_watermark(42)
                .with_aborted_transactions(Some(vec![aborted.clone()]))
                .with_records(Some(Bytes::from_static(b"batches")));
            let topic =
                FetchableTopicResponse::default().with_topic(topic_name(TOPIC)).with_partitions(vec![partition]);
            FetchResponse::default().with_responses(vec![topic])
        };
        let ask = Fetch { topic: TOPIC, partition: 2, offset: 0, max_wait_ms: 0, max_bytes: 1, committed: true };
        let expected =
            FetchedBytes { records: Bytes::from_static(b"batches"), high_watermark: 42, aborted: vec![(7, 3)] };
        assert!(responses(&ask, &response(2, 0)).into_iter().all(|response| response == Ok(expected.clone())));
        assert!(responses(&ask, &response(2, 1)).into_iter().all(|response| response == refused(1)));
        assert!(responses(&ask, &response(1, 0)).iter().all(is_malformed));
        let whole = response(2, 0).with_error_code(71);
        let top_level = (7..=12).map(|v| ask.decode(&answered(Api::Fetch, v, &whole), v));
        assert!(top_level.into_iter().all(|response| response == refused(71)));
    }

    /// Tansu sends the leaders' addresses in version 12. The schema has them from version 16 on.
    #[test]
    fn a_fetch_response_with_tagged_fields_of_a_later_version_is_read() {
        let partition = PartitionData::default()
            .with_high_watermark(42)
            .with_records(Some(Bytes::from_static(b"batches")))
            .with_unknown_tagged_field(7, Bytes::from_static(b"new"));
        let topic = FetchableTopicResponse::default().with_topic(topic_name(TOPIC)).with_partitions(vec![partition]);
        let whole = answered(Api::Fetch, 12, &FetchResponse::default().with_responses(vec![topic]));
        let (none, rest) = whole.split_last().unwrap();
        let endpoints = [2, 0, 0, 0, 1, 2, b'h', 0, 0, 0x23, 0x84, 0, 0];
        let tagged = Bytes::from([rest, &[1, 0, 13], &endpoints].concat());
        let ask = Fetch { topic: TOPIC, partition: 0, offset: 0, max_wait_ms: 0, max_bytes: 1, committed: true };
        let expected =
            FetchedBytes { records: Bytes::from_static(b"batches"), high_watermark: 42, aborted: Vec::new() };
        assert_eq!((*none, ask.decode(&tagged, 12)), (0, Ok(expected)));
    }
}
