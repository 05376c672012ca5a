//! Warns when the keys of a topic look random: events of one user then have no order.
//!
//! In: topic and key of events. Out: a line in the log, once for a topic. Deliberately absent: how it is told ([`KeyWatch`]).

use std::sync::{
    Mutex, TryLockError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::event::KeyWatch;

/// So many events are looked at before it pauses: two topics' windows. To look at every event would cost more than to publish it.
const LOOKS: u32 = 20_000;

/// Looks at keys now and then.
#[derive(Debug)]
pub(super) struct Keys {
    left: AtomicU32,
    watch: Mutex<KeyWatch>,
}

impl Keys {
    pub(super) fn new(watch: KeyWatch) -> Self {
        Self { left: AtomicU32::new(LOOKS), watch: Mutex::new(watch) }
    }

    /// An event is published.
    pub(super) fn observe(&self, topic: &str, key: Option<&[u8]>) {
        let left = self.left.load(Relaxed);
        if left == 0 {
            return;
        }
        // Two that do this at once look at one event more.
        self.left.store(left - 1, Relaxed);
        let mut watch = match self.watch.try_lock() {
            Ok(watch) => watch,
            Err(TryLockError::Poisoned(watch)) => watch.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Some(warning) = watch.observe(topic, key) {
            tracing::warn!("{warning}");
        }
    }

    /// The pause is over.
    pub(super) fn look_again(&self) {
        self.left.store(LOOKS, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn it_pauses_after_so_many_events_and_goes_on_when_it_is_told() {
        let keys = Keys::new(KeyWatch::new());
        let publish =
            |count| (0..count).for_each(|_| keys.observe("orders", Some(Uuid::now_v7().to_string().as_bytes())));
        publish(LOOKS + 5);
        assert_eq!(keys.left.load(Relaxed), 0);
        keys.look_again();
        publish(5);
        assert_eq!(keys.left.load(Relaxed), LOOKS - 5);
    }
}
