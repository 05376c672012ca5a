//! Tests code that sends without any broker, by a `MockProducer`.
//!
//! `cargo run --example testing_with_mock`. In a project of yours, what `main` calls here would be tests.

use milena::{
    DeliveryError, ErrorCode, FailureKind, Persisted, Produce, Record,
    mock::{MockProducer, Reply},
};

/// What a shop says of an order.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Placed,
    /// It is certainly not there: the customer may try again.
    TryAgain,
    /// It may be there: somebody has to look before it is placed again.
    Unclear,
}

/// The code that is tested. It takes the trait `Produce`, so a `Producer` and a `MockProducer` will both do.
async fn place_order(producer: &dyn Produce, customer: &str, order: &str) -> Answer {
    let record = Record::to("orders").key(customer).value(order).header("version", "1");
    match producer.send(record).await {
        Err(_) => Answer::TryAgain,
        Ok(delivery) => match delivery.await {
            Ok(_) => Answer::Placed,
            Err(error) if error.persisted() == Persisted::No => Answer::TryAgain,
            Err(_) => Answer::Unclear,
        },
    }
}

async fn an_order_is_sent_with_its_customer_as_key() {
    let mock = MockProducer::new().with_partitions(3);
    assert_eq!(place_order(&mock, "ada", "one book").await, Answer::Placed);
    let [sent] = &mock.history()[..] else { panic!("one record is sent") };
    assert_eq!((sent.topic.as_str(), sent.key.as_deref()), ("orders", Some(&b"ada"[..])));
    assert_eq!(sent.header("version"), Some(&b"1"[..]));
    println!("ok: an order is sent with its customer as key");
}

async fn a_failure_is_told_by_what_is_known_of_the_record() {
    let mock = MockProducer::new();
    let refused =
        DeliveryError::of(FailureKind::Rejected, "orders", 0).with_code(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    mock.fail_next(refused);
    assert_eq!(place_order(&mock, "ada", "one book").await, Answer::TryAgain);

    mock.fail_next(DeliveryError::of(FailureKind::Expired, "orders", 0).with_persisted(Persisted::Unknown));
    assert_eq!(place_order(&mock, "ada", "one book").await, Answer::Unclear);
    println!("ok: a failure is told by what is known of the record");
}

async fn an_order_waits_for_its_outcome() {
    let mock = MockProducer::new();
    mock.reply(Reply::hold());
    // Both run at once: the order waits until the test gives its record an outcome.
    let (answer, completed) = tokio::join!(place_order(&mock, "ada", "one book"), async { mock.complete_next() });
    assert_eq!((answer, completed), (Answer::Placed, true));
    println!("ok: an order waits for its outcome");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    an_order_is_sent_with_its_customer_as_key().await;
    a_failure_is_told_by_what_is_known_of_the_record().await;
    an_order_waits_for_its_outcome().await;
}
