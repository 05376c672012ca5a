//! What both parts of the sender use: the configuration, the time, chance, and where things are counted and told.
//!
//! In: the time. Out: nothing of its own. Pure. Deliberately absent: any state of links or lanes.

use std::{sync::Arc, time::Instant};

use super::{
    backoff::{Backoff, Chance},
    warnings::Warnings,
};
use crate::{accumulator::Accumulator, config::Config, error::ErrorCode, metrics::Recorder};

/// What both parts use.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) config: Arc<Config>,
    pub(super) accumulator: Arc<Accumulator>,
    pub(super) chance: Chance,
    pub(super) warnings: Warnings,
    /// The latest time that was passed in.
    pub(super) now: Instant,
}

/// Why nothing of this producer will succeed any more.
#[derive(Clone, Debug)]
pub(crate) struct Fatal {
    pub(crate) code: ErrorCode,
    pub(crate) reason: Arc<str>,
}

impl Common {
    /// Where things are counted.
    pub(super) fn recorder(&self) -> &Recorder {
        self.accumulator.recorder()
    }

    /// `retry.backoff.ms` and its maximum.
    pub(super) fn retry(&self) -> Backoff {
        Backoff { initial: self.config.retry_backoff, max: self.config.retry_backoff_max }
    }

    /// Something is not there that must be there: a fault of milena's. Tests stop; a producer counts it, tells it and goes on
    /// without. Returns what stands for it.
    #[cold]
    pub(super) fn missing<T: Default>(&mut self, what: &'static str) -> T {
        debug_assert!(false, "the sender lacks {what}");
        self.warnings.missing(what, self.now);
        T::default()
    }
}
