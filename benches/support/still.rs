//! A producer whose sender does not run by itself, so that only the caller's half is measured.
//!
//! In: the number of topics and partitions. Out: a producer with their metadata, on a runtime that runs only to deliver. It
//! uses only the public API, so that it does not depend on internals.

use std::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bench_sink::Sink;
use milena::{Ack, Delivery, Producer, Record};
use tokio::runtime::{Builder, Runtime};

/// The number of distinct keys.
const KEYS: usize = 1024;

/// The producer, its runtime, its broker.
pub(crate) struct Still {
    producer: Producer,
    runtime: Runtime,
    topics: Vec<String>,
    keys: Vec<String>,
    _sink: Sink,
}

impl Still {
    /// A producer with `buffer.memory` for all records of one round.
    pub(crate) fn new(topics: usize, partitions: u16, batch_size: usize) -> Self {
        let sink = Sink::start(partitions, 0).expect("a loopback port");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let topics: Vec<_> = (0..topics).map(|i| format!("bench-{i}")).collect();
        let producer = runtime.block_on(async {
            let builder = Producer::builder(&sink.address().to_string());
            let batch_size = batch_size.to_string();
            let properties = [("batch.size", batch_size.as_str()), ("buffer.memory", "536870912"), ("linger.ms", "5")];
            let producer = builder.properties(properties).build().await.expect("it is valid");
            for topic in &topics {
                producer.partitions_for(topic).await.expect("the sink has every topic");
            }
            producer
        });
        let keys = (0..KEYS).map(|i| format!("key-{i:04}")).collect();
        Self { producer, runtime, topics, keys, _sink: sink }
    }

    /// Empty slots for deliveries.
    pub(crate) fn slots(count: usize) -> Vec<Option<Delivery>> {
        (0..count).map(|_| None).collect()
    }

    /// Appends a record for every slot and stores its delivery there. Topics alternate.
    pub(crate) fn append(&self, keyed: bool, value: &[u8], slots: &mut [Option<Delivery>]) {
        let (mut topic, mut key) = (0, 0);
        for slot in slots {
            let record = Record::to(&self.topics[topic]).value(value);
            let record = if keyed { record.key(&self.keys[key]) } else { record };
            *slot = Some(self.producer.try_send(black_box(record)).expect("memory and metadata are available"));
            topic += 1;
            if topic == self.topics.len() {
                (topic, key) = (0, (key + 1) % KEYS);
            }
        }
    }

    /// Appends `count` records to the first topic, with a callback each.
    #[allow(dead_code, reason = "not every benchmark has callbacks")]
    pub(crate) fn append_with_callback(&self, count: usize, value: &[u8], callback: fn(bool)) {
        for i in 0..count {
            let record = Record::to(&self.topics[0]).value(value).key(&self.keys[i % KEYS]);
            let callback = move |outcome: Result<Ack, _>| callback(outcome.is_ok());
            self.producer.try_send_with(black_box(record), callback).expect("memory and metadata are available");
        }
    }

    /// Appends `count` records to the first topic, those together that go into one batch. Returns how many handles they have.
    #[allow(dead_code, reason = "not every benchmark has these")]
    pub(crate) fn append_together(&self, count: usize, value: &[u8]) -> usize {
        let values = vec![value; count.min(1_000)];
        let (mut appended, mut handles) = (0, 0);
        while appended < count {
            let next = &values[..values.len().min(count - appended)];
            let mut sending = pin!(self.producer.send_values(&self.topics[0], black_box(next)));
            let accepted = loop {
                // It yields to the sender, which does not run now.
                if let Poll::Ready(accepted) = sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    break accepted.expect("memory and metadata are available");
                }
            };
            appended += accepted.len();
            handles += 1;
        }
        handles
    }

    /// Delivers all records.
    pub(crate) fn deliver(&self, slots: &mut [Option<Delivery>]) {
        self.runtime.block_on(self.producer.flush()).expect("not in a callback");
        for delivery in slots.iter_mut().filter_map(Option::take) {
            delivery.outcome().expect("an outcome").expect("an acknowledgement");
        }
    }
}
