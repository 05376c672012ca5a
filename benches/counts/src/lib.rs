//! A producer that cannot send: what is counted is the caller's half, and nothing else runs meanwhile.
//!
//! In: how many partitions. Out: a [`Producer`] that knows its topic, on a runtime that stands still until it is told to
//! deliver. It stands on the public API alone.

use std::hint::black_box;

use bench_sink::Sink;
use milena::{Delivery, Producer, Record};
use tokio::runtime::{Builder, Runtime};

const TOPIC: &str = "bench";
/// Keys repeat after so many records.
const KEYS: usize = 1024;

/// The producer, its runtime, its broker.
pub struct Still {
    producer: Producer,
    runtime: Runtime,
    keys: Vec<String>,
    _sink: Sink,
}

impl Still {
    /// A producer with `buffer.memory` for all that one round appends.
    #[must_use]
    pub fn new(partitions: u16, batch_size: usize) -> Self {
        let sink = Sink::start(partitions, 0).expect("a loopback port");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let producer = runtime.block_on(async {
            let builder = Producer::builder(&sink.address().to_string());
            let batch_size = batch_size.to_string();
            let properties = [("batch.size", batch_size.as_str()), ("buffer.memory", "268435456"), ("linger.ms", "5")];
            let producer = builder.properties(properties).build().await.expect("it is valid");
            producer.partitions_for(TOPIC).await.expect("the sink has every topic");
            producer
        });
        Self { producer, runtime, keys: (0..KEYS).map(|i| format!("key-{i:04}")).collect(), _sink: sink }
    }

    /// Places for so many handles.
    #[must_use]
    pub fn slots(count: usize) -> Vec<Option<Delivery>> {
        (0..count).map(|_| None).collect()
    }

    /// Appends a record for every slot and keeps its handle there.
    pub fn append(&self, keyed: bool, value: &[u8], slots: &mut [Option<Delivery>]) {
        for (i, slot) in slots.iter_mut().enumerate() {
            let record = Record::to(TOPIC).value(value);
            let record = if keyed { record.key(&self.keys[i % KEYS]) } else { record };
            *slot = Some(self.producer.try_send(black_box(record)).expect("memory and metadata are there"));
        }
    }

    /// Lets everything be delivered.
    ///
    /// # Panics
    /// When a record was not acknowledged.
    pub fn deliver(&self, slots: &mut [Option<Delivery>]) {
        self.runtime.block_on(self.producer.flush()).expect("not in a callback");
        for delivery in slots.iter_mut().filter_map(Option::take) {
            delivery.outcome().expect("an outcome").expect("an acknowledgement");
        }
    }
}
