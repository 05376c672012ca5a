//! What both parts of the sender use: the configuration, the time, chance, and where things are counted and logged.
//!
//! In: the time. Out: nothing of its own. Pure. Deliberately absent: any state of links or lanes.

use std::{sync::Arc, time::Instant};

use super::{
    backoff::{Backoff, Chance},
    warnings::Warnings,
};
use crate::{
    accumulator::Accumulator, config::Config, error::ErrorCode, metrics::Recorder, wire::authentication::Refusal,
};

/// What both parts use.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) config: Arc<Config>,
    pub(crate) accumulator: Arc<Accumulator>,
    pub(crate) chance: Chance,
    pub(crate) warnings: Warnings,
    /// `retry.backoff.ms` and its maximum.
    pub(crate) retry: Backoff,
    /// The latest time that was passed in.
    pub(crate) now: Instant,
}

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) code: ErrorCode,
    pub(crate) why: Arc<str>,
}

impl Cause {
    /// No broker said it: the connection failed.
    pub(crate) fn network(why: impl Into<Arc<str>>) -> Self {
        Self { code: ErrorCode::NETWORK_EXCEPTION, why: why.into() }
    }
}

impl From<Refusal> for Cause {
    fn from(Refusal { code, why }: Refusal) -> Self {
        Self { code, why: why.into() }
    }
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
