//! Tests code that sends against a real broker inside the process, with faults that are scripted.
//!
//! `cargo run --example testing_with_broker`. In a project of yours, what `main` calls here would be tests; milena is then a
//! dev-dependency with the feature `broker`. There is no use for `BOOTSTRAP_SERVERS`: a cluster of yours takes no scripts.

use std::{error::Error, time::Duration};

use milena::{
    ErrorCode, FailureKind, Persisted, Producer, Record,
    broker::{Api, EmbeddedBroker, Fault},
};

/// The code that is tested.
async fn place_order(producer: &Producer, customer: &str) -> Result<i64, Box<dyn Error>> {
    let ack = producer.send(Record::to("orders").key(customer).value("one book")).await?.await?;
    ack.offset().ok_or_else(|| "no offset was told".into())
}

/// Each test has a broker of its own: it takes less than a millisecond to start.
async fn broker() -> Result<EmbeddedBroker, Box<dyn Error>> {
    Ok(EmbeddedBroker::builder().topic("orders", 1).start().await?)
}

async fn an_error_that_passes_is_retried_and_the_order_is_there_once() -> Result<(), Box<dyn Error>> {
    let broker = broker().await?;
    let producer = Producer::builder(&broker.bootstrap_servers()).build().await?;
    // The leader appends the batch twice and says each time that it failed: a producer without idempotence would write twice.
    let code = ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND;
    let fault = broker.inject(Fault::error_after_append(code).on(Api::Produce).times(2));

    assert_eq!(place_order(&producer, "ada").await?, 0);
    assert_eq!((broker.struck(fault), broker.log("orders", 0).len()), (2, 1));
    println!("ok: an error that passes is retried, and the order is there once");
    Ok(())
}

async fn an_order_that_the_broker_refuses_is_not_written() -> Result<(), Box<dyn Error>> {
    let broker = broker().await?;
    let producer = Producer::builder(&broker.bootstrap_servers()).build().await?;
    broker.inject(Fault::error(ErrorCode::TOPIC_AUTHORIZATION_FAILED).on(Api::Produce));

    let error = producer.send(Record::to("orders").value("one book")).await?.await.unwrap_err();
    assert_eq!((error.kind(), error.persisted()), (FailureKind::Rejected, Persisted::No));
    assert!(broker.log("orders", 0).is_empty());
    println!("ok: an order that the broker refuses is not written");
    Ok(())
}

async fn an_answer_that_does_not_come_leaves_it_open_whether_the_order_is_there() -> Result<(), Box<dyn Error>> {
    let broker = broker().await?;
    let ms = Duration::from_millis;
    let builder = Producer::builder(&broker.bootstrap_servers()).linger(ms(0));
    let producer = builder.request_timeout(ms(200)).delivery_timeout(ms(400)).build().await?;
    broker.inject(Fault::delay_response(ms(60_000)).on(Api::Produce).forever());

    let error = producer.send(Record::to("orders").value("one book")).await?.await.unwrap_err();
    assert_eq!((error.kind(), error.persisted()), (FailureKind::Expired, Persisted::Unknown));
    assert_eq!(broker.log("orders", 0).len(), 1, "it is there, and nobody said so");
    println!("ok: an answer that does not come leaves it open whether the order is there");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    an_error_that_passes_is_retried_and_the_order_is_there_once().await?;
    an_order_that_the_broker_refuses_is_not_written().await?;
    an_answer_that_does_not_come_leaves_it_open_whether_the_order_is_there().await
}
