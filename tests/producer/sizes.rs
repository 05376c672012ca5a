//! Records that are too large, and full memory.

use std::time::Duration;

use milena::{ErrorCode, Producer, SendError, WaitedFor, broker::EmbeddedBroker};

use crate::{broker, never_respond_to_produce, order, producer_of, run};

#[test]
fn a_record_over_max_request_size_is_refused_at_once_and_names_the_setting() {
    run(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        let value = "x".repeat(1_048_576);
        for error in [producer.send(order(&value)).await.unwrap_err(), producer.try_send(order(&value)).unwrap_err()] {
            let SendError::TooLarge { size, limit, setting, .. } = &error else { panic!("{error:?}") };
            assert_eq!((*limit, *setting), (1_048_576, "max.request.size"));
            assert!(*size > value.len(), "{size}");
            assert_eq!((error.code(), error.retriable()), (ErrorCode::MESSAGE_TOO_LARGE, false));
        }
        producer.send(order("small")).await.unwrap().await.unwrap();
    });
}

#[test]
fn a_record_over_buffer_memory_is_refused_at_once_and_names_the_setting() {
    run(async {
        let broker = broker().await;
        let builder = Producer::builder(&broker.bootstrap_servers()).buffer_memory(50_000);
        let producer = builder.build().await.unwrap();
        let value = "x".repeat(60_000);
        let error = producer.send(order(&value)).await.unwrap_err();
        let SendError::TooLarge { limit: 50_000, setting: "buffer.memory", .. } = &error else { panic!("{error:?}") };
        producer.send(order("small")).await.unwrap().await.unwrap();
    });
}

#[test]
fn a_record_as_large_as_max_request_size_allows_is_written() {
    run(async {
        let broker = broker().await;
        let producer = Producer::builder(&broker.bootstrap_servers()).max_request_size(20_000).build().await.unwrap();
        let (mut fits, mut refused) = (0, 20_000);
        while refused - fits > 1 {
            let middle = usize::midpoint(fits, refused);
            match producer.send(order(&"x".repeat(middle))).await {
                Ok(delivery) => {
                    delivery.await.unwrap();
                    fits = middle;
                }
                Err(SendError::TooLarge { .. }) => refused = middle,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(fits > 19_800, "the bound is close to the limit, got {fits}");
    });
}

#[test]
fn try_send_fails_with_the_free_memory_once_memory_is_full() {
    run(async {
        let broker = broker().await;
        let producer = small_memory(&broker, Duration::from_secs(60)).await;
        let error = fill(&producer);
        let SendError::QueueFull { needed, free, limit: 65_536, .. } = &error else { panic!("{error:?}") };
        assert!(needed > free, "{error}");
        assert!(error.retriable());
    });
}

#[test]
fn send_waits_for_memory_no_longer_than_max_block_and_the_error_says_so() {
    run(async {
        let broker = broker().await;
        let producer = small_memory(&broker, Duration::from_millis(200)).await;
        drop(fill(&producer));
        let error = producer.send(order(&"x".repeat(10_000))).await.unwrap_err();
        let SendError::Timeout { waited_for: WaitedFor::Memory, elapsed, .. } = &error else { panic!("{error:?}") };
        assert!(*elapsed >= Duration::from_millis(200), "{error}");
        assert!(error.retriable());
    });
}

#[test]
fn send_continues_as_soon_as_a_response_frees_memory() {
    run(async {
        let broker = broker().await;
        let producer = Producer::builder(&broker.bootstrap_servers()).buffer_memory(65_536).build().await.unwrap();
        let value = "x".repeat(10_000);
        let mut deliveries = Vec::new();
        for _ in 0..100 {
            deliveries.push(producer.send(order(&value)).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    });
}

/// A producer with 64 KiB of memory, whose broker sends no response to Produce requests.
async fn small_memory(broker: &EmbeddedBroker, max_block: Duration) -> Producer {
    never_respond_to_produce(broker);
    let builder = Producer::builder(&broker.bootstrap_servers()).buffer_memory(65_536).max_block(max_block);
    let producer = builder.build().await.unwrap();
    producer.partitions_for("orders").await.unwrap();
    producer
}

/// Sends until there is no memory left, and returns the refusal.
fn fill(producer: &Producer) -> SendError {
    let value = "x".repeat(10_000);
    for _ in 0..7 {
        match producer.try_send(order(&value)) {
            Ok(delivery) => drop(delivery),
            Err(error) => return error,
        }
    }
    panic!("seven records of 10,000 bytes do not fit into 65,536")
}

/// On a runtime with one thread, a task that sends in a loop without yielding would never let the sender run.
#[test]
fn sending_in_a_loop_lets_the_sender_run_before_memory_is_full() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = broker().await;
        let producer = producer_of(&broker).await;
        producer.partitions_for("orders").await.unwrap();
        let value = "v".repeat(4_000);
        let sent = async |polite: bool| {
            let mut sent = Vec::new();
            for _ in 0..2_000 {
                let record = order(&value);
                sent.push(if polite {
                    producer.send(record).await.unwrap()
                } else {
                    producer.try_send(record).unwrap()
                });
            }
            let known = sent.iter().filter(|delivery| delivery.outcome().is_some()).count();
            producer.flush().await.unwrap();
            known
        };
        assert!(sent(true).await > 0);
        assert_eq!(sent(false).await, 0, "try_send never yields, so the sender does not run");
    });
}
