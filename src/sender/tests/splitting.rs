//! Batches that are larger than their topic takes.

use std::collections::BTreeMap;

use super::rig::{Rig, Says, offset};
use crate::{
    accumulator::TopicState,
    delivery::{Accepted, Completion, listener},
    sender::lanes::entry::Entry,
    wire::record_batch::{split::split, writer::Payload},
};

/// A broker that takes batches of at most `limit` bytes, each partition's in the order of their sequence numbers.
struct Broker {
    limit: usize,
    next: BTreeMap<i32, (i16, i32, i64)>,
    too_large: usize,
    out_of_order: usize,
}

impl Broker {
    fn new(limit: usize) -> Self {
        Self { limit, next: BTreeMap::new(), too_large: 0, out_of_order: 0 }
    }

    /// Answers all requests until there are none.
    fn serve(&mut self, rig: &mut Rig) {
        while !rig.sent.is_empty() {
            let sent = rig.take();
            let says: Vec<_> = sent.batches.iter().map(|batch| self.append(batch)).collect();
            rig.respond(&sent, &says);
        }
    }

    fn append(&mut self, batch: &crate::wire::testing::SentBatch) -> Says {
        let refused = |error| Says { partition: batch.partition, error, base_offset: -1, ..Says::default() };
        if batch.bytes.len() > self.limit {
            self.too_large += 1;
            return refused(10);
        }
        let stamp = batch.stamp;
        let (epoch, sequence, offset) = self.next.get(&batch.partition).copied().unwrap_or((stamp.epoch, 0, 0));
        let expected = if stamp.epoch > epoch { 0 } else { sequence };
        if stamp.base_sequence >= 0 && stamp.base_sequence != expected {
            self.out_of_order += 1;
            return refused(45);
        }
        let records = i32::try_from(batch.values.len()).unwrap();
        self.next.insert(batch.partition, (stamp.epoch, stamp.base_sequence + records, offset + i64::from(records)));
        Says { partition: batch.partition, base_offset: offset, ..Says::default() }
    }
}

const LARGE: [(&str, &str); 3] = [("batch.size", "100000"), ("linger.ms", "60000"), ("buffer.memory", "67108864")];

/// KAFKA-8202, KAFKA-8350: not one of these batches waits for anything but responses.
#[test]
fn batches_far_larger_than_the_topic_takes_go_in_parts_without_a_single_wait() {
    for (idempotent, retries) in [("true", "2147483647"), ("false", "2147483647"), ("true", "1")] {
        let mut rig = Rig::ready(&[&LARGE[..], &[("enable.idempotence", idempotent), ("retries", retries)]].concat());
        let (mut broker, started) = (Broker::new(2_000), rig.now);
        let deliveries: Vec<_> = (0..5_000).map(|number| rig.append(0, &format!("{number:0100}"))).collect();
        rig.accumulator.send_open_batches();
        rig.run();
        broker.serve(&mut rig);
        assert_eq!(rig.now, started);
        for (expected, delivery) in (0..).zip(&deliveries) {
            assert_eq!(offset(delivery), Some(expected), "idempotence {idempotent}, retries {retries}");
        }
        assert!(broker.too_large <= 20, "{} batches were too large", broker.too_large);
        assert!(idempotent == "false" || broker.out_of_order <= 20, "{} out of order", broker.out_of_order);
    }
}

#[test]
fn what_a_topic_takes_is_learned_and_later_batches_are_no_larger() {
    let mut rig = Rig::ready(&[&LARGE[..], &[("metadata.max.age.ms", "10000")]].concat());
    let mut broker = Broker::new(10_000);
    let append = |rig: &mut Rig, count| (0..count).for_each(|_| rig.fill(0, &"a".repeat(100)));
    append(&mut rig, 2_000);
    rig.accumulator.send_open_batches();
    rig.run();
    broker.serve(&mut rig);
    let before = broker.too_large;
    append(&mut rig, 2_000);
    rig.accumulator.send_open_batches();
    rig.run();
    let lens: Vec<_> = rig.sent.iter().map(|sent| sent.batches[0].bytes.len()).collect();
    assert!(lens.iter().all(|len| *len > 5_000), "nor much smaller: {lens:?}");
    broker.serve(&mut rig);
    assert_eq!(broker.too_large, before);
    // The topic may take more by now: after metadata.max.age.ms larger batches are tried.
    rig.pass_ms(10_000);
    append(&mut rig, 2);
    rig.accumulator.send_open_batches();
    rig.run();
    broker.limit = 1_000_000;
    broker.serve(&mut rig);
    append(&mut rig, 2_000);
    rig.accumulator.send_open_batches();
    rig.run();
    assert!(rig.sent.iter().any(|sent| sent.batches[0].bytes.len() > 90_000));
}

#[test]
fn a_batch_that_came_too_soon_goes_again_with_the_one_before_it_and_waits_for_nothing_else() {
    let mut rig = Rig::ready(&[]);
    rig.push(0, "proves the leader");
    rig.ack(0);
    let deliveries = [rig.send(0, "a"), rig.send(0, "b"), rig.send(0, "c")];
    rig.refuse(19);
    rig.refuse(45);
    rig.refuse(45);
    let (mut broker, started) = (Broker::new(1_000), rig.now);
    broker.next.insert(0, (0, 1, 1));
    rig.pass_ms(121);
    broker.serve(&mut rig);
    assert_eq!(deliveries.each_ref().map(offset), [Some(1), Some(2), Some(3)], "one backoff after {started:?}");
}

#[test]
fn the_parts_of_a_split_batch_keep_the_memory_of_their_callbacks() {
    let rig = Rig::ready(&LARGE);
    let Some(TopicState::Ready(topic)) = rig.accumulator.topics().state(super::rig::TOPIC) else { panic!("unknown") };
    let memory = rig.accumulator.memory();
    for _ in 0..40 {
        let large = [7_u8; 400];
        let mut callback = Some(move |_: Completion| assert_eq!(large[0], 7));
        let payload = Payload::new(None, Some(b"some value"), &[]);
        let turn = crate::accumulator::AppendMode::NoWait;
        rig.accumulator
            .append::<Accepted>(&topic.partitions[0], Some(1), &payload, listener(&mut callback), turn, &rig.now)
            .unwrap();
    }
    let batch = topic.partitions[0].take_older(rig.now, std::time::Duration::ZERO).remove(0);
    let mut whole = Entry::new(batch);
    let mut compressor = crate::wire::compression::Compressor::new(rig.accumulator.method());
    let parts = whole.split(split(&whole.bytes(), 500, &mut compressor).unwrap()).unwrap();
    drop(whole);
    let bytes: usize = parts.iter().map(Entry::len).sum();
    let held = memory.limit() - memory.free();
    assert!(parts.len() > 1 && held >= bytes + 40 * 400, "{held} for {bytes} bytes and 40 callbacks of 400");
    drop(parts);
    assert_eq!(memory.free(), memory.limit());
}
