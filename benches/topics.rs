//! How the cost of the sender's half grows with topics and partitions: each kind of work with few of them and with many.
//! The work for one of them must not take longer with many than with few; see "How cost grows with topics" in
//! `benches/README.md`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use milena::bench::Step;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

const VALUE: [u8; 100] = [b'v'; 100];
/// Longer than `delivery.timeout.ms`, in seconds.
const TOO_LONG: u64 = 121;
/// Longer than metadata's backoff, in seconds.
const A_WHILE: u64 = 2;

/// A measurement: its name, its counts of topics or partitions, and a function that returns the duration for a count.
type Work = (&'static str, [usize; 2], fn(usize) -> Duration);

const TOPICS: [usize; 2] = [1_000, 10_000];
const PARTITIONS: [usize; 2] = [10_000, 100_000];
/// The number of topics that the partitions belong to.
const AMONG: usize = 4;

const WORKS: [Work; 5] = [
    ("topics learned from one response", TOPICS, learned_at_once),
    ("topics learned one by one", TOPICS, learned_one_by_one),
    ("topics created anew", TOPICS, created_anew),
    ("partitions sent to", PARTITIONS, sent_to),
    ("partitions whose leader moves", PARTITIONS, moved),
];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, counts, work) in WORKS {
        for count in counts {
            let mut group = group(&mut criterion, name);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(count.to_string(), |bencher| {
                bencher.iter_custom(|rounds| (0..rounds).map(|_| work(count)).sum());
            });
            group.finish();
        }
    }
    for count in TOPICS {
        let mut step = None;
        let mut group = group(&mut criterion, "a leader's hint, among topics");
        group.bench_function(count.to_string(), |bencher| {
            let step = step.get_or_insert_with(|| among_topics(count));
            bencher.iter_custom(|rounds| (0..rounds).map(|_| hinted(step)).sum());
        });
        group.finish();
    }
    for count in PARTITIONS {
        let mut step = None;
        let mut group = group(&mut criterion, "a batch expires, among partitions");
        group.bench_function(count.to_string(), |bencher| {
            let step = step.get_or_insert_with(|| among_partitions(count));
            bencher.iter_custom(|rounds| (0..rounds).map(|_| expired(step)).sum());
        });
        group.finish();
    }
    criterion.final_summary();
}

/// A group with few samples, because one iteration may take seconds.
fn group<'a>(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(500));
    group
}

fn among_topics(count: usize) -> Step {
    let mut step = Step::among(1);
    step.learn(0..count);
    step
}

fn among_partitions(count: usize) -> Step {
    let mut step = Step::among(i32::try_from(count / AMONG).expect("it is not that many"));
    step.learn(0..AMONG);
    step
}

/// One Metadata response with all topics.
fn learned_at_once(topics: usize) -> Duration {
    let mut step = Step::among(1);
    step.want(0..topics);
    settled(&mut step)
}

/// A Metadata request for each topic alone, as for its first record.
fn learned_one_by_one(topics: usize) -> Duration {
    let mut step = Step::among(1);
    (0..topics)
        .map(|number| {
            step.want(number..number + 1);
            settled(&mut step)
        })
        .sum()
}

/// One Metadata response with other ids for known topics.
fn created_anew(topics: usize) -> Duration {
    let mut step = among_topics(topics);
    step.recreate();
    step.wait(A_WHILE);
    step.want(0..1);
    settled(&mut step)
}

/// A batch for each partition.
fn sent_to(partitions: usize) -> Duration {
    let mut step = among_partitions(partitions);
    step.fill(1, &VALUE);
    settled(&mut step)
}

/// The sender's time until no request is in flight.
fn settled(step: &mut Step) -> Duration {
    let mut took = Duration::ZERO;
    loop {
        let mut requests = 0;
        took += timed(|| requests = step.drain());
        if requests == 0 {
            return took;
        }
        step.prepare_answers();
        took += timed(|| step.judge());
    }
}

/// A batch of each partition waits for a leader with the most requests in flight; then the leader moves.
fn moved(partitions: usize) -> Duration {
    let mut step = among_partitions(partitions);
    step.fill(1, &VALUE);
    step.drain();
    step.move_leaders();
    step.wait(A_WHILE);
    step.want(0..1);
    settled(&mut step)
}

/// The response to a batch names the partition's new leader, and the batch is sent there.
fn hinted(step: &mut Step) -> Duration {
    step.fill_first(&VALUE);
    step.drain();
    step.prepare_hints();
    let took = timed(|| step.judge());
    step.settle();
    took
}

/// One batch expires.
fn expired(step: &mut Step) -> Duration {
    step.fill_first(&VALUE);
    step.wait(TOO_LONG);
    let took = timed(|| step.drain());
    step.settle();
    took
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}
