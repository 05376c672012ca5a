//! Fetch, ListOffsets and Metadata.

use bytes::Bytes;
use kafka_protocol::messages::{
    ListOffsetsRequest, MetadataRequest,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    metadata_request::MetadataRequestTopic,
};

use super::{Seen, fetch, fetch_of, fetch_partition, same, values};
use crate::{
    broker::testing::{BatchOf, NOW, name},
    cluster::TopicId,
    error::ErrorCode,
};

#[test]
fn reading() {
    same(|client| {
        let topic = client.topic(&[]);
        client.writes(&topic, [values(3), values(2)]);
        let mut seen = Seen::new();
        let epoch = |epoch| fetch_partition(0).with_current_leader_epoch(epoch);
        let small = fetch_partition(0).with_partition_max_bytes(1);
        let other = fetch_partition(0).with_partition(7);
        let partitions = [0, 2, 3, 5, 6, -1].map(fetch_partition).into_iter().chain([epoch(0), epoch(9), small, other]);
        for partition in partitions {
            let response = client.ask(11, &fetch_of(&topic, partition));
            let p = &response.responses[0].partitions[0];
            let (code, bytes) = (ErrorCode(p.error_code), p.records.as_ref().map_or(0, Bytes::len));
            seen.push(format!("{code} bytes {bytes} end {} start {}", p.high_watermark, p.log_start_offset));
        }
        let session = fetch(&topic, 0).with_session_id(12345).with_session_epoch(1);
        seen.push(ErrorCode(client.ask(11, &session).error_code).to_string());
        seen
    });
}

#[test]
fn offsets_by_timestamp() {
    same(|client| {
        let topic = client.topic(&[]);
        let at = |base_timestamp| BatchOf { base_timestamp, ..values(1) };
        client.writes(&topic, [at(NOW), at(NOW + 20), at(NOW + 10)]);
        let empty = client.topic(&[]);
        let mut seen = Seen::new();
        for (topic, partition, epoch) in
            [(&topic, 0, -1), (&empty, 0, -1), (&topic, 4, -1), (&topic, 0, 8), (&topic, 0, 0)]
        {
            for timestamp in [-1, -2, -3, -4, 0, NOW - 1, NOW, NOW + 1, NOW + 20, NOW + 21] {
                let wanted = ListOffsetsPartition::default()
                    .with_partition_index(partition)
                    .with_timestamp(timestamp)
                    .with_current_leader_epoch(epoch);
                let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![wanted]);
                let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
                let response = client.ask(8, &request);
                let p = &response.topics[0].partitions[0];
                let code = ErrorCode(p.error_code);
                seen.push(format!(
                    "{timestamp}: {code} offset {} time {} epoch {}",
                    p.offset, p.timestamp, p.leader_epoch
                ));
            }
        }
        seen
    });
}

#[test]
fn metadata_of_topics_that_do_not_exist() {
    same(|client| {
        let topic = client.topic(&[]);
        let long = "x".repeat(250);
        let mut seen = Seen::new();
        for name_ in [&topic, "nothing", "", ".", "..", "a b", &long] {
            let wanted = MetadataRequestTopic::default().with_name(Some(name(name_)));
            let request =
                MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(true);
            for version in [1, 9, 12] {
                let response = client.ask(version, &request);
                let topic = &response.topics[0];
                seen.push(format!("{} with {} partitions", ErrorCode(topic.error_code), topic.partitions.len()));
            }
        }
        let id = TopicId::from_u128(77);
        let wanted = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        let response = client.ask(12, &MetadataRequest::default().with_topics(Some(vec![wanted])));
        seen.push(format!(
            "{} {:?} {}",
            ErrorCode(response.topics[0].error_code),
            response.topics[0].name,
            response.topics[0].topic_id
        ));
        seen
    });
}
