//! Nulls, headers and timestamps arrive as they were sent.

use milena::{Ack, Header, Producer, Record};

use crate::{cluster::Kind, log::Log};

pub(crate) async fn null_and_empty_keys_and_values_stay_apart(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("nulls", 1, &[]).await;
    let producer = cluster.producer().await;
    let record = || Record::to(&topic);
    let records = [
        record(),
        record().key("").value(""),
        record().key("k"),
        record().key("k").value(""),
        record().value("v"),
        record().key("").value("v"),
    ];
    send_all(&producer, records).await;
    let log = Log::read(&cluster, &topic).await;
    let content: Vec<_> = log.records.iter().map(|r| (r.key.as_deref(), r.value.as_deref())).collect();
    let expected = [
        (None, None),
        (Some(""), Some("")),
        (Some("k"), None),
        (Some("k"), Some("")),
        (None, Some("v")),
        (Some(""), Some("v")),
    ];
    assert_eq!(content, expected);
}

pub(crate) async fn headers_keep_order_repetitions_nulls_and_empty_values(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("headers", 1, &[]).await;
    let producer = cluster.producer().await;
    let many = Record::to(&topic).value("many").header("b", "1").header("a", "2").header("b", "3").header("b", "3");
    let odd = Record::to(&topic).value("odd").header("empty", "").with_header(Header::null("null")).header("ü", "é");
    send_all(&producer, [many, odd, Record::to(&topic).value("none")]).await;
    let log = Log::read(&cluster, &topic).await;
    let headers: Vec<Vec<_>> =
        log.records.iter().map(|r| r.headers.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect()).collect();
    let expected = [
        vec![("b", Some("1")), ("a", Some("2")), ("b", Some("3")), ("b", Some("3"))],
        vec![("empty", Some("")), ("null", None), ("ü", Some("é"))],
        vec![],
    ];
    assert_eq!(headers, expected);
}

pub(crate) async fn explicit_timestamps_are_kept_also_when_they_go_backwards(kind: Kind) {
    let cluster = kind.shared().await;
    // Half a minute after its start a broker deletes segments whose record timestamps are over a week old.
    let topic = cluster.topic("timestamps", 1, &[("retention.ms", "-1")]).await;
    let producer = cluster.producer().await;
    let timestamps = [1_700_000_000_000, 1_600_000_000_000, 0, 1_700_000_000_001, 1];
    let acks = send_all(&producer, timestamps.map(|t| Record::to(&topic).value("v").timestamp(t))).await;
    assert_eq!(acks.iter().map(Ack::timestamp).collect::<Vec<_>>(), timestamps);
    let log = Log::read(&cluster, &topic).await;
    assert_eq!(log.records.iter().map(|record| record.timestamp).collect::<Vec<_>>(), timestamps);
    assert!(log.records.iter().all(|record| record.timestamp_type == "CreateTime"));
}

pub(crate) async fn a_log_append_time_topic_sets_the_timestamps_and_the_ack_has_them(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = cluster.topic("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let producer = cluster.producer().await;
    let records = [17, 18, 19].map(|timestamp| Record::to(&topic).value("v").timestamp(timestamp));
    let acks = send_all(&producer, records).await;
    let log = Log::read(&cluster, &topic).await;
    for (ack, record) in acks.iter().zip(&log.records) {
        assert_eq!((ack.timestamp(), "LogAppendTime"), (record.timestamp, record.timestamp_type.as_str()));
        assert!(record.timestamp > 1_700_000_000_000, "the broker's clock, got {}", record.timestamp);
    }
    assert_eq!(log.records.len(), acks.len());
}

async fn send_all<'a>(producer: &Producer, records: impl IntoIterator<Item = Record<'a>>) -> Vec<Ack> {
    let mut deliveries = Vec::new();
    for record in records {
        deliveries.push(producer.send(record).await.unwrap());
    }
    let mut acks = Vec::new();
    for delivery in deliveries {
        acks.push(delivery.await.unwrap());
    }
    acks
}
