//! What is done once a minute or so: compares the gate's counts with the store's, has the store remove rows whose retention is over, and has keys
//! looked at again.
//!
//! In: a gate, a store. Out: slots that are free again after another process, an operator or a call that was dropped has changed the store.
//! Awaits the store.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::keys::Keys;
use crate::{
    clock::now,
    gate::Gate,
    store::{SlotCounts, Store, StoreError, StoreErrorKind},
    task::until_dropped,
};

/// With more unsettled events than this, the store is not asked for its counts: it reads all of them.
const MOST: u64 = 100_000;
/// In a store that others use as well, only a recount frees slots. It pauses for so long, and longer for each event that was read.
const PAUSE: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_micros(100);

/// Sweeps and recounts each `interval` until the publisher is dropped. Recounts are more frequent if others use the store as well.
pub(super) async fn keep_counting(
    gate: Gate,
    store: Arc<dyn Store>,
    keys: Arc<Keys>,
    interval: Duration,
    stop: watch::Receiver<bool>,
) {
    let counting = async {
        let (mut sweep_at, mut events) = (now() + interval, 0);
        loop {
            sleep(if store.is_shared() { pause(events).min(interval) } else { interval }).await;
            let is_due = now() >= sweep_at;
            if is_due {
                keys.look_again();
            }
            match keep(&gate, &*store, is_due).await {
                Err(error) if error.kind() == StoreErrorKind::Closed => return,
                Err(error) => tracing::warn!(%error, "the store cannot be swept or counted"),
                Ok(counted) => events = counted,
            }
            if is_due {
                sweep_at = now() + interval;
            }
        }
    };
    until_dropped(stop, counting).await;
}

/// How long until the recount after one of so many events.
fn pause(events: u64) -> Duration {
    PAUSE + EACH.saturating_mul(u32::try_from(events).unwrap_or(u32::MAX))
}

/// Removes rows whose retention is over if `sweeps`, and recounts. Returns how many events were counted.
async fn keep(gate: &Gate, store: &dyn Store, sweeps: bool) -> Result<u64, StoreError> {
    if sweeps {
        store.sweep().await?;
    }
    if !gate.has_stored() {
        return Ok(0);
    }
    let recount = gate.begin_recount();
    let events = store.stats().await?.unsettled();
    let counts = match events {
        0 => SlotCounts::new(),
        1..=MOST => store.slots().await?,
        _ => return Ok(MOST),
    };
    gate.recount(recount, &counts);
    Ok(events)
}
