//! The largest record, the smallest, and records that are too large.

use milena::{ErrorCode, FailureKind, Persisted, Record};

use crate::{cluster::Kind, log::Log};

/// The size of a batch of one record without key and headers, without its value, for a value of 8,192 bytes or more: 61 of batch
/// header, 3 of record length, 4 of attributes, deltas and null key, 3 of value length, 1 of header count.
const AROUND_VALUE: usize = 72;

pub(crate) async fn a_batch_of_exactly_max_message_bytes_is_written_and_one_byte_more_is_refused(kind: Kind) {
    let limit = 10_000;
    let cluster = kind.shared().await;
    let topic = cluster.topic("limit", 1, &[("max.message.bytes", &limit.to_string())]).await;
    let producer = cluster.producer().await;
    let (fits, over) = ("x".repeat(limit - AROUND_VALUE), "x".repeat(limit - AROUND_VALUE + 1));
    let first = producer.send(Record::to(&topic).value(&fits)).await.unwrap().await.unwrap();
    let error = producer.send(Record::to(&topic).value(&over)).await.unwrap().await.unwrap_err();
    let last = producer.send(Record::to(&topic).value("")).await.unwrap().await.unwrap();
    assert_eq!((error.code(), error.persisted()), (ErrorCode::MESSAGE_TOO_LARGE, Persisted::No), "{error}");
    let log = Log::read(&cluster, &topic).await;
    log.assert_holds(&[(fits, first), (String::new(), last)]);
    assert!(log.batches.is_none_or(|batches| batches[0].size == limit), "the first batch is as large as allowed");
}

pub(crate) async fn a_record_over_max_message_bytes_fails_alone(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("too-large", 1, &[("max.message.bytes", "2000")]).await;
    // All records are in one batch, which is refused as a whole at first.
    let producer = cluster.builder().linger(std::time::Duration::from_millis(200)).build().await.unwrap();
    let large = "x".repeat(3_000);
    let mut deliveries = Vec::new();
    for value in ["a", &large, "b", "c"] {
        deliveries.push((value.to_owned(), producer.send(Record::to(&topic).value(value)).await.unwrap()));
    }
    let mut acks = Vec::new();
    for (value, delivery) in deliveries {
        match delivery.await {
            Ok(ack) => acks.push((value, ack)),
            Err(error) => {
                assert_eq!(value, large, "only the large one fails: {error}");
                assert_eq!((error.kind(), error.code()), (FailureKind::Rejected, ErrorCode::MESSAGE_TOO_LARGE));
                assert_eq!((error.persisted(), error.retriable()), (Persisted::No, false));
            }
        }
    }
    assert_eq!(acks.len(), 3);
    let log = Log::read(&cluster, &topic).await;
    log.assert_holds(&acks);
    assert_eq!(log.values(0), ["a", "b", "c"]);
}

pub(crate) async fn ten_thousand_headers_arrive(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("many-headers", 1, &[]).await;
    let producer = cluster.producer().await;
    let headers: Vec<_> = (0..10_000).map(|i| (format!("name-{i}"), i.to_string())).collect();
    let record = headers.iter().fold(Record::to(&topic).value("v"), |record, (name, value)| record.header(name, value));
    let ack = producer.send(record).await.unwrap().await.unwrap();
    let log = Log::read(&cluster, &topic).await;
    log.assert_holds(&[("v".to_owned(), ack)]);
    let expected: Vec<_> = headers.into_iter().map(|(name, value)| (name, Some(value))).collect();
    assert_eq!(log.records[0].headers, expected);
}
