//! What the circuit breaker costs a call, in nanoseconds: `cargo bench -p milena-resilience`.
//!
//! Each line is the best of some rounds, because other programs only make it slower. The clock is read once for all
//! calls, because a caller has it anyway.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use milena_resilience::breaker::{Breaker, BreakerConfig, SlidingWindowType};

const CALLS: u32 = 1_000_000;
const ROUNDS: u32 = 9;

/// Nanoseconds for each call of `threads` threads that do the same.
fn best(threads: u32, call: impl Fn() + Sync) -> f64 {
    let round = || {
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..CALLS).for_each(|_| call()));
            }
        });
        start.elapsed()
    };
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or(Duration::MAX);
    best.as_secs_f64() * 1e9 / f64::from(CALLS) / f64::from(threads)
}

fn main() {
    let now = Instant::now();
    let breaker = |config| Breaker::new(config, now).expect("the configuration is valid");
    let (by_calls, refusing) = (breaker(BreakerConfig::new()), breaker(BreakerConfig::new()));
    let by_time = breaker(BreakerConfig::new().sliding_window_type(SlidingWindowType::TimeBased));
    refusing.force_open(now);
    let success = |breaker: &Breaker| {
        if let Ok(permit) = black_box(breaker.try_acquire(now)) {
            permit.succeed(now);
        }
    };
    let clock = || {
        black_box(Instant::now());
    };
    for threads in [1, 2] {
        println!("{threads} thread(s), ns a call");
        println!("  CLOSED, permit and drop:             {:6.1}", best(threads, || drop(by_calls.try_acquire(now))));
        println!("  CLOSED, permit and success, by calls:{:6.1}", best(threads, || success(&by_calls)));
        println!("  CLOSED, permit and success, by time: {:6.1}", best(threads, || success(&by_time)));
        println!("  FORCED_OPEN, refused:                {:6.1}", best(threads, || success(&refusing)));
        println!("  Instant::now, for comparison:        {:6.1}", best(threads, clock));
    }
}
