//! The memory that a frame's length may reserve before its bytes arrive, and the memory that a peer which does not read may use.

use std::{fs, time::Duration};

use milena::{FailureKind, Persisted, Producer, Record, SendError, broker::EmbeddedBroker};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    HANG,
    proxy::{NEW, Proxy, Reply, Rule},
    responses::{METADATA, PRODUCE, TOPIC},
    run,
};

/// The largest frame length that is accepted.
const CLAIM: u32 = 100 * 1024 * 1024;
const PRODUCERS: usize = 30;
/// A tenth of the claimed bytes. The other tests of this process use some memory as well.
const ALLOWED: u64 = 300 * 1024 * 1024;

async fn start_proxy(broker: &EmbeddedBroker, api: i16, reply: fn() -> Reply) -> Proxy {
    let rule = Rule { api, reply: Box::new(move |_| reply()) };
    Proxy::start(broker.port(1).unwrap(), NEW, Some(rule), usize::MAX).await
}

/// Thirty peers announce a frame of 100 MiB each, and send 1,000 bytes of it. The producers must not reserve memory for the rest.
/// The test measures writable memory, which includes reserved memory that was never written.
#[test]
fn memory_grows_with_what_arrives_and_not_with_what_is_claimed() {
    run(async {
        let before = writable();
        let mut waiting = JoinSet::new();
        for _ in 0..PRODUCERS {
            let broker = EmbeddedBroker::builder().topic(TOPIC, 1).start().await.unwrap();
            let reply = || Reply::Raw([&CLAIM.to_be_bytes()[..], &[0; 1000]].concat());
            let proxy = start_proxy(&broker, METADATA, reply).await;
            let builder = Producer::builder(&proxy.address.to_string()).max_block(Duration::from_secs(2));
            let producer = builder.build().await.unwrap();
            waiting.spawn(async move {
                while proxy.replaced() == 0 {
                    let refused = producer.send(Record::to(TOPIC).value("v")).await;
                    assert!(matches!(refused, Err(SendError::Timeout { .. })), "{refused:?}");
                }
                (broker, proxy, producer)
            });
        }
        let behind_proxy = waiting.join_all().await;
        assert_eq!(behind_proxy.len(), PRODUCERS);
        // All producers still wait for the rest of the frame.
        let grown = writable().saturating_sub(before);
        assert!(grown < ALLOWED, "grew by {grown} bytes for {PRODUCERS} claims of {CLAIM}");
    });
}

/// The writable memory of this process in bytes, on Linux; 0 on other systems.
fn writable() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A peer that no longer reads its socket: `buffer.memory` fills, `try_send` fails with `QueueFull`, and every record is completed.
#[test]
fn a_peer_that_never_reads_takes_no_more_than_buffer_memory() {
    const MEMORY: usize = 4 * 1024 * 1024;
    run(async {
        let broker = EmbeddedBroker::builder().topic(TOPIC, 1).start().await.unwrap();
        let proxy = start_proxy(&broker, PRODUCE, || Reply::Deaf).await;
        let builder = Producer::builder(&proxy.address.to_string()).buffer_memory(MEMORY).linger(Duration::ZERO);
        let builder = builder.request_timeout(Duration::from_millis(500)).delivery_timeout(Duration::from_secs(1));
        let producer = builder.build().await.unwrap();
        producer.partitions_for(TOPIC).await.unwrap();
        let value = vec![b'v'; 100_000];
        let mut accepted = Vec::new();
        let full = loop {
            match producer.try_send(Record::to(TOPIC).value(&value[..])) {
                Ok(delivery) => accepted.push(delivery),
                Err(full) => break full,
            }
        };
        assert!(matches!(full, SendError::QueueFull { .. }), "{full}");
        assert!(accepted.len() * value.len() <= MEMORY);
        let (mut unanswered, mut in_doubt) = (0, 0);
        for delivery in accepted {
            let error = timeout(HANG, delivery).await.expect("a record has no outcome").unwrap_err();
            assert_eq!(error.kind(), FailureKind::Expired, "{error}");
            unanswered += usize::from(error.to_string().contains("no response to Produce within request.timeout.ms"));
            in_doubt += usize::from(error.persisted() == Persisted::Unknown);
        }
        assert!(unanswered > 0, "an error names the cause");
        assert!(broker.log(TOPIC, 0).len() <= in_doubt, "no written record is reported as not written");
        proxy.pass_through();
        let arrives = async { while !sent(&producer).await {} };
        timeout(HANG, arrives).await.expect("no record is delivered");
    });
}

async fn sent(producer: &Producer) -> bool {
    match producer.send(Record::to(TOPIC).value("true")).await {
        Ok(delivery) => delivery.await.is_ok(),
        Err(_) => false,
    }
}
