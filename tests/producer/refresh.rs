//! `refresh_metadata`: whether the cluster can be reached, asked when nothing is sent.

use std::time::Duration;

use milena::{
    Producer, SendError, WaitedFor,
    broker::{Api, Fault},
};

use crate::{broker, producer_of, run};

#[test]
fn the_cluster_is_asked_although_the_topic_is_known() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let before = broker.requests(Api::Metadata);
        producer.refresh_metadata("orders").await.unwrap();
        assert!(broker.requests(Api::Metadata) > before);
    });
}

#[test]
fn a_cluster_that_does_not_respond_is_noticed_although_the_topic_is_known() {
    run(async {
        let broker = broker().await;
        let builder = Producer::builder(&broker.bootstrap_servers()).max_block(Duration::from_millis(300));
        let producer = builder.build().await.unwrap();
        producer.refresh_metadata("orders").await.unwrap();
        broker.inject(Fault::delay_response(Duration::from_secs(86_400)).on(Api::Metadata).forever());
        assert_eq!(producer.partitions_for("orders").await.unwrap(), 3, "what is known is no question");
        let error = producer.refresh_metadata("orders").await.unwrap_err();
        assert!(matches!(error, SendError::Timeout { waited_for: WaitedFor::Metadata, .. }), "{error}");
    });
}

#[test]
fn a_response_that_knows_no_such_topic_is_a_response() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        producer.refresh_metadata("payments").await.unwrap();
        let refused = producer.refresh_metadata("not a name").await;
        assert!(matches!(refused, Err(SendError::InvalidTopic { .. })), "{refused:?}");
    });
}

#[test]
fn a_producer_that_is_closed_asks_nothing() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        broker.inject(Fault::delay_response(Duration::from_secs(86_400)).on(Api::Metadata).forever());
        let (waiting, closed) = tokio::join!(producer.refresh_metadata("orders"), producer.close());
        closed.unwrap();
        for result in [waiting, producer.refresh_metadata("orders").await] {
            assert!(matches!(result, Err(SendError::Closed { .. })), "{result:?}");
        }
    });
}
