//! The part of a producer that its clones share.
//!
//! In: a configuration, and how connections are secured. Out: the accumulator that records go to, the driver that sends them, and the clocks of both.
//! Deliberately absent: what is done with one record (see [`super::append`]).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::watch};

use super::limits::TimeLimits;
use crate::{
    accumulator::{self, Accumulator, Clock},
    config::Config,
    delivery::Callbacks,
    dial::Security,
    error::FlushError,
    net::{Driver, Shutdown},
    oauth::Tokens,
};

pub(super) struct Inner {
    pub(super) config: Arc<Config>,
    pub(super) accumulator: Arc<Accumulator>,
    /// The largest batch of one record, in bytes: the lesser of `max.request.size` and `buffer.memory`.
    pub(super) max_len: usize,
    /// Whether there are interceptors or a partitioner of the user's.
    pub(super) has_user_code: bool,
    pub(super) limits: TimeLimits,
    pub(super) shutdown: watch::Sender<Shutdown>,
    /// Closed when the driver has ended.
    pub(super) driver: watch::Receiver<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shut_down(Shutdown::Abandon);
    }
}

impl Inner {
    pub(super) fn start(config: Arc<Config>, security: Security, tokens: Tokens, runtime: &Handle) -> Self {
        let limits = accumulator::Limits::of(&config);
        let callbacks = Callbacks::threaded(config.interceptors.clone());
        let accumulator = Accumulator::new(limits, callbacks);
        let (shutdown, watched) = watch::channel(Shutdown::No);
        let access = (security, tokens);
        let driver = Driver::start(Arc::clone(&config), access, Arc::clone(&accumulator), watched, seed(), runtime);
        Self::new(config, accumulator, TimeLimits::new(runtime), shutdown, driver)
    }

    pub(super) fn new(
        config: Arc<Config>,
        accumulator: Arc<Accumulator>,
        limits: TimeLimits,
        shutdown: watch::Sender<Shutdown>,
        driver: watch::Receiver<()>,
    ) -> Self {
        let max_len = config.max_request_size.min(config.buffer_memory);
        let has_user_code = config.partitioner.is_some() || !config.interceptors.is_empty();
        Self { config, accumulator, max_len, has_user_code, limits, shutdown, driver }
    }

    pub(super) fn now(&self) -> Instant {
        self.limits.clocks.now()
    }

    pub(super) fn shut_down(&self, how: Shutdown) {
        self.shutdown.send_if_modified(|now| {
            let first = *now == Shutdown::No;
            *now = if first { how } else { *now };
            first
        });
    }

    pub(super) async fn flush(&self) -> Result<(), FlushError> {
        not_in_callback()?;
        let since = self.now();
        self.accumulator.flush().await;
        self.accumulator.recorder().flushed(self.now() - since);
        Ok(())
    }

    pub(super) async fn flush_within(&self, limit: Duration) -> Result<(), FlushError> {
        let timed_out = || Err(FlushError::Timeout { pending: self.accumulator.undelivered(), waited: limit });
        self.limits.within(limit, self.flush()).await.unwrap_or_else(timed_out)
    }

    /// Ends the driver and waits until it has ended.
    pub(super) async fn end(&self) {
        self.shut_down(Shutdown::Close);
        let mut driver = self.driver.clone();
        while driver.changed().await.is_ok() {}
    }
}

/// A seed that differs between producers, so that they do not back off in step.
fn seed() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}

/// Refuses calls from a callback that would wait for callbacks.
pub(crate) fn not_in_callback() -> Result<(), FlushError> {
    if Callbacks::running_here() { Err(FlushError::InCallback) } else { Ok(()) }
}
