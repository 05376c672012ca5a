//! A latch that opens when its count is zero, as Java's `CountDownLatch` does.
//!
//! In: events, from any thread. Out: a future that resolves after the last one. Awaits only.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

/// Counts down to zero, and stays there. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Latch(Arc<watch::Sender<usize>>);

impl Latch {
    /// A latch that opens after `count` events.
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(watch::Sender::new(count)))
    }

    /// Counts one event.
    pub(crate) fn count_down(&self) {
        self.0.send_modify(|left| *left = left.saturating_sub(1));
    }

    /// Waits until the count is zero, at most for `bound`. The error is the number of missing events.
    pub(crate) async fn wait(&self, bound: Duration) -> Result<(), usize> {
        let mut changes = self.0.subscribe();
        match timeout(bound, changes.wait_for(|left| *left == 0)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(*self.0.borrow()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn it_opens_with_the_last_event_from_any_thread() {
        let latch = Latch::new(20);
        for _ in 0..20 {
            let latch = latch.clone();
            std::thread::spawn(move || latch.count_down());
        }
        assert_eq!(latch.wait(LONG).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_timeout_it_returns_the_number_of_missing_events() {
        let latch = Latch::new(3);
        latch.count_down();
        assert_eq!(latch.wait(LONG).await, Err(2));
    }

    #[tokio::test]
    async fn it_is_open_at_a_count_of_zero_and_stays_open() {
        let latch = Latch::new(1);
        latch.count_down();
        latch.count_down();
        assert_eq!(latch.wait(LONG).await, Ok(()));
        assert_eq!(Latch::new(0).wait(LONG).await, Ok(()));
    }
}
