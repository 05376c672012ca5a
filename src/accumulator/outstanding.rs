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

#[derive(Debug, Default)]
struct Generations {
    current: u64,
    /// The generations that have batches, oldest first, and how many of each have not completed. Only the first is never 0.
    counts: VecDeque<(u64, usize)>,
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
        let Generations { current: generation, counts } = &mut *self.lock();
        match counts.back_mut() {
            Some((last, count)) if last == generation => *count += 1,
            _ => counts.push_back((*generation, 1)),
        }
        Token { outstanding: Arc::clone(self), generation: *generation }
    }

    /// Ends the current generation and returns its number.
    pub(crate) fn start_generation(&self) -> u64 {
        let mut generations = self.lock();
        generations.current += 1;
        generations.current - 1
    }

    /// Waits until all batches up to and including `generation` have completed.
    ///
    /// Cancel safe.
    pub(crate) async fn settled(&self, generation: u64) {
        loop {
            let changed = self.settled.notified();
            if self.lock().counts.front().is_none_or(|(first, _)| *first > generation) {
                return;
            }
            changed.await;
        }
    }

    /// How many batches have not completed.
    pub(crate) fn count(&self) -> usize {
        self.lock().counts.iter().map(|(_, count)| count).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let Generations { counts, .. } = &mut *self.outstanding.lock();
        if let Ok(place) = counts.binary_search_by_key(&self.generation, |(generation, _)| *generation) {
            counts[place].1 -= 1;
        }
        while counts.pop_front_if(|(_, count)| *count == 0).is_some() {
            self.outstanding.settled.notify_waiters();
        }
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
