//! The sender's half without a network: batches into requests, responses into outcomes, and its small decisions. An
//! iteration of a step is one full batch for each partition.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use milena::bench::{Step, murmur2, would_retry};

/// Records of 100 B in a batch of 16 KiB.
const BATCH: usize = 140;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    step(&mut criterion, 6);
    windows(&mut criterion, 1000);
    criterion.bench_function("verdict", |bencher| {
        // None, not leader, a duplicate, too large, fenced.
        bencher.iter(|| [0, 6, 46, 10, 90].map(|code| would_retry(black_box(code))));
    });
    for key in ["key-0001", "a key that is about as long as a uuid"] {
        let name = format!("murmur2/{} B", key.len());
        criterion.bench_function(&name, |bencher| bencher.iter(|| murmur2(black_box(key.as_bytes()))));
    }
    criterion.final_summary();
}

fn step(criterion: &mut Criterion, partitions: u16) {
    let mut group = criterion.benchmark_group(format!("sender step, {partitions} partitions"));
    group.throughput(Throughput::Elements(partitions.into()));
    let mut step = Step::new(partitions.into());
    group.bench_function("drain", |bencher| bencher.iter_custom(|rounds| rounds_of(&mut step, rounds).0));
    group.bench_function("judge", |bencher| bencher.iter_custom(|rounds| rounds_of(&mut step, rounds).1));
    group.finish();
}

/// More partitions than fit into the requests in flight: with each response the sender drains again, so both are one figure.
fn windows(criterion: &mut Criterion, partitions: u16) {
    let mut group = criterion.benchmark_group(format!("sender step, {partitions} partitions"));
    group.throughput(Throughput::Elements(partitions.into())).sample_size(20);
    let mut step = Step::new(partitions.into());
    group.bench_function("drain and judge", |bencher| {
        bencher.iter_custom(|rounds| {
            let (draining, judging) = rounds_of(&mut step, rounds);
            draining + judging
        });
    });
    group.finish();
}

/// The time to drain batches, and the time to judge the responses.
fn rounds_of(step: &mut Step, rounds: u64) -> (Duration, Duration) {
    let (mut draining, mut judging) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        step.fill(BATCH, &[b'v'; 100]);
        // The request size is limited: further batches are sent with the next request.
        while {
            draining += timed(|| black_box(step.drain())).0;
            step.prepare_answers();
            let (took, undelivered) = timed(|| step.judge());
            judging += took;
            undelivered > 0
        } {}
    }
    (draining, judging)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}
