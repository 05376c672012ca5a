//! The whole producer: records sent to the embedded broker in the same process, with a delivery for each, all of them
//! awaited. And the time that a test needs until its first acknowledgement.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use milena::{Delivery, Produce, Producer, Record, broker::EmbeddedBroker, mock::MockProducer};
use tokio::runtime::Runtime;

const TOPIC: &str = "bench";
const RECORDS: usize = 20_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("end to end, embedded broker");
    for size in [100, 1024] {
        let value = vec![b'v'; size];
        group.throughput(Throughput::Elements(RECORDS as u64));
        group.bench_function(format!("{size} B"), |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(measure(rounds, &value)));
        });
    }
    group.finish();
    for_tests(&mut criterion, &runtime);
    criterion.final_summary();
}

fn for_tests(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("for tests");
    group.bench_function("embedded broker, started and dropped", |bencher| {
        bencher.iter(|| runtime.block_on(start()));
    });
    group.bench_function("embedded broker and producer, to the first acknowledgement", |bencher| {
        bencher.iter(|| runtime.block_on(first_on_broker()));
    });
    group.bench_function("mock, to the first acknowledgement", |bencher| {
        bencher.iter(|| runtime.block_on(async { first(&MockProducer::new()).await }));
    });
    group.finish();
}

async fn start() -> EmbeddedBroker {
    EmbeddedBroker::builder().topic(TOPIC, 6).start().await.expect("a loopback port")
}

async fn first_on_broker() {
    let broker = start().await;
    let builder = Producer::builder(&broker.bootstrap_servers()).linger(Duration::ZERO);
    first(&builder.build().await.expect("it is valid")).await;
}

async fn first(producer: &dyn Produce) {
    let delivery = producer.send(Record::to(TOPIC).value("v")).await.expect("it is accepted");
    delivery.await.expect("an acknowledgement");
}

/// Measures with a new broker and producer for each sample, because the broker keeps all records in memory.
async fn measure(rounds: u64, value: &[u8]) -> Duration {
    let broker = start().await;
    let producer = Producer::builder(&broker.bootstrap_servers()).build().await.expect("it is valid");
    producer.partitions_for(TOPIC).await.expect("the topic exists");
    let start = Instant::now();
    for _ in 0..rounds {
        send(&producer, value).await;
    }
    let took = start.elapsed();
    producer.close().await.expect("not in a callback");
    took
}

async fn send(producer: &Producer, value: &[u8]) {
    let mut deliveries: Vec<Delivery> = Vec::with_capacity(RECORDS);
    for i in 0..RECORDS {
        let key = u32::try_from(i % 1024).expect("small").to_be_bytes();
        let record = Record::to(TOPIC).key(&key).value(value);
        deliveries.push(producer.send(record).await.expect("it is accepted"));
    }
    producer.flush().await.expect("not in a callback");
    for delivery in deliveries {
        delivery.await.expect("an acknowledgement");
    }
}
