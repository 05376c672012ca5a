//! The caller's half, through the public API: from `try_send` to its delivery, by partitions, with one task and with
//! eight. Each iteration is a round of records. They are delivered between the rounds, which is not measured.

#[path = "support/still.rs"]
mod still;

use std::{
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode, Throughput};
use milena::Delivery;
use still::Still;

const VALUE: [u8; 100] = [b'v'; 100];

/// Name, topics, partitions of each, records of a round: enough that most records are appended to an open batch.
const SHAPES: [(&str, usize, u16, usize); 3] =
    [("6", 1, 6, 24_000), ("1,000", 1, 1_000, 80_000), ("10,000", 200, 50, 400_000)];

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    for (name, topics, partitions, records) in SHAPES {
        for tasks in [1, 8] {
            let mut group = criterion.benchmark_group("append");
            group.throughput(Throughput::Elements(records as u64)).sampling_mode(SamplingMode::Flat);
            let mut round = None;
            group.bench_function(format!("{name} partitions/{tasks} tasks"), |bencher| {
                let still = round.get_or_insert_with(|| Still::new(topics, partitions, 16_384));
                let mut slots = Still::slots(records);
                bencher.iter_custom(|rounds| (0..rounds).map(|_| append(still, tasks, &mut slots)).sum());
            });
            group.finish();
        }
    }
    criterion.final_summary();
}

/// The duration of one round.
fn append(still: &Still, tasks: usize, slots: &mut [Option<Delivery>]) -> Duration {
    let start = Instant::now();
    if tasks == 1 {
        still.append(true, &VALUE, slots);
    } else {
        let share = slots.len() / tasks;
        thread::scope(|scope| {
            for slots in slots.chunks_mut(share) {
                scope.spawn(|| still.append(true, &VALUE, slots));
            }
        });
    }
    let took = start.elapsed();
    still.deliver(slots);
    took
}
