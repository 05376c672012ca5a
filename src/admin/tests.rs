//! The admin client against the embedded broker.

mod consumer;

use std::{ops::ControlFlow, time::Duration};

use super::*;
use crate::{
    Producer, Record,
    broker::{Api, EmbeddedBroker, Fault},
};

const NO_WAIT: Duration = Duration::ZERO;

async fn cluster(nodes: usize) -> (EmbeddedBroker, Admin) {
    let broker = EmbeddedBroker::builder().nodes(nodes).start().await.unwrap();
    let admin = Admin::connect(&broker.bootstrap_servers()).await.unwrap();
    (broker, admin)
}

/// Writes the values `0`, `1`, `2` and so on to partition 0.
async fn write(broker: &EmbeddedBroker, topic: &str, count: usize) {
    let producer = Producer::from_properties([("bootstrap.servers", broker.bootstrap_servers())]).await.unwrap();
    for number in 0..count {
        let value = number.to_string();
        let delivery = producer.send(Record::to(topic).partition(0).value(&value)).await.unwrap();
        drop(delivery);
    }
    producer.close().await.unwrap();
}

fn values(records: &[ConsumedRecord]) -> Vec<String> {
    let text = |record: &ConsumedRecord| String::from_utf8(record.value.clone().unwrap().into()).unwrap();
    records.iter().map(text).collect()
}

#[test]
fn an_invalid_server_list_is_refused_with_what_was_expected() {
    for (text, given, expected) in [
        ("", "", "at least one host:port"),
        (" , ", " , ", "at least one host:port"),
        ("a:1,localhost", "localhost", "the port is missing"),
        ("a:1 b:2", "a:1 b:2", "commas between servers, as in a:9092,b:9092"),
        ("PLAINTEXT://a:1", "PLAINTEXT://a:1", "a:1, without PLAINTEXT://"),
        ("::1:9092", "::1:9092", "in brackets"),
    ] {
        let error = bootstrap_servers(text).unwrap_err();
        assert!(matches!(&error, AdminError::InvalidBootstrap { given: told, .. } if told == given), "{error:?}");
        let told = error.to_string();
        assert!(told.starts_with("bootstrap servers: expected ") && told.contains(expected), "{told}");
    }
    let servers = bootstrap_servers(" a:1 ,,[::1]:9092, a:1").unwrap();
    assert_eq!(servers, [("a".to_owned(), 1), ("::1".to_owned(), 9092)]);
}

#[tokio::test]
async fn a_topic_is_created_once_and_then_has_its_partitions() {
    let (_broker, mut admin) = cluster(3).await;
    admin.create_topic("orders", 6, 2, &[("retention.ms", "3600000")]).await.unwrap();
    assert_eq!(admin.partitions("orders").await, Ok(6));
    let again = admin.create_topic("orders", 6, 2, &[]).await;
    assert_eq!(again, Err(AdminError::TopicExists { topic: "orders".into() }));
}

#[tokio::test]
async fn an_impossible_topic_is_refused_with_the_brokers_reason() {
    let (_broker, mut admin) = cluster(1).await;
    for (name, partitions, replication, code) in [("t", 0, 1, 37), ("t", 1, 2, 38), ("no such", 1, 1, 17)] {
        let error = admin.create_topic(name, partitions, replication, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode(code)), "{error}");
    }
}

#[tokio::test]
async fn a_topic_is_created_by_the_controller_whichever_broker_was_asked_first() {
    let (broker, _) = cluster(3).await;
    for node in [2, 3] {
        broker.inject(Fault::error(ErrorCode::NOT_CONTROLLER).on(Api::CreateTopics).at_node(node).forever());
        let mut admin = Admin::connect(&format!("127.0.0.1:{}", broker.port(node).unwrap())).await.unwrap();
        admin.create_topic(&format!("by-{node}"), 2, -1, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_controller_that_has_moved_is_looked_up_again() {
    let (broker, mut admin) = cluster(3).await;
    let moved = broker.inject(Fault::error(ErrorCode::NOT_CONTROLLER).on(Api::CreateTopics).times(2));
    admin.create_topic("orders", 2, -1, &[]).await.unwrap();
    assert_eq!(broker.struck(moved), 2);
    broker.stop_node(1).await;
    admin.create_topic("payments", 2, 2, &[]).await.unwrap();
}

#[tokio::test]
async fn a_topic_whose_creation_got_no_response_is_created_once_and_counts_as_created() {
    for (number, fault) in [
        Fault::drop_response(),
        Fault::drop_request(),
        Fault::error(ErrorCode::REQUEST_TIMED_OUT),
        Fault::error_after_append(ErrorCode::REQUEST_TIMED_OUT),
    ]
    .into_iter()
    .enumerate()
    {
        let (broker, mut admin) = cluster(2).await;
        let fault = broker.inject(fault.on(Api::CreateTopics));
        assert_eq!(admin.create_topic("orders", 3, -1, &[]).await, Ok(()), "{number}");
        assert_eq!((broker.struck(fault), admin.partitions("orders").await), (1, Ok(3)), "{number}");
    }
}

#[tokio::test]
async fn a_topic_that_existed_before_a_response_was_lost_is_not_counted_as_created() {
    let (broker, mut admin) = cluster(2).await;
    admin.create_topic("orders", 3, -1, &[]).await.unwrap();
    broker.inject(Fault::drop_response().on(Api::CreateTopics));
    let again = admin.create_topic("orders", 3, -1, &[]).await;
    assert_eq!(again, Err(AdminError::TopicExists { topic: "orders".into() }));
}

#[tokio::test]
async fn a_metadata_request_does_not_create_a_topic() {
    let (_broker, mut admin) = cluster(1).await;
    let unknown = AdminError::UnknownTopic { topic: "nowhere".into() };
    assert_eq!(admin.partitions("nowhere").await, Err(unknown.clone()));
    assert_eq!(admin.offsets("nowhere", 0, OffsetSpec::Latest).await, Err(unknown.clone()));
    assert_eq!(admin.read_all("nowhere").await, Err(unknown));
}

#[tokio::test]
async fn all_topics_are_named_in_order() {
    let (_broker, mut admin) = cluster(1).await;
    for topic in ["b", "a"] {
        admin.create_topic(topic, 1, 1, &[]).await.unwrap();
    }
    assert_eq!(admin.topics().await, Ok(vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn a_server_that_is_down_does_not_matter_while_another_responds() {
    let (broker, _) = cluster(1).await;
    let bootstrap = format!("127.0.0.1:1,{}", broker.bootstrap_servers());
    assert!(Admin::connect(&bootstrap).await.is_ok());
}

#[tokio::test]
async fn records_are_read_back_as_they_were_written() {
    let (broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 2, 1, &[]).await.unwrap();
    let producer = Producer::from_properties([("bootstrap.servers", broker.bootstrap_servers())]).await.unwrap();
    let full = Record::to("orders").partition(1).key("k").value(&[0xff]).header("h", "1").header("h", "").timestamp(42);
    let ack = producer.send(full).await.unwrap().await.unwrap();
    let empty = producer.send(Record::to("orders").partition(0).timestamp(43)).await.unwrap().await.unwrap();
    assert_eq!((ack.offset(), empty.offset()), (Some(0), Some(0)));
    let expected = |partition, timestamp| ConsumedRecord {
        partition,
        offset: 0,
        timestamp,
        timestamp_type: TimestampType::CreateTime,
        key: None,
        value: None,
        headers: Vec::new(),
    };
    let full = ConsumedRecord {
        key: Some("k".into()),
        value: Some(vec![0xff].into()),
        headers: vec![("h".into(), Some("1".into())), ("h".into(), Some("".into()))],
        ..expected(1, 42)
    };
    assert_eq!(admin.read_all("orders").await.unwrap(), [expected(0, 43), full]);
}

#[tokio::test]
async fn offsets_are_those_of_the_ends_of_the_log() {
    let (broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 2, 1, &[]).await.unwrap();
    write(&broker, "orders", 5).await;
    for (partition, latest) in [(0, 5), (1, 0)] {
        assert_eq!(admin.offsets("orders", partition, OffsetSpec::Earliest).await, Ok(0));
        assert_eq!(admin.offsets("orders", partition, OffsetSpec::Latest).await, Ok(latest));
    }
    let unknown = AdminError::UnknownPartition { topic: "orders".into(), partition: 2, count: 2 };
    assert_eq!(admin.offsets("orders", 2, OffsetSpec::Latest).await, Err(unknown));
}

#[tokio::test]
async fn reading_begins_in_the_middle_of_a_batch_and_ends_at_the_requested_offset() {
    let (broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 1, 1, &[]).await.unwrap();
    write(&broker, "orders", 10).await;
    let fetched = admin.read("orders", 0, 7, NO_WAIT).await.unwrap();
    assert_eq!((values(&fetched.records), fetched.next_offset), (vec!["7".into(), "8".into(), "9".into()], 10));
    let mut taken = Vec::new();
    let take = |record: ConsumedRecord| {
        taken.push(record);
        if taken.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    admin.read_range("orders", 0, 3..10, take).await.unwrap();
    assert_eq!(values(&taken), ["3", "4"]);
}

#[tokio::test]
async fn of_a_compacted_topic_the_last_value_of_each_key_is_read_at_its_offset() {
    let (broker, mut admin) = cluster(1).await;
    let settings = [("cleanup.policy", "compact"), ("segment.ms", "1000"), ("delete.retention.ms", "0")];
    admin.create_topic("state", 1, 1, &settings).await.unwrap();
    let producer = Producer::from_properties([("bootstrap.servers", broker.bootstrap_servers())]).await.unwrap();
    let puts = [("a", "1", 0), ("a", "2", 1), ("b", "3", 2), ("a", "4", 3), ("end", "5", 1_004)];
    for (key, value, after_ms) in puts {
        let record = Record::to("state").key(key).value(value).timestamp(1_700_000_000_000 + after_ms);
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
    assert_eq!(broker.compact("state"), Ok(2));
    let records = admin.read_all("state").await.unwrap();
    assert_eq!(values(&records), ["3", "4", "5"]);
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(admin.offsets("state", 0, OffsetSpec::Earliest).await, Ok(0));
    admin.create_topic("plain", 1, 1, &[]).await.unwrap();
    write(&broker, "plain", 3).await;
    assert_eq!(broker.compact("plain"), Ok(0), "its cleanup.policy is delete");
    assert!(broker.compact("nowhere").is_err());
}

#[tokio::test]
async fn an_offset_outside_the_log_is_refused_at_once() {
    let (_broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 1, 1, &[]).await.unwrap();
    let error = admin.read("orders", 0, 1, NO_WAIT).await.unwrap_err();
    assert_eq!((error.code(), error.retriable()), (Some(ErrorCode(1)), false), "{error}");
}

#[tokio::test]
async fn reading_follows_a_leader_that_moves() {
    let (broker, mut admin) = cluster(3).await;
    admin.create_topic("orders", 1, 3, &[]).await.unwrap();
    write(&broker, "orders", 2).await;
    for node in [1, 2, 3, 1] {
        broker.move_leader("orders", 0, node).unwrap();
        let fetched = admin.read("orders", 0, 0, NO_WAIT).await.unwrap();
        assert_eq!(values(&fetched.records), ["0", "1"], "led by {node}");
        assert_eq!(admin.offsets("orders", 0, OffsetSpec::Latest).await, Ok(2));
    }
}

#[tokio::test]
async fn reading_continues_after_its_connections_broke() {
    let (broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 1, 1, &[]).await.unwrap();
    write(&broker, "orders", 1).await;
    for _ in 0..2 {
        broker.stop_node(1).await;
        broker.restart_node(1).await.unwrap();
        assert_eq!(values(&admin.read_all("orders").await.unwrap()), ["0"]);
    }
}

#[tokio::test]
async fn a_range_that_the_log_never_reaches_is_given_up() {
    let (broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 1, 1, &[]).await.unwrap();
    write(&broker, "orders", 3).await;
    let mut taken = Vec::new();
    let take = |record| {
        taken.push(record);
        ControlFlow::Continue(())
    };
    let error = admin.read_range_patiently("orders", 0, 1..4, NO_WAIT, take).await;
    assert_eq!(error, Err(AdminError::Stalled { topic: "orders".into(), partition: 0, offset: 3, end: 4 }));
    assert_eq!(values(&taken), ["1", "2"]);
}

#[tokio::test]
async fn topics_are_told_with_replicas_and_ids_in_pages_or_by_metadata() {
    let (broker, mut admin) = cluster(3).await;
    admin.create_topic_at("placed", &[vec![3, 1], vec![2, 3]], &[]).await.unwrap();
    admin.create_topic("wide", 2_100, 1, &[]).await.unwrap();
    broker.stop_node(1).await;
    let placed = admin.layouts(Some(&["placed", "nothing"])).await.unwrap();
    assert_eq!((placed[0].name.as_str(), placed[0].error), ("nothing", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let told: Vec<_> = placed[1].partitions.iter().map(|p| (p.leader, p.replicas.clone(), p.in_sync.clone())).collect();
    assert_eq!(told, [(Some(3), vec![3, 1], vec![3]), (Some(2), vec![2, 3], vec![2, 3])]);
    assert_eq!(placed[1].partitions[0].eligible_leaders, Some(vec![]));
    let all = admin.layouts(None).await.unwrap();
    assert_eq!(all.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["placed", "wide"]);
    assert_eq!((&all[0].id, all[0].partitions[0].eligible_leaders.as_ref()), (&placed[1].id, None));
    let wide = admin.layouts(Some(&["wide"])).await.unwrap();
    let numbers: Vec<_> = wide[0].partitions.iter().map(|partition| partition.partition).collect();
    assert_eq!(numbers, (0..2_100).collect::<Vec<_>>());
    assert_eq!((broker.requests(Api::DescribeTopicPartitions), admin.layouts(Some(&[])).await), (3, Ok(vec![])));
}

#[tokio::test]
async fn partitions_are_added_and_topics_deleted_by_the_controller() {
    let (broker, mut admin) = cluster(2).await;
    admin.create_topic("orders", 1, 1, &[]).await.unwrap();
    admin.add_partitions("orders", 2, Some(&[vec![1]])).await.unwrap();
    admin.add_partitions("orders", 3, None).await.unwrap();
    assert_eq!((admin.partitions("orders").await, broker.leader("orders", 1)), (Ok(3), Some(1)));
    let code = |done: Result<(), AdminError>| done.unwrap_err().code().unwrap();
    assert_eq!(code(admin.add_partitions("orders", 3, None).await), ErrorCode::INVALID_PARTITIONS);
    broker.inject(Fault::error(ErrorCode(41)).on(Api::DeleteTopics));
    admin.delete_topic("orders").await.unwrap();
    assert_eq!(code(admin.delete_topic("orders").await), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn a_change_whose_response_is_lost_is_not_asked_for_again() {
    let (broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 1, 1, &[]).await.unwrap();
    broker.inject(Fault::drop_response().on(Api::CreatePartitions));
    let lost = admin.add_partitions("orders", 2, None).await;
    assert!(matches!(lost, Err(AdminError::Connection { api: "CreatePartitions", .. })), "{lost:?}");
    assert_eq!((broker.requests(Api::CreatePartitions), admin.partitions("orders").await), (1, Ok(2)));
}

#[tokio::test]
async fn settings_are_told_and_changed() {
    let (_broker, mut admin) = cluster(1).await;
    admin.create_topic("orders", 1, 1, &[("retention.ms", "1000")]).await.unwrap();
    admin.alter_topic("orders", &[("retention.ms", None), ("segment.ms", Some("5"))]).await.unwrap();
    let settings = admin.topic_settings("orders").await.unwrap();
    let own: Vec<_> = settings.iter().filter(|setting| setting.source == ConfigSource::Topic).collect();
    assert_eq!(
        own.iter().map(|one| (&*one.name, one.value.as_deref())).collect::<Vec<_>>(),
        [("segment.ms", Some("5"))]
    );
    let wrong = admin.alter_topic("orders", &[("no.such", Some("5"))]).await.unwrap_err();
    assert_eq!(wrong.code(), Some(ErrorCode::INVALID_CONFIG));
    assert_eq!(admin.topic_settings("nothing").await.unwrap_err().code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

#[tokio::test]
async fn records_are_deleted_from_the_beginning_and_offsets_tell_so() {
    let (broker, mut admin) = cluster(2).await;
    admin.create_topic("orders", 1, 1, &[]).await.unwrap();
    write(&broker, "orders", 5).await;
    assert_eq!(admin.delete_records("orders", 0, Some(2)).await, Ok(2));
    assert_eq!(admin.offsets("orders", 0, OffsetSpec::Earliest).await, Ok(2));
    assert_eq!(admin.offsets("orders", 0, OffsetSpec::EarliestLocal).await, Ok(2));
    assert_eq!(values(&admin.read_all("orders").await.unwrap()), ["2", "3", "4"]);
    let gone = admin.read("orders", 0, 1, NO_WAIT).await.unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE));
    for before in [6, -1, i64::MIN] {
        let refused = admin.delete_records("orders", 0, Some(before)).await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE), "{before}");
    }
    assert_eq!(admin.delete_records("orders", 0, None).await, Ok(5));
    assert_eq!(admin.offsets("orders", 0, OffsetSpec::MaxTimestamp).await, Ok(-1));
    assert_eq!(admin.offsets("orders", 0, OffsetSpec::LatestTiered).await, Ok(-1));
}
