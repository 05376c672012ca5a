//! The conditions at the end.
//!
//! Every record has one outcome, and its callback ran once. No memory is charged. If no response was false: an
//! acknowledged record is at its offset, a record that was reported as not written is in no log, and with idempotence no
//! record is duplicated or out of order.

use std::time::Duration;

use super::{Ending, Harness, TOPIC};
use crate::{Delivery, FailureKind, Persisted};

/// A record that was accepted.
pub(super) struct Record {
    pub(super) partition: usize,
    pub(super) delivery: Delivery,
}

/// A record's value, which contains its number and its partition.
pub(super) fn value(number: usize, partition: usize, padding: usize) -> Vec<u8> {
    let mut value = format!("{number}.{partition}.").into_bytes();
    value.resize(value.len() + padding, b'x');
    value
}

fn named(value: &[u8]) -> (usize, usize) {
    let text = std::str::from_utf8(value).unwrap();
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

impl Harness {
    pub(super) fn check_window(&self) {
        let most = if self.promise.idempotent { 5 } else { 1 };
        assert!(self.sender.widest_window() <= most, "{} batches in flight", self.sender.widest_window());
    }

    pub(super) fn judge(mut self, ending: Ending) {
        if ending == Ending::Close {
            let now = self.instant();
            self.accumulator.close();
            self.sender.close(now);
            assert!(self.records.iter().all(|record| record.delivery.outcome().is_some()));
        }
        self.land();
        let Self { sender, records, accumulator, cluster, called, promise, hostile, partitions, .. } = self;
        drop(sender);
        let mut called = std::mem::take(&mut *called.lock().unwrap());
        called.sort_unstable();
        assert!(called.iter().copied().eq(0..records.len()), "every callback ran once: {called:?}");
        assert_eq!((accumulator.memory().free(), accumulator.undelivered()), (accumulator.memory().limit(), 0));
        let logs: Vec<Vec<usize>> = (0..partitions)
            .map(|partition| {
                let log = cluster.log(TOPIC, partition as i32).into_iter().map(|r| named(&r.value.unwrap()));
                log.map(|(number, made_for)| {
                    assert_eq!(made_for, partition, "record {number} is in the partition that it was sent to");
                    number
                })
                .collect()
            })
            .collect();
        for (number, record) in records.iter().enumerate() {
            record.check(number, &logs, promise.timeout, promise.acks_0 || hostile);
        }
        if promise.idempotent && !hostile {
            assert!(logs.iter().all(|log| log.is_sorted_by(|a, b| a < b)), "twice or out of order: {logs:?}");
        }
    }
}

impl Record {
    fn check(&self, number: usize, logs: &[Vec<usize>], timeout: Duration, unproven: bool) {
        let outcome = self.delivery.outcome().expect("every record has an outcome");
        let log = &logs[self.partition];
        match outcome {
            _ if unproven => {}
            Ok(ack) => match ack.offset() {
                Some(offset) => assert_eq!(log.get(offset as usize), Some(&number), "record {number} at {offset}"),
                None => assert!(log.contains(&number), "record {number} was acknowledged"),
            },
            Err(error) => {
                assert!(error.persisted() != Persisted::No || !log.contains(&number), "record {number}: {error}");
                let in_time = error.elapsed() <= timeout || error.kind() != FailureKind::Expired;
                assert!(in_time, "record {number} failed after {:?}", error.elapsed());
            }
        }
    }
}
