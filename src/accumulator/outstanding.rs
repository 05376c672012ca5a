//! The batches that `flush` waits for: those that were opened before it.
//!
//! In: a [`Token`] for each batch, dropped when the batch's last callback has run. Out: when all batches up to a point
//! have completed. Pure but for being awaited. Batches are counted by generation. A flush starts a new generation, so
//! records that are sent after it cannot delay it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Counts the batches that have not completed.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    generations: Mutex<Generations>,
    settled: Notify,
}

#[derive(Debug)]
struct Generations {
    /// The number of the oldest generation that still counts.
    first: u64,
    /// How many batches of each generation have not completed. The last is the current generation.
    counts: VecDeque<usize>,
}

impl Default for Generations {
    fn default() -> Self {
        Self { first: 0, counts: VecDeque::from([0]) }
    }
}

impl Generations {
    fn count(&mut self, generation: u64) -> Option<&mut usize> {
        self.counts.get_mut(usize::try_from(generation.checked_sub(self.first)?).ok()?)
    }

    fn current(&self) -> u64 {
        self.first + self.counts.len() as u64 - 1
    }
}

/// Counts one batch, or the parts that it was split into.
#[derive(Debug)]
pub(crate) struct Token {
    outstanding: Arc<Outstanding>,
    generation: u64,
}

impl Outstanding {
    /// Counts a new batch.
    pub(crate) fn enter(self: &Arc<Self>) -> Token {
        let mut generations = self.lock();
        let generation = generations.current();
        if let Some(count) = generations.count(generation) {
            *count += 1;
        }
        Token { outstanding: Arc::clone(self), generation }
    }

    /// Ends the current generation and returns its number.
    pub(crate) fn start_generation(&self) -> u64 {
        let mut generations = self.lock();
        let ended = generations.current();
        generations.counts.push_back(0);
        self.retire(&mut generations);
        ended
    }

    /// Waits until all batches up to and including `generation` have completed.
    ///
    /// Cancel safe.
    pub(crate) async fn settled(&self, generation: u64) {
        loop {
            let changed = self.settled.notified();
            if self.lock().first > generation {
                return;
            }
            changed.await;
        }
    }

    /// How many batches have not completed.
    pub(crate) fn count(&self) -> usize {
        self.lock().counts.iter().sum()
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the oldest generations that are over and have no batch left.
    fn retire(&self, generations: &mut Generations) {
        let before = generations.first;
        while generations.counts.len() > 1 && generations.counts.front() == Some(&0) {
            generations.counts.pop_front();
            generations.first += 1;
        }
        if generations.first > before {
            self.settled.notify_waiters();
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut generations = self.outstanding.lock();
        if let Some(count) = generations.count(self.generation) {
            *count -= 1;
        }
        self.outstanding.retire(&mut generations);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{Context, Waker},
    };

    use super::*;

    fn is_settled(future: Pin<&mut impl Future>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_flush_waits_for_the_batches_before_it_and_for_no_other() {
        let outstanding = Arc::new(Outstanding::default());
        let before = outstanding.enter();
        let generation = outstanding.start_generation();
        let after = outstanding.enter();
        let mut flush = pin!(outstanding.settled(generation));
        assert!(!is_settled(flush.as_mut()));
        assert_eq!(outstanding.count(), 2);
        drop(before);
        assert!(is_settled(flush));
        drop(after);
        assert_eq!(outstanding.count(), 0);
    }

    #[test]
    fn a_flush_with_nothing_to_wait_for_is_done_at_once() {
        let outstanding = Arc::new(Outstanding::default());
        let generation = outstanding.start_generation();
        assert!(is_settled(pin!(outstanding.settled(generation))));
    }

    #[test]
    fn of_two_flushes_the_later_one_also_waits_for_the_earlier_batches() {
        let outstanding = Arc::new(Outstanding::default());
        let early = outstanding.enter();
        let first = outstanding.start_generation();
        let late = outstanding.enter();
        let second = outstanding.start_generation();
        drop(late);
        assert!(!is_settled(pin!(outstanding.settled(second))));
        drop(early);
        assert!(is_settled(pin!(outstanding.settled(first))));
        assert!(is_settled(pin!(outstanding.settled(second))));
    }
}
