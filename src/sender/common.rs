//! What both parts of the sender use: the configuration, the time, chance, and where things are counted and logged.
//!
//! In: the time. Out: nothing of its own. Pure. Deliberately absent: any state of links or lanes.

use std::{sync::Arc, time::Instant};

use super::{
    backoff::{Backoff, Chance},
    login::Login,
    warnings::Warnings,
};
use crate::{accumulator::Accumulator, config::Config, metrics::Recorder};

/// What both parts use.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) config: Arc<Config>,
    pub(crate) accumulator: Arc<Accumulator>,
    pub(crate) chance: Chance,
    pub(crate) warnings: Warnings,
    /// Who the producer says it is.
    pub(crate) login: Login,
    /// `retry.backoff.ms` and its maximum.
    pub(crate) retry: Backoff,
    /// The latest time that was passed in.
    pub(crate) now: Instant,
}

impl Common {
    /// Where things are counted.
    pub(crate) fn recorder(&self) -> &Recorder {
        self.accumulator.recorder()
    }

    /// Something is not there that must be there: a fault of milena's. Tests stop; a producer counts it, logs it and goes on
    /// without. Returns what stands for it.
    #[cold]
    pub(crate) fn missing<T: Default>(&mut self, what: &'static str) -> T {
        debug_assert!(false, "the sender lacks {what}");
        self.warnings.missing(what, self.now);
        T::default()
    }
}
