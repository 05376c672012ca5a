//! Topics that do not exist yet, or never will.

use std::time::Duration;

use milena::{Record, SendError};

use crate::{
    cluster::{DEFAULT_PARTITIONS, Kind, Setup, unique},
    log::Log,
};

pub(crate) async fn a_missing_topic_is_created_by_sending_to_it(kind: Kind) {
    let cluster = kind.shared().await;
    let topic = unique("created-by-sending");
    let producer = cluster.producer().await;
    let ack = producer.send(Record::to(&topic).key("k").value("v")).await.unwrap().await.unwrap();
    assert_eq!((ack.topic(), ack.offset()), (topic.as_str(), Some(0)));
    let partitions = producer.partitions_for(&topic).await.unwrap();
    assert_eq!(partitions, DEFAULT_PARTITIONS);
    Log::read(&cluster, &topic).await.assert_holds(&[("v".to_owned(), ack)]);
}

pub(crate) async fn an_unknown_topic_times_out_with_the_cause_and_works_once_it_exists(kind: Kind) {
    let cluster = kind.own(Setup { nodes: 1, auto_create: false }).await;
    // Longer than the longest backoff between two Metadata requests for the topic.
    let producer = cluster.builder().max_block(Duration::from_secs(3)).build().await.unwrap();
    let error = producer.send(Record::to("later").value("v")).await.unwrap_err();
    let SendError::UnknownTopic { topic, .. } = &error else { panic!("expected an unknown topic, got {error:?}") };
    assert_eq!((topic.as_ref(), error.retriable()), ("later", true));
    assert!(error.to_string().contains("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
    cluster.create("later", 1, &[]).await;
    let ack = producer.send(Record::to("later").value("v")).await.unwrap().await.unwrap();
    Log::read(&cluster, "later").await.assert_holds(&[("v".to_owned(), ack)]);
}
