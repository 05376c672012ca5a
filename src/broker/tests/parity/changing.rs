//! DescribeCluster, CreatePartitions, DeleteRecords and OffsetForLeaderEpoch.

use kafka_protocol::messages::{
    CreatePartitionsRequest, DeleteRecordsRequest, DescribeClusterRequest, ListOffsetsRequest,
    OffsetForLeaderEpochRequest,
    create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
};

use super::{Client, Seen, by, fetch, same, values};
use crate::{
    broker::testing::{BatchOf, NOW, name},
    error::ErrorCode,
};

impl Client {
    /// What a CreatePartitions request gets for one topic.
    pub(super) fn grows(&mut self, topic: CreatePartitionsTopic, validate_only: bool) -> String {
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000)
            .with_validate_only(validate_only);
        let results = self.ask(3, &request).results;
        let codes: Vec<_> = results.iter().map(|one| ErrorCode(one.error_code)).collect();
        format!("{codes:?}")
    }

    /// What a DeleteRecords request gets for one partition.
    pub(super) fn cuts(&mut self, topic: &str, partition: i32, offset: i64) -> String {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let result = self.ask(2, &request).topics.remove(0).partitions.remove(0);
        format!("{} from {}", ErrorCode(result.error_code), result.low_watermark)
    }

    /// What an OffsetForLeaderEpoch request gets for one partition.
    pub(super) fn epoch_ends(&mut self, topic: &str, partition: i32, epoch: i32, current: i32) -> String {
        let wanted = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_leader_epoch(epoch)
            .with_current_leader_epoch(current);
        let topic = OffsetForLeaderTopic::default().with_topic(name(topic)).with_partitions(vec![wanted]);
        let request = OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let end = self.ask(4, &request).topics.remove(0).partitions.remove(0);
        format!("{} epoch {} to {}", ErrorCode(end.error_code), end.leader_epoch, end.end_offset)
    }
}

pub(super) fn growing(topic: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default().with_name(name(topic)).with_count(count).with_assignments(None)
}

fn assigned(topic: &str, count: i32, replicas: &[&[i32]]) -> CreatePartitionsTopic {
    let assignment = |nodes: &&[i32]| {
        CreatePartitionsAssignment::default().with_broker_ids(nodes.iter().map(|node| (*node).into()).collect())
    };
    growing(topic, count).with_assignments(Some(replicas.iter().map(assignment).collect()))
}

#[test]
fn the_cluster() {
    same(|client| {
        let mut seen = Seen::new();
        for (version, kind, fenced, operations) in [
            (0, 1, false, false),
            (0, 1, false, true),
            (1, 1, false, true),
            (1, 0, false, false),
            (1, 2, false, false),
            (1, 3, false, false),
            (1, -1, false, false),
            (2, 1, true, false),
            (2, 1, false, false),
            (2, 2, true, true),
        ] {
            let request = DescribeClusterRequest::default()
                .with_endpoint_type(kind)
                .with_include_fenced_brokers(fenced)
                .with_include_cluster_authorized_operations(operations);
            let told = client.ask(version, &request);
            let nodes: Vec<_> = told.brokers.iter().map(|node| (node.broker_id.0, node.is_fenced)).collect();
            let (code, is_named) = (ErrorCode(told.error_code), !told.cluster_id.is_empty());
            let (kind, rights) = (told.endpoint_type, told.cluster_authorized_operations);
            let controller = told.controller_id.0;
            seen.push(format!("{code} {nodes:?} {controller} named {is_named} type {kind} rights {rights}"));
        }
        seen
    });
}

#[test]
fn more_partitions() {
    same(|client| {
        let topic = client.topic(&[]);
        let mut seen = Seen::new();
        for (wanted, validate_only) in [
            (growing("nothing", 3), false),
            (growing("", 3), false),
            (growing("a b", 3), false),
            (growing(&topic, 1), false),
            (growing(&topic, 0), false),
            (growing(&topic, -1), false),
            (growing(&topic, 3), true),
            (growing(&topic, 1), true),
            (assigned(&topic, 2, &[]), false),
            (assigned(&topic, 3, &[&[1]]), false),
            (assigned(&topic, 2, &[&[1], &[1]]), false),
            (assigned(&topic, 2, &[&[]]), false),
            (assigned(&topic, 2, &[&[9]]), false),
            (assigned(&topic, 2, &[&[1, 1]]), false),
            (assigned(&topic, 1, &[&[1]]), false),
            (assigned(&topic, 2, &[&[1]]), false),
            (growing(&topic, 4), false),
            (growing(&topic, 4), false),
            (growing(&topic, 3), false),
        ] {
            seen.push(client.grows(wanted, validate_only));
        }
        let twice = CreatePartitionsRequest::default()
            .with_topics(vec![growing(&topic, 9), growing(&topic, 8)])
            .with_timeout_ms(10_000);
        let results = client.ask(2, &twice).results;
        seen.push(format!("{:?}", results.iter().map(|one| ErrorCode(one.error_code)).collect::<Vec<_>>()));
        seen
    });
}

#[test]
fn fewer_records() {
    same(|client| {
        let mut seen = Seen::new();
        for policy in ["delete", "compact", "compact,delete", ""] {
            // The records are years old, and the cleaner would remove such.
            let topic = client.topic(&[("cleanup.policy", policy), ("retention.ms", "-1")]);
            let records = [0, 7, 3].map(|delta| (Some("key"), "value", delta)).to_vec();
            let batch = BatchOf { records, ..BatchOf::values(&[]) };
            for sequence in [0, 3] {
                let batch = batch.clone().by_producer(900, 0, sequence);
                seen.push(client.write(&topic, -1, Some(batch.encode())));
            }
            for (partition, offset) in
                [(0, 0), (0, 2), (0, 1), (0, -2), (0, 7), (0, i64::MAX), (9, 0), (-1, 0), (0, 4), (0, 5)]
            {
                seen.push(client.cuts(&topic, partition, offset));
                seen.extend(left(client, &topic));
            }
            seen.push(client.cuts(&topic, 0, -1));
            seen.extend(left(client, &topic));
            let next = BatchOf { records: vec![(Some("key"), "value", 0)], ..batch }.by_producer(900, 0, 6);
            seen.push(client.write(&topic, -1, Some(next.encode())));
            seen.extend(left(client, &topic));
        }
        seen.push(client.cuts("nothing", 0, 0));
        seen
    });
}

/// What can still be read, and found by time.
pub(super) fn left(client: &mut Client, topic: &str) -> Seen {
    let mut seen = Seen::new();
    for offset in [0, 2, 4, 6] {
        let response = client.ask(11, &fetch(topic, offset));
        let p = &response.responses[0].partitions[0];
        let (code, bytes) = (ErrorCode(p.error_code), p.records.as_ref().map_or(0, bytes::Bytes::len));
        seen.push(format!("{code} bytes {bytes} end {} start {}", p.high_watermark, p.log_start_offset));
    }
    for timestamp in [-1, -2, -4, 0, NOW, NOW + 4, NOW + 8] {
        let wanted = ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
        let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![wanted]);
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let response = client.ask(8, &request);
        let p = &response.topics[0].partitions[0];
        seen.push(format!("{timestamp}: offset {} time {} epoch {}", p.offset, p.timestamp, p.leader_epoch));
    }
    seen
}

#[test]
fn ends_of_epochs() {
    same(|client| {
        let (topic, empty) = (client.topic(&[]), client.topic(&[]));
        let mut seen = client.writes(&topic, [values(3), by(901, 0, 0, 2)]);
        for topic in [&topic, &empty, "nothing"] {
            for (partition, epoch, current) in
                [(0, 0, -1), (0, 0, 0), (0, 1, -1), (0, -1, -1), (0, i32::MAX, -1), (0, 0, 1), (0, 0, 9), (7, 0, -1)]
            {
                seen.push(client.epoch_ends(topic, partition, epoch, current));
            }
        }
        seen.push(client.cuts(&topic, 0, 4));
        seen.push(client.epoch_ends(&topic, 0, 0, -1));
        seen
    });
}
