//! A producer with bad input or in a bad environment: it returns an error with a hint, never panics and never hangs.
//!
//! - [`names`]: impossible topics and partitions
//! - [`sizes`]: records that are too large, and full memory
//! - [`several`]: values that are sent together
//! - [`bootstrap`]: addresses without Kafka
//! - [`configuration`]: settings that contradict each other
//! - [`endings`]: a producer that is closed, is dropped, or loses its runtime
//! - [`outside`]: a producer that is used outside of its runtime
//! - [`canary`]: passwords, which are never printed
//! - [`callbacks`]: callbacks that misbehave
//! - [`partitioners`]: custom partitioners
//! - [`metrics`]: the producer's metrics
//! - [`museum`]: bugs of other producers

mod bootstrap;
mod callbacks;
mod canary;
mod configuration;
mod endings;
#[path = "../logs.rs"]
mod logs;
mod metrics;
mod museum;
mod names;
mod outside;
mod partitioners;
mod refresh;
mod several;
mod sizes;

use std::time::Duration;

use milena::{
    Producer, Record,
    broker::{Api, EmbeddedBroker, Fault},
};

/// A scenario that takes longer than this hangs; none takes a tenth of it.
const HANG: Duration = Duration::from_secs(60);

/// Any task on any thread may hold a producer and its deliveries.
#[test]
fn a_producer_and_its_deliveries_can_be_sent_and_shared() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send>(_: &T) {}
    shared::<Producer>();
    shared::<milena::Delivery>();
    shared::<milena::Deliveries>();
    shared::<milena::DeliveryError>();
    let send = async |producer: Producer| {
        drop(producer.send(Record::to("orders")).await);
        drop(producer.send_values("orders", &[b"value"]).await);
    };
    run(async move {
        let broker = broker().await;
        let producer = Producer::builder(&broker.bootstrap_servers()).build().await.expect("the defaults are valid");
        let sending = send(producer);
        sent(&sending);
        sending.await;
    });
}

/// Runs a scenario on a separate multi-threaded runtime.
fn run(scenario: impl Future<Output = ()>) {
    runtime().block_on(async { tokio::time::timeout(HANG, scenario).await.expect("the scenario hangs") });
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built")
}

/// A broker with the topic `orders` of three partitions, and nothing else.
async fn broker() -> EmbeddedBroker {
    let builder = EmbeddedBroker::builder().topic("orders", 3).auto_create(false);
    builder.start().await.expect("the embedded broker starts")
}

/// A producer with milena's defaults that knows `orders` already.
async fn producer_of(broker: &EmbeddedBroker) -> Producer {
    let producer = Producer::builder(&broker.bootstrap_servers()).build().await.expect("the defaults are valid");
    producer.partitions_for("orders").await.expect("the broker responds");
    producer
}

/// From now on the broker appends records and sends no response, so they stay in flight.
fn never_respond_to_produce(broker: &EmbeddedBroker) {
    broker.inject(Fault::delay_response(Duration::from_secs(86_400)).on(Api::Produce).forever());
}

fn order(value: &str) -> Record<'_> {
    Record::to("orders").value(value)
}
