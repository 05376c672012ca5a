//! What is done once a minute or so: compares the gate's counts with the store's, has the store remove rows whose retention is over, and has keys
//! looked at again.
//!
//! In: a gate, a store. Out: slots that are free again after another process, an operator or a call that was dropped has changed the store.
//! Awaits the store.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::keys::Keys;
use crate::{
    gate::Gate,
    store::{SlotCounts, Store, StoreError, StoreErrorKind},
};

/// With more unsettled events than this, the store is not asked for its counts: it reads all of them.
const MOST: u64 = 100_000;

/// Recounts each `interval` until the publisher is dropped.
pub(super) async fn keep_counting(
    gate: Gate,
    store: Arc<dyn Store>,
    keys: Arc<Keys>,
    interval: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let dropped = async { while stop.changed().await.is_ok() {} };
    let counting = async {
        loop {
            sleep(interval).await;
            keys.look_again();
            match keep(&gate, &*store).await {
                Err(error) if error.kind() == StoreErrorKind::Closed => return,
                Err(error) => tracing::warn!(%error, "the store cannot be swept or counted"),
                Ok(()) => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = dropped => {}
        () = counting => {}
    }
}

/// Removes rows whose retention is over, and recounts.
async fn keep(gate: &Gate, store: &dyn Store) -> Result<(), StoreError> {
    store.sweep().await?;
    recount(gate, store).await
}

async fn recount(gate: &Gate, store: &dyn Store) -> Result<(), StoreError> {
    if !gate.has_stored() {
        return Ok(());
    }
    let recount = gate.begin_recount();
    let counts = match store.stats().await?.unsettled() {
        0 => SlotCounts::new(),
        1..=MOST => store.slots().await?,
        _ => return Ok(()),
    };
    gate.recount(recount, &counts);
    Ok(())
}
