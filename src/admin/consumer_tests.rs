//! A consumer against the embedded broker.

use std::time::Duration;

use super::{AdminError, Consumer, Start};
use crate::{ErrorCode, Producer, Record, broker::EmbeddedBroker};

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

async fn write(broker: &EmbeddedBroker, partition: i32, values: &[&str]) {
    let producer = Producer::builder(&broker.bootstrap_servers()).build().await.unwrap();
    for (number, value) in (1_000..).step_by(1_000).zip(values) {
        let record = Record::to("t").partition(partition).timestamp(number).value(value);
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await.unwrap();
}

async fn value(consumer: &mut Consumer) -> String {
    let record = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
    String::from_utf8(record.value.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn each_place_to_begin_is_found() {
    let broker = EmbeddedBroker::builder().topic("t", 1).start().await.unwrap();
    write(&broker, 0, &["a", "b", "c"]).await;
    let of = |start| Consumer::builder(&broker.bootstrap_servers(), "t").start(start).build();
    for (start, first) in [
        (Start::Beginning, Some("a")),
        (Start::Offset(1), Some("b")),
        (Start::Time(2_500), Some("c")),
        (Start::Time(9_000), None),
        (Start::End, None),
    ] {
        let mut consumer = of(start).await.unwrap();
        let read = consumer.next_within(Duration::from_millis(50)).await.unwrap();
        assert_eq!(read.and_then(|record| record.value).as_deref(), first.map(str::as_bytes), "{start:?}");
    }
    let mut late = of(Start::End).await.unwrap();
    write(&broker, 0, &["d"]).await;
    assert_eq!(value(&mut late).await, "d");
}

#[tokio::test]
async fn positions_are_where_another_consumer_goes_on() {
    let broker = EmbeddedBroker::builder().topic("t", 2).start().await.unwrap();
    write(&broker, 0, &["a", "b", "c"]).await;
    write(&broker, 1, &["x", "y"]).await;
    let mut consumer = Consumer::builder(&broker.bootstrap_servers(), "t").build().await.unwrap();
    let mut read = vec![value(&mut consumer).await, value(&mut consumer).await];
    let builder = Consumer::builder(&broker.bootstrap_servers(), "t");
    let builder =
        consumer.positions().fold(builder, |builder, (partition, offset)| builder.position(partition, offset));
    let mut other = builder.build().await.unwrap();
    for _ in 0..3 {
        read.push(value(&mut other).await);
    }
    read.sort();
    assert_eq!(read, ["a", "b", "c", "x", "y"]);
    other.seek(1, 1);
    assert_eq!(value(&mut other).await, "y");
    let mut one = Consumer::builder(&broker.bootstrap_servers(), "t").partitions([1]).build().await.unwrap();
    assert_eq!((value(&mut one).await, value(&mut one).await), ("x".into(), "y".into()));
    assert_eq!(one.next_within(Duration::ZERO).await, Ok(None));
}

#[tokio::test]
async fn added_partitions_restarts_and_moving_leaders_lose_and_repeat_nothing() {
    let broker = EmbeddedBroker::builder().nodes(2).topic("t", 1).start().await.unwrap();
    let builder = Consumer::builder(&broker.bootstrap_servers(), "t").refresh(Duration::from_millis(20));
    let mut consumer = builder.build().await.unwrap();
    write(&broker, 0, &["a"]).await;
    assert_eq!(value(&mut consumer).await, "a");
    broker.add_partitions("t", 2).unwrap();
    write(&broker, 1, &["b"]).await;
    assert_eq!(value(&mut consumer).await, "b");
    for (node, text) in [(2, "c"), (1, "d"), (2, "e")] {
        broker.move_leader("t", 0, node).unwrap();
        write(&broker, 0, &[text]).await;
        assert_eq!(value(&mut consumer).await, text);
    }
    assert!(consumer.trouble().is_none());
    broker.stop_node(1).await;
    broker.stop_node(2).await;
    while consumer.trouble().is_none() {
        assert_eq!(consumer.next_within(Duration::from_millis(20)).await, Ok(None));
    }
    broker.restart_node(1).await.unwrap();
    broker.restart_node(2).await.unwrap();
    write(&broker, 0, &["f"]).await;
    assert_eq!(value(&mut consumer).await, "f");
}

#[tokio::test]
async fn a_deleted_position_is_an_error_until_the_consumer_seeks_elsewhere() {
    let broker = EmbeddedBroker::builder().topic("t", 1).start().await.unwrap();
    write(&broker, 0, &["a", "b"]).await;
    let mut consumer =
        Consumer::builder(&broker.bootstrap_servers(), "t").start(Start::Offset(7)).build().await.unwrap();
    for _ in 0..2 {
        let error = consumer.next().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE), "{error}");
    }
    consumer.seek(0, 1);
    assert_eq!(value(&mut consumer).await, "b");
    let unknown = Consumer::builder(&broker.bootstrap_servers(), "nothing").build().await.unwrap_err();
    assert!(matches!(unknown, AdminError::UnknownTopic { .. }));
}

#[tokio::test]
async fn a_dropped_wait_loses_no_record() {
    let broker = EmbeddedBroker::builder().topic("t", 1).start().await.unwrap();
    let mut consumer = Consumer::builder(&broker.bootstrap_servers(), "t").build().await.unwrap();
    let values: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let writing = async {
        for value in &values {
            write(&broker, 0, &[value]).await;
        }
    };
    let reading = async {
        let mut read = Vec::new();
        for millis in (0..30).cycle() {
            if let Ok(record) = tokio::time::timeout(Duration::from_millis(millis), consumer.next()).await {
                read.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
            if read.len() == values.len() {
                break;
            }
        }
        read
    };
    let ((), read) = tokio::join!(writing, reading);
    assert_eq!(read, values);
}
