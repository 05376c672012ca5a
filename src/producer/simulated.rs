//! A producer whose driver and clock belong to the simulation.
//!
//! In: an accumulator that the simulation drives, and a clock that stands still until it is set. Out: a producer with
//! the public API. Only in tests: see `tests/sim`.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{Accepting, Producer, TimeLimits, clocks::Clocks, inner::Inner};
use crate::{
    accumulator::Accumulator,
    config::Config,
    delivery::{Accepted, Callback, Delivery},
    error::SendError,
    net::Shutdown,
    record::Record,
};

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct WorldClock {
    start: Instant,
    micros: AtomicU64,
    unix_ms: AtomicI64,
    alarms: Mutex<Vec<(Duration, Waker)>>,
}

impl WorldClock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, micros: AtomicU64::new(0), unix_ms: AtomicI64::new(0), alarms: Mutex::default() }
    }

    /// Sets the time since the start, and the wall clock.
    pub(crate) fn set(&self, since_start: Duration, unix_ms: i64) {
        self.micros.store(u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.unix_ms.store(unix_ms, Relaxed);
    }

    /// The alarms that were set since the last call: when each is due, and the waker.
    pub(crate) fn take_alarms(&self) -> Vec<(Duration, Waker)> {
        std::mem::take(&mut *self.alarms.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn since_start(&self) -> Duration {
        Duration::from_micros(self.micros.load(Relaxed))
    }

    pub(super) fn now(&self) -> Instant {
        self.start + self.since_start()
    }

    pub(super) fn unix_ms(&self) -> i64 {
        self.unix_ms.load(Relaxed)
    }

    /// As coarse as a kernel's coarse clock.
    pub(super) fn tick(&self) -> u64 {
        self.micros.load(Relaxed) / 4_000
    }

    /// Waits until `after` has passed.
    pub(super) async fn passes(&self, after: Duration) {
        let at = self.since_start() + after;
        poll_fn(|context| {
            if self.since_start() >= at {
                return Poll::Ready(());
            }
            let alarm = (at, context.waker().clone());
            self.alarms.lock().unwrap_or_else(PoisonError::into_inner).push(alarm);
            Poll::Pending
        })
        .await;
    }
}

/// The driver's half of a simulated producer.
pub(crate) struct DriverHandle {
    /// How the producer is to end.
    pub(crate) shutdown: watch::Receiver<Shutdown>,
    /// Dropped when the driver has ended.
    _has_ended: watch::Sender<()>,
}

impl Producer {
    /// A producer whose sender is driven by the caller.
    pub(crate) fn simulated(
        config: Arc<Config>,
        accumulator: Arc<Accumulator>,
        clock: &Arc<WorldClock>,
    ) -> (Self, DriverHandle) {
        let (shutdown, watched) = watch::channel(Shutdown::No);
        let (has_ended, driver) = watch::channel(());
        let limits = TimeLimits::by(Clocks { world: Some(Arc::clone(clock)) });
        let inner = Inner::new(config, accumulator, limits, shutdown, driver);
        (Self { inner: Arc::new(inner) }, DriverHandle { shutdown: watched, _has_ended: has_ended })
    }

    /// As [`send`](Self::send), with a delivery and, if there is one, a callback.
    pub(crate) fn send_and_call<'a>(&'a self, record: Record<'a>, callback: Option<impl Callback>) -> Accepting<'a> {
        self.inner.attempt(record, callback)
    }

    /// As [`try_send`](Self::try_send), with a delivery and, if there is one, a callback.
    pub(crate) fn try_send_and_call(
        &self,
        record: Record<'_>,
        callback: Option<impl Callback>,
    ) -> Result<Delivery, SendError> {
        self.inner.try_send::<Accepted>(record, callback).map(Delivery::from)
    }
}
