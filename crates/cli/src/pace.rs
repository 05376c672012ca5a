//! Sending at a fixed rate, and measuring latencies.
//!
//! In: the time at which a record is due. Out: whether it is due; latencies in microseconds; on a terminal a bar on stderr.

use std::{
    io::{self, IsTerminal},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::block_in_place;

/// The longest uninterrupted sleep, so that Ctrl-C is handled soon.
const SLICE: Duration = Duration::from_millis(100);

/// Sleeps until `due`, but at most for a tenth of a second. Returns whether `due` has been reached. A thread's sleep is more
/// precise than the runtime's timer.
pub(crate) fn doze(due: Instant) -> bool {
    let early = due.saturating_duration_since(Instant::now());
    if !early.is_zero() {
        block_in_place(|| thread::sleep(early.min(SLICE)));
    }
    early <= SLICE
}

/// Sleeps until `due`, or until `stopped` is set, which is looked at ten times a second.
pub(crate) fn doze_until(due: Instant, stopped: &AtomicBool) {
    loop {
        if stopped.load(Relaxed) || doze(due) {
            return;
        }
    }
}

/// A histogram of microseconds with a precision of 0.1 %. A value above three hours is counted as three hours.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_max(10_000_000_000, 3).expect("the bounds are valid")
}

/// A duration in microseconds, the unit of the histogram.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A progress bar on stderr; hidden if stderr is no terminal.
pub(crate) fn bar(records: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(records), ProgressDrawTarget::stderr());
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
