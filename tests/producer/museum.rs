//! The bug museum, as far as the public API is enough: see `tests/museum`.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use milena::{
    Ack, Delivery, DeliveryError, ErrorCode, Interceptor, Partitions, Persisted, Producer, Record, SendError,
    broker::{Api, EmbeddedBroker, Fault},
};

use crate::{broker, order, producer_of, run};

/// User code that calls the producer and sends its own place to the test.
#[derive(Clone)]
struct Hook {
    producer: Arc<OnceLock<Producer>>,
    tx: mpsc::Sender<&'static str>,
}

impl Hook {
    fn call(&self, topic: &str, from: &'static str) {
        if let Some(producer) = self.producer.get().filter(|_| topic == "orders") {
            drop(producer.try_send(Record::to("others").value(from)).unwrap());
            assert!(!format!("{producer:?}").is_empty());
            self.tx.send(from).unwrap();
        }
    }
}

impl Interceptor for Hook {
    fn on_send<'a>(&self, record: Record<'a>) -> Record<'a> {
        self.call(record.topic(), "on_send");
        record
    }

    fn on_acknowledgement(&self, outcome: Result<&Ack, &DeliveryError>) {
        self.call(outcome.unwrap().topic(), "on_acknowledgement");
    }
}

/// franz-go d3166d34, 6db91b17: hooks were called under an internal lock, and one that called the client deadlocked.
#[test]
fn user_code_of_every_kind_may_call_the_producer() {
    run(async {
        let broker = EmbeddedBroker::builder().topic("orders", 1).topic("others", 1).start().await.unwrap();
        let (tx, rx) = mpsc::channel();
        let hook = Hook { producer: Arc::default(), tx };
        let (partitioner, callback) = (hook.clone(), hook.clone());
        let choose = move |record: &Record<'_>, _: &Partitions<'_>| {
            partitioner.call(record.topic(), "partitioner");
            0
        };
        let builder = Producer::builder(&broker.bootstrap_servers()).interceptor(hook.clone()).partitioner(choose);
        let producer = builder.build().await.unwrap();
        for topic in ["orders", "others"] {
            producer.partitions_for(topic).await.unwrap();
        }
        hook.producer.set(producer.clone()).unwrap();
        let call = move |outcome: Result<Ack, _>| callback.call(outcome.unwrap().topic(), "callback");
        producer.send_with(order("v"), call).await.unwrap();
        producer.flush().await.unwrap();
        producer.close().await.unwrap();
        let places: Vec<_> = rx.try_iter().collect();
        assert_eq!(places, ["on_send", "partitioner", "on_acknowledgement", "callback"]);
        assert_eq!(broker.log("others", 0).len(), places.len());
    });
}

/// Sends a record whose callback sends the next one, until `stop` is set.
fn send_again(producer: Producer, failures: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let again = producer.clone();
    let callback = move |outcome: Result<_, _>| {
        failures.fetch_add(usize::from(outcome.is_err()), SeqCst);
        if !stop.load(SeqCst) {
            send_again(again, failures, stop);
        }
    };
    producer.try_send_with(order("v"), callback).unwrap();
}

/// franz-go 371d652f: flush waited until no record at all was pending, so callbacks that sent another record after each failure
/// kept it waiting for ever.
#[test]
fn flush_ends_though_every_failure_sends_another_record() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        broker.inject(Fault::error(ErrorCode::INVALID_RECORD).on(Api::Produce).forever());
        let (failures, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        send_again(producer.clone(), Arc::clone(&failures), Arc::clone(&stop));
        for _ in 0..5 {
            producer.flush().await.unwrap();
        }
        let flushed = failures.load(SeqCst);
        assert!(flushed > 0);
        while failures.load(SeqCst) == flushed {
            tokio::task::yield_now().await;
        }
        stop.store(true, SeqCst);
        producer.close().await.unwrap();
    });
}

/// franz-go 2ec5b697: a record that was accepted while the client was being closed was never sent and never failed.
#[test]
fn records_sent_while_the_producer_is_closed_are_refused_or_have_an_outcome() {
    run(async {
        let broker = broker().await;
        for round in 0..20 {
            let producer = producer_of(&broker).await;
            let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(send_until_refused(producer.clone()))).collect();
            for _ in 0..10 * round {
                tokio::task::yield_now().await;
            }
            producer.close().await.unwrap();
            for task in tasks {
                let (accepted, refusal) = task.await.unwrap();
                assert!(matches!(refusal, SendError::Closed { .. }), "{refusal}");
                for delivery in accepted {
                    assert!(delivery.outcome().expect("close waits for it").is_ok());
                }
            }
        }
    });
}

async fn send_until_refused(producer: Producer) -> (Vec<Delivery>, SendError) {
    let mut accepted = Vec::new();
    loop {
        match producer.send(order("v")).await {
            Ok(delivery) => accepted.push(delivery),
            Err(refusal) => return (accepted, refusal),
        }
        tokio::task::yield_now().await;
    }
}

const REQUEST_TIMEOUT: Duration = Duration::from_millis(150);
/// Records that each producer sends to each partition.
const RECORDS: usize = 40;

/// librdkafka #4134 (open): two of three brokers froze and thawed repeatedly, while a client that was killed and restarted
/// continued after its last acknowledged record. Records in between were missing.
#[test]
fn brokers_that_freeze_and_thaw_leave_no_gap_for_a_producer_that_starts_again() {
    run(async {
        let builder = EmbeddedBroker::builder().nodes(3).topic("orders", 3).auto_create(false);
        let broker = builder.start().await.unwrap();
        let (mut next, mut acked, mut in_doubt) = ([0; 3], Vec::new(), 0);
        for (frozen, is_killed) in [([1, 2], true), ([2, 3], false), ([3, 1], true)] {
            let producer = impatient(&broker).await;
            let sent = send_while(&broker, &producer, next, &frozen).await;
            // The brokers stay frozen for longer than request.timeout.ms, so the producer retries.
            tokio::time::sleep(3 * REQUEST_TIMEOUT).await;
            let survivor = (!is_killed).then_some(producer);
            frozen.iter().for_each(|node| broker.resume(*node).unwrap());
            if let Some(producer) = survivor {
                producer.close().await.unwrap();
            }
            for (partition, number, delivery) in sent {
                // Only what follows the last acknowledged record is sent again.
                match delivery.await {
                    Ok(ack) => {
                        assert_eq!(number, next[partition], "acknowledgements come in order");
                        next[partition] += 1;
                        acked.push((partition, ack.offset().unwrap(), number));
                    }
                    Err(error) => in_doubt += usize::from(error.persisted() == Persisted::Unknown),
                }
            }
        }
        assert!(in_doubt > 0, "requests to frozen brokers have an unknown outcome");
        let producer = impatient(&broker).await;
        let last = send_while(&broker, &producer, next, &[]).await;
        producer.close().await.unwrap();
        assert!(last.iter().all(|(.., delivery)| delivery.outcome().unwrap().is_ok()));
        (0..3).for_each(|partition| assert_no_gap(&broker, partition, next[partition] + RECORDS));
        for (partition, offset, number) in acked {
            assert_eq!(written(&broker, partition)[usize::try_from(offset).unwrap()].1, number);
        }
    });
}

async fn impatient(broker: &EmbeddedBroker) -> Producer {
    let builder = Producer::builder(&broker.bootstrap_servers()).request_timeout(REQUEST_TIMEOUT).batch_size(1);
    let producer = builder.build().await.unwrap();
    producer.partitions_for("orders").await.unwrap();
    producer
}

/// Sends records to every partition, numbered from `first` on. When half of them are acknowledged the brokers in `freeze`
/// freeze, so that requests of the other half reach them whole and have no response.
async fn send_while(
    broker: &EmbeddedBroker,
    producer: &Producer,
    first: [usize; 3],
    freeze: &[i32],
) -> Vec<(usize, usize, Delivery)> {
    let mut sent = Vec::new();
    for record in 0..RECORDS {
        if record == RECORDS / 2 {
            producer.flush().await.unwrap();
            freeze.iter().for_each(|node| broker.pause(*node).unwrap());
        }
        for (partition, first) in first.into_iter().enumerate() {
            let number = (first + record).to_string();
            let to = i32::try_from(partition).unwrap();
            sent.push((partition, first + record, producer.send(order(&number).partition(to)).await.unwrap()));
        }
        tokio::task::yield_now().await;
    }
    sent
}

/// The content of a partition's log: the producer id and the number of each record.
fn written(broker: &EmbeddedBroker, partition: usize) -> Vec<(i64, usize)> {
    let log = broker.log("orders", i32::try_from(partition).unwrap());
    let number = |value: &[u8]| std::str::from_utf8(value).unwrap().parse().unwrap();
    log.iter().map(|record| (record.producer_id, number(record.value.as_deref().unwrap()))).collect()
}

/// Asserts that every number below `count` is in the log, that none is before its predecessors, and that none is there twice from
/// one producer. A record that was not acknowledged may be there again from the next producer.
fn assert_no_gap(broker: &EmbeddedBroker, partition: usize, count: usize) {
    let (mut expected, mut seen) = (0, BTreeSet::new());
    for (producer_id, number) in written(broker, partition) {
        assert!(number <= expected, "{partition}: {number} where at most {expected} can be");
        assert!(seen.insert((producer_id, number)), "{partition}: {number} twice");
        expected = expected.max(number + 1);
    }
    assert_eq!(expected, count);
}
