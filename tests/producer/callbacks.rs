//! Callbacks that misbehave.

use std::sync::mpsc;

use milena::FlushError;

use crate::{HANG, broker, order, producer_of, run};

#[test]
fn flush_and_close_within_a_callback_are_refused_because_they_would_deadlock() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let (tx, rx) = mpsc::channel();
        let (inner, runtime) = (producer.clone(), tokio::runtime::Handle::current());
        let callback = move |_| {
            tx.send(runtime.block_on(inner.flush())).unwrap();
            tx.send(runtime.block_on(inner.close())).unwrap();
        };
        producer.send_with(order("v"), callback).await.unwrap();
        let outcomes = [rx.recv_timeout(HANG).unwrap(), rx.recv_timeout(HANG).unwrap()];
        assert_eq!(outcomes, [Err(FlushError::InCallback), Err(FlushError::InCallback)]);
        producer.send(order("the producer goes on")).await.unwrap().await.unwrap();
        producer.close().await.unwrap();
    });
}

#[test]
fn a_callback_that_panics_does_not_affect_other_callbacks() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let (tx, rx) = mpsc::channel();
        for i in 0..10 {
            let tx = tx.clone();
            let callback = move |outcome: Result<_, _>| {
                assert_ne!(i, 4, "this panic is part of the test");
                tx.send((i, outcome.is_ok())).unwrap();
            };
            producer.send_with(order("v").partition(0), callback).await.unwrap();
        }
        producer.flush().await.unwrap();
        drop(tx);
        let seen: Vec<_> = rx.iter().collect();
        let expected: Vec<_> = (0..10).filter(|&i| i != 4).map(|i| (i, true)).collect();
        assert_eq!(seen, expected);
        producer.send(order("the producer goes on")).await.unwrap().await.unwrap();
    });
}

#[test]
fn a_slow_callback_does_not_hold_up_deliveries() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let (release, released) = mpsc::channel::<()>();
        let callback = move |_| {
            released.recv().ok();
        };
        producer.send_with(order("slow"), callback).await.unwrap();
        for _ in 0..20 {
            producer.send(order("v")).await.unwrap().await.unwrap();
        }
        release.send(()).unwrap();
        producer.close().await.unwrap();
    });
}
