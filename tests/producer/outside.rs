//! A producer that is used outside of its runtime, as in a program with threads, or with another executor. Every future
//! can be awaited there.

use std::{
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use milena::{FailureKind, FlushError, Producer, ProducerBuilder, SendError, WaitedFor, broker::EmbeddedBroker};
use tokio::runtime::{Builder, Runtime};

use crate::{HANG, broker, never_respond_to_produce, order, runtime};

/// A minimal executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs a scenario on a thread without a runtime.
fn outside<T: Send + 'static>(scenario: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    thread::spawn(move || tx.send(block_on(scenario())));
    rx.recv_timeout(HANG).expect("the scenario panics or hangs")
}

/// A runtime with a broker on it. The producers that are built on it are used outside of it.
struct Home {
    runtime: Runtime,
    broker: EmbeddedBroker,
}

impl Home {
    fn new() -> Self {
        let runtime = runtime();
        let broker = runtime.block_on(broker());
        Self { runtime, broker }
    }

    fn producer(&self, configure: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Producer {
        let builder = configure(Producer::builder(&self.broker.bootstrap_servers()));
        self.runtime.block_on(builder.build()).expect("the configuration is valid")
    }

    /// A producer whose broker appends records and sends no response.
    fn without_responses(&self, configure: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Producer {
        let producer = self.producer(configure);
        self.runtime.block_on(producer.partitions_for("orders")).expect("the broker responds");
        never_respond_to_produce(&self.broker);
        producer
    }
}

/// A producer with the memory of two batches, which waits for more for `max_block`.
fn small(builder: ProducerBuilder, max_block: Duration) -> ProducerBuilder {
    builder.buffer_memory(32_768).batch_size(16_384).max_block(max_block)
}

#[test]
fn a_send_outside_a_runtime_waits_for_metadata_and_its_delivery_for_the_acknowledgement() {
    let home = Home::new();
    let producer = home.producer(|builder| builder);
    let ack = outside(async move || producer.send(order("v")).await.unwrap().await.unwrap());
    assert_eq!(ack.offset(), Some(0));
}

#[test]
fn send_with_and_partitions_for_wait_for_metadata_outside_a_runtime() {
    let home = Home::new();
    let (one, other) = (home.producer(|builder| builder), home.producer(|builder| builder));
    let (tx, rx) = mpsc::channel();
    outside(async move || one.send_with(order("v"), move |outcome| tx.send(outcome).unwrap()).await.unwrap());
    assert!(rx.recv_timeout(HANG).is_ok());
    assert_eq!(outside(async move || other.partitions_for("orders").await.unwrap()), 3);
}

#[test]
fn a_send_outside_a_runtime_waits_no_longer_than_max_block_for_metadata() {
    let home = Home::new();
    let nowhere = Producer::builder("127.0.0.1:1").max_block(Duration::from_millis(50));
    let producer = home.runtime.block_on(nowhere.build()).unwrap();
    let error = outside(async move || producer.send(order("v")).await.unwrap_err());
    assert!(matches!(error, SendError::Timeout { waited_for: WaitedFor::Metadata, .. }), "{error}");
}

#[test]
fn sends_outside_a_runtime_wait_for_memory_and_all_are_written() {
    let home = Home::new();
    let producer = home.producer(|builder| small(builder, HANG));
    outside(async move || {
        let value = "x".repeat(4_000);
        for _ in 0..200 {
            drop(producer.send(order(&value)).await.unwrap());
        }
        producer.flush().await.unwrap();
    });
    assert_eq!((0..3).map(|partition| home.broker.log("orders", partition).len()).sum::<usize>(), 200);
}

#[test]
fn a_send_outside_a_runtime_waits_no_longer_than_max_block_for_memory() {
    let home = Home::new();
    let producer = home.without_responses(|builder| small(builder, Duration::from_millis(50)));
    let error = outside(async move || {
        let value = "x".repeat(10_000);
        loop {
            match producer.send(order(&value)).await {
                Ok(delivery) => drop(delivery),
                Err(error) => return error,
            }
        }
    });
    assert!(matches!(error, SendError::Timeout { waited_for: WaitedFor::Memory, .. }), "{error}");
}

#[test]
fn a_send_outside_a_runtime_yields_to_a_sender_that_is_behind() {
    let home = Home::new();
    let producer = home.without_responses(|builder| builder.batch_size(1_000));
    // With more than 1 MiB of incomplete records, every fourth batch of a partition yields to the sender.
    let sent = outside(async move || {
        let value = "x".repeat(900);
        let mut sent = 0;
        while sent < 3_000 {
            drop(producer.send(order(&value)).await.unwrap());
            sent += 1;
        }
        sent
    });
    assert_eq!(sent, 3_000);
}

#[test]
fn flush_and_close_work_outside_a_runtime() {
    let home = Home::new();
    let producer = home.producer(|builder| builder.linger(HANG).delivery_timeout(HANG * 2));
    outside(async move || {
        let first = producer.send(order("v")).await.unwrap();
        producer.flush().await.unwrap();
        assert!(first.outcome().is_some());
        let second = producer.send(order("v")).await.unwrap();
        producer.close().await.unwrap();
        assert!(second.outcome().is_some());
    });
}

#[test]
fn flush_timeout_and_close_timeout_end_at_their_limit_outside_a_runtime() {
    let home = Home::new();
    let producer = home.without_responses(|builder| builder);
    let kind = outside(async move || {
        let limit = Duration::from_millis(50);
        let delivery = producer.send(order("v")).await.unwrap();
        assert!(matches!(producer.flush_timeout(limit).await, Err(FlushError::Timeout { pending: 1, .. })));
        assert!(matches!(producer.close_timeout(limit).await, Err(FlushError::Timeout { pending: 1, .. })));
        delivery.await.unwrap_err().kind()
    });
    assert_eq!(kind, FailureKind::Closed);
}

#[test]
fn a_producer_dropped_outside_a_runtime_resolves_every_record() {
    let home = Home::new();
    let producer = home.without_responses(|builder| builder);
    let kind = outside(async move || {
        let delivery = producer.send(order("v")).await.unwrap();
        drop(producer);
        delivery.await.unwrap_err().kind()
    });
    assert_eq!(kind, FailureKind::Abandoned);
}

#[test]
fn a_send_that_waits_outside_a_runtime_ends_with_the_producer_s_runtime() {
    let home = Home::new();
    let nowhere = home.runtime.block_on(Producer::builder("127.0.0.1:1").build()).unwrap();
    let error = outside(async move || {
        let mut waits = pin!(nowhere.send(order("v")));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        home.runtime.shutdown_background();
        waits.await.unwrap_err()
    });
    assert!(matches!(error, SendError::Closed { .. }), "{error}");
}

#[test]
fn a_producer_is_used_on_another_runtime_that_has_no_timers() {
    let home = Home::new();
    let producer = home.producer(|builder| builder);
    let bare = Builder::new_current_thread().build().unwrap();
    let ack = bare.block_on(async { producer.send(order("v")).await.unwrap().await.unwrap() });
    assert_eq!(ack.offset(), Some(0));
    bare.block_on(producer.close_timeout(HANG)).unwrap();
}

#[test]
fn time_limits_hold_although_the_producer_s_runtime_is_not_driven() {
    let idle = Builder::new_current_thread().enable_all().build().unwrap();
    let nowhere = Producer::builder("127.0.0.1:1").max_block(Duration::from_millis(50));
    let producer = idle.block_on(nowhere.build()).unwrap();
    let error = outside(async move || producer.send(order("v")).await.unwrap_err());
    assert!(matches!(error, SendError::Timeout { .. }), "{error}");
}
