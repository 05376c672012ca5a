//! Every response that the producer and the admin client decode.
//!
//! Nothing panics or takes much memory. A response that is decoded is exactly as long as its frame. Its text is
//! printable, its addresses can be dialled, and its numbers are possible.

use bytes::Bytes;

use super::{batches::read_all, input::Input};
use crate::{
    admin::metadata::{AskController, AskMetadata},
    cluster::Broker,
    wire::{
        apis::{
            self, Api, api_versions, create_partitions::CreatePartitions, create_topics::CreateTopic,
            delete_records::DeleteRecords, delete_topics::DeleteTopic, describe_configs::AskConfigs,
            describe_topic_partitions::AskPartitions, fetch::Fetch, incremental_alter_configs::AlterConfigs,
            init_producer_id, list_offsets::AskOffset, metadata, produce, replicas::AskReplicas, request::Request,
        },
        opening,
        text::{harmless, is_host, printable},
    },
};

const TOPIC: &str = "orders";
const CORRELATION: i32 = 7;

/// The target.
pub fn responses(data: &[u8]) {
    let mut input = Input::new(data);
    let (kind, version) = (input.below(9), i16::from(input.byte() % 20));
    let frame = Bytes::from([&CORRELATION.to_be_bytes(), input.rest()].concat());
    assert_eq!(apis::correlation(&frame), Some(CORRELATION));
    match kind {
        0 => drop(exactly(&frame, |frame| api_versions::decode(frame, version.min(Api::ApiVersions.latest())))),
        1 => brokers_and_topics(&frame, version),
        2 => drop(exactly(&frame, |frame| init_producer_id::decode(frame, version))),
        3 => batches(&frame, version),
        4 => drop(opening::step(&frame, version)),
        5 => {
            let cluster = admin(&AskMetadata { topic: TOPIC }, &frame, version);
            cluster.iter().flat_map(|cluster| cluster.brokers.values()).for_each(dialled);
            let found = admin(&AskController { topic: TOPIC }, &frame, version);
            assert!(found.is_none_or(|found| found.node.is_none_or(|node| found.brokers.contains_key(&node))));
        }
        6 => {
            let create = CreateTopic {
                topic: TOPIC,
                partitions: 1,
                replication: 1,
                replicas: None,
                brokers: 1,
                configs: &[],
                timeout_ms: 1,
            };
            admin(&create, &frame, version);
            managed(&frame, version);
        }
        7 => drop(admin(&AskOffset { topic: TOPIC, partition: 0, timestamp: -1, committed: false }, &frame, version)),
        _ => {
            let fetch =
                Fetch { topic: TOPIC, partition: 0, offset: 0, max_wait_ms: 1, max_bytes: 1_000, committed: true };
            admin(&fetch, &frame, version).into_iter().for_each(|fetched| read_all(&fetched.records));
        }
    }
}

/// What describes and changes topics.
fn managed(frame: &Bytes, version: i16) {
    admin(&DeleteTopic { topic: TOPIC, timeout_ms: 1 }, frame, version);
    admin(&CreatePartitions { topic: TOPIC, count: 2, replicas: None, timeout_ms: 1 }, frame, version);
    admin(&DeleteRecords { topic: TOPIC, partition: 0, before: 1, timeout_ms: 1 }, frame, version);
    admin(&AlterConfigs { topic: TOPIC, changes: &[] }, frame, version);
    for setting in admin(&AskConfigs { topic: TOPIC }, frame, version).into_iter().flatten() {
        assert!(harmless(&setting.name) == setting.name && setting.value.is_none_or(|value| harmless(&value) == value));
    }
    let page = admin(&AskPartitions { topics: &[TOPIC], limit: 1, cursor: None }, frame, version);
    let topics = page.map(|page| page.topics).into_iter().flatten();
    for topic in topics.chain(admin(&AskReplicas { topics: None }, frame, version).into_iter().flatten()) {
        assert!(printable(&topic.name) == topic.name && topic.partitions.len() <= frame.len());
    }
}

fn brokers_and_topics(frame: &Bytes, version: i16) {
    let Some(response) = exactly(frame, |frame| metadata::decode(frame, version)) else { return };
    response.brokers.iter().for_each(dialled);
    let partitions = response.topics.iter().map(|topic| 1 + topic.partitions.len()).sum::<usize>();
    assert!(partitions <= frame.len());
}

fn batches(frame: &Bytes, version: i16) {
    let Some(response) = exactly(frame, |frame| produce::decode(frame, version)) else { return };
    response.brokers.iter().for_each(dialled);
    assert!(response.partitions.len() <= frame.len());
    for partition in &response.partitions {
        let refused = partition.record_errors.iter().filter_map(|(_, message)| message.as_ref());
        assert!(refused.chain(&partition.message).all(|message| printable(message) == *message));
        let numbers = [partition.base_offset, partition.append_time, partition.log_start];
        assert!(numbers.into_iter().flatten().all(|number| number >= 0));
    }
}

fn dialled(broker: &Broker) {
    assert!(broker.id >= 0 && broker.port > 0 && is_host(&broker.host), "{broker:?}");
}

fn admin<R: Request>(request: &R, frame: &Bytes, version: i16) -> Option<R::Response> {
    exactly(frame, |frame| request.decode(frame, version))
}

/// Checks that a response which can be decoded cannot be decoded with a byte less or a byte more.
fn exactly<T, E>(frame: &Bytes, read: impl Fn(&Bytes) -> Result<T, E>) -> Option<T> {
    let response = read(frame).ok()?;
    assert!(read(&frame.slice(..frame.len() - 1)).is_err(), "a byte less");
    assert!(read(&Bytes::from([frame, &[0][..]].concat())).is_err(), "a byte more");
    Some(response)
}
