//! Sending at a fixed rate, and how long it takes.
//!
//! In: the moment at which something is due. Out: that it is; latencies in microseconds; on a terminal a bar on stderr.

use std::{
    io::{self, IsTerminal},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::block_in_place;

/// A wait is cut into pieces, so that Ctrl-C is heard.
const SLICE: Duration = Duration::from_millis(100);

/// Sleeps until then, but for a tenth of a second at most, and says whether it is time. A thread sleeps more exactly than a timer of
/// the runtime ticks.
pub(crate) fn doze(due: Instant) -> bool {
    let early = due.saturating_duration_since(Instant::now());
    if !early.is_zero() {
        block_in_place(|| thread::sleep(early.min(SLICE)));
    }
    early <= SLICE
}

/// A histogram of microseconds, right within 0.1 %. Up to three hours, and more is counted as that.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_max(10_000_000_000, 3).expect("the bounds are valid")
}

/// A time as such a histogram counts it.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A bar on a terminal, and else nothing.
pub(crate) fn bar(records: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(records), ProgressDrawTarget::stderr());
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
