//! Invalid topics, partitions and timestamps.

use std::time::Duration;

use milena::{ErrorCode, Partitions, Persisted, Producer, Record, SendError, broker::EmbeddedBroker};

use crate::{broker, order, producer_of, run};

#[test]
fn a_topic_name_that_cannot_exist_is_refused_with_the_rule_it_breaks() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let too_long = "t".repeat(250);
        for name in ["", ".", "..", "with space", "a/b", "ümlaut", "new\nline", "a:b", "nul\0", &too_long] {
            for error in [
                producer.send(Record::to(name).value("v")).await.unwrap_err(),
                producer.try_send(Record::to(name).value("v")).unwrap_err(),
            ] {
                assert!(matches!(&error, SendError::InvalidTopic { .. }), "{name:?}: {error:?}");
                assert_eq!((error.code(), error.retriable()), (ErrorCode::INVALID_TOPIC_EXCEPTION, false));
                assert_eq!(error.persisted(), Persisted::No);
            }
        }
    });
}

#[test]
fn a_name_of_249_characters_is_only_unknown_not_invalid() {
    run(async {
        let broker = broker().await;
        let name = "t".repeat(249);
        broker_has_no(&broker, &name).await;
    });
}

async fn broker_has_no(broker: &EmbeddedBroker, name: &str) {
    let builder = Producer::builder(&broker.bootstrap_servers());
    let producer = builder.max_block(Duration::from_millis(300)).build().await.unwrap();
    let error = producer.send(Record::to(name).value("v")).await.unwrap_err();
    assert!(matches!(&error, SendError::UnknownTopic { .. }), "{error:?}");
    assert!(error.to_string().contains("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
}

#[test]
fn an_error_repeats_at_most_the_beginning_of_an_endless_name() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let endless = "t".repeat(1_000_000);
        let error = producer.send(Record::to(&endless).value("v")).await.unwrap_err();
        assert!(error.to_string().len() < 1_000, "{} bytes", error.to_string().len());
    });
}

#[test]
fn a_negative_timestamp_is_refused_as_java_refuses_it() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        for timestamp in [-1, i64::MIN] {
            for error in [
                producer.send(order("v").timestamp(timestamp)).await.unwrap_err(),
                producer.try_send(order("v").timestamp(timestamp)).unwrap_err(),
            ] {
                assert!(matches!(&error, SendError::InvalidRecord { .. }), "{error:?}");
                assert!(error.to_string().contains("negative: expected milliseconds since 1970"), "{error}");
                assert_eq!((error.code(), error.persisted()), (ErrorCode::INVALID_RECORD, Persisted::No));
            }
        }
        let oldest = producer.send(order("v").timestamp(0)).await.unwrap().await.unwrap();
        assert_eq!(oldest.timestamp(), 0);
    });
}

#[test]
fn a_partition_out_of_range_is_refused_with_the_range() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        for invalid in [3, -1, i32::MAX, i32::MIN] {
            for error in [
                producer.send(order("v").partition(invalid)).await.unwrap_err(),
                producer.try_send(order("v").partition(invalid)).unwrap_err(),
            ] {
                let SendError::InvalidPartition { partition, count: 3, .. } = &error else { panic!("{error:?}") };
                assert_eq!((*partition, error.retriable()), (invalid, false));
                assert!(error.to_string().starts_with("orders has partitions 0 to 2, got "), "{error}");
            }
        }
        assert_eq!(producer.send(order("v").partition(2)).await.unwrap().await.unwrap().partition(), 2);
    });
}

#[test]
fn an_explicit_partition_overrides_the_partitioner_whose_result_must_be_in_range() {
    run(async {
        let broker = broker().await;
        let builder = Producer::builder(&broker.bootstrap_servers());
        let by_key = |record: &Record<'_>, _: &Partitions<'_>| record.key_bytes().map_or(7, |key| i32::from(key[0]));
        let producer = builder.partitioner(by_key).build().await.unwrap();
        let sent = async |record| Ok::<_, SendError>(producer.send(record).await?.await.unwrap().partition());
        assert_eq!(sent(order("v").key(&[1]).partition(2)).await.unwrap(), 2);
        assert_eq!(sent(order("v").key(&[1])).await.unwrap(), 1);
        let error = sent(order("v")).await.unwrap_err();
        assert!(matches!(error, SendError::InvalidPartition { partition: 7, count: 3, .. }), "{error}");
    });
}
