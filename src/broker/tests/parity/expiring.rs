//! What retention keeps. A real Kafka applies it by itself now and then, the embedded broker on command.

use kafka_protocol::messages::{
    ListOffsetsRequest,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};
use milena_test_support::kafka::RealKafka;

use super::{Client, Seen, assert_same, changing::left, values};
use crate::broker::{
    EmbeddedBroker, listener,
    testing::{BatchOf, name},
};

/// A topic's settings, how long ago its batches were written in milliseconds, and where its log begins in the end.
type Row = (&'static [(&'static str, &'static str)], &'static [i64], i64);

const DAY: i64 = 86_400_000;
/// Three records of this size make three segments.
const BYTES: &str = "100";

const ROWS: [Row; 8] = [
    (&[("segment.ms", "1"), ("retention.ms", "3600000")], &[3 * DAY, 2 * DAY, 0], 2),
    (&[("segment.ms", "1"), ("retention.ms", "3600000")], &[3 * DAY, 0, 2 * DAY], 1),
    (&[("segment.ms", "1"), ("retention.ms", "3600000")], &[3 * DAY, 2 * DAY, DAY], 3),
    (&[("retention.ms", "3600000")], &[3 * DAY, 0], 0),
    (&[("segment.ms", "1"), ("retention.ms", "-1")], &[3 * DAY, 2 * DAY], 0),
    (&[("segment.ms", "1"), ("retention.ms", "-1"), ("retention.bytes", BYTES)], &[3 * DAY, 2 * DAY, DAY], 1),
    (&[("segment.ms", "1"), ("retention.ms", "-1"), ("retention.bytes", "0")], &[3 * DAY, 2 * DAY, DAY], 3),
    (&[("segment.ms", "1"), ("retention.ms", "1"), ("cleanup.policy", "compact")], &[3 * DAY, 2 * DAY, DAY], 0),
];

/// Writes all topics; their names.
fn write(client: &mut Client, now_ms: i64) -> Vec<String> {
    let topic = |(settings, ages, _): &Row| {
        let topic = client.topic(settings);
        for age in *ages {
            let batch = BatchOf { base_timestamp: now_ms - age, records: vec![(Some("key"), "v", 0)], ..values(0) };
            assert!(client.write(&topic, -1, Some(batch.encode())).starts_with("NONE"));
        }
        topic
    };
    ROWS.iter().map(topic).collect()
}

fn start_of(client: &mut Client, topic: &str) -> i64 {
    let wanted = ListOffsetsPartition::default().with_timestamp(-2).with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![wanted]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    client.ask(8, &request).topics[0].partitions[0].offset
}

fn seen(client: &mut Client, topics: &[String]) -> Seen {
    let told = topics.iter().flat_map(|topic| {
        let mut told = vec![format!("start {}", start_of(client, topic)), client.epoch_ends(topic, 0, 0, -1)];
        told.extend(left(client, topic));
        told
    });
    told.collect()
}

#[test]
fn retention() {
    let now_ms = listener::now_ms();
    // Written before the first time that it is applied, so that all is there when it is.
    let settings = [("log.initial.task.delay.ms", "10000"), ("log.retention.check.interval.ms", "200")];
    let kafka = RealKafka::start(1, &settings);
    let mut real = Client::connect(&kafka.bootstrap_servers());
    let topics = write(&mut real, now_ms);
    for (topic, (.., start)) in topics.iter().zip(ROWS) {
        while start_of(&mut real, topic) < start {}
    }
    let real = seen(&mut real, &topics);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(EmbeddedBroker::builder().auto_create(false).start()).unwrap();
    let mut client = Client::connect(&broker.bootstrap_servers());
    let topics = write(&mut client, now_ms);
    for (topic, (.., start)) in topics.iter().zip(ROWS) {
        assert_eq!(broker.apply_retention(topic), Ok(u64::try_from(start).unwrap()), "{topic}");
    }
    assert_same(&seen(&mut client, &topics), &real);
}
