//! Waits with a time limit: by the timers of the producer's runtime, and elsewhere by a thread.
//!
//! In: a future, and how long it may take. Out: its output, or `None` if the time ran out first. A caller outside the
//! producer's runtime may have no timers (another executor, a plain thread, a runtime without time). The timers of the
//! producer's runtime cannot be used there: they stand still when nothing drives the runtime, and panic when it is
//! gone. Deliberately absent: what is waited for.

use std::{
    future::Future,
    sync::{
        OnceLock,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Handle, Id},
    sync::oneshot,
    time::timeout,
};

use super::clocks::Clocks;

/// A wait that never ends in practice, and does not overflow an `Instant`.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Limits how long callers wait.
pub(crate) struct TimeLimits {
    /// The runtime whose timers are used; `None` stands for any.
    home: Option<Id>,
    /// To the thread. It starts with the first wait outside the runtime, and ends with the producer.
    alarms: OnceLock<mpsc::Sender<Alarm>>,
    pub(crate) clocks: Clocks,
}

/// A wait that ends when this is dropped.
struct Alarm {
    at: Instant,
    ring: oneshot::Sender<()>,
}

impl TimeLimits {
    /// The limits of a producer on this runtime.
    pub(super) fn new(home: &Handle) -> Self {
        Self { home: Some(home.id()), ..Self::anywhere() }
    }

    /// The limits of a producer without a runtime of its own. They use the current runtime if there is one, so that its
    /// clock counts.
    pub(crate) fn anywhere() -> Self {
        Self { home: None, alarms: OnceLock::new(), clocks: Clocks::default() }
    }

    /// The limits of a producer with other clocks than the machine's.
    #[cfg(test)]
    pub(super) fn by(clocks: Clocks) -> Self {
        Self { clocks, ..Self::anywhere() }
    }

    /// Waits for `future` for at most `limit`.
    ///
    /// Cancel safe if `future` is.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        if Handle::try_current().is_ok_and(|here| self.home.is_none_or(|home| here.id() == home)) {
            return timeout(limit, future).await.ok();
        }
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.alarm(limit) => None,
        }
    }

    async fn alarm(&self, after: Duration) {
        #[cfg(test)]
        if let Some(world) = &self.clocks.world {
            return world.passes(after).await;
        }
        let (ring, rings) = oneshot::channel();
        let alarm = Alarm { at: Instant::now() + after.min(FOR_EVER), ring };
        // Without a thread the wait ends at once.
        let _ = self.alarms.get_or_init(start).send(alarm);
        let _ = rings.await;
    }
}

fn start() -> mpsc::Sender<Alarm> {
    let (alarms, set) = mpsc::channel();
    if let Err(error) = thread::Builder::new().name("milena-limits".into()).spawn(move || keep_time(&set)) {
        tracing::warn!(%error, "no thread that keeps the time outside the producer's runtime: nothing is waited for there");
    }
    alarms
}

/// There are as many alarms as threads that wait, so a list is enough.
fn keep_time(set: &mpsc::Receiver<Alarm>) {
    let mut alarms: Vec<Alarm> = Vec::new();
    loop {
        let now = Instant::now();
        alarms.retain(|alarm| alarm.at > now && !alarm.ring.is_closed());
        let next = alarms.iter().map(|alarm| alarm.at).min();
        match set.recv_timeout(next.map_or(FOR_EVER, |at| at - now)) {
            Ok(alarm) => alarms.push(alarm),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
