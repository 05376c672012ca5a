//! How much memory a claim may take before there are bytes for it, and how much a peer that does not read.

use std::{fs, time::Duration};

use milena::{FailureKind, Persisted, Producer, Record, SendError, broker::EmbeddedBroker};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    HANG,
    liar::{Liar, Lie, NEW, Told},
    responses::{METADATA, PRODUCE, TOPIC},
    run,
};

/// The largest frame that is let in, as a claim.
const CLAIM: u32 = 100 * 1024 * 1024;
const PRODUCERS: usize = 30;
/// A tenth of what is claimed; the other tests of this process need some too.
const ALLOWED: u64 = 300 * 1024 * 1024;

async fn liar_before(broker: &EmbeddedBroker, api: i16, tell: fn() -> Told) -> Liar {
    let lie = Lie { api, tell: Box::new(move |_| tell()) };
    Liar::start(broker.port(1).unwrap(), NEW, Some(lie), usize::MAX).await
}

/// Thirty peers claim 100 MiB each, and send some of it: the producers have reserved next to nothing. What is counted is
/// memory that may be written, so a reservation shows although nothing touched it.
#[test]
fn memory_grows_with_what_arrives_and_not_with_what_is_claimed() {
    run(async {
        let before = writable();
        let mut waiting = JoinSet::new();
        for _ in 0..PRODUCERS {
            let broker = EmbeddedBroker::builder().topic(TOPIC, 1).start().await.unwrap();
            let tell = || Told::Raw([&CLAIM.to_be_bytes()[..], &[0; 1000]].concat());
            let liar = liar_before(&broker, METADATA, tell).await;
            let builder = Producer::builder(&liar.address.to_string()).max_block(Duration::from_secs(2));
            let producer = builder.build().await.unwrap();
            waiting.spawn(async move {
                while liar.told() == 0 {
                    let refused = producer.send(Record::to(TOPIC).value("v")).await;
                    assert!(matches!(refused, Err(SendError::Timeout { .. })), "{refused:?}");
                }
                (broker, liar, producer)
            });
        }
        let lied_to = waiting.join_all().await;
        assert_eq!(lied_to.len(), PRODUCERS);
        // All of them still wait for the rest of the frame.
        let grown = writable().saturating_sub(before);
        assert!(grown < ALLOWED, "grew by {grown} bytes for {PRODUCERS} claims of {CLAIM}");
    });
}

/// Bytes of this process that may be written, where the system tells (Linux); else 0.
fn writable() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// A peer that takes nothing off its socket any more: `buffer.memory` fills, `send` says so, and every record has an outcome.
#[test]
fn a_peer_that_never_reads_costs_buffer_memory_and_no_more() {
    const MEMORY: usize = 4 * 1024 * 1024;
    run(async {
        let broker = EmbeddedBroker::builder().topic(TOPIC, 1).start().await.unwrap();
        let liar = liar_before(&broker, PRODUCE, || Told::Deaf).await;
        let builder = Producer::builder(&liar.address.to_string()).buffer_memory(MEMORY).linger(Duration::ZERO);
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
        assert!(unanswered > 0, "somebody is told why");
        assert!(broker.log(TOPIC, 0).len() <= in_doubt, "what was written is not said to be not written");
        liar.repent();
        let arrives = async { while !sent(&producer).await {} };
        timeout(HANG, arrives).await.expect("the truth does not arrive");
    });
}

async fn sent(producer: &Producer) -> bool {
    match producer.send(Record::to(TOPIC).value("true")).await {
        Ok(delivery) => delivery.await.is_ok(),
        Err(_) => false,
    }
}
