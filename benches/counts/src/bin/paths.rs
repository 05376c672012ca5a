//! Runs one path. `benches/instructions` runs it under callgrind, which counts within the functions called `counted_…`.
//!
//! Called as `paths PATH RECORDS`.

#[path = "../../../support/still.rs"]
mod still;

use std::{
    env,
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use milena::{Delivery, bench::Step};
use still::Still;

const VALUE: [u8; 100] = [b'v'; 100];

/// The number of acknowledgements that callbacks received.
static ACKNOWLEDGED: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let records: usize = args[1].parse().expect("how many records");
    match &*args[0] {
        "append-keyed" => append(6, true, records),
        "append-callback" => append_with_callback(records),
        "append-sticky" => append(6, false, records),
        "append-keyed-1000" => append(1000, true, records),
        "append-values" => append_together(records),
        "sender-drain" => step(6, records, counted_drain, Step::judge),
        "sender-judge" => step(6, records, Step::drain, counted_judge),
        "sender-1000" => step(1000, records, counted_drain, counted_judge),
        "writer" => black_box(counted_write(records)).clear(),
        other => panic!("no path is called {other}"),
    }
}

/// Runs two rounds. Only the second is counted, because the first reaches the steady state.
fn append(partitions: u16, keyed: bool, records: usize) {
    let still = Still::new(1, partitions, 16_384);
    let mut slots = Still::slots(records);
    still.append(keyed, &VALUE, &mut slots);
    still.deliver(&mut slots);
    counted_append(&still, keyed, &mut slots);
    still.deliver(&mut slots);
}

#[inline(never)]
fn counted_append(still: &Still, keyed: bool, slots: &mut [Option<Delivery>]) {
    still.append(keyed, &VALUE, slots);
}

/// Appends with a callback for every record instead of a delivery.
fn append_with_callback(records: usize) {
    let still = Still::new(1, 6, 16_384);
    still.append_with_callback(records, &VALUE, count);
    still.deliver(&mut []);
    counted_append_callback(&still, records);
    still.deliver(&mut []);
    assert_eq!(ACKNOWLEDGED.load(Relaxed), 2 * records);
}

#[inline(never)]
fn counted_append_callback(still: &Still, records: usize) {
    still.append_with_callback(records, &VALUE, count);
}

fn count(acknowledged: bool) {
    ACKNOWLEDGED.fetch_add(usize::from(acknowledged), Relaxed);
}

/// Appends those records together that go into one batch.
fn append_together(records: usize) {
    let still = Still::new(1, 6, 16_384);
    still.append_together(records, &VALUE);
    still.deliver(&mut []);
    counted_append_together(&still, records);
    still.deliver(&mut []);
}

#[inline(never)]
fn counted_append_together(still: &Still, records: usize) {
    assert!(still.append_together(records, &VALUE) < records / 50, "they share handles");
}

/// Sends full batches to each partition, until `records` records are sent.
fn step(partitions: usize, records: usize, drain: fn(&mut Step) -> usize, judge: fn(&mut Step) -> usize) {
    const BATCH: usize = 140;
    let mut step = Step::new(i32::try_from(partitions).expect("few"));
    for _ in 0..records / partitions / BATCH {
        step.fill(BATCH, &VALUE);
        // The request size and the requests in flight are limited: further batches are sent after responses.
        while {
            drain(&mut step);
            step.prepare_answers();
            judge(&mut step) > 0
        } {}
    }
}

#[inline(never)]
fn counted_drain(step: &mut Step) -> usize {
    step.drain()
}

#[inline(never)]
fn counted_judge(step: &mut Step) -> usize {
    step.judge()
}

#[inline(never)]
fn counted_write(records: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(17 << 10);
    for _ in 0..records / 140 {
        buffer = milena::bench::write_batch(buffer, 140, Some(b"key-0001"), &VALUE, &[]);
    }
    buffer
}
