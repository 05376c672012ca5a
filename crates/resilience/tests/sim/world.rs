//! What all parts of a run share: its time, its trace, and the calls to `publish`.
//!
//! In: what happens. Out: notes in the order in which it happened.

use std::{
    ops::RangeInclusive,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::publisher::{Publication, PublishError};

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has not returned: its process died, or it hangs.
    Open,
    /// It was dropped.
    Dropped,
    Published,
    Stored,
    /// The event was handed back. Whether it can be in the topic nevertheless.
    Back {
        maybe: bool,
    },
    /// The error has another event, or none.
    Robbed,
}

/// A call to `publish`.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The instance that called.
    home: usize,
    pub(super) key: Option<u64>,
    /// The process that called was killed.
    pub(super) is_killed: bool,
    /// Its event was in the store, it was said.
    pub(super) is_kept: bool,
    pub(super) fate: Fate,
}

impl Call {
    /// Whether the caller was told that its event is published, or will be.
    pub(super) fn is_accepted(&self) -> bool {
        match self.fate {
            Fate::Published | Fate::Stored => true,
            Fate::Open => self.is_kept,
            Fate::Dropped | Fate::Back { .. } | Fate::Robbed => false,
        }
    }
}

/// What all parts of a run share.
pub(super) struct World {
    start: Instant,
    tick: AtomicU64,
    /// The last time, and how much has happened at it.
    spin: Mutex<(Duration, u64)>,
    lines: Option<Mutex<Vec<String>>>,
    calls: Mutex<Vec<Call>>,
}

impl World {
    pub(super) fn new(traced: bool) -> Self {
        Self {
            start: Instant::now(),
            tick: AtomicU64::new(0),
            spin: Mutex::default(),
            lines: traced.then(Mutex::default),
            calls: Mutex::default(),
        }
    }

    /// Since the start.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// The next number in the order of all that happens.
    pub(super) fn tick(&self) -> u64 {
        self.tick.fetch_add(1, Relaxed)
    }

    /// Adds a line to the trace, if somebody reads it.
    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        self.count_spin();
        if let Some(lines) = &self.lines {
            lines.lock().unwrap().push(format!("{:>12.3} {}", self.now().as_secs_f64(), what()));
        }
    }

    /// Time stands still as long as any task can go on, so that one that tries again without a pause would hang the run.
    fn count_spin(&self) {
        let (now, mut spin) = (self.now(), self.spin.lock().unwrap());
        *spin = if spin.0 == now { (now, spin.1 + 1) } else { (now, 0) };
        assert!(spin.1 < 20_000, "a task spins");
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lines.lock().unwrap().clone()).unwrap_or_default()
    }

    /// A call begins. Returns its event's number, from 1.
    pub(super) fn called(&self, home: usize, key: Option<u64>) -> u64 {
        let mut calls = self.calls.lock().unwrap();
        calls.push(Call { home, key, is_killed: false, is_kept: false, fate: Fate::Open });
        let id = calls.len() as u64;
        drop(calls);
        self.note(|| format!("e{id} publish key {key:?}"));
        id
    }

    pub(super) fn returned(&self, id: u64, result: &Result<Publication, PublishError>) -> Fate {
        let fate = fate_of(id, result);
        self.note(|| match result {
            Ok(Publication::Stored { why, maybe_sent, .. }) => format!("e{id} Stored, maybe sent {maybe_sent}: {why}"),
            Err(error) => format!("e{id} {fate:?}: {error}"),
            Ok(_) => format!("e{id} {fate:?}"),
        });
        self.end(id, fate);
        fate
    }

    /// The event of a call is in the store. Its outcome is not known yet.
    pub(super) fn kept(&self, id: u64) {
        self.note(|| format!("e{id} is kept"));
        self.with(id, |call| call.is_kept = true);
    }

    pub(super) fn end(&self, id: u64, fate: Fate) {
        self.with(id, |call| call.fate = fate);
    }

    /// The process of these calls was killed, of those that are of this instance.
    pub(super) fn killed(&self, home: usize, ids: RangeInclusive<u64>) {
        ids.for_each(|id| self.with(id, |call| call.is_killed |= call.home == home));
    }

    fn with(&self, id: u64, change: impl FnOnce(&mut Call)) {
        let index = usize::try_from(id - 1).unwrap_or(usize::MAX);
        if let Some(call) = self.calls.lock().unwrap().get_mut(index) {
            change(call);
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn fate_of(id: u64, result: &Result<Publication, PublishError>) -> Fate {
    match result {
        Ok(Publication::Published { .. }) => Fate::Published,
        Ok(Publication::Stored { .. }) => Fate::Stored,
        Err(error) if error.event().payload.as_deref() != Some(value_of(id).as_bytes()) => Fate::Robbed,
        Err(error) => {
            let is_stored = error.store_error().is_some_and(crate::store::StoreError::is_indeterminate);
            Fate::Back { maybe: is_stored || error.persisted() == milena::Persisted::Unknown }
        }
    }
}

/// The value of an event, by which it is recognised.
pub(super) fn value_of(id: u64) -> String {
    format!("e{id}")
}
