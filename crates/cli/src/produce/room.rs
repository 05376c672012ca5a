//! How much may be in flight.
//!
//! In: how many KiB are wanted. Out: a permit for them, once there is room. Awaits only. There is little room at first, which is enough where
//! outcomes come soon; where they come late, as from a cluster that is far away, it grows up to a limit. Only one task asks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How many KiB may be in flight at first.
pub(super) const FIRST: u32 = 2_560;
/// How many KiB may be in flight at most.
const MOST: u32 = 8 * 1024;
/// Outcomes come late if there has been no room for so long.
const LATE: Duration = Duration::from_millis(20);

/// Room for what is in flight.
pub(super) struct Room {
    free: Arc<Semaphore>,
    all: AtomicU32,
}

impl Default for Room {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(FIRST as usize)), all: AtomicU32::new(FIRST) }
    }
}

impl Room {
    /// Waits until so many KiB, at most [`FIRST`], may be in flight beside those that are.
    pub(super) async fn of(&self, kib: u32) -> Option<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.free).acquire_many_owned(kib);
        if let Ok(permit) = timeout(LATE, free()).await {
            return permit.ok();
        }
        let more = kib.min(MOST - self.all.load(Relaxed));
        self.all.fetch_add(more, Relaxed);
        self.free.add_permits(more as usize);
        free().await.ok()
    }

    /// Waits until nothing is in flight.
    pub(super) async fn empty(&self) {
        drop(self.free.acquire_many(self.all.load(Relaxed)).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_grows_where_outcomes_come_late_up_to_a_limit() {
        let (room, mut taken, mut permits) = (Room::default(), 0, Vec::new());
        while let Ok(permit) = timeout(10 * LATE, room.of(100)).await {
            taken += 100;
            permits.push(permit);
        }
        assert_eq!(taken, MOST / 100 * 100);
        assert!(timeout(10 * LATE, room.empty()).await.is_err());
        permits.clear();
        room.empty().await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_as_it_is_where_outcomes_come_soon() {
        let room = Room::default();
        for _ in 0..100 {
            let permit = room.of(FIRST).await;
            tokio::spawn(async move {
                tokio::time::sleep(LATE / 2).await;
                drop(permit);
            });
        }
        assert_eq!(room.all.load(Relaxed), FIRST);
    }
}
