//! `buffer.memory`: the charges of batches, and buffers that are reused.
//!
//! In: requests for bytes. Out: [`Charge`]s, which return their bytes when they are dropped. Pure but for being
//! awaited. Waiting is fair: requests are served in order, and a small one does not overtake a large one. Free buffers
//! are not charged, but charges and free buffers together never exceed the limit.

use std::{
    ops::AddAssign,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Semaphore;

/// The memory that `buffer.memory` limits. All callers that append share it.
#[derive(Debug)]
pub(crate) struct Memory {
    free: Semaphore,
    limit: usize,
    waiting: AtomicUsize,
    buffer_len: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// Bytes that one batch is charged for.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Arc<Memory>,
    bytes: usize,
}

/// The producer is closed, so the wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Memory {
    /// `limit` bytes in all. Buffers of exactly `buffer_len` bytes are kept for reuse.
    pub(crate) fn new(limit: usize, buffer_len: usize) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let (free, spare) = (Semaphore::new(limit), Mutex::default());
        Arc::new(Self { free, limit, waiting: AtomicUsize::new(0), buffer_len, spare })
    }

    /// `buffer.memory` in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are not charged.
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// How many tasks wait for bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Charges `bytes` if they are free and no caller waits for memory.
    pub(crate) fn try_charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        self.free.try_acquire_many(u32::try_from(bytes).ok()?).ok()?.forget();
        Some(Charge { memory: Arc::clone(self), bytes })
    }

    /// Waits for `bytes`. Calls `waits` once if they are not free at once.
    ///
    /// Cancel safe: a future that is dropped has charged nothing.
    pub(crate) async fn charge(self: &Arc<Self>, bytes: usize, waits: impl FnOnce()) -> Result<Charge, Closed> {
        if let Some(charge) = self.try_charge(bytes) {
            return Ok(charge);
        }
        let _waiting = Counted::new(&self.waiting);
        waits();
        let permits = u32::try_from(bytes).map_err(|_| Closed)?;
        self.free.acquire_many(permits).await.map_err(|_| Closed)?.forget();
        Ok(Charge { memory: Arc::clone(self), bytes })
    }

    /// Ends all waits with [`Closed`].
    pub(crate) fn close(&self) {
        self.free.close();
    }

    /// A buffer of `capacity` bytes, which the caller was charged for. Its content is undefined.
    pub(crate) fn buffer(&self, capacity: usize) -> Vec<u8> {
        let mut spare = self.spare();
        if capacity == self.buffer_len
            && let Some(mut buffer) = spare.pop()
        {
            drop(spare);
            buffer.resize(capacity, 0);
            return buffer;
        }
        spare.truncate(self.free() / self.buffer_len.max(1));
        drop(spare);
        vec![0; capacity]
    }

    /// Takes a buffer back for reuse. The caller returns its charge after that.
    pub(crate) fn recycle(&self, buffer: Vec<u8>) {
        let mut spare = self.spare();
        if buffer.capacity() == self.buffer_len && (spare.len() + 1) * self.buffer_len <= self.limit / 2 {
            spare.push(buffer);
        }
    }

    /// How many buffers are kept for reuse.
    #[cfg(test)]
    pub(crate) fn spares(&self) -> usize {
        self.spare().len()
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge {
    /// How many bytes are charged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves up to `bytes` of the charge to a new one.
    pub(crate) fn split_off(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { memory: Arc::clone(&self.memory), bytes }
    }

    /// The memory that the bytes were charged to.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

impl AddAssign for Charge {
    fn add_assign(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.free.add_permits(self.bytes);
    }
}

/// Counts one waiter until it is dropped.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn charges_that_are_merged_or_split_return_all_their_bytes_when_they_are_dropped() {
        let memory = Memory::new(100, 16);
        let mut first = memory.try_charge(60).unwrap();
        assert!(memory.try_charge(41).is_none());
        first += memory.try_charge(40).unwrap();
        assert_eq!((first.bytes(), memory.free()), (100, 0));
        let part = first.split_off(30);
        assert_eq!((first.bytes(), part.bytes(), first.split_off(80).bytes()), (70, 30, 70));
        assert_eq!(memory.free(), 70);
        drop((first, part));
        assert_eq!(memory.free(), 100);
    }

    #[test]
    fn a_large_request_is_served_before_a_small_one_that_came_later() {
        let memory = Memory::new(100, 16);
        let held = memory.try_charge(50).unwrap();
        let mut large = pin!(memory.charge(80, || ()));
        assert!(poll(large.as_mut()).is_pending());
        assert!(memory.try_charge(10).is_none(), "it would overtake");
        let mut small = pin!(memory.charge(10, || ()));
        assert!(poll(small.as_mut()).is_pending());
        assert_eq!(memory.waiting(), 2);
        drop(held);
        assert!(poll(large).is_ready());
        assert!(poll(small).is_ready());
    }

    #[test]
    fn a_dropped_wait_charges_nothing_and_close_ends_all_others() {
        let memory = Memory::new(100, 16);
        let held = memory.try_charge(100).unwrap();
        {
            let mut given_up = pin!(memory.charge(10, || ()));
            assert!(poll(given_up.as_mut()).is_pending());
        }
        assert_eq!(memory.waiting(), 0);
        let mut waits = pin!(memory.charge(10, || ()));
        assert!(poll(waits.as_mut()).is_pending());
        memory.close();
        assert!(matches!(poll(waits), Poll::Ready(Err(Closed))));
        drop(held);
        assert_eq!(memory.free(), 100);
    }

    #[test]
    fn buffers_are_used_again_up_to_half_of_the_budget() {
        let memory = Memory::new(64, 16);
        let buffers: Vec<_> = (0..4).map(|_| Vec::with_capacity(16)).collect();
        let first = buffers[0].as_ptr();
        buffers.into_iter().for_each(|buffer| memory.recycle(buffer));
        assert_eq!(memory.spare().len(), 2);
        memory.recycle(Vec::with_capacity(17));
        assert_eq!(memory.spare().len(), 2, "only buffers of the usual size are kept");
        memory.buffer(16);
        let again = memory.buffer(16);
        assert_eq!(again.as_ptr(), first);
    }

    #[test]
    fn spare_buffers_make_room_for_others() {
        let memory = Memory::new(64, 16);
        (0..2).for_each(|_| memory.recycle(Vec::with_capacity(16)));
        let _held = memory.try_charge(50).unwrap();
        memory.buffer(5);
        assert_eq!(memory.spare().len(), 0);
    }

    #[test]
    fn spare_buffers_stay_while_free_memory_covers_them() {
        let memory = Memory::new(64, 16);
        (0..2).for_each(|_| memory.recycle(Vec::with_capacity(16)));
        let mut held = memory.try_charge(32).unwrap();
        memory.buffer(5);
        assert_eq!(memory.spare().len(), 2);
        held += memory.try_charge(1).unwrap();
        memory.buffer(5);
        assert_eq!(memory.spare().len(), 1);
    }

    #[test]
    fn a_buffer_has_the_length_that_was_asked_for_whether_it_is_new_or_used_again() {
        let memory = Memory::new(64, 16);
        let mut buffer = Vec::with_capacity(16);
        buffer.extend_from_slice(b"what stood");
        memory.recycle(buffer);
        assert_eq!((memory.buffer(16).len(), memory.buffer(16).len(), memory.buffer(20).len()), (16, 16, 20));
    }
}
