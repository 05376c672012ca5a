//! A publisher's pass, and until when it is used.
//!
//! In: passes that were given, events that are being stored, the time. Out: whether the pass may be used. No task, no clock.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Instant,
};

use crate::store::Pass;

/// Holds a pass or none.
#[derive(Debug)]
pub(super) struct Holder {
    start: Instant,
    /// Until when the pass is used, in microseconds since the start; 0 without one.
    until: AtomicU64,
    /// Whether it was used since it was asked the last time.
    is_used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pass: Option<Pass>,
    /// How many events of this publisher have begun to be stored, and how many are being stored.
    stored: u64,
    storing: usize,
}

/// A pass is being asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// The one that it is to replace.
    pub(super) instead_of: Option<Pass>,
    stored: u64,
}

impl Holder {
    pub(super) fn new(start: Instant) -> Self {
        let (until, is_used, state) = Default::default();
        Self { start, until, is_used, state }
    }

    /// Whether the pass may be used now, which is noted.
    pub(super) fn has_pass(&self, now: Instant) -> bool {
        let has = self.micros(now) < self.until.load(Acquire);
        if has && !self.is_used.load(Relaxed) {
            self.is_used.store(true, Relaxed);
        }
        has
    }

    /// Whether the pass was used since this was called the last time.
    pub(super) fn take_used(&self) -> bool {
        self.is_used.swap(false, AcqRel)
    }

    /// An event is being stored, until it is dropped. The pass is not used any more: it says that nothing is stored.
    pub(super) fn storing(self: &Arc<Self>) -> Storing {
        let mut state = self.state();
        self.until.store(0, Release);
        state.stored += 1;
        state.storing += 1;
        Storing(Arc::clone(self))
    }

    /// Begins to ask for a pass. Not while an event is being stored, because the pass could be given just before.
    pub(super) fn ask(&self) -> Option<Asking> {
        let state = self.state();
        (state.storing == 0).then_some(Asking { instead_of: state.pass, stored: state.stored })
    }

    /// A pass was given. Returns whether it is used: not if an event began to be stored since it was asked for.
    pub(super) fn given(&self, asking: Asking, pass: Pass, until: Instant) -> bool {
        let mut state = self.state();
        state.pass = Some(pass);
        let is_used = state.stored == asking.stored;
        if is_used {
            self.until.store(self.micros(until), Release);
        }
        is_used
    }

    /// Uses the pass no more, and returns it so that the store is told.
    pub(super) fn leave(&self) -> Option<Pass> {
        let mut state = self.state();
        self.until.store(0, Release);
        state.pass.take()
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event is being stored, until it is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub(crate) struct Storing(Arc<Holder>);

impl Drop for Storing {
    fn drop(&mut self) {
        self.0.state().storing -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn holder() -> (Arc<Holder>, Instant) {
        let start = Instant::now();
        (Arc::new(Holder::new(start)), start)
    }

    #[test]
    fn a_pass_is_used_until_its_time_is_over() {
        let (holder, start) = holder();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!holder.has_pass(at(1)), "none was given");
        let asking = holder.ask().unwrap();
        assert!(asking.instead_of.is_none() && holder.given(asking, Pass(7), at(1_000)));
        assert!(holder.has_pass(at(999)) && !holder.has_pass(at(1_000)));
        assert_eq!((holder.take_used(), holder.take_used()), (true, false));
        assert_eq!(holder.ask().unwrap().instead_of, Some(Pass(7)));
        assert_eq!((holder.leave(), holder.leave(), holder.has_pass(at(1))), (Some(Pass(7)), None, false));
    }

    #[test]
    fn a_pass_that_was_asked_for_before_or_while_an_event_is_stored_is_not_used() {
        let (holder, start) = holder();
        let until = start + Duration::from_secs(1);
        let asking = holder.ask().unwrap();
        let storing = holder.storing();
        assert!(holder.ask().is_none(), "it could be given just before the event is stored");
        drop(storing);
        assert!(!holder.given(asking, Pass(1), until) && !holder.has_pass(start));
        assert!(holder.given(holder.ask().unwrap(), Pass(2), until) && holder.has_pass(start));
        drop(holder.storing());
        assert!(!holder.has_pass(start), "an event was stored since");
        assert_eq!(holder.leave(), Some(Pass(2)), "the store still has it");
    }
}
