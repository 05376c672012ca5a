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

/// Acknowledgements that callbacks were called with.
static HEARD: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let records: usize = args[1].parse().expect("how many records");
    match &*args[0] {
        "append-keyed" => append(6, true, records),
        "append-callback" => append_told(records),
        "append-sticky" => append(6, false, records),
        "append-keyed-1000" => append(1000, true, records),
        "sender-drain" => step(6, records, counted_drain, Step::judge),
        "sender-judge" => step(6, records, Step::drain, counted_judge),
        "sender-1000" => step(1000, records, counted_drain, counted_judge),
        "writer" => black_box(counted_write(records)).clear(),
        other => panic!("no path is called {other}"),
    }
}

/// Two rounds: the second finds everything in the state that lasts.
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

/// With a callback for every record in place of a handle.
fn append_told(records: usize) {
    let still = Still::new(1, 6, 16_384);
    still.append_told(records, &VALUE, hear);
    still.deliver(&mut []);
    counted_append_told(&still, records);
    still.deliver(&mut []);
    assert_eq!(HEARD.load(Relaxed), 2 * records);
}

#[inline(never)]
fn counted_append_told(still: &Still, records: usize) {
    still.append_told(records, &VALUE, hear);
}

fn hear(acknowledged: bool) {
    HEARD.fetch_add(usize::from(acknowledged), Relaxed);
}

/// Full batches on each partition, until so many records went through.
fn step(partitions: usize, records: usize, drain: fn(&mut Step) -> usize, judge: fn(&mut Step) -> usize) {
    const BATCH: usize = 140;
    let mut step = Step::new(i32::try_from(partitions).expect("few"));
    for _ in 0..records / partitions / BATCH {
        step.fill(BATCH, &VALUE);
        // A request has an end, and so has a connection's window: what does not fit goes when there are answers.
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
